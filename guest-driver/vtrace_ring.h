/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * The writer of a ring: reserve, store, commit. docs/virtio-trace.md, "Ring
 * operation", says what it owes to a reader.
 *
 * A ring is written by its own vCPU only, with preemption off; an interrupt or
 * NMI may nest a writer into any instruction of another, and runs to its end
 * before the other goes on. The quick path below serves the writer that nests
 * into nobody, in the middle of a sub-buffer; everything else is
 * vtrace_reserve_slow()'s.
 *
 * The includer brings the primitives: vtrace_arch.h for the kernel, the stepped
 * tests their own.
 *   vtrace_load(p), vtrace_store(p, v)	one access each, in program order
 *   vtrace_load_acquire(p)
 *   vtrace_cmpxchg(p, old, new)	atomic on this CPU; returns what was there
 *   vtrace_try_cmpxchg(p, old, new)	or only whether it was old; has a default
 *   vtrace_add(p, v)			atomic on this CPU
 *   vtrace_rmb(), vtrace_wmb(), vtrace_mb()	between processors
 *   vtrace_counter()			the counter behind the clock
 *   vtrace_quick_counter(&counter)	the same, or false if that takes a call
 *   vtrace_scale(ticks, mult)		signed product, shifted right by 32
 *   vtrace_kick(r)			wake the device, from any context
 *   vtrace_contexts(r, to)		store r->context_bytes of contexts; calls
 *					no writer
 */
#ifndef VTRACE_RING_H
#define VTRACE_RING_H

#ifndef vtrace_try_cmpxchg
#define vtrace_try_cmpxchg(p, old, new)	(vtrace_cmpxchg(p, old, new) == (old))
#endif

struct vtrace_clock_params {
	u64 base;
	u64 base_ns;
	u64 mult;
};

struct vtrace_ring {
	struct vtrace_ring_guest *guest;
	u8 *data;
	u64 mask;			/* bytes of all sub-buffers, less one */
	u64 sub_mask;			/* bytes of a sub-buffer, less one */
	u32 sub_shift;
	u32 mode;
	u32 contexts;			/* VTRACE_CONTEXT_BIT() each */
	u32 context_bytes;		/* of every event, before its payload */
	const struct vtrace_clock *clock_page;
	u64 clock_index;		/* of which clock is a copy */
	const struct vtrace_clock_params *clock;
	const struct vtrace_ring_host *host;
	u64 kicked;			/* wake_at of the last kick */
	u64 sub_end;			/* of pos's sub-buffer, or less: level 0's */
	u64 quick_end;			/* the same, or 0: events have contexts */
	struct vtrace_clock_params params[2];
};

/* All of them, and some to come. */
#define VTRACE_MAX_CONTEXT_BYTES	128

struct vtrace_slot {
	u64 offset;			/* in the ring's data */
	u64 amount;			/* for the commit word; 0: no room */
};

static __always_inline u64 vtrace_stamp(const struct vtrace_ring *r, u64 counter)
{
	const struct vtrace_clock_params *c = vtrace_load(&r->clock);

	/* Signed: a counter that was reset makes a time in the past. */
	return c->base_ns + vtrace_scale(counter - c->base, c->mult);
}

static __always_inline u64 vtrace_now(const struct vtrace_ring *r)
{
	return vtrace_stamp(r, vtrace_counter());
}

/*
 * Copy the clock page's current slot. The device may be stopped in the middle
 * of a change, so this never waits for it: after two attempts the old copy
 * serves on. Only a writer that nests into nobody comes here; one that nests
 * into it sees the pointer on a slot that is whole.
 */
static inline void vtrace_clock_refresh(struct vtrace_ring *r)
{
	const struct vtrace_clock *page = r->clock_page;
	struct vtrace_clock_params *copy;
	int attempt;

	copy = &r->params[r->clock == &r->params[0]];
	for (attempt = 0; attempt < 2; attempt++) {
		u64 index = vtrace_load_acquire(&page->index);
		const struct vtrace_clock_slot *slot = &page->slot[index & 1];

		copy->base = vtrace_load(&slot->base);
		copy->base_ns = vtrace_load(&slot->base_ns);
		copy->mult = vtrace_load(&slot->mult);
		vtrace_rmb();
		if (vtrace_load(&page->index) == index) {
			vtrace_store(&r->clock, copy);
			vtrace_store(&r->clock_index, index);
			return;
		}
	}
}

