/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a tracepoint's handler needs to write an event: the ring of the vCPU
 * that it runs on.
 */
#ifndef VTRACE_WRITER_H
#define VTRACE_WRITER_H

#include <linux/percpu.h>
#include <linux/preempt.h>

#include "vtrace_abi.h"
#include "vtrace_arch.h"
#include "vtrace_ring.h"

struct vtrace_cpu {
	struct vtrace_ring *ring[VTRACE_MAX_CHANNELS];
};

DECLARE_PER_CPU(struct vtrace_cpu, vtrace_cpu);

/*
 * With preemption off, and until it is on again. NULL: there is none, and the
 * event is to be counted by vtrace_no_ring().
 */
static __always_inline struct vtrace_ring *vtrace_this_ring(unsigned int channel)
{
	return __this_cpu_read(vtrace_cpu.ring[channel]);
}

/* In any context. */
void vtrace_no_ring(void);

#endif
