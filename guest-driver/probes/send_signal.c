// SPDX-License-Identifier: GPL-2.0
/* Signals as they are sent: who, whom, which. */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <linux/string.h>

#include "vtrace.h"

#define TRACEPOINT	"signal_generate"

static int only;
module_param(only, int, 0444);
MODULE_PARM_DESC(only, "the one signal to be recorded (0: all)");

struct payload {
	s32 sig;
	s32 code;
	s32 from_tid;
	s32 from_pid;
	char from_comm[TASK_COMM_LEN];
	s32 to_tid;
	s32 to_pid;
	char to_comm[TASK_COMM_LEN];
	u8 group;
	u8 result;
} __packed;

static const struct vtrace_class_field fields[] = {
	VTRACE_CLASS_INT("sig", s32),
	VTRACE_CLASS_INT("code", s32),
	VTRACE_CLASS_INT("from_tid", s32),
	VTRACE_CLASS_INT("from_pid", s32),
	VTRACE_CLASS_TEXT("from_comm", TASK_COMM_LEN),
	VTRACE_CLASS_INT("to_tid", s32),
	VTRACE_CLASS_INT("to_pid", s32),
	VTRACE_CLASS_TEXT("to_comm", TASK_COMM_LEN),
	VTRACE_CLASS_INT("group", u8),
	/* 0: delivered, 1: ignored, 2: pending already, 3 and 4: lost */
	VTRACE_CLASS_INT("result", u8),
};

static int id;

/* Two values are no pointers, but say who sends it. */
static s32 code_of(const struct kernel_siginfo *info)
{
	if (info == SEND_SIG_NOINFO)
		return SI_USER;
	if (info == SEND_SIG_PRIV)
		return SI_KERNEL;
	return info->si_code;
}

static void signal_generate(void *data, int sig, struct kernel_siginfo *info,
			    struct task_struct *task, int group, int result)
{
	struct payload payload = {
		.sig = sig,
		.code = code_of(info),
		.from_tid = current->pid,
		.from_pid = current->tgid,
		.to_tid = task->pid,
		.to_pid = task->tgid,
		.group = group,
		.result = result,
	};

	if (only && sig != only)
		return;
	strscpy_pad(payload.from_comm, current->comm, TASK_COMM_LEN);
	strscpy_pad(payload.to_comm, task->comm, TASK_COMM_LEN);
	vtrace_write(VTRACE_CHANNEL_EVENTS, id, &payload, sizeof(payload));
}

static int __init send_signal_init(void)
{
	int err;

	if (only < 0 || only > _NSIG) {
		pr_err("send_signal: only=%d is no signal\n", only);
		return -ERANGE;
	}
	id = vtrace_class_describe("send_signal", VTRACE_CHANNEL_EVENTS, fields,
				   ARRAY_SIZE(fields));
	if (id < 0)
		return id;
	err = vtrace_attach(TRACEPOINT, signal_generate, NULL);
	if (err)
		vtrace_class_unregister(id);
	return err;
}

static void __exit send_signal_exit(void)
{
	vtrace_detach(TRACEPOINT, signal_generate, NULL);
	vtrace_class_unregister(id);
}

module_init(send_signal_init);
module_exit(send_signal_exit);

MODULE_DESCRIPTION("Signals as they are sent");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
