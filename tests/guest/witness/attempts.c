// SPDX-License-Identifier: GPL-2.0
/*
 * Counts the calls of tracepoints and of system calls with probes of its own,
 * per vCPU: what a ring of that vCPU must account for. A count is exact where
 * nothing of the kind happens while probes come and go.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/smp.h>
#include <linux/string.h>
#include <linux/tracepoint.h>
#include <asm/syscall.h>

#include "witness_page.h"

static char *tracepoints[WITNESS_COUNTERS / 2];
static int num_tracepoints;
module_param_array(tracepoints, charp, &num_tracepoints, 0444);
MODULE_PARM_DESC(tracepoints, "names to count: counters 0 to 7");

static int syscalls[WITNESS_COUNTERS / 4];
static int num_syscalls;
module_param_array(syscalls, int, &num_syscalls, 0444);
MODULE_PARM_DESC(syscalls, "numbers to count: entries in counters 8 to 11, exits in 12 to 15");

#define FIRST_ENTRY	(WITNESS_COUNTERS / 2)
#define FIRST_EXIT	(FIRST_ENTRY + WITNESS_COUNTERS / 4)

struct probe {
	const char *name;
	void *function;
	void *data;
	struct tracepoint *tracepoint;
};

static struct probe probes[WITNESS_COUNTERS / 2 + 2];
static int num_probes;

/* An interrupt may count on the same vCPU. */
static void count(unsigned long counter)
{
	u64 *word = &witness_page->cpu[raw_smp_processor_id()].counted[counter];

	atomic64_inc((atomic64_t *)word);
}

/* Whatever the tracepoint's arguments are: they follow. */
static void count_call(void *data)
{
	count((unsigned long)data);
}

static void count_number(long number, int first)
{
	int i;

	for (i = 0; i < num_syscalls; i++)
		if (syscalls[i] == number)
			count(first + i);
}

static void count_entry(void *data, struct pt_regs *regs, long number)
{
	count_number(number, FIRST_ENTRY);
}

static void count_exit(void *data, struct pt_regs *regs, long ret)
{
	count_number(syscall_get_nr(current, regs), FIRST_EXIT);
}

static void find(struct tracepoint *tp, void *data)
{
	int i;

	for (i = 0; i < num_probes; i++)
		if (!strcmp(tp->name, probes[i].name))
			probes[i].tracepoint = tp;
}

static void add(const char *name, void *function, void *data)
{
	probes[num_probes++] = (struct probe){
		.name = name,
		.function = function,
		.data = data,
	};
}

void attempts_stop(void)
{
	while (num_probes--)
		tracepoint_probe_unregister(probes[num_probes].tracepoint,
					    probes[num_probes].function,
					    probes[num_probes].data);
	num_probes = 0;
	tracepoint_synchronize_unregister();
}

int attempts_start(void)
{
	int i, wanted, err;

	for (i = 0; i < num_tracepoints; i++)
		add(tracepoints[i], count_call, (void *)(unsigned long)i);
	if (num_syscalls) {
		add("sys_enter", count_entry, NULL);
		add("sys_exit", count_exit, NULL);
	}
	for_each_kernel_tracepoint(find, NULL);

	wanted = num_probes;
	for (num_probes = 0; num_probes < wanted; num_probes++) {
		struct probe *p = &probes[num_probes];

		err = p->tracepoint ?
			tracepoint_probe_register(p->tracepoint, p->function,
						  p->data) : -ENOENT;
		if (err) {
			pr_err("vt_witness: tracepoint %s: error %d\n",
			       p->name, err);
			attempts_stop();
			return err;
		}
	}
	return 0;
}
