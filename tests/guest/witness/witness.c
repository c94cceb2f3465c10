// SPDX-License-Identifier: GPL-2.0
/*
 * Writes numbered events from task, softirq, hard interrupt and NMI context on
 * every vCPU, and says on a page of its own which of them were recorded: so a
 * trace can be judged by what is not part of the tracer.
 *
 * "page" in /sys/module/vt_witness/parameters says where the page is, and
 * writing 1 or 0 to "run" there starts and stops. NMIs come from outside
 * (inject-nmi of QEMU's monitor; with apic_extnmi=all they reach every vCPU).
 */
#include <linux/atomic.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <asm/nmi.h>

#include "vtrace.h"
#include "vtrace_abi.h"
#include "witness_page.h"

#define MAX_PAYLOAD	2048

static uint contexts = (1 << WITNESS_CONTEXTS) - 1;
module_param(contexts, uint, 0644);
MODULE_PARM_DESC(contexts, "mask: 1 task, 2 softirq, 4 hard interrupt, 8 NMI");

static uint channel;
module_param(channel, uint, 0644);
MODULE_PARM_DESC(channel, "to write in (0)");

static ulong count;
module_param(count, ulong, 0644);
MODULE_PARM_DESC(count, "of task events on each vCPU, 0: until stopped");

static uint pace_us;
module_param(pace_us, uint, 0644);
MODULE_PARM_DESC(pace_us, "between bursts of task events, 0: flat out");

static uint burst = 1;
module_param(burst, uint, 0644);
MODULE_PARM_DESC(burst, "task events in a burst (1)");

static uint irq_us = 250;
module_param(irq_us, uint, 0644);
MODULE_PARM_DESC(irq_us, "between hard interrupts, each of which raises a softirq (250)");

static uint payload = 64;
module_param(payload, uint, 0644);
MODULE_PARM_DESC(payload, "most bytes of one event's payload (64)");

/* As it lies in the ring, byte-packed. */
struct event {
	u32 context;
	u64 sequence;
	u32 checksum;
	u16 bytes;
	u8 payload[MAX_PAYLOAD];
} __packed;

struct writer {
	struct task_struct *task;
	struct hrtimer timer;
	struct tasklet_struct tasklet;
	struct event event[WITNESS_CONTEXTS];
};

struct witness_page *witness_page;

static struct writer *writers;		/* of each vCPU */
static DEFINE_MUTEX(run_lock);
static bool running;

/* FNV-1a over context, sequence and payload, as they lie in the ring. */
static u32 checksum(u32 hash, const void *data, size_t bytes)
{
	const u8 *p = data;

	while (bytes--)
		hash = (hash ^ *p++) * 16777619;
	return hash;
}

/* Only this context writes here on this vCPU. */
static void write_one(enum witness_context context)
{
	unsigned int cpu = raw_smp_processor_id();
	struct event *event = &writers[cpu].event[context];
	struct witness_counts *counts = &witness_page->cpu[cpu].context[context];
	u64 sequence = counts->attempted + 1;
	u32 hash = 2166136261u;
	unsigned int i;

	event->context = context;
	event->sequence = sequence;
	event->bytes = (u32)(sequence * 2654435761u) %
		       (min_t(uint, READ_ONCE(payload), MAX_PAYLOAD) + 1);
	for (i = 0; i < event->bytes; i++)
		event->payload[i] = sequence * 31 + context * 7 + i;
	hash = checksum(hash, &event->context, sizeof(event->context));
	hash = checksum(hash, &event->sequence, sizeof(event->sequence));
	event->checksum = checksum(hash, event->payload, event->bytes);

	WRITE_ONCE(counts->attempted, sequence);
	if (vtrace_write(channel, witness_page->id, event,
			 offsetof(struct event, payload) + event->bytes)) {
		WRITE_ONCE(counts->recorded, counts->recorded + 1);
		WRITE_ONCE(counts->last, sequence);
	}
}

