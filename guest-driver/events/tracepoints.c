// SPDX-License-Identifier: GPL-2.0
/* Which tracepoints there are, and enabling their events. */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/tracepoint.h>

#include "compat.h"
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

int vtrace_tracepoint_enable(u16 id, bool on)
{
	struct vtrace_probe *p = probe_of(id);
	int err = 0;

	if (!p)
		return -ENOENT;
	if (p->on == on)
		return 0;
	if (on)
		err = tracepoint_probe_register(p->found, p->handler, NULL);
	else
		tracepoint_probe_unregister(p->found, p->handler, NULL);
	if (!err)
		p->on = on;
	return err;
}
