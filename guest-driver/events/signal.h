/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of signals, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(signal_generate, signal_generate,
	PROTO(int sig, struct kernel_siginfo *info, struct task_struct *task,
		int group, int result),
	ARGS(sig, info, task, group, result),
	FIELD(s32, sig, sig);
	FIELD(s32, errno, vtrace_signal_errno(info));
	FIELD(s32, code, vtrace_signal_code(info));
	TEXT(comm, TASK_COMM_LEN, task->comm);
	FIELD(s32, pid, task->pid);
	FIELD(s32, group, group);
	FIELD(s32, result, result))

TRACEPOINT(signal_deliver, signal_deliver,
	PROTO(int sig, struct kernel_siginfo *info, struct k_sigaction *ka),
	ARGS(sig, info, ka),
	FIELD(s32, sig, sig);
	FIELD(s32, errno, vtrace_signal_errno(info));
	FIELD(s32, code, vtrace_signal_code(info));
	FIELD(u64, sa_handler, (unsigned long)ka->sa.sa_handler);
	FIELD(u64, sa_flags, ka->sa.sa_flags))
