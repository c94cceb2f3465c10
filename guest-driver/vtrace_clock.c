// SPDX-License-Identifier: GPL-2.0
/*
 * The trace clock: nanoseconds that begin where CLOCK_MONOTONIC does, computed
 * from the counter with the clock page's parameters. The driver writes the
 * first ones; a device with VTRACE_F_HOST_CLOCK writes better ones.
 */
#include <linux/build_bug.h>
#include <linux/gfp.h>
#include <linux/jump_label.h>
#include <linux/math64.h>
#include <linux/mm.h>
#include <linux/timekeeping.h>

#include "vtrace_arch.h"
#include "vtrace_driver.h"

/* How old the base is: no writer is that late, so ticks are never negative. */
#define BASE_AGE_NS	(2 * NSEC_PER_SEC)

DEFINE_STATIC_KEY_FALSE(vtrace_counter_is_ktime);

struct vtrace_clock *vtrace_clock_page;

int vtrace_clock_init(void)
{
	BUILD_BUG_ON(sizeof(struct vtrace_clock) > VTRACE_PAGE);

	vtrace_clock_page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!vtrace_clock_page)
		return -ENOMEM;
	if (!vtrace_arch_counter_hz()) {
		pr_info("virtio_trace: the processor's counter is not usable, events cost more\n");
		static_branch_enable(&vtrace_counter_is_ktime);
	}
	return 0;
}

void vtrace_clock_release(void)
{
	free_page((unsigned long)vtrace_clock_page);
	vtrace_clock_page = NULL;
}

u64 vtrace_clock_hz(void)
{
	if (static_key_enabled(&vtrace_counter_is_ktime))
		return NSEC_PER_SEC;
	return vtrace_arch_counter_hz();
}

/* Before the device is told of the page. */
void vtrace_clock_start(void)
{
	struct vtrace_clock *page = vtrace_clock_page;
	u64 hz = vtrace_clock_hz();
	u64 mult = div64_u64(NSEC_PER_SEC << 32, hz);
	u64 age = div64_u64(BASE_AGE_NS << 32, mult);
	unsigned long flags;
	u64 counter, now;
	int i;

	local_irq_save(flags);
	counter = vtrace_counter();
	now = ktime_get_mono_fast_ns();
	local_irq_restore(flags);

	for (i = 0; i < 2; i++) {
		page->slot[i].base = counter - age;
		page->slot[i].base_ns = now - mul_u64_u64_shr(age, mult, 32);
		page->slot[i].mult = mult;
	}
	WRITE_ONCE(page->index, 0);
}

/* For whoever has no ring. */
u64 vtrace_clock_now(void)
{
	const struct vtrace_clock *page = vtrace_clock_page;
	const struct vtrace_clock_slot *slot;
	u64 index;
	s64 ticks;

	/* The slot is older than the index that selects it. */
	index = smp_load_acquire(&page->index);
	slot = &page->slot[index & 1];
	ticks = vtrace_counter() - slot->base;
	return slot->base_ns + vtrace_scale(ticks, slot->mult);
}

/* CLOCK_REALTIME minus the trace clock. */
u64 vtrace_clock_offset(void)
{
	unsigned long flags;
	u64 offset;

	local_irq_save(flags);
	offset = ktime_get_real_fast_ns() - vtrace_clock_now();
	local_irq_restore(flags);
	return offset;
}