static inline struct vtrace_sub *vtrace_sub_of(const struct vtrace_ring *r,
					       u64 pos)
{
	return &r->guest->sub[(pos & r->mask) >> r->sub_shift];
}

static inline u64 vtrace_lost_sum(const struct vtrace_ring_guest *g)
{
	u64 sum = 0;
	int reason;

	for (reason = 0; reason < VTRACE_LOST_REASONS; reason++)
		sum += vtrace_load(&g->lost[reason]);
	return sum;
}

/* Only events without contexts are for vtrace_reserve_quick(). */
static inline void vtrace_set_end(struct vtrace_ring *r, u64 end)
{
	r->sub_end = end;
	r->quick_end = r->context_bytes ? 0 : end;
}

/*
 * The ring's memory is zeroed and its pointers and geometry are set: open
 * sub-buffer 0, so that every other one is opened by an event.
 */
static inline void vtrace_ring_start(struct vtrace_ring *r)
{
	struct vtrace_preamble *preamble = (struct vtrace_preamble *)r->data;
	struct vtrace_ring_guest *g = r->guest;
	u64 now;

	r->clock = &r->params[0];
	r->clock_index = ~0ull;
	vtrace_clock_refresh(r);
	r->kicked = VTRACE_WAKE_NEVER;
	vtrace_set_end(r, r->sub_mask + 1);
	now = vtrace_now(r);
	preamble->begin = now;
	preamble->lost = 0;
	preamble->position = 0;
	vtrace_store(&g->stamp, now);
	vtrace_store(&g->sub[0].commit, (u64)sizeof(*preamble));
	vtrace_wmb();
	vtrace_store(&g->pos, (u64)sizeof(*preamble));
}

/*
 * Why no sub-buffer can be opened at next; VTRACE_LOST_REASONS: it can, and
 * *opened is its slot's commit word, which nobody adds to until it is.
 */
static inline int vtrace_may_open(const struct vtrace_ring *r, u64 next,
				  u64 *opened)
{
	u64 size = r->sub_mask + 1;
	u64 laps = (next & ~r->mask) / (r->mask + 1);

	/* The device may write any value: a wrong one costs events, no more. */
	if (r->mode == VTRACE_MODE_DISCARD &&
	    next + size - vtrace_load_acquire(&r->host->consumed) > r->mask + 1)
		return VTRACE_LOST_FULL;
	*opened = vtrace_load(&vtrace_sub_of(r, next)->commit);
	if ((*opened ^ laps * size) & VTRACE_COMMIT_BYTES)
		return VTRACE_LOST_WRAPPED;
	return VTRACE_LOST_REASONS;
}

/* End the sub-buffer that pos is in and begin the one at next. */
static inline void vtrace_switch(struct vtrace_ring *r, u64 pos, u64 next,
				 u64 stamp, u64 opened, u64 sum)
{
	struct vtrace_sub *ended = vtrace_sub_of(r, pos);
	struct vtrace_preamble *preamble;
	u64 wake_at, kicked;

	vtrace_store(&ended->end, pos);
	vtrace_store(&ended->end_stamp, stamp);
	/* Also: pos, before anything about the sub-buffer that it opens. */
	vtrace_wmb();
	vtrace_add(&ended->commit, next - pos);

	vtrace_store(&vtrace_sub_of(r, next)->opened, opened);
	preamble = (struct vtrace_preamble *)(r->data + (next & r->mask));
	vtrace_store(&preamble->begin, stamp);
	vtrace_store(&preamble->lost, sum);
	vtrace_store(&preamble->position, next);

	/* Pairs with the device's fence between wake_at and its last look. */
	vtrace_mb();
	/* First, so that whoever kicks from here on makes the cmpxchg fail. */
	kicked = vtrace_load(&r->kicked);
	wake_at = vtrace_load(&r->host->wake_at);
	if (next >= wake_at && kicked != wake_at &&
	    vtrace_cmpxchg(&r->kicked, kicked, wake_at) == kicked)
		vtrace_kick(r);
}

/*
 * A nested writer has reserved, up to end. The writer below stands still:
 * either its record is of bytes that it has got, and then says so from now on,
 * or it is yet to learn that it must try again further on. Without this, a
 * record stored just before a cmpxchg that is going to fail would look like a
 * hole where whole events are. Bytes from limit on are of the levels above,
 * which may not have come to say so themselves; returns the next limit.
 */
