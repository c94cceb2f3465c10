/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The contexts that a channel's events can have, in the order in which they
 * have them: that of their bits. See vtrace_event.h for the fields.
 *   CONTEXT(VTRACE_CONTEXT_..., field)
 */

CONTEXT(TID, FIELD(s32, tid, current->pid));
CONTEXT(PID, FIELD(s32, pid, current->tgid));
CONTEXT(VTID, FIELD(s32, vtid, task_pid_vnr(current)));
CONTEXT(VPID, FIELD(s32, vpid, task_tgid_vnr(current)));
CONTEXT(PROCNAME, TEXT(procname, TASK_COMM_LEN, current->comm));
CONTEXT(CGROUP, FIELD(u64, cgroup_id, vtrace_this_cgroup()));
CONTEXT(STEAL, FIELD(u64, steal, vtrace_this_steal()));
CONTEXT(PREEMPTIBLE, FIELD(u8, preemptible, vtrace_is_preemptible()));
CONTEXT(NEED_RESCHEDULE, FIELD(u8, need_reschedule,
			       test_tsk_need_resched(current)));
CONTEXT(INTERRUPTIBLE, FIELD(s8, interruptible, !irqs_disabled()));
CONTEXT(CYCLES, FIELD(u64, perf_cpu_cycles,
		      vtrace_counter_read(VTRACE_COUNTER_CYCLES)));
CONTEXT(INSTRUCTIONS, FIELD(u64, perf_cpu_instructions,
			    vtrace_counter_read(VTRACE_COUNTER_INSTRUCTIONS)));
CONTEXT(CACHE_MISSES, FIELD(u64, perf_cpu_cache_misses,
			    vtrace_counter_read(VTRACE_COUNTER_CACHE_MISSES)));
CONTEXT(PAGE_FAULTS, FIELD(u64, perf_cpu_page_fault,
			   vtrace_counter_read(VTRACE_COUNTER_PAGE_FAULTS)));
CONTEXT(SWITCHES, FIELD(u64, perf_cpu_context_switches,
			vtrace_counter_read(VTRACE_COUNTER_SWITCHES)));
