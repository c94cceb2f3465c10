/* SPDX-License-Identifier: GPL-2.0 */
/* What enabling system calls' events leaves for their handlers. */
#ifndef VTRACE_EVENTS_SYSCALL_MODES_H
#define VTRACE_EVENTS_SYSCALL_MODES_H

#include <linux/percpu.h>

#include "vtrace_event.h"

struct pt_regs;

enum mode {
	MODE_OFF,
	MODE_QUICK,	/* integers only: size and op say all */
	MODE_SLOW,	/* the payload is made in the scratch memory */
	MODE_UNKNOWN,	/* there is no such call */
	MODE_FILTERED = 0x80	/* with one of the others: if it passes */
};

/*
 * An op is an argument's offset in pt_regs and the logarithm of its size. 0
 * ends the list. An exit event begins with the return value, without an op.
 */
#define OP_SIZE		7
#define MAX_OPS		VTRACE_NUM_ARGS

struct call {
	u32 size;	/* of the payload */
	u16 id;
	u8 mode;
	u8 op[MAX_OPS + 1];
} __aligned(16);

/* By number; as vtrace_calls[]. */
extern struct call *const vtrace_call_table[VTRACE_NUM_CALLS];
extern u8 vtrace_unknown_mode[VTRACE_NUM_CALLS];

/*
 * For payloads whose size is known only when they are made. One is enough for
 * a processor: system calls do not nest, and nothing else writes here.
 */
#define SCRATCH_BYTES	16384
DECLARE_PER_CPU(u8 *, vtrace_scratch);

/* syscalls.c */
void vtrace_handle_sys_enter(void *data, struct pt_regs *regs, long id);
void vtrace_handle_sys_exit(void *data, struct pt_regs *regs, long ret);

#endif
