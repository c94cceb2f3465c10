// SPDX-License-Identifier: GPL-2.0
/*
 * The state dump: which processes there are when a trace begins, and what else
 * a reader could not learn from what happens later.
 */
#include <linux/cgroup.h>
#include <linux/cred.h>
#include <linux/ipc_namespace.h>
#include <linux/limits.h>
#include <linux/mutex.h>
#include <linux/nsproxy.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/time_namespace.h>
#include <linux/user_namespace.h>
#include <linux/utsname.h>
#include <net/net_namespace.h>

#include "events/state.h"
#include "vtrace_driver.h"
#include "vtrace_event.h"

/* LTTng's numbers. */

enum {
	VTRACE_USER_THREAD,
	VTRACE_KERNEL_THREAD
};

enum {
	VTRACE_EXECUTION_UNKNOWN = 5,
	VTRACE_SUBMODE_NONE = 0
};

enum {
	VTRACE_STATUS_UNNAMED,
	VTRACE_STATUS_WAIT_FORK,
	VTRACE_STATUS_WAIT_CPU,
	VTRACE_STATUS_EXIT,
	VTRACE_STATUS_ZOMBIE,
	VTRACE_STATUS_WAIT,
	VTRACE_STATUS_RUN,
	VTRACE_STATUS_DEAD
};

struct vtrace_task_state {
	const struct task_struct *task;
	s32 tid;
	s32 pid;
	s32 ppid;
	s32 type;
	s32 status;
	u32 cpu;
	u64 file_table;
};

struct vtrace_pid_state {
	s32 vtid;
	s32 vpid;
	s32 vppid;
	s32 level;
	u32 inum;
};

struct vtrace_user_state {
	u32 vuid;
	u32 vgid;
	s32 level;
	u32 inum;
};

#define VTRACE_TABLE	"events/statedump.h"
#include "events/write.h"

/* For names. One dump at a time uses it. */
static DEFINE_MUTEX(path_lock);
static char path[PATH_MAX];

static s32 status_of(struct task_struct *p)
{
	unsigned int state = READ_ONCE(p->__state);

	switch (READ_ONCE(p->exit_state)) {
	case EXIT_ZOMBIE:
		return VTRACE_STATUS_ZOMBIE;
	case EXIT_DEAD:
		return VTRACE_STATUS_DEAD;
	}
	if (state == TASK_RUNNING)
		return VTRACE_STATUS_WAIT_CPU;
	if (state == TASK_NEW)
		return VTRACE_STATUS_WAIT_FORK;
	if (state & TASK_NORMAL)
		return VTRACE_STATUS_WAIT;
	return VTRACE_STATUS_UNNAMED;
}

static void dump_pid_ns(struct task_struct *p, const struct vtrace_task_state *t)
{
	struct task_struct *parent = rcu_dereference(p->real_parent);
	struct pid_namespace *ns;

	for (ns = task_active_pid_ns(p); ns; ns = ns->parent) {
		struct vtrace_pid_state s = {
			.vtid = task_pid_nr_ns(p, ns),
			.vpid = task_tgid_nr_ns(p, ns),
			.vppid = task_tgid_nr_ns(parent, ns),
			.level = ns->level,
			.inum = ns->ns.inum,
		};

		write_state(lttng_statedump_process_pid_ns, t, &s);
	}
}

static void dump_user_ns(struct task_struct *p, const struct vtrace_task_state *t)
{
	const struct cred *cred = __task_cred(p);
	struct user_namespace *ns;

	for (ns = cred->user_ns; ns; ns = ns->parent) {
		struct vtrace_user_state s = {
			.vuid = from_kuid_munged(ns, cred->uid),
			.vgid = from_kgid_munged(ns, cred->gid),
			.level = ns->level,
			.inum = ns->ns.inum,
		};

		write_state(lttng_statedump_process_user_ns, t, &s);
	}
}

static void dump_other_ns(const struct nsproxy *proxy,
			  const struct vtrace_task_state *t)
{
	if (!proxy)
		return;
	write_state(lttng_statedump_process_cgroup_ns, t,
		    proxy->cgroup_ns->ns.inum);
	write_state(lttng_statedump_process_ipc_ns, t, proxy->ipc_ns->ns.inum);
	write_state(lttng_statedump_process_net_ns, t, proxy->net_ns->ns.inum);
	write_state(lttng_statedump_process_uts_ns, t, proxy->uts_ns->ns.inum);
	write_state(lttng_statedump_process_time_ns, t,
		    proxy->time_ns->ns.inum);
}

static void dump_cgroup(struct task_struct *p, const struct vtrace_task_state *t)
{
	struct cgroup *cgroup = task_dfl_cgroup(p);

	if (cgroup_path(cgroup, path, sizeof(path)) < 0)
		path[0] = '\0';
	write_state(lttng_statedump_process_cgroup, t, cgroup_id(cgroup), path);
}

/* Under rcu_read_lock(). */
static void dump_task(struct task_struct *p)
{
	struct vtrace_task_state t = {
		.task = p,
		.tid = p->pid,
		.pid = p->tgid,
		.ppid = task_tgid_nr(rcu_dereference(p->real_parent)),
		.type = p->flags & PF_KTHREAD ? VTRACE_KERNEL_THREAD :
						VTRACE_USER_THREAD,
		.status = status_of(p),
		.cpu = task_cpu(p),
	};

	/* Its files and namespaces stay. */
	task_lock(p);
	t.file_table = (unsigned long)p->files;
	write_state(lttng_statedump_process_state, &t);
	dump_pid_ns(p, &t);
	dump_user_ns(p, &t);
	dump_other_ns(p->nsproxy, &t);
	task_unlock(p);
	dump_cgroup(p, &t);
}

/* A thread mostly has the files of its process. */
static bool has_own_files(struct task_struct *p)
{
	return thread_group_leader(p) ||
	       READ_ONCE(p->files) != READ_ONCE(p->group_leader->files);
}

/*
 * In order of thread ids, like the kernel's own /proc, and with a pause after
 * each: what begins meanwhile has sched_process_fork events. What the ring does
 * not take is lost and counted.
 */
static void dump_tasks(void)
{
	struct task_struct *p;
	struct pid *pid;
	int next = 1;

	do {
		rcu_read_lock();
		pid = find_ge_pid(next, &init_pid_ns);
		p = pid ? pid_task(pid, PIDTYPE_PID) : NULL;
		if (p) {
			dump_task(p);
			p = has_own_files(p) ? get_task_struct(p) : NULL;
		}
		if (pid)
			next = pid_nr(pid) + 1;
		rcu_read_unlock();
		if (p) {
			vtrace_dump_files(p, path);
			put_task_struct(p);
		}
		cond_resched();
	} while (pid);
}

void vtrace_statedump(void)
{
	mutex_lock(&path_lock);
	write_state(lttng_statedump_start, NULL);
	dump_tasks();
	vtrace_dump_devices();
	write_state(lttng_statedump_end, NULL);
	mutex_unlock(&path_lock);
}
