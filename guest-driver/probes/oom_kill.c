// SPDX-License-Identifier: GPL-2.0
/* Victims of the out-of-memory killer, and what memory there was. */
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/vmstat.h>
#include <trace/events/oom.h>

#include "vtrace.h"

#define TRACEPOINT	"mark_victim"

/* Memory is in pages. */
struct payload {
	s32 pid;
	char comm[TASK_COMM_LEN];
	s32 by_tid;
	char by_comm[TASK_COMM_LEN];
	u64 ram;
	u64 free;
	u64 anonymous;
	u64 cached;
	u64 slab;
} __packed;

static const struct vtrace_class_field fields[] = {
	VTRACE_CLASS_INT("pid", s32),
	VTRACE_CLASS_TEXT("comm", TASK_COMM_LEN),
	VTRACE_CLASS_INT("by_tid", s32),
	VTRACE_CLASS_TEXT("by_comm", TASK_COMM_LEN),
	VTRACE_CLASS_INT("ram", u64),
	VTRACE_CLASS_INT("free", u64),
	VTRACE_CLASS_INT("anonymous", u64),
	VTRACE_CLASS_INT("cached", u64),
	VTRACE_CLASS_INT("slab", u64),
};

static int id;

static void record(const struct task_struct *victim, s32 pid)
{
	struct payload payload = {
		.pid = pid,
		.by_tid = current->pid,
		.ram = totalram_pages(),
		.free = global_zone_page_state(NR_FREE_PAGES),
		.anonymous = global_node_page_state(NR_ANON_MAPPED),
		.cached = global_node_page_state(NR_FILE_PAGES),
		.slab = global_node_page_state_pages(NR_SLAB_RECLAIMABLE_B) +
			global_node_page_state_pages(NR_SLAB_UNRECLAIMABLE_B),
	};

	if (victim)
		strscpy_pad(payload.comm, victim->comm, TASK_COMM_LEN);
	strscpy_pad(payload.by_comm, current->comm, TASK_COMM_LEN);
	vtrace_write(VTRACE_CHANNEL_EVENTS, id, &payload, sizeof(payload));
}

/* Until 6.7 the tracepoint has only the victim's number. */

static void mark_number(void *data, int pid)
{
	rcu_read_lock();
	record(pid_task(find_pid_ns(pid, &init_pid_ns), PIDTYPE_PID), pid);
	rcu_read_unlock();
}

static void mark_task(void *data, struct task_struct *task, uid_t uid)
{
	record(task, task->pid);
}

#define HAS_NUMBER							\
	__builtin_types_compatible_p(					\
		typeof(check_trace_callback_type_mark_victim),		\
		void (void (*)(void *, int)))

static void *handler(void)
{
	return HAS_NUMBER ? (void *)mark_number : (void *)mark_task;
}

static int __init oom_kill_init(void)
{
	int err;

	id = vtrace_class_describe("oom_kill", VTRACE_CHANNEL_EVENTS, fields,
				   ARRAY_SIZE(fields));
	if (id < 0)
		return id;
	err = vtrace_attach(TRACEPOINT, handler(), NULL);
	if (err)
		vtrace_class_unregister(id);
	return err;
}

static void __exit oom_kill_exit(void)
{
	vtrace_detach(TRACEPOINT, handler(), NULL);
	vtrace_class_unregister(id);
}

module_init(oom_kill_init);
module_exit(oom_kill_exit);

MODULE_DESCRIPTION("Victims of the out-of-memory killer, and the state of memory");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
