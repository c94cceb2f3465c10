/* SPDX-License-Identifier: GPL-2.0 */
/* Perf counters of each vCPU. */
#ifndef VTRACE_COUNTERS_H
#define VTRACE_COUNTERS_H

#include <linux/types.h>

/* In the order of their contexts. */
enum vtrace_counter {
	VTRACE_COUNTER_CYCLES,
	VTRACE_COUNTER_INSTRUCTIONS,
	VTRACE_COUNTER_CACHE_MISSES,
	VTRACE_COUNTER_PAGE_FAULTS,
	VTRACE_COUNTER_SWITCHES,
	VTRACE_NUM_COUNTERS
};

/* Those that contexts name, on all vCPUs. Sleeps. */
void vtrace_counters_start(u32 contexts);
/* The contexts of those that this machine does not have. */
u32 vtrace_counters_missing(void);
/* Nobody reads them any more. Sleeps. */
void vtrace_counters_stop(void);

/* With preemption off, in any context; 0 on a vCPU that has no such counter. */
u64 vtrace_counter_read(enum vtrace_counter counter);

#endif
