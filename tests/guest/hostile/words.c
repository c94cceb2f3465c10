// SPDX-License-Identifier: GPL-2.0
/*
 * A ring that is registered and written as it should be, but for one word. What
 * the device makes of it shows on the host: it has nothing to answer.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/preempt.h>

#include "hostile.h"
#include "vtrace_arch.h"
#include "vtrace_ring.h"

DEFINE_STATIC_KEY_FALSE(vtrace_counter_is_ktime);

/* More than any host needs to look at a ring. */
#define SEEN_MS 10000

struct word {
	const char *name;
	u32 subs;		/* sub-buffers that are written before */
	bool seen;		/* and that the device has seen before */
	bool in_data;		/* else in the control area */
	size_t at;
	bool add;		/* the value, else it is set */
	u64 value;
};

#define IN_GUEST(field)	.at = offsetof(struct vtrace_ring_guest, field)
#define PREAMBLE(field)	.in_data = true, .at = offsetof(struct vtrace_preamble, field)

static const struct word words[] = {
	{ "word-pos-huge", 0, true, IN_GUEST(pos), false, 1ull << 60 },
	{ "word-pos-max", 0, true, IN_GUEST(pos), false, ~0ull },
	{ "word-pos-beyond", 1, true, IN_GUEST(pos), true, 1ull << 32 },
	{ "word-pos-backward", 1, true, IN_GUEST(pos), false, 24 },
	{ "word-pos-zero", 0, false, IN_GUEST(pos), false, 0 },
	{ "word-commit-beyond", 1, true, IN_GUEST(sub[1].commit), true, 2048 },
	{ "word-commit-backward", 1, true, IN_GUEST(sub[1].commit), false, 0 },
	{ "word-commit-events", 1, false, IN_GUEST(sub[0].commit), true, 1ull << 50 },
	{ "word-commit-past", 1, true, IN_GUEST(sub[0].commit), true, 1ull << 24 },
	{ "word-stamp-backward", 1, true, IN_GUEST(stamp), false, 1 },
	{ "word-end-beyond", 1, false, IN_GUEST(sub[0].end), false, 1ull << 40 },
	{ "word-end-before", 1, false, IN_GUEST(sub[0].end), false, 3 },
	{ "word-end-stamp-before", 1, false, IN_GUEST(sub[0].end_stamp), false, 1 },
	{ "word-opened", 1, false, IN_GUEST(sub[0].opened), false, 1ull << 50 },
	{ "word-preamble-position", 1, false, PREAMBLE(position), false, 77 },
	{ "word-preamble-begin", 1, false, PREAMBLE(begin), false, 1ull << 62 },
	{ "word-preamble-lost", 2, false, PREAMBLE(lost), false, 1ull << 40 },
	{ "word-lost", 1, true, IN_GUEST(lost[0]), false, 1ull << 60 },
	{ "word-active", 1, true, IN_GUEST(active), false, 77 },
	{ "word-open", 1, true, IN_GUEST(open[0].len), false, 1ull << 62 },
};

void vtrace_kick(struct vtrace_ring *r)
{
	ring_doorbell();
}

/* No ring of this guest has any. */
void vtrace_contexts(const struct vtrace_ring *r, u8 *to)
{
}

static void set_up(struct vtrace_ring *r, const struct honest_ring *ring)
{
	u8 *control = (u8 *)ring->desc;

	memset(r, 0, sizeof(*r));
	r->host = (struct vtrace_ring_host *)(control + VTRACE_PAGE);
	r->guest = (struct vtrace_ring_guest *)(control + 2 * VTRACE_PAGE);
	r->data = ring->data;
	r->mask = ring->data_bytes - 1;
	r->sub_mask = ring->desc->sub_size - 1;
	r->sub_shift = ilog2(ring->desc->sub_size);
	r->mode = ring->desc->mode;
	r->clock_page = hostile.clock;
	vtrace_ring_start(r);
}

static void fill(struct vtrace_ring *r, u32 subs)
{
	u64 until = (u64)subs << r->sub_shift;
	struct vtrace_slot slot;

	while (r->guest->pos <= until) {
		preempt_disable();
		if (vtrace_reserve(r, &slot, 0, 8)) {
			*(u64 *)vtrace_payload(r, &slot) = r->guest->pos;
			vtrace_commit(r, &slot);
		}
		preempt_enable();
	}
}

static void plant(struct vtrace_ring *r, const struct word *w)
{
	u8 *base = w->in_data ? r->data : (u8 *)r->guest;
	u64 *word = (u64 *)(base + w->at);

	vtrace_store(word, (w->add ? *word : 0) + w->value);
}

/* The device has read what is complete, and asks to be woken at the next. */
static int wait_until_seen(const struct vtrace_ring *r, u32 subs)
{
	const struct vtrace_ring_host *host = r->host;
	u64 read = (u64)subs << r->sub_shift;
	int ms;

	for (ms = 0; ms < SEEN_MS; ms++) {
		if (vtrace_load(&host->consumed) == read &&
		    vtrace_load(&host->wake_at) == read + r->sub_mask + 1)
			return 0;
		usleep_range(1000, 1500);
	}
	return -ETIMEDOUT;
}

/* What the device did not find before, it finds when the ring ends. */
static int try_word(const struct word *w, struct honest_ring *ring)
{
	struct vtrace_ring r;
	int ret;

	set_up(&r, ring);
	if (!w->seen) {
		fill(&r, w->subs);
		plant(&r, w);
	}
	ret = add_ring(ring);
	if (ret)
		return ret;
	if (w->seen) {
		fill(&r, w->subs);
		ring_doorbell();
		ret = wait_until_seen(&r, w->subs);
		plant(&r, w);
	}
	ring_doorbell();
	return ret;
}

void try_words(void)
{
	struct honest_ring ring;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (!wanted(words[i].name))
			continue;
		ret = introduce() ?: honest_ring(&ring, 0, 0);
		if (ret) {
			report(words[i].name, ret, 0);
			continue;
		}
		report(words[i].name, try_word(&words[i], &ring), 0);
		send(VTRACE_REQ_BYE, NULL, 0);
		free_ring(&ring);
	}
}
