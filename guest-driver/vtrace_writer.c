// SPDX-License-Identifier: GPL-2.0
/* The rings that are written, and writing in them for other modules. */
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/string.h>

#include "vtrace.h"
#include "vtrace_driver.h"
#include "vtrace_writer.h"

DEFINE_PER_CPU(struct vtrace_cpu, vtrace_cpu);

/* Make a ring of zeroed memory one that a reader understands. */
void vtrace_writer_open(struct vtrace_ring *r)
{
	vtrace_ring_start(r);
}

/*
 * r NULL: writers that run now may still use the old ring; synchronize_rcu()
 * waits for them, since they hold off preemption.
 */
void vtrace_writer_publish(unsigned int cpu, unsigned int channel,
			   struct vtrace_ring *r)
{
	/* A writer that sees the pointer sees the ring. */
	smp_store_release(&per_cpu(vtrace_cpu, cpu).ring[channel], r);
}

static __always_inline bool is_in(const unsigned long *classes, u32 id)
{
	u32 i = id - VTRACE_FIRST_CLASS;

	return i < VTRACE_MAX_CLASSES && test_bit(i, classes);
}

notrace bool vtrace_write(unsigned int channel, u32 id, const void *payload,
			  u32 len)
{
	struct vtrace_slot slot;
	struct vtrace_ring *r;
	bool recorded = false;

	if (channel >= VTRACE_MAX_CHANNELS || is_in(vtrace_classes_off, id))
		return false;
	preempt_disable_notrace();
	r = vtrace_this_ring(channel);
	if (!r) {
		vtrace_no_ring();
	} else if (vtrace_reserve(r, &slot, id, len)) {
		memcpy(vtrace_payload(r, &slot), payload, len);
		vtrace_commit(r, &slot);
		recorded = true;
	}
	preempt_enable_notrace();
	if (unlikely(is_in(vtrace_classes_notify, id)))
		vtrace_notify();
	return recorded;
}
EXPORT_SYMBOL_GPL(vtrace_write);

notrace bool vtrace_writing(unsigned int channel)
{
	struct vtrace_ring *r;

	if (channel >= VTRACE_MAX_CHANNELS)
		return false;
	r = vtrace_this_ring(channel);
	return r && vtrace_load(&r->guest->active);
}
EXPORT_SYMBOL_GPL(vtrace_writing);
