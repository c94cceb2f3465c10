// SPDX-License-Identifier: GPL-2.0
/*
 * Perf counters of each vCPU, for as long as a device wants them: of its PMU,
 * which a guest may not have, and of the kernel's own.
 */
#include <linux/bits.h>
#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/percpu.h>
#include <linux/perf_event.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "vtrace_abi.h"
#include "vtrace_counters.h"

static const struct {
	u32 type;
	u64 config;
	const char *name;
} kinds[VTRACE_NUM_COUNTERS] = {
	[VTRACE_COUNTER_CYCLES] = {
		PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, "cycles"
	},
	[VTRACE_COUNTER_INSTRUCTIONS] = {
		PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, "instructions"
	},
	[VTRACE_COUNTER_CACHE_MISSES] = {
		PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES, "cache misses"
	},
	[VTRACE_COUNTER_PAGE_FAULTS] = {
		PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, "page faults"
	},
	[VTRACE_COUNTER_SWITCHES] = {
		PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES,
		"context switches"
	},
};

struct counters {
	struct perf_event *event[VTRACE_NUM_COUNTERS];	/* for its readers */
};

static DEFINE_PER_CPU(struct counters, counters);
static DEFINE_PER_CPU(struct counters, owned);	/* the work's alone */
static struct cpumask renew;	/* these vCPUs have come online */
static u32 wanted;		/* a bit for each counter */
static u32 missing;
static enum cpuhp_state state;
static bool has_state;

static struct perf_event *create(unsigned int cpu, unsigned int counter)
{
	struct perf_event_attr attr = {
		.type = kinds[counter].type,
		.config = kinds[counter].config,
		.size = sizeof(attr),
		.pinned = 1,
	};

	return perf_event_create_kernel_counter(&attr, cpu, NULL, NULL, NULL);
}

static void hide(unsigned int cpu)
{
	unsigned int i;

	for (i = 0; i < VTRACE_NUM_COUNTERS; i++)
		WRITE_ONCE(per_cpu(counters, cpu).event[i], NULL);
}

/* Readers hold off preemption, and nobody finds them any more. */
static void release(unsigned int cpu)
{
	struct counters *mine = &per_cpu(owned, cpu);
	unsigned int i;

	for (i = 0; i < VTRACE_NUM_COUNTERS; i++) {
		if (mine->event[i])
			perf_event_release_kernel(mine->event[i]);
		mine->event[i] = NULL;
	}
}

/* A vCPU that cannot count runs nevertheless. */
static void create_all(unsigned int cpu)
{
	struct counters *mine = &per_cpu(owned, cpu);
	struct perf_event *event;
	unsigned int i;

	for (i = 0; i < VTRACE_NUM_COUNTERS; i++) {
		if (!(wanted & ~missing & BIT(i)))
			continue;
		event = create(cpu, i);
		if (IS_ERR(event))
			pr_warn("virtio_trace: vCPU %u cannot count %s: error %ld: it shows 0\n",
				cpu, kinds[i].name, -PTR_ERR(event));
		else
			mine->event[i] = event;
	}
	/* One that has gone offline meanwhile counts no more. */
	cpus_read_lock();
	for (i = 0; i < VTRACE_NUM_COUNTERS && cpu_online(cpu); i++)
		/* Who sees it may read it. */
		smp_store_release(&per_cpu(counters, cpu).event[i],
				  mine->event[i]);
	cpus_read_unlock();
}

/*
 * What belongs into a hotplug callback: but perf takes the lock that is held
 * there.
 */
static void renew_all(struct work_struct *work)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		if (!cpumask_test_and_clear_cpu(cpu, &renew))
			continue;
		hide(cpu);
		synchronize_rcu();
		release(cpu);
		create_all(cpu);
	}
}
static DECLARE_WORK(renewal, renew_all);

static int online(unsigned int cpu)
{
	cpumask_set_cpu(cpu, &renew);
	schedule_work(&renewal);
	return 0;
}

static int offline(unsigned int cpu)
{
	hide(cpu);
	return 0;
}

/* What one vCPU does not have, none has. */
static u32 probe(void)
{
	struct perf_event *event;
	unsigned int i;
	u32 none = 0;

	for (i = 0; i < VTRACE_NUM_COUNTERS; i++) {
		if (!(wanted & BIT(i)))
			continue;
		event = create(cpumask_any(cpu_online_mask), i);
		if (IS_ERR(event)) {
			pr_info("virtio_trace: this machine does not count %s\n",
				kinds[i].name);
			none |= BIT(i);
		} else {
			perf_event_release_kernel(event);
		}
	}
	return none;
}

void vtrace_counters_start(u32 contexts)
{
	int ret;

	wanted = contexts / VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_CYCLES) &
		 (BIT(VTRACE_NUM_COUNTERS) - 1);
	missing = 0;
	if (!wanted)
		return;
	missing = probe();
	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "virtio_trace:counters",
				online, offline);
	if (ret < 0) {
		pr_warn("virtio_trace: no counters: error %d\n", -ret);
		missing = wanted;
		return;
	}
	state = ret;
	has_state = true;
	/* Those that are online now count from the first event on. */
	flush_work(&renewal);
}

u32 vtrace_counters_missing(void)
{
	return missing * VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_CYCLES);
}

void vtrace_counters_stop(void)
{
	unsigned int cpu;

	if (!has_state)
		return;
	cpuhp_remove_state(state);
	has_state = false;
	cancel_work_sync(&renewal);
	for_each_possible_cpu(cpu)
		hide(cpu);
	synchronize_rcu();
	for_each_possible_cpu(cpu)
		release(cpu);
	cpumask_clear(&renew);
}

notrace u64 vtrace_counter_read(enum vtrace_counter counter)
{
	struct perf_event *event = __this_cpu_read(counters.event[counter]);

	if (!event)
		return 0;
	event->pmu->read(event);
	return local64_read(&event->count);
}