static inline u64 vtrace_overtake(struct vtrace_open *below, u64 limit, u64 end)
{
	u64 begin = vtrace_load(&below->begin);
	u64 len = vtrace_load(&below->len);

	if (len && !(len & VTRACE_OPEN_GOT) && begin < limit &&
	    begin >= vtrace_load(&below->overtaken)) {
		len |= VTRACE_OPEN_GOT;
		vtrace_store(&below->len, len);
	}
	vtrace_store(&below->overtaken, end);
	return len & VTRACE_OPEN_GOT ? begin : limit;
}

/*
 * Reserve an event that nests into nobody and ends before *limit, in a single
 * attempt; *to is behind its header. False: nothing has happened.
 */
static __always_inline bool vtrace_reserve_below(struct vtrace_ring *r,
						 struct vtrace_slot *slot,
						 u8 **to, u32 id, u32 payload,
						 const u64 *limit)
{
	struct vtrace_ring_guest *g = r->guest;
	u64 size = VTRACE_HEADER + (u64)payload;
	u64 pos, end, counter, stamp, seen;
	u8 *p;

	if (unlikely(vtrace_load(&g->active)))
		return false;
	vtrace_store(&g->active, 1ull);
	pos = vtrace_load(&g->pos);
	end = pos + size;
	/* While pos is what it was, nobody has moved the end of its sub-buffer. */
	if (unlikely(end >= *limit))
		goto undo;
	if (unlikely(vtrace_load(&r->clock_page->index) != r->clock_index))
		goto undo;
	if (unlikely(!vtrace_quick_counter(&counter)))
		goto undo;
	stamp = vtrace_stamp(r, counter);
	seen = vtrace_load(&g->stamp);
	/* Earlier than the last one, or too late for 32 bits. */
	if (unlikely((stamp - seen) >> 32))
		goto undo;
	vtrace_store(&g->open[0].stamp, stamp);
	vtrace_store(&g->open[0].begin, pos);
	vtrace_store(&g->open[0].len, size);
	if (unlikely(!vtrace_try_cmpxchg(&g->pos, pos, end)))
		goto cancel;
	vtrace_cmpxchg(&g->stamp, seen, stamp);

	slot->offset = pos & r->mask;
	p = r->data + slot->offset;
	__builtin_memcpy(p, &(u16){ id }, 2);
	__builtin_memcpy(p + 2, &(u32){ stamp }, 4);
	*to = p + VTRACE_HEADER;
	slot->amount = VTRACE_COMMIT_EVENT + size;
	return true;

cancel:
	vtrace_store(&g->open[0].len, 0ull);
undo:
	vtrace_store(&g->active, 0ull);
	return false;
}

