// SPDX-License-Identifier: GPL-2.0
/*
 * Probes on sys_enter and sys_exit that do nothing: what any tracer of system
 * calls pays before its first own instruction.
 */
#include <linux/module.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

static struct tracepoint *sys_enter, *sys_exit;

static notrace void on_enter(void *data, struct pt_regs *regs, long nr)
{
}

static notrace void on_exit(void *data, struct pt_regs *regs, long ret)
{
}

static void find(struct tracepoint *tp, void *data)
{
	if (!strcmp(tp->name, "sys_enter"))
		sys_enter = tp;
	else if (!strcmp(tp->name, "sys_exit"))
		sys_exit = tp;
}

static int __init empty_probe_init(void)
{
	int err;

	for_each_kernel_tracepoint(find, NULL);
	if (!sys_enter || !sys_exit)
		return -ENOENT;
	err = tracepoint_probe_register(sys_enter, on_enter, NULL);
	if (err)
		return err;
	err = tracepoint_probe_register(sys_exit, on_exit, NULL);
	if (err) {
		tracepoint_probe_unregister(sys_enter, on_enter, NULL);
		tracepoint_synchronize_unregister();
	}
	return err;
}

static void __exit empty_probe_exit(void)
{
	tracepoint_probe_unregister(sys_enter, on_enter, NULL);
	tracepoint_probe_unregister(sys_exit, on_exit, NULL);
	tracepoint_synchronize_unregister();
}

module_init(empty_probe_init);
module_exit(empty_probe_exit);
MODULE_DESCRIPTION("Probes on system calls that do nothing");
MODULE_LICENSE("GPL");
