/* SPDX-License-Identifier: GPL-2.0 */
/* Filters of system calls' events. Number -1: those of unknown calls. */
#ifndef VTRACE_EVENTS_SYSCALL_FILTER_H
#define VTRACE_EVENTS_SYSCALL_FILTER_H

#include <asm/ptrace.h>

#include "events/filter.h"

bool vtrace_syscall_filter_fits(unsigned int calls, s32 number,
				const struct vtrace_program *filter);

/* NULL: none, and nothing passes. */
void vtrace_syscall_filter(unsigned int calls, s32 number,
			   struct vtrace_program *filter);

/* By number; a power of two. The last one is of unknown calls. */
#define VTRACE_SYSCALL_FILTERS	512
extern struct vtrace_program *vtrace_syscall_filters[VTRACE_NUM_CALLS][VTRACE_SYSCALL_FILTERS];

static __always_inline const struct vtrace_program *
vtrace_syscall_filter_of(unsigned int calls, long number, bool known)
{
	if (!known)
		number = VTRACE_SYSCALL_FILTERS - 1;
	/* No subscripts: a kernel that checks those makes a call of it. */
	return READ_ONCE(*(*(vtrace_syscall_filters + calls) + number));
}

/* The value of an argument, in 64 bits. */
static __always_inline u64 vtrace_syscall_extend(u64 raw, const struct vtrace_field *f)
{
	/* 0 to 56: the size is that of an integer. */
	unsigned int shift = (64 - 8 * f->size) & 63;

	raw <<= shift;
	if (f->flags & VTRACE_FIELD_SIGNED)
		return (s64)raw >> shift;
	return raw >> shift;
}

/*
 * Begin with the filter of a known call: evaluate its first term, if that takes
 * loads only. Returns what vtrace_syscall_verdict() is to go on with. No more
 * than that, so that nothing needs a register that would have to be saved.
 */
static __always_inline u8 vtrace_syscall_begin(unsigned int calls, long number,
					       const struct pt_regs *regs)
{
	const struct vtrace_program *p = vtrace_syscall_filter_of(calls, number, true);
	const struct vtrace_field *f;
	const struct vtrace_term *t;
	u16 left;
	u64 value;

	if (unlikely(!p))
		return VTRACE_DROP;
	t = p->term;
	if (t->op == VTRACE_OP_MATCH)
		return 0;
	left = t->operand;
	if (left < VTRACE_MAX_FIELDS) {
		f = (vtrace_calls + calls)->class[number].fields;
		for (; left && f->kind != VTRACE_FIELD_SPECIAL; left--)
			f++;
		if (f->kind == VTRACE_FIELD_SPECIAL)
			return 0;
		value = vtrace_syscall_extend(*(const u64 *)((const void *)regs + f->reg), f);
	} else if (!vtrace_quick_context(&value, left)) {
		return 0;
	}
	return vtrace_number_holds(t, value) ? t->yes : t->no;
}

/*
 * Evaluate the rest: VTRACE_PASS, _DROP or _NOTIFY. With preemption off, since
 * its filter was looked at; room is as much as a special field may take, and
 * overwritten.
 */
u8 vtrace_syscall_verdict(unsigned int calls, long number, bool known, u8 at,
			  struct pt_regs *regs, u8 *room);

#endif
