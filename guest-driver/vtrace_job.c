// SPDX-License-Identifier: GPL-2.0
/*
 * Runs jobs: puts the helper and its batch in a folder in memory, has the kernel
 * execute it there, and reads what came of it.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/path.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <linux/umh.h>

#include "compat.h"
#include "vtrace_event.h"
#include "vtrace_job.h"

#define HELPER_FILE	"vtrace-helper"

/* The helper that runs. */
static struct task_struct *helper;

bool vtrace_job_is_helper(void)
{
	return READ_ONCE(helper) == current;
}

/* Folders. */

struct vfsmount *vtrace_folder_make(void)
{
	struct file_system_type *type = get_fs_type("tmpfs");
	struct vfsmount *folder;

	if (!type)
		return ERR_PTR(-ENODEV);
	folder = kern_mount(type);
	module_put(type->owner);
	return folder;
}

void vtrace_folder_remove(struct vfsmount *folder)
{
	kern_unmount(folder);
}

static struct file *open_file(struct vfsmount *folder, const char *name,
			      int flags, umode_t mode)
{
	struct path root = { .mnt = folder, .dentry = folder->mnt_root };

	return file_open_root(&root, name, flags, mode);
}

struct file *vtrace_folder_create(struct vfsmount *folder, const char *name,
				  umode_t mode)
{
	return open_file(folder, name, O_CREAT | O_EXCL | O_RDWR, mode);
}

void vtrace_folder_close(struct file *file)
{
	__fput_sync(file);
}

static int write_file(struct vfsmount *folder, const char *name, umode_t mode,
		      const void *content, size_t bytes)
{
	struct file *file = vtrace_folder_create(folder, name, mode);
	loff_t at = 0;
	ssize_t done;

	if (IS_ERR(file))
		return PTR_ERR(file);
	done = kernel_write(file, content, bytes, &at);
	vtrace_folder_close(file);
	if (done < 0)
		return done;
	return done == bytes ? 0 : -ENOSPC;
}

static int read_file(struct vfsmount *folder, const char *name, void *content,
		     size_t bytes)
{
	struct file *file = open_file(folder, name, O_RDONLY, 0);
	loff_t at = 0;
	ssize_t done;

	if (IS_ERR(file))
		return PTR_ERR(file);
	done = kernel_read(file, content, bytes, &at);
	vtrace_folder_close(file);
	if (done < 0)
		return done;
	return done == bytes ? 0 : -EIO;
}

/* Making jobs. */

int vtrace_job_init(struct vtrace_job *job, struct vfsmount *folder)
{
	job->folder = folder ?: vtrace_folder_make();
	if (IS_ERR(job->folder)) {
		int err = PTR_ERR(job->folder);

		job->folder = NULL;
		return err;
	}
	job->batch = kzalloc(sizeof(*job->batch), GFP_KERNEL);
	return job->batch ? 0 : -ENOMEM;
}

void vtrace_job_release(struct vtrace_job *job)
{
	if (job->folder)
		vtrace_folder_remove(job->folder);
	kfree(job->batch);
}

u64 vtrace_job_text(struct vtrace_job *job, const char *text, size_t bytes)
{
	size_t at = job->text_bytes;

	if (bytes >= sizeof(job->batch->text) - at)
		return 0;
	/* A NUL is behind it already. */
	memcpy(job->batch->text + at, text, bytes);
	job->text_bytes += bytes + 1;
	return VTRACE_BATCH_AT + offsetof(struct vtrace_batch, text) + at;
}

void vtrace_job_call(struct vtrace_job *job, int number, u64 a, u64 b, u64 c)
{
	/* Behind the last one is the end. */
	if (WARN_ON(job->num_calls == VTRACE_BATCH_CALLS - 1))
		return;
	job->batch->call[job->num_calls++] = (struct vtrace_call){
		.number = number,
		.argument = { a, b, c },
		/* Of one that was not made. */
		.result = -ECANCELED,
	};
}

/* Running them. */

/*
 * In the process that becomes the helper. It keeps the capabilities that the
 * guest's administrator leaves to such processes in kernel.usermodehelper.bset.
 */
static int enter_folder(struct subprocess_info *info, struct cred *new)
{
	struct vtrace_job *job = info->data;
	struct path folder = {
		.mnt = job->folder,
		.dentry = job->folder->mnt_root,
	};

	if (!cap_raised(new->cap_bset, CAP_SYS_MODULE)) {
		job->said_bytes = scnprintf(job->said, sizeof(job->said),
					    "kernel.usermodehelper.bset has no CAP_SYS_MODULE");
		return -EPERM;
	}
	vtrace_enter(current->fs, &folder);
	WRITE_ONCE(helper, current);
	return 0;
}

/* The tracepoint "console": of each line that anybody prints. */
static void take_note(void *data, const char *text, size_t bytes)
{
	struct vtrace_job *job = data;
	char *at = job->said + job->said_bytes;
	size_t room = sizeof(job->said) - job->said_bytes;

	if (!vtrace_job_is_helper() || !in_task())
		return;
	while (bytes && text[bytes - 1] == '\n')
		bytes--;
	job->said_bytes += scnprintf(at, room, "%s%.*s",
				     job->said_bytes ? "; " : "",
				     (int)min_t(size_t, bytes, sizeof(job->said)),
				     text);
}

static int execute(struct vtrace_job *job)
{
	char *arguments[2] = { HELPER_FILE };
	char *environment[1] = {};
	struct subprocess_info *info;
	struct tracepoint *console;
	int ret;

	info = call_usermodehelper_setup(HELPER_FILE, arguments, environment,
					 GFP_KERNEL, enter_folder, NULL, job);
	if (!info)
		return -ENOMEM;
	console = vtrace_find_tracepoint("console");
	if (console && tracepoint_probe_register(console, take_note, job))
		console = NULL;
	ret = call_usermodehelper_exec(info, UMH_WAIT_PROC);
	WRITE_ONCE(helper, NULL);
	if (console) {
		tracepoint_probe_unregister(console, take_note, job);
		tracepoint_synchronize_unregister();
	}
	return ret;
}

static int run(struct vtrace_job *job)
{
	unsigned int i;
	int ret;

	ret = write_file(job->folder, HELPER_FILE, 0500, vtrace_helper,
			 vtrace_helper_end - vtrace_helper);
	if (!ret)
		ret = write_file(job->folder, VTRACE_BATCH_FILE, 0600,
				 job->batch, sizeof(*job->batch));
	if (!ret)
		ret = execute(job);
	if (ret > 0)
		/* It never fails by itself: it was killed. */
		ret = -EINTR;
	if (!ret)
		ret = read_file(job->folder, VTRACE_BATCH_FILE, job->batch,
				sizeof(*job->batch));
	for (i = 0; i < job->num_calls && ret >= 0; i++)
		ret = clamp_t(s64, job->batch->call[i].result, -MAX_ERRNO, INT_MAX);
	return ret;
}

int vtrace_job_run(struct vtrace_job *job)
{
	int ret;

	job->batch->call[job->num_calls].number = -1;
	ret = run(job);
	vtrace_folder_remove(job->folder);
	job->folder = NULL;
	return ret;
}
