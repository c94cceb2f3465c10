// SPDX-License-Identifier: GPL-2.0
/* Which tracepoints there are, and enabling their events. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/tracepoint.h>

#include "compat.h"
#include "events/filter.h"
#include "vtrace_event.h"

static struct vtrace_probe *const subsystems[] = {
	vtrace_sched_probes,
	vtrace_irq_probes,
	vtrace_timer_probes,
	vtrace_signal_probes,
	vtrace_block_probes,
	vtrace_net_probes,
	vtrace_kmem_probes,
	vtrace_power_probes,
	vtrace_oom_probes,
	vtrace_x86_exceptions_probes,
};

void vtrace_tracepoints_find(void)
{
	struct vtrace_probe *p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(subsystems); i++)
		for (p = subsystems[i]; p->tracepoint; p++)
			p->found = vtrace_find_tracepoint(p->tracepoint);
}

static struct vtrace_probe *probe_of(u16 id)
{
	struct vtrace_probe *p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(subsystems); i++)
		for (p = subsystems[i]; p->tracepoint; p++)
			if (p->id == id)
				return p->found ? p : NULL;
	return NULL;
}

bool vtrace_tracepoint_exists(u16 id)
{
	return probe_of(id);
}

static enum vtrace_value_kind kind_of(const void *event, u16 field)
{
	const struct vtrace_probe *p = event;

	return p->kind(field);
}

/*
 * Two handlers cannot take turns without a moment in which both record, or none
 * does: it is none.
 */
int vtrace_tracepoint_enable(u16 id, bool on, struct vtrace_program *filter)
{
	struct vtrace_probe *p = probe_of(id);
	void *handler = NULL;
	int err = 0;

	if (!p)
		return -ENOENT;
	if (on)
		handler = filter ? p->filtered : p->handler;
	if (filter && !vtrace_program_fits(filter, p, kind_of))
		return -EINVAL;
	/* Nothing passes a handler that has lost its filter. */
	if (p->on && p->on != handler) {
		tracepoint_probe_unregister(p->found, p->on, p);
		p->on = NULL;
	}
	vtrace_program_set(&p->filter, filter);
	if (handler && !p->on) {
		err = tracepoint_probe_register(p->found, handler, p);
		if (!err)
			p->on = handler;
	}
	return err;
}
