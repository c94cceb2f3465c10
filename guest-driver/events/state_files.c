// SPDX-License-Identifier: GPL-2.0
/* The state dump's open files. */
#include <linux/bitops.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/limits.h>
#include <linux/sched.h>
#include <linux/sched/task.h>

#include "events/state.h"
#include "vtrace_event.h"

struct vtrace_file_state {
	u64 table;
	s32 pid;
	s32 fd;
	u32 flags;
	u32 mode;
};

#define VTRACE_TABLE	"events/state_files.h"
#include "events/write.h"

/* Numbers that are looked at in one go: a spinlock is held. */
#define BATCH		256

struct batch {
	struct files_struct *files;
	s32 pid;
	char *path;
	unsigned int last;
};

/* Under the lock of the files. Returns where to go on, or 0: go on. */
static int dump_file(const void *data, struct file *file, unsigned int fd)
{
	const struct batch *batch = data;
	struct vtrace_file_state f = {
		.table = (unsigned long)batch->files,
		.pid = batch->pid,
		.fd = fd,
		/* Not those that the kernel has for itself. */
		.flags = file->f_flags & VALID_OPEN_FLAGS,
		.mode = (__force u32)file->f_mode,
	};
	const char *name = d_path(&file->f_path, batch->path, PATH_MAX);

	if (test_bit(fd, files_fdtable(batch->files)->close_on_exec))
		f.flags |= O_CLOEXEC;
	write_state(lttng_statedump_file_descriptor, &f,
		    IS_ERR(name) ? "" : name);
	return fd >= batch->last ? fd + 1 : 0;
}

/* Of a task that the caller holds. */
void vtrace_dump_files(struct task_struct *p, char *path)
{
	struct batch batch = { .pid = p->tgid, .path = path };
	int next = 0;

	do {
		batch.last = next + BATCH - 1;
		/* They stay, unless it exits. */
		task_lock(p);
		batch.files = p->files;
		next = iterate_fd(batch.files, next, dump_file, &batch);
		task_unlock(p);
		cond_resched();
	} while (next);
}
