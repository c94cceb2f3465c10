// SPDX-License-Identifier: GPL-2.0
/*
 * Says on the console which processes of user space the cgroup freezer has
 * stopped, as the kernel keeps it; thaws them when it is told to.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>

static char *thaw;
module_param(thaw, charp, 0444);
MODULE_PARM_DESC(thaw, "a cgroup.freeze, into which 0 is written");

static int write_zero(const char *path)
{
	struct file *file = filp_open(path, O_WRONLY, 0);
	loff_t at = 0;
	ssize_t done;

	if (IS_ERR(file))
		return PTR_ERR(file);
	done = kernel_write(file, "0", 1, &at);
	filp_close(file, NULL);
	return done < 0 ? done : 0;
}

static int __init frozen_init(void)
{
	struct task_struct *process, *task;
	int frozen = 0, others = 0;

	if (thaw)
		return write_zero(thaw);
	rcu_read_lock();
	for_each_process_thread(process, task) {
		/* The helper that loads this is one by now. */
		if (task->flags & PF_KTHREAD || task == current)
			continue;
		pr_info("vt_frozen: task %d %s: frozen %u stopped %u\n",
			task->pid, task->comm, task->frozen,
			task_is_stopped(task));
		if (task->frozen)
			frozen++;
		else
			others++;
	}
	rcu_read_unlock();
	pr_info("vt_frozen: %d frozen, %d others.\n", frozen, others);
	return 0;
}

static void __exit frozen_exit(void)
{
}

module_init(frozen_init);
module_exit(frozen_exit);

MODULE_DESCRIPTION("Says who is frozen");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
