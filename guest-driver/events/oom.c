// SPDX-License-Identifier: GPL-2.0
/* Events of the out-of-memory killer: their handlers. */
#include <linux/mm_types.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <trace/events/oom.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

#ifdef VTRACE_HAS_MARK_VICTIM_TASK
/* In pages. The caller keeps the memory map of its victim. */
static __always_inline u64 vtrace_total_vm(const struct task_struct *task)
{
	return task->mm ? task->mm->total_vm : 0;
}
#endif

#define VTRACE_TABLE	"events/oom.h"
#define VTRACE_PROBES	vtrace_oom_probes
#include "events/handle.h"
