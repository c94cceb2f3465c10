/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of the out-of-memory killer. LTTng has none: the names are the
 * kernel's, the fields and types as LTTng has them elsewhere. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(oom_score_adj_update, oom_score_adj_update,
	PROTO(struct task_struct *task),
	ARGS(task),
	TEXT(comm, TASK_COMM_LEN, task->comm);
	FIELD(s32, tid, task->pid);
	FIELD(s16, oom_score_adj, task->signal->oom_score_adj))

#ifdef VTRACE_HAS_MARK_VICTIM_TASK
TRACEPOINT(oom_mark_victim, mark_victim,
	PROTO(struct task_struct *task, uid_t uid),
	ARGS(task, uid),
	TEXT(comm, TASK_COMM_LEN, task->comm);
	FIELD(s32, tid, task->pid);
	FIELD(u32, uid, uid);
	FIELD(s16, oom_score_adj, task->signal->oom_score_adj);
	FIELD(u64, total_vm, vtrace_total_vm(task)))
#else
ABSENT(oom_mark_victim)
#endif
