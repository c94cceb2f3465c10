/* SPDX-License-Identifier: GPL-2.0 */
/* What the events' handlers need of vtrace_filter.c, and enabling them. */
#ifndef VTRACE_EVENTS_FILTER_H
#define VTRACE_EVENTS_FILTER_H

#include <linux/compiler.h>
#include <linux/sched.h>
#include <linux/smp.h>
#include <linux/types.h>

#include "vtrace_event.h"

/* Those that change something are for events/enable.c, which holds a lock. */

/* Whether all fields that it looks at are there, and of their term's kind. */
bool vtrace_program_fits(const struct vtrace_program *p, const void *event,
			 enum vtrace_value_kind (*kind)(const void *event, u16 field));
/* Who reads *slot with preemption off may use what it finds until it is on. */
void vtrace_program_set(struct vtrace_program **slot, struct vtrace_program *p);
/* Free those that nobody uses any more. Sleeps. */
void vtrace_programs_collect(void);

/*
 * Evaluate the term at; v is the value of its field, if it is of a field.
 * Returns which is next, VTRACE_PASS, _DROP or _NOTIFY. With preemption off.
 */
u8 vtrace_program_step(const struct vtrace_program *p, u8 at,
		       struct vtrace_value *v);

/* A context that is no more than a load. */
static __always_inline bool vtrace_quick_context(u64 *number, u16 operand)
{
	if (operand == VTRACE_CONTEXT_TID)
		*number = current->pid;
	else if (operand == VTRACE_CONTEXT_PID)
		*number = current->tgid;
	else if (operand == VTRACE_CONTEXT_CPU)
		*number = raw_smp_processor_id();
	else
		return false;
	return true;
}

#endif
