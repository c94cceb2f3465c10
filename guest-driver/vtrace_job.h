/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Jobs: system calls that a program of the driver's own makes, in a folder that
 * nobody else sees. The guest's user space has no part in it: it may be frozen,
 * broken or gone.
 */
#ifndef VTRACE_JOB_H
#define VTRACE_JOB_H

/* The helper finds the batch in its folder, and maps it there. */
#define VTRACE_BATCH_FILE	"batch"
#define VTRACE_BATCH_AT		0x10000000
#define VTRACE_BATCH_BYTES	8192
#define VTRACE_BATCH_CALLS	8

/* The first file that a batch opens: 0 is the batch. */
#define VTRACE_FIRST_FD		1

#ifndef __ASSEMBLY__
#include <linux/types.h>

#include "vtrace_abi.h"

struct file;
struct vfsmount;

struct vtrace_call {
	s64 number;		/* negative: the batch ends here */
	u64 argument[6];
	s64 result;
};

#define VTRACE_BATCH_TEXT						\
	(VTRACE_BATCH_BYTES - VTRACE_BATCH_CALLS * sizeof(struct vtrace_call))

/* As the helper maps it. */
struct vtrace_batch {
	struct vtrace_call call[VTRACE_BATCH_CALLS];
	char text[VTRACE_BATCH_TEXT];
};

/* vtrace_helper.S: the program */
extern const u8 vtrace_helper[], vtrace_helper_end[];

struct vtrace_job {
	struct vfsmount *folder;	/* gone when the job has run */
	struct vtrace_batch *batch;
	unsigned int num_calls;
	size_t text_bytes;
	/* Afterwards: what the kernel has said to this, cut short. */
	char said[VTRACE_MAX_REASON];
	size_t said_bytes;
};

/* A folder in memory that only its owner has. ERR_PTR(). */
struct vfsmount *vtrace_folder_make(void);
void vtrace_folder_remove(struct vfsmount *folder);
struct file *vtrace_folder_create(struct vfsmount *folder, const char *name,
				  umode_t mode);
/* At once, so that the file can be executed. */
void vtrace_folder_close(struct file *file);

/* Takes the folder, whatever it returns; NULL: it makes one. */
int vtrace_job_init(struct vtrace_job *job, struct vfsmount *folder);
void vtrace_job_release(struct vtrace_job *job);
/* Returns the text's address for an argument, 0: there is no room. */
u64 vtrace_job_text(struct vtrace_job *job, const char *text, size_t bytes);
void vtrace_job_call(struct vtrace_job *job, int number, u64 a, u64 b, u64 c);
/*
 * Returns the result of the last call, or of the first one that failed;
 * -ENOEXEC.. Sleeps, for as long as the calls take. One at a time.
 */
int vtrace_job_run(struct vtrace_job *job);
/* Whether this is executed by the helper, in one of its calls. */
bool vtrace_job_is_helper(void);

#endif
#endif
