/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The processes that a trace begins with, in LTTng's events. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

STATE(lttng_statedump_start,
	PROTO(const struct vtrace_task_state *none),
	ARGS(none),
	NOTHING)

STATE(lttng_statedump_end,
	PROTO(const struct vtrace_task_state *none),
	ARGS(none),
	NOTHING)

STATE(lttng_statedump_process_state,
	PROTO(const struct vtrace_task_state *t),
	ARGS(t),
	FIELD(s32, tid, t->tid);
	FIELD(s32, pid, t->pid);
	FIELD(s32, ppid, t->ppid);
	TEXT(name, TASK_COMM_LEN, t->task->comm);
	FIELD(s32, type, t->type);
	FIELD(s32, mode, VTRACE_EXECUTION_UNKNOWN);
	FIELD(s32, submode, VTRACE_SUBMODE_NONE);
	FIELD(s32, status, t->status);
	FIELD(u32, cpu, t->cpu);
	HEX(u64, file_table_address, t->file_table))

STATE(lttng_statedump_process_pid_ns,
	PROTO(const struct vtrace_task_state *t,
		const struct vtrace_pid_state *s),
	ARGS(t, s),
	FIELD(s32, tid, t->tid);
	FIELD(s32, vtid, s->vtid);
	FIELD(s32, vpid, s->vpid);
	FIELD(s32, vppid, s->vppid);
	FIELD(s32, ns_level, s->level);
	FIELD(u32, ns_inum, s->inum))

STATE(lttng_statedump_process_user_ns,
	PROTO(const struct vtrace_task_state *t,
		const struct vtrace_user_state *s),
	ARGS(t, s),
	FIELD(s32, tid, t->tid);
	FIELD(u32, vuid, s->vuid);
	FIELD(u32, vgid, s->vgid);
	FIELD(s32, ns_level, s->level);
	FIELD(u32, ns_inum, s->inum))

STATE(lttng_statedump_process_cgroup_ns,
	PROTO(const struct vtrace_task_state *t, u32 inum),
	ARGS(t, inum),
	FIELD(s32, tid, t->tid);
	FIELD(u32, ns_inum, inum))

STATE(lttng_statedump_process_ipc_ns,
	PROTO(const struct vtrace_task_state *t, u32 inum),
	ARGS(t, inum),
	FIELD(s32, tid, t->tid);
	FIELD(u32, ns_inum, inum))

STATE(lttng_statedump_process_net_ns,
	PROTO(const struct vtrace_task_state *t, u32 inum),
	ARGS(t, inum),
	FIELD(s32, tid, t->tid);
	FIELD(u32, ns_inum, inum))

STATE(lttng_statedump_process_uts_ns,
	PROTO(const struct vtrace_task_state *t, u32 inum),
	ARGS(t, inum),
	FIELD(s32, tid, t->tid);
	FIELD(u32, ns_inum, inum))

STATE(lttng_statedump_process_time_ns,
	PROTO(const struct vtrace_task_state *t, u32 inum),
	ARGS(t, inum),
	FIELD(s32, tid, t->tid);
	FIELD(u32, ns_inum, inum))

/* LTTng has none. Of the default hierarchy, by the id that events may have. */
STATE(lttng_statedump_process_cgroup,
	PROTO(const struct vtrace_task_state *t, u64 id, const char *path),
	ARGS(t, id, path),
	FIELD(s32, tid, t->tid);
	FIELD(u64, cgroup_id, id);
	STRING(path, path))
