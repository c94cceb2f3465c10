// SPDX-License-Identifier: GPL-2.0
/*
 * Which boot of which kernel this is. The kernel exports its boot id only to
 * user space, so the driver reads the file, from a proc mount of its own. Where
 * that fails a random id stands for this load of the driver.
 */
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/path.h>
#include <linux/uuid.h>

#include "vtrace_driver.h"

static int read_boot_id(uuid_t *id)
{
	struct file_system_type *type = get_fs_type("proc");
	char text[UUID_STRING_LEN + 1];
	struct vfsmount *mount;
	struct path root;
	struct file *file;
	loff_t pos = 0;
	ssize_t len;

	if (!type)
		return -ENODEV;
	mount = kern_mount(type);
	module_put(type->owner);
	if (IS_ERR(mount))
		return PTR_ERR(mount);

	root.mnt = mount;
	root.dentry = mount->mnt_root;
	file = file_open_root(&root, "sys/kernel/random/boot_id", O_RDONLY, 0);
	if (IS_ERR(file)) {
		len = PTR_ERR(file);
	} else {
		len = kernel_read(file, text, UUID_STRING_LEN, &pos);
		fput(file);
	}
	kern_unmount(mount);

	if (len != UUID_STRING_LEN)
		return len < 0 ? len : -EIO;
	text[UUID_STRING_LEN] = '\0';
	return uuid_parse(text, id);
}

void vtrace_boot_id_read(u8 id[16])
{
	uuid_t uuid;
	int err;

	err = read_boot_id(&uuid);
	if (err) {
		pr_info("virtio_trace: the boot id cannot be read (error %d), a random one stands for it\n",
			err);
		generate_random_uuid(uuid.b);
	}
	export_uuid(id, &uuid);
}
