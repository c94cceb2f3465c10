/* SPDX-License-Identifier: GPL-2.0 */
/* Filters of system calls' events. Number -1: those of unknown calls. */
#ifndef VTRACE_EVENTS_SYSCALL_FILTER_H
#define VTRACE_EVENTS_SYSCALL_FILTER_H

#include "vtrace_event.h"

struct pt_regs;

bool vtrace_syscall_filter_fits(unsigned int calls, s32 number,
				const struct vtrace_program *filter);

/* NULL: none, and nothing passes. */
void vtrace_syscall_filter(unsigned int calls, s32 number,
			   struct vtrace_program *filter);

/*
 * Whether the event is to be recorded. With preemption off; room is as much as
 * a special field may take, and overwritten.
 */
bool vtrace_syscall_passes(unsigned int calls, long number, bool known,
			   struct pt_regs *regs, u8 *room);

#endif
