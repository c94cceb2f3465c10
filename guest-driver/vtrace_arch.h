/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the ring's writer needs of the kernel and of the processor. All that is
 * x86 in the driver is in here, but for the helper's few instructions.
 */
#ifndef VTRACE_ARCH_H
#define VTRACE_ARCH_H

#include <linux/jump_label.h>
#include <linux/timekeeping.h>
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/cmpxchg.h>
#include <asm/cpufeature.h>
#include <asm/local64.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#define vtrace_load(p)			READ_ONCE(*(p))
#define vtrace_store(p, v)		WRITE_ONCE(*(p), v)
#define vtrace_load_acquire(p)		smp_load_acquire(p) /* before what p guards */
#define vtrace_cmpxchg(p, old, new)	cmpxchg_local(p, old, new)
/* With the flag that the instruction leaves, not a comparison of its own. */
#define vtrace_try_cmpxchg(p, old, new) ({				\
	bool ok_;							\
	u64 old_ = (old);						\
									\
	asm volatile("cmpxchgq %[new_], %[p_]"				\
		     : "=@ccz" (ok_), [p_] "+m" (*(p)), "+a" (old_)	\
		     : [new_] "r" ((u64)(new))				\
		     : "memory");					\
	ok_;								\
})

#define vtrace_add(p, v)		local64_add(v, (local64_t *)(p))
#define vtrace_rmb()			smp_rmb() /* load before load */
#define vtrace_wmb()			smp_wmb() /* store before store */
#define vtrace_mb()			smp_mb()	/* store before load */

#define VTRACE_ARCH			VTRACE_ARCH_X86_64

/*
 * 0: not the same on all processors, or not at a constant rate. The kernel's
 * own judgement, which on one processor does not include the rate; a virtual
 * one's is constant.
 */
static inline u64 vtrace_arch_counter_hz(void)
{
	if (!boot_cpu_has(X86_FEATURE_TSC) || check_tsc_unstable())
		return 0;
	if (!boot_cpu_has(X86_FEATURE_CONSTANT_TSC) &&
	    !boot_cpu_has(X86_FEATURE_HYPERVISOR))
		return 0;
	return (u64)tsc_khz * 1000;
}

DECLARE_STATIC_KEY_FALSE(vtrace_counter_is_ktime);

static __always_inline u64 vtrace_counter(void)
{
	if (static_branch_unlikely(&vtrace_counter_is_ktime))
		return ktime_get_mono_fast_ns();
	return rdtsc_ordered();
}

static __always_inline bool vtrace_quick_counter(u64 *counter)
{
	if (static_branch_unlikely(&vtrace_counter_is_ktime))
		return false;
	*counter = rdtsc_ordered();
	return true;
}

/* A type of 128 bits would make the compiler align the stack. */
static __always_inline u64 vtrace_scale(s64 ticks, s64 mult)
{
	s64 high;

	asm("imulq %[mult]\n\t"
	    "shrdq $32, %[high], %[ticks]"
	    : [ticks] "+a" (ticks), [high] "=&d" (high)
	    : [mult] "rm" (mult));
	return ticks;
}

struct vtrace_ring;
void vtrace_kick(struct vtrace_ring *r);
void vtrace_notify(void);
void vtrace_contexts(const struct vtrace_ring *r, u8 *to);

#endif
