/* SPDX-License-Identifier: GPL-2.0 */
/* What contexts and filters see of the running task and of its vCPU. */
#ifndef VTRACE_EVENTS_CONTEXT_H
#define VTRACE_EVENTS_CONTEXT_H

#include <linux/cgroup.h>
#include <linux/irqflags.h>
#include <linux/kernel_stat.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

#include "compat.h"

static __always_inline u64 vtrace_this_cgroup(void)
{
#ifdef CONFIG_CGROUPS
	u64 id;

	rcu_read_lock();
	id = cgroup_id(task_dfl_cgroup(current));
	rcu_read_unlock();
	return id;
#else
	return 0;
#endif
}

/* In ns, as the kernel has accounted it: mostly once a tick. */
static __always_inline u64 vtrace_this_steal(void)
{
	return READ_ONCE(kcpustat_this_cpu->cpustat[CPUTIME_STEAL]);
}

/*
 * Whether the task could be preempted where the event is, interrupts aside.
 * The handler itself has turned preemption off once, a tracepoint of some
 * kernels once more.
 */
static __always_inline bool vtrace_is_preemptible(void)
{
	return preempt_count() <= 1 + VTRACE_TRACEPOINT_PREEMPT_OFF;
}

#endif
