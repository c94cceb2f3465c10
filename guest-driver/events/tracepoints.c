// SPDX-License-Identifier: GPL-2.0
/* Events of the kernel's own tracepoints: their handlers. */
#include <linux/binfmts.h>
#include <linux/errno.h>
#include <linux/kernel.h>
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
#include "events/write.h"

#define TRACEPOINT(name, proto, args, fields...)			\
/* With preemption off; turns it on. */					\
static noinline notrace void odd_##name(proto)				\
{									\
	struct vtrace_ring *ring_ = vtrace_this_ring(VTRACE_CHANNEL_EVENTS); \
									\
	if (ring_)							\
		vtrace_write_##name(ring_, args);			\
	else								\
		vtrace_no_ring();					\
	preempt_enable_notrace();					\
}									\
static notrace void handle_##name(void *data_, proto)			\
{									\
	struct vtrace_ring *ring_;					\
									\
	preempt_disable_notrace();					\
	ring_ = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);		\
	if (unlikely(!ring_ || !vtrace_quick_##name(ring_, args))) {	\
		odd_##name(args);					\
		return;							\
	}								\
	preempt_enable_notrace();					\
}									\
static inline void check_##name(void)					\
{									\
	check_trace_callback_type_##name(handle_##name);		\
}
#include "events/sched.h"
#undef TRACEPOINT

static struct {
	const char *name;
	void *handler;
	bool on;
} tracepoints[] = {
#define TRACEPOINT(name, proto, args, fields...)			\
	[VTRACE_ID_##name] = { #name, handle_##name },
#include "events/sched.h"
#undef TRACEPOINT
};

int vtrace_tracepoint_enable(u16 id, bool on)
{
	int err = 0;

	if (id >= ARRAY_SIZE(tracepoints) || !tracepoints[id].handler)
		return -ENOENT;
	if (tracepoints[id].on == on)
		return 0;
	if (on)
		err = vtrace_probe_register(tracepoints[id].name,
					    tracepoints[id].handler);
	else
		vtrace_probe_unregister(tracepoints[id].name,
					tracepoints[id].handler);
	if (!err)
		tracepoints[id].on = on;
	return err;
}
