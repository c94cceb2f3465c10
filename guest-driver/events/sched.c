// SPDX-License-Identifier: GPL-2.0
/* Events of the scheduler: their handlers. */
#include <linux/binfmts.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/rt.h>
#include <trace/events/sched.h>

#include "compat.h"
#include "vtrace_event.h"
#include "vtrace_writer.h"

/* What the table's values call: loads, no more. */

static __always_inline s64 vtrace_switch_state(bool preempt,
					       const struct task_struct *prev,
					       unsigned int prev_state)
{
	unsigned int index;

	/* It stays runnable, whatever it was about to wait for. */
	if (preempt)
		return TASK_REPORT_MAX;
	index = __task_state_index(prev_state, prev->exit_state);
	return index ? 1 << (index - 1) : 0;
}

static __always_inline u32 vtrace_pid_ns_inum(struct task_struct *p)
{
	const struct pid_namespace *ns = ns_of_pid(task_pid(p));

	return ns ? ns->ns.inum : 0;
}

/* A task has an id in each pid namespace that can see it. */
static __always_inline u8 vtrace_num_vtids(struct task_struct *p)
{
	return task_pid(p)->level + 1;
}

#define VTRACE_TABLE	"events/sched.h"
#define VTRACE_PROBES	vtrace_sched_probes
#include "events/handle.h"
