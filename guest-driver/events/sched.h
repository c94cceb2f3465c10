/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of the scheduler, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(sched_waking, sched_waking,
	PROTO(struct task_struct *p),
	ARGS(p),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO);
	FIELD(s32, target_cpu, task_cpu(p)))

TRACEPOINT(sched_wakeup, sched_wakeup,
	PROTO(struct task_struct *p),
	ARGS(p),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO);
	FIELD(s32, target_cpu, task_cpu(p)))

TRACEPOINT(sched_wakeup_new, sched_wakeup_new,
	PROTO(struct task_struct *p),
	ARGS(p),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO);
	FIELD(s32, target_cpu, task_cpu(p)))

TRACEPOINT(sched_switch, sched_switch,
	PROTO(bool preempt, struct task_struct *prev,
		struct task_struct *next, unsigned int prev_state),
	ARGS(preempt, prev, next, prev_state),
	TEXT(prev_comm, TASK_COMM_LEN, prev->comm);
	FIELD(s32, prev_tid, prev->pid);
	FIELD(s32, prev_prio, prev->prio - MAX_RT_PRIO);
	FIELD(s64, prev_state, vtrace_switch_state(preempt, prev, prev_state));
	TEXT(next_comm, TASK_COMM_LEN, next->comm);
	FIELD(s32, next_tid, next->pid);
	FIELD(s32, next_prio, next->prio - MAX_RT_PRIO))

TRACEPOINT(sched_migrate_task, sched_migrate_task,
	PROTO(struct task_struct *p, int dest_cpu),
	ARGS(p, dest_cpu),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO);
	FIELD(s32, orig_cpu, task_cpu(p));
	FIELD(s32, dest_cpu, dest_cpu))

TRACEPOINT(sched_process_fork, sched_process_fork,
	PROTO(struct task_struct *parent, struct task_struct *child),
	ARGS(parent, child),
	TEXT(parent_comm, TASK_COMM_LEN, parent->comm);
	FIELD(s32, parent_tid, parent->pid);
	FIELD(s32, parent_pid, parent->tgid);
	FIELD(u32, parent_ns_inum, vtrace_pid_ns_inum(parent));
	TEXT(child_comm, TASK_COMM_LEN, child->comm);
	FIELD(s32, child_tid, child->pid);
	SEQUENCE(u8, s32, vtids, vtrace_num_vtids(child),
		task_pid(child)->numbers[i].nr);
	FIELD(s32, child_pid, child->tgid);
	FIELD(u32, child_ns_inum, vtrace_pid_ns_inum(child)))

TRACEPOINT(sched_process_exec, sched_process_exec,
	PROTO(struct task_struct *p, pid_t old_pid,
		struct linux_binprm *bprm),
	ARGS(p, old_pid, bprm),
	STRING(filename, bprm->filename);
	FIELD(s32, tid, p->pid);
	FIELD(s32, old_tid, old_pid))

TRACEPOINT(sched_process_exit, sched_process_exit,
	VTRACE_EXIT_PROTO,
	VTRACE_EXIT_ARGS,
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO))

TRACEPOINT(sched_kthread_stop, sched_kthread_stop,
	PROTO(struct task_struct *p),
	ARGS(p),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid))

TRACEPOINT(sched_kthread_stop_ret, sched_kthread_stop_ret,
	PROTO(int ret),
	ARGS(ret),
	FIELD(s32, ret, ret))

TRACEPOINT(sched_process_free, sched_process_free,
	PROTO(struct task_struct *p),
	ARGS(p),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO))

TRACEPOINT(sched_wait_task, sched_wait_task,
	PROTO(struct task_struct *p),
	ARGS(p),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, prio, p->prio - MAX_RT_PRIO))

TRACEPOINT(sched_process_wait, sched_process_wait,
	PROTO(struct pid *pid),
	ARGS(pid),
	TEXT(comm, TASK_COMM_LEN, current->comm);
	FIELD(s32, tid, pid_nr(pid));
	FIELD(s32, prio, current->prio - MAX_RT_PRIO))

TRACEPOINT(sched_pi_setprio, sched_pi_setprio,
	PROTO(struct task_struct *p, struct task_struct *donor),
	ARGS(p, donor),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(s32, oldprio, p->prio - MAX_RT_PRIO);
	FIELD(s32, newprio, (donor ? donor : p)->prio - MAX_RT_PRIO))

TRACEPOINT(sched_stat_wait, sched_stat_wait,
	PROTO(struct task_struct *p, u64 delay),
	ARGS(p, delay),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(u64, delay, delay))

TRACEPOINT(sched_stat_sleep, sched_stat_sleep,
	PROTO(struct task_struct *p, u64 delay),
	ARGS(p, delay),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(u64, delay, delay))

TRACEPOINT(sched_stat_iowait, sched_stat_iowait,
	PROTO(struct task_struct *p, u64 delay),
	ARGS(p, delay),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(u64, delay, delay))

TRACEPOINT(sched_stat_blocked, sched_stat_blocked,
	PROTO(struct task_struct *p, u64 delay),
	ARGS(p, delay),
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(u64, delay, delay))

TRACEPOINT(sched_stat_runtime, sched_stat_runtime,
	VTRACE_STAT_RUNTIME_PROTO,
	VTRACE_STAT_RUNTIME_ARGS,
	TEXT(comm, TASK_COMM_LEN, p->comm);
	FIELD(s32, tid, p->pid);
	FIELD(u64, runtime, runtime);
	FIELD(u64, vruntime, p->se.vruntime))
