// SPDX-License-Identifier: GPL-2.0
/*
 * What the device sends in pieces: a file in a folder in memory, in which the
 * job that it is for will run. There is one at a time. Only the executor of
 * commands is here, and what has stopped it.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/kernel.h>

#include "vtrace_driver.h"
#include "vtrace_job.h"

static struct {
	struct vfsmount *folder;	/* NULL: there is none */
	struct file *file;
	u32 blob;
	u32 total;
	u32 bytes;			/* that have come */
} upload;

void vtrace_upload_drop(void)
{
	if (upload.file)
		vtrace_folder_close(upload.file);
	if (upload.folder)
		vtrace_folder_remove(upload.folder);
	upload.file = NULL;
	upload.folder = NULL;
}

static int begin(const struct vtrace_upload *head, char *text)
{
	int err;

	/* The device has forgotten the one that is not complete. */
	vtrace_upload_drop();
	/* What the guest's administrator gives of its memory. */
	if (head->total > vtrace_upload_limit()) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "%u bytes are more than parameter upload_limit=%u of virtio_trace allows",
			  head->total, vtrace_upload_limit());
		return -EFBIG;
	}
	upload.folder = vtrace_folder_make();
	if (IS_ERR(upload.folder)) {
		err = PTR_ERR(upload.folder);
		upload.folder = NULL;
		return err;
	}
	upload.file = vtrace_folder_create(upload.folder, VTRACE_UPLOAD_FILE,
					   0400);
	if (IS_ERR(upload.file)) {
		err = PTR_ERR(upload.file);
		upload.file = NULL;
		vtrace_upload_drop();
		return err;
	}
	upload.blob = head->blob;
	upload.total = head->total;
	upload.bytes = 0;
	return 0;
}

static int append(const void *data, u32 bytes)
{
	loff_t at = upload.bytes;
	ssize_t done = kernel_write(upload.file, data, bytes, &at);

	if (done < 0)
		return done;
	if (done != bytes)
		return -ENOSPC;
	upload.bytes += bytes;
	return 0;
}

/* A piece. Like all that execute commands: 0 or a negative errno, and a text. */
int vtrace_upload_take(const void *payload, u32 bytes, char *text)
{
	const struct vtrace_upload *head = payload;
	u32 data;
	int ret;

	if (bytes <= sizeof(*head) || head->reserved) {
		scnprintf(text, VTRACE_MAX_REASON, "%u bytes are no piece", bytes);
		return -EINVAL;
	}
	data = bytes - sizeof(*head);
	if (!head->offset) {
		ret = begin(head, text);
		if (ret)
			return ret;
	}
	if (!upload.folder || upload.blob != head->blob) {
		scnprintf(text, VTRACE_MAX_REASON, "there is no upload %u",
			  head->blob);
		return -ENOENT;
	}
	if (head->total != upload.total || head->offset != upload.bytes ||
	    data > upload.total - upload.bytes) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "%u bytes at %u of %u do not follow %u of %u",
			  data, head->offset, head->total, upload.bytes,
			  upload.total);
		vtrace_upload_drop();
		return -EINVAL;
	}
	ret = append(head + 1, data);
	if (ret) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "the guest has no memory for byte %u of %u",
			  upload.bytes, upload.total);
		vtrace_upload_drop();
	}
	return ret;
}

int vtrace_upload_cancel(const void *payload, u32 bytes, char *text)
{
	const struct vtrace_blob *head = payload;

	if (bytes != sizeof(*head) || head->reserved)
		return -EINVAL;
	if (!upload.folder || upload.blob != head->blob) {
		scnprintf(text, VTRACE_MAX_REASON, "there is no upload %u",
			  head->blob);
		return -ENOENT;
	}
	vtrace_upload_drop();
	return 0;
}

/* The caller's from now on, and complete. ERR_PTR(). */
struct vfsmount *vtrace_upload_claim(u32 blob, char *text)
{
	struct vfsmount *folder = upload.folder;

	if (!folder || upload.blob != blob) {
		scnprintf(text, VTRACE_MAX_REASON, "there is no upload %u", blob);
		return ERR_PTR(-ENOENT);
	}
	if (upload.bytes != upload.total) {
		scnprintf(text, VTRACE_MAX_REASON,
			  "the upload has ended after %u of %u bytes",
			  upload.bytes, upload.total);
		vtrace_upload_drop();
		return ERR_PTR(-EINVAL);
	}
	vtrace_folder_close(upload.file);
	upload.file = NULL;
	upload.folder = NULL;
	return folder;
}
