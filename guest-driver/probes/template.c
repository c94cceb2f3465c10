// SPDX-License-Identifier: GPL-2.0
/*
 * A probe to begin with: an event for each process that ends and that was not
 * too short-lived. docs/probes.md says how it is built, loaded and read.
 */
#include <linux/kernel.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "vtrace.h"

#define EVENT		"process_end"
#define TRACEPOINT	"sched_process_exit"

static unsigned int min_ms;
module_param(min_ms, uint, 0644);
MODULE_PARM_DESC(min_ms, "least lifetime of a process to be recorded (0)");

/* What an event has: this, byte-packed, and the same for the host. */
struct payload {
	s32 tid;
	u64 lifetime;
	char comm[TASK_COMM_LEN];
} __packed;

static const struct vtrace_class_field fields[] = {
	VTRACE_CLASS_INT("tid", s32),
	VTRACE_CLASS_INT("lifetime", u64),
	VTRACE_CLASS_TEXT("comm", TASK_COMM_LEN),
};

static int id;

/* In whatever context the kernel is: no sleeping, no locks of others. */
static void process_exit(void *data, struct task_struct *task)
{
	struct payload payload = {
		.tid = task->pid,
		.lifetime = ktime_get_mono_fast_ns() - task->start_time,
	};

	if (payload.lifetime < min_ms * 1000000ull)
		return;
	strscpy_pad(payload.comm, task->comm, sizeof(payload.comm));
	vtrace_write(VTRACE_CHANNEL_EVENTS, id, &payload, sizeof(payload));
}

static int __init template_init(void)
{
	int err;

	id = vtrace_class_describe(EVENT, VTRACE_CHANNEL_EVENTS, fields,
				   ARRAY_SIZE(fields));
	if (id < 0)
		return id;
	err = vtrace_attach(TRACEPOINT, process_exit, NULL);
	if (err)
		vtrace_class_unregister(id);
	return err;
}

static void __exit template_exit(void)
{
	vtrace_detach(TRACEPOINT, process_exit, NULL);
	vtrace_class_unregister(id);
}

module_init(template_init);
module_exit(template_exit);

MODULE_DESCRIPTION("A probe to begin with");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
