/* SPDX-License-Identifier: GPL-2.0 */
/* Between the parts of the state dump. */
#ifndef VTRACE_EVENTS_STATE_H
#define VTRACE_EVENTS_STATE_H

#include <linux/preempt.h>

#include "vtrace_writer.h"

/* Write an event of the table whose writers write.h has made. */
#define write_state(name, args...) do {					\
	struct vtrace_ring *r;						\
									\
	preempt_disable_notrace();					\
	r = vtrace_this_ring(VTRACE_CHANNEL_STATE);			\
	if (r)								\
		vtrace_write_##name(r, args);				\
	else								\
		vtrace_no_ring();					\
	preempt_enable_notrace();					\
} while (0)

struct task_struct;

/* These sleep. path: PATH_MAX bytes that they may use. */
void vtrace_dump_files(struct task_struct *p, char *path);
void vtrace_dump_devices(void);

#endif
