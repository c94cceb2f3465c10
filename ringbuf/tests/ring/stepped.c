// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/*
 * The driver's writer, unchanged, with primitives that tell a test of every
 * access before they make it. The test may then run another writer, as an
 * interrupt would, or look at the ring as if the guest had died there.
 */
#include <stdbool.h>
#include <stddef.h>
#include "vtrace_abi.h"

#undef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#define noinline __attribute__((__noinline__))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* As in stepped.rs */
enum access { LOAD, LOAD_ACQUIRE, STORE, CMPXCHG, ADD, COUNTER, KICK, PAYLOAD,
	      RMB, WMB, MB };

struct machine;
void (*stepped_before)(struct machine *m, u32 access, const volatile void *at,
		       u64 old, u64 new);
u64 (*stepped_counter)(struct machine *m);
static __thread struct machine *machine;

static inline void before(enum access access, const volatile void *at, u64 old,
			  u64 new)
{
	stepped_before(machine, access, at, old, new);
}

#define vtrace_load(p) \
	(before(LOAD, p, 0, 0), *(volatile __typeof__(*(p)) *)(p))
#define vtrace_load_acquire(p) \
	(before(LOAD_ACQUIRE, p, 0, 0), *(volatile __typeof__(*(p)) *)(p))
#define vtrace_store(p, v)						\
	do {								\
		__typeof__(*(p)) value_ = (v);				\
		before(STORE, p, 0, (u64)value_);			\
		*(volatile __typeof__(*(p)) *)(p) = value_;		\
	} while (0)
#define vtrace_add(p, v)						\
	do {								\
		u64 value_ = (v);					\
		before(ADD, p, 0, value_);				\
		*(volatile u64 *)(p) += value_;				\
	} while (0)
#define vtrace_cmpxchg(p, old, new)					\
	({								\
		volatile u64 *at_ = (p);				\
		u64 old_ = (old), new_ = (new), seen_;			\
		before(CMPXCHG, at_, old_, new_);			\
		seen_ = *at_;						\
		if (seen_ == old_)					\
			*at_ = new_;					\
		seen_;							\
	})
#define vtrace_rmb() before(RMB, NULL, 0, 0)
#define vtrace_wmb() before(WMB, NULL, 0, 0)
#define vtrace_mb() before(MB, NULL, 0, 0)
#define vtrace_counter() (before(COUNTER, NULL, 0, 0), stepped_counter(machine))
#define vtrace_quick_counter(counter) (*(counter) = vtrace_counter(), true)
#define vtrace_scale(ticks, mult) \
	((u64)(((__int128_t)(s64)(ticks) * (s64)(mult)) >> 32))
#define vtrace_kick(r) before(KICK, r, 0, 0)

/* Of every event, contexts included. */
static void fill(u8 *p, u32 id, u32 from, u32 to)
{
	u32 i;

	for (i = from; i < to; i++) {
		if (i == (from + to) / 2)
			before(PAYLOAD, p, 0, 0);
		p[i - from] = (u8)(id + 7 * i);
	}
}

#ifndef CONTEXT_BYTES
#define CONTEXT_BYTES 0
#endif
const u32 stepped_context_bytes = CONTEXT_BYTES;
static __thread u32 event_id;
#define vtrace_contexts(r, to) fill(to, event_id, 0, (r)->context_bytes)

#include "vtrace_ring.h"

const u64 stepped_ring_bytes = sizeof(struct vtrace_ring);

void stepped_start(struct machine *m, struct vtrace_ring *r, void *guest,
		   void *host, void *clock, u8 *data, u64 sub_size, u64 nsub,
		   u32 mode)
{
	machine = m;
	*r = (struct vtrace_ring){
		.guest = guest,
		.data = data,
		.mask = sub_size * nsub - 1,
		.sub_mask = sub_size - 1,
		.sub_shift = (u32)__builtin_ctzll(sub_size),
		.mode = mode,
		.context_bytes = CONTEXT_BYTES,
		.clock_page = clock,
		.host = host,
	};
	vtrace_ring_start(r);
}

static u32 event(struct vtrace_ring *r, u32 id, u32 bytes)
{
	u32 payload = bytes - CONTEXT_BYTES;
	struct vtrace_slot slot;
	u8 *p;

#ifdef WHOLE
	(void)p;
	if (!vtrace_reserve(r, &slot, id, payload))
		return 0;
#else
	if (vtrace_reserve_quick(r, &slot, &p, id, payload)) {
		fill(p, id, CONTEXT_BYTES, bytes);
		vtrace_commit_quick(r, &slot);
		return 1;
	}
	slot = vtrace_reserve_slow(r, id, payload);
	if (!slot.amount)
		return 0;
#endif
	fill(vtrace_payload(r, &slot), id, CONTEXT_BYTES, bytes);
	vtrace_commit(r, &slot);
	return 1;
}

/* As an event's handler: 1 if it was recorded. */
u32 stepped_event(struct machine *m, struct vtrace_ring *r, u32 id, u32 bytes)
{
	u32 below = event_id;
	u32 recorded;

	machine = m;
	event_id = id;
	recorded = event(r, id, bytes);
	event_id = below;
	return recorded;
}