static int nmi(unsigned int type, struct pt_regs *regs)
{
	struct witness_cpu *cpu = &witness_page->cpu[raw_smp_processor_id()];

	if (READ_ONCE(running)) {
		cpu->nmis++;
		if (vtrace_writing(channel))
			cpu->nmis_in_reservation++;
		if (contexts & BIT(WITNESS_NMI))
			write_one(WITNESS_NMI);
	}
	/* Also those that come a little later: nobody else misses one. */
	return NMI_HANDLED;
}

static void softirq(struct tasklet_struct *tasklet)
{
	write_one(WITNESS_SOFTIRQ);
}

static enum hrtimer_restart hardirq(struct hrtimer *timer)
{
	struct writer *w = container_of(timer, struct writer, timer);

	if (contexts & BIT(WITNESS_HARDIRQ))
		write_one(WITNESS_HARDIRQ);
	if (contexts & BIT(WITNESS_SOFTIRQ))
		tasklet_schedule(&w->tasklet);
	hrtimer_forward_now(timer, ns_to_ktime((u64)irq_us * NSEC_PER_USEC));
	return HRTIMER_RESTART;
}

static void write_tasks(struct writer *w)
{
	u64 *attempted = &witness_page->cpu[raw_smp_processor_id()]
				.context[WITNESS_TASK].attempted;
	u64 end = count ? *attempted + count : U64_MAX;
	uint in_burst = 0;

	while (!kthread_should_stop() && *attempted < end) {
		write_one(WITNESS_TASK);
		if (++in_burst < max(burst, pace_us ? 1u : 64u))
			continue;
		in_burst = 0;
		if (pace_us)
			usleep_range(pace_us, pace_us + pace_us / 8 + 1);
		else
			cond_resched();
	}
}

static int write_all(void *data)
{
	struct writer *w = &writers[raw_smp_processor_id()];
	bool timer = contexts & (BIT(WITNESS_HARDIRQ) | BIT(WITNESS_SOFTIRQ));

	if (timer)
		hrtimer_start(&w->timer, ns_to_ktime((u64)irq_us * NSEC_PER_USEC),
			      HRTIMER_MODE_REL_PINNED_HARD);
	if (contexts & BIT(WITNESS_TASK))
		write_tasks(w);
	else
		while (!kthread_should_stop())
			schedule_timeout_interruptible(HZ / 10);
	if (timer)
		hrtimer_cancel(&w->timer);
	tasklet_kill(&w->tasklet);
	if (atomic_dec_and_test((atomic_t *)&witness_page->running))
		pr_info("vt_witness: done\n");

	set_current_state(TASK_INTERRUPTIBLE);
	while (!kthread_should_stop()) {
		schedule();
		set_current_state(TASK_INTERRUPTIBLE);
	}
	__set_current_state(TASK_RUNNING);
	return 0;
}

static void stop(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		struct writer *w = &writers[cpu];

		if (w->task)
			kthread_stop(w->task);
		w->task = NULL;
	}
	WRITE_ONCE(witness_page->running, 0);
	WRITE_ONCE(running, false);
}

