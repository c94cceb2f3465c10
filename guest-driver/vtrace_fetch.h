/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What a probe definition records: its steps, checked, and their execution. No
 * step leads anywhere but to the next one, so that an event takes a bounded
 * time. Kernel and user space, where tests run it, bring what is at the end.
 */
#ifndef VTRACE_FETCH_H
#define VTRACE_FETCH_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif

#include "vtrace_abi.h"

/* As many as a command has room for. */
#define VTRACE_ALL_STEPS	(VTRACE_CMD_BYTES / sizeof(struct vtrace_probe_step))

struct vtrace_fetch_arg {
	struct vtrace_probe_arg head;
	const char *name;		/* these two without a NUL */
	const char *symbol;
	u32 first_step;
};

struct vtrace_fetch {
	struct vtrace_probe_def head;
	char name[VTRACE_MAX_PROBE_NAME + 1];
	char symbol[VTRACE_MAX_PROBE_SYMBOL + 1];
	bool may_fault;			/* there is a field of its own for that */
	u32 num_steps;
	const void *filter;		/* in the payload; any alignment */
	struct vtrace_fetch_arg arg[VTRACE_MAX_PROBE_ARGS];
	struct vtrace_probe_step step[VTRACE_ALL_STEPS];
};

struct pt_regs;

/* What there is to look at when a probe is hit. */
struct vtrace_hit {
	const struct pt_regs *regs;	/* not of a tracepoint */
	const u64 *args;		/* of a tracepoint only, as many as there may be */
	u64 ip;				/* of the probe */
	u64 parent_ip;			/* where a RETURN leads to */
};

/* The fields of an event, but for the stack. */
struct vtrace_fetched {
	u32 bytes;
	u32 fault;			/* a bit for each argument */
	u16 at[VTRACE_MAX_PROBE_ARGS];	/* where each begins */
	u8 data[VTRACE_MAX_PROBE_BYTES];
};

/*
 * Make f what a command's payload says, which must stay as long as f does. Not
 * NULL: what is wrong with it.
 */
const char *vtrace_fetch_read(struct vtrace_fetch *f, const void *payload,
			      u32 bytes);

void vtrace_fetch(const struct vtrace_fetch *f, const struct vtrace_hit *hit,
		  struct vtrace_fetched *to);

/* Fields before those of the arguments. */
static inline u32 vtrace_fetch_fixed(const struct vtrace_fetch *f)
{
	return (f->head.kind != VTRACE_PROBE_TRACEPOINT) +
	       (f->head.kind == VTRACE_PROBE_RETURN) + f->may_fault;
}

/* Brought by whoever links this. */

/* False: it faults. */
bool vtrace_fetch_memory(void *to, u64 from, u32 bytes, bool user);
/* A word above the stack pointer; 0: it is not of the kernel's stack. */
u64 vtrace_fetch_stack(const struct pt_regs *regs, u64 word);
/* code is below VTRACE_REGISTER_END */
u64 vtrace_fetch_register(const struct pt_regs *regs, u32 code);
/* index is below VTRACE_NUM_PROBE_ARGUMENTS; at a function's begin */
u64 vtrace_fetch_argument(const struct pt_regs *regs, u32 index);
/* The running thread's name, of at most bytes, NUL included; returns these. */
u32 vtrace_fetch_comm(u8 *to, u32 bytes);

#endif