static noinline struct vtrace_slot
vtrace_reserve_slow(struct vtrace_ring *r, u32 id, u32 payload)
{
	const struct vtrace_slot none = { .amount = 0 };
	struct vtrace_ring_guest *g = r->guest;
	struct vtrace_slot slot;
	u64 level;
	u64 pos, next, start, end, size, stamp, seen, opened, sum, limit, l;
	u8 contexts[VTRACE_MAX_CONTEXT_BYTES];
	struct vtrace_open *open;
	int lost;
	u8 *p;

	/* Here, where nothing is reserved yet: some take a call. */
	if (r->context_bytes) {
		vtrace_contexts(r, contexts);
		payload += r->context_bytes;
		if (vtrace_reserve_below(r, &slot, &p, id, payload, &r->sub_end)) {
			__builtin_memcpy(p, contexts, r->context_bytes);
			slot.offset += VTRACE_HEADER + r->context_bytes;
			return slot;
		}
	}

	level = vtrace_load(&g->active);
	if (level >= VTRACE_LEVELS) {
		vtrace_add(&g->lost[VTRACE_LOST_NESTED], 1);
		return none;
	}
	vtrace_store(&g->active, level + 1);
	open = &g->open[level];
	if (!level)
		vtrace_clock_refresh(r);

	if ((u64)payload + VTRACE_HEADER_FULL + sizeof(struct vtrace_preamble) >
	    r->sub_mask) {
		lost = VTRACE_LOST_TOO_BIG;
		goto drop;
	}

	for (;;) {
		pos = vtrace_load(&g->pos);
		stamp = vtrace_now(r);
		seen = vtrace_load(&g->stamp);
		if ((s64)(stamp - seen) < 0)
			stamp = seen;
		for (l = 0; l < level; l++) {
			u64 below = vtrace_load(&g->open[l].stamp);

			if ((s64)(stamp - below) < 0)
				stamp = below;
		}
		size = (stamp - seen) >> 32 ? VTRACE_HEADER_FULL : VTRACE_HEADER;
		next = 0;
		start = pos;
		if ((pos & r->sub_mask) + size + payload > r->sub_mask) {
			next = (pos | r->sub_mask) + 1;
			lost = vtrace_may_open(r, next, &opened);
			if (lost != VTRACE_LOST_REASONS) {
				/* Unless a nested writer has just opened it. */
				if (vtrace_load(&g->pos) != pos)
					continue;
				goto drop;
			}
			/* Now, so that later openers find no less. */
			sum = vtrace_lost_sum(g);
			/* The preamble has the whole stamp. */
			size = VTRACE_HEADER;
			start = next + sizeof(struct vtrace_preamble);
		}
		end = start + size + payload;
		vtrace_store(&open->stamp, stamp);
		vtrace_store(&open->begin, pos);
		vtrace_store(&open->len, end - pos);
		if (vtrace_cmpxchg(&g->pos, pos, end) == pos)
			break;
	}

	/* A failure means that a nested writer has stored a later one. */
	vtrace_cmpxchg(&g->stamp, seen, stamp);
	if (!level)
		vtrace_set_end(r, (end | r->sub_mask) + 1);

	for (l = level, limit = pos; l--; )
		limit = vtrace_overtake(&g->open[l], limit, end);

	if (next)
		vtrace_switch(r, pos, next, stamp, opened, sum);

	p = r->data + (start & r->mask);
	if (size == VTRACE_HEADER) {
		__builtin_memcpy(p, &(u16){ id }, 2);
		__builtin_memcpy(p + 2, &(u32){ stamp }, 4);
	} else {
		__builtin_memcpy(p, &(u16){ VTRACE_ID_FULL }, 2);
		__builtin_memcpy(p + 2, &id, 4);
		__builtin_memcpy(p + 6, &stamp, 8);
	}
	__builtin_memcpy(p + size, contexts, r->context_bytes);
	return (struct vtrace_slot){
		.offset = (start & r->mask) + size + r->context_bytes,
		.amount = VTRACE_COMMIT_EVENT + end - (next ? next : start),
	};

drop:
	vtrace_add(&g->lost[lost], 1);
	vtrace_store(&open->len, 0ull);
	vtrace_store(&g->active, level);
	return none;
}

/*
 * The quick path by itself, for a handler that has another way to go on if it
 * is false: vtrace_reserve_slow(), which must follow. *to is where the payload
 * goes. Ends with vtrace_commit_quick().
 */
static __always_inline bool vtrace_reserve_quick(struct vtrace_ring *r,
						 struct vtrace_slot *slot,
						 u8 **to, u32 id, u32 payload)
{
	return vtrace_reserve_below(r, slot, to, id, payload, &r->quick_end);
}

/*
 * Reserve an event of payload bytes. False: it was dropped, and counted.
 * Between this and vtrace_commit() nothing may fault, sleep or call out.
 */
static __always_inline bool vtrace_reserve(struct vtrace_ring *r,
					   struct vtrace_slot *slot, u32 id,
					   u32 payload)
{
	u8 *to;

	if (likely(vtrace_reserve_quick(r, slot, &to, id, payload))) {
		slot->offset += VTRACE_HEADER;
		return true;
	}
	*slot = vtrace_reserve_slow(r, id, payload);
	return slot->amount;
}

static __always_inline void *vtrace_payload(const struct vtrace_ring *r,
					    const struct vtrace_slot *slot)
{
	return r->data + slot->offset;
}

/* Of what vtrace_reserve_quick() reserved: nobody is below. */
static __always_inline void vtrace_commit_quick(struct vtrace_ring *r,
						const struct vtrace_slot *slot)
{
	struct vtrace_ring_guest *g = r->guest;

	vtrace_wmb();
	vtrace_add(&g->sub[slot->offset >> r->sub_shift].commit, slot->amount);
	vtrace_store(&g->open[0].len, 0ull);
	vtrace_store(&g->active, 0ull);
}

static __always_inline void vtrace_commit(struct vtrace_ring *r,
					  const struct vtrace_slot *slot)
{
	struct vtrace_ring_guest *g = r->guest;
	u64 level;

	vtrace_wmb();
	vtrace_add(&g->sub[slot->offset >> r->sub_shift].commit, slot->amount);
	level = vtrace_load(&g->active) - 1;
	vtrace_store(&g->open[level].len, 0ull);
	vtrace_store(&g->active, level);
}

#endif