static void set_up_timer(struct hrtimer *timer)
{
#ifdef WITNESS_HRTIMER_SETUP
	hrtimer_setup(timer, hardirq, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
#else
	hrtimer_init(timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	timer->function = hardirq;
#endif
}

static int start(void)
{
	unsigned int cpu;
	int err = 0;

	WRITE_ONCE(running, true);
	cpus_read_lock();
	for_each_online_cpu(cpu) {
		struct writer *w = &writers[cpu];
		struct task_struct *task;

		set_up_timer(&w->timer);
		tasklet_setup(&w->tasklet, softirq);
		task = kthread_create_on_cpu(write_all, NULL, cpu,
					     "vt_witness/%u");
		if (IS_ERR(task)) {
			err = PTR_ERR(task);
			break;
		}
		w->task = task;
		atomic_inc((atomic_t *)&witness_page->running);
	}
	for_each_online_cpu(cpu)
		if (writers[cpu].task)
			wake_up_process(writers[cpu].task);
	cpus_read_unlock();
	if (err)
		stop();
	return err;
}

static int set_run(const char *value, const struct kernel_param *kp)
{
	bool on;
	int err;

	err = kstrtobool(value, &on);
	if (err || !witness_page)
		return err ?: -EAGAIN;
	mutex_lock(&run_lock);
	if (running)
		stop();
	if (on)
		err = start();
	mutex_unlock(&run_lock);
	return err;
}

/* 1 until every vCPU has written its count. */
static int get_run(char *text, const struct kernel_param *kp)
{
	return sysfs_emit(text, "%d\n", READ_ONCE(witness_page->running) != 0);
}

static const struct kernel_param_ops run_ops = { .set = set_run, .get = get_run };
module_param_cb(run, &run_ops, NULL, 0644);
MODULE_PARM_DESC(run, "1: write, 0: stop");

static int get_page(char *text, const struct kernel_param *kp)
{
	return sysfs_emit(text, "%#llx\n", (u64)virt_to_phys(witness_page));
}

static const struct kernel_param_ops page_ops = { .get = get_page };
module_param_cb(page, &page_ops, NULL, 0444);
MODULE_PARM_DESC(page, "physical address of struct witness_page");

static int __init witness_init(void)
{
	static const u8 record[] = {
		83, 0, 0, 0, 0, 0, 5, 10,
		'v', 't', '_', 'w', 'i', 't', 'n', 'e', 's', 's',
		VTRACE_FIELD_INT, 4, 0, 7, 0, 0,
		'c', 'o', 'n', 't', 'e', 'x', 't',
		VTRACE_FIELD_INT, 8, 0, 8, 0, 0,
		's', 'e', 'q', 'u', 'e', 'n', 'c', 'e',
		VTRACE_FIELD_INT, 4, VTRACE_FIELD_HEX, 8, 0, 0,
		'c', 'h', 'e', 'c', 'k', 's', 'u', 'm',
		VTRACE_FIELD_INT, 2, 0, 5, 0, 0,
		'b', 'y', 't', 'e', 's',
		VTRACE_FIELD_INT, 1, VTRACE_FIELD_SEQ, 7, 0, 0,
		'p', 'a', 'y', 'l', 'o', 'a', 'd',
	};
	int id, err;

	BUILD_BUG_ON(sizeof(record) != 83);
	if (nr_cpu_ids > WITNESS_CPUS)
		return -E2BIG;
	/* Low memory: an offset in the file of a guest's memory is its address. */
	witness_page = alloc_pages_exact(sizeof(*witness_page),
					 GFP_KERNEL | GFP_DMA32 | __GFP_ZERO);
	writers = kcalloc(nr_cpu_ids, sizeof(*writers), GFP_KERNEL);
	if (!witness_page || !writers) {
		err = -ENOMEM;
		goto no_class;
	}
	id = vtrace_class_register(record, sizeof(record));
	if (id < 0) {
		err = id;
		goto no_class;
	}
	witness_page->id = id;
	witness_page->version = WITNESS_VERSION;
	witness_page->num_cpus = nr_cpu_ids;
	err = register_nmi_handler(NMI_LOCAL, nmi, 0, "vt_witness");
	if (err)
		goto no_nmi;
	err = attempts_start();
	if (err)
		goto no_attempts;
	WRITE_ONCE(witness_page->magic, WITNESS_MAGIC);
	pr_info("vt_witness: page %#llx id %d\n",
		(u64)virt_to_phys(witness_page), id);
	return 0;

no_attempts:
	unregister_nmi_handler(NMI_LOCAL, "vt_witness");
no_nmi:
	vtrace_class_unregister(id);
no_class:
	kfree(writers);
	if (witness_page)
		free_pages_exact(witness_page, sizeof(*witness_page));
	witness_page = NULL;
	return err;
}

static void __exit witness_exit(void)
{
	stop();
	attempts_stop();
	unregister_nmi_handler(NMI_LOCAL, "vt_witness");
	vtrace_class_unregister(witness_page->id);
	kfree(writers);
	free_pages_exact(witness_page, sizeof(*witness_page));
}

module_init(witness_init);
module_exit(witness_exit);

MODULE_DESCRIPTION("Writes numbered events and bears witness to them");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
