// SPDX-License-Identifier: GPL-2.0
/*
 * What happens where a definition is hit: all values are fetched into room of
 * the vCPU, the filter looks at them, and only then is there an event. Of each
 * context (task, softirq, interrupt, NMI) a vCPU is in one hit at a time: what a
 * fetch itself would hit, such as a page fault, is counted as missed. Without
 * that one fault could lead to the next, and never to an end.
 */
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/stacktrace.h>
#include <linux/string.h>

#include "events/filter.h"
#include "vtrace.h"
#include "vtrace_arch.h"
#include "vtrace_driver.h"
#include "vtrace_probe.h"

#define CONTEXTS	4		/* that interrupt_context_level() knows */
/* Frames of our own below a tracepoint. */
#define OWN_FRAMES	8

struct room {
	bool busy;
	struct vtrace_fetched fetched;
	unsigned long stack[VTRACE_MAX_PROBE_STACK + OWN_FRAMES];
};

struct rooms {
	struct room of[CONTEXTS];
};

static struct rooms __percpu *rooms;

int vtrace_probe_rooms_init(void)
{
	if (!rooms)
		rooms = alloc_percpu(struct rooms);
	return rooms ? 0 : -ENOMEM;
}

void vtrace_probe_rooms_release(void)
{
	free_percpu(rooms);
	rooms = NULL;
}

notrace u32 vtrace_fetch_comm(u8 *to, u32 bytes)
{
	u32 most = min_t(u32, bytes, sizeof(current->comm));
	u32 i;

	for (i = 0; i < most - 1; i++) {
		*(to + i) = READ_ONCE(*(current->comm + i));
		if (!*(to + i))
			return i + 1;
	}
	*(to + i) = '\0';
	return most;
}

/*
 * Whether there is time left for an event: each uses some up, which comes back
 * as the clock goes on. An interrupt in between may get one for nothing.
 */
static __always_inline bool may_record(const struct vtrace_definition *d,
				       struct vtrace_probe_counts *counts)
{
	u64 now, due;

	if (!d->cost)
		return true;
	now = vtrace_counter();
	due = READ_ONCE(counts->due);
	if ((s64)(now - due) > 0)
		due = now;
	if (due - now > d->burst)
		return false;
	WRITE_ONCE(counts->due, due + d->cost);
	return true;
}

/* The value of a field, by its number in the schema. */
static __always_inline void look_at(struct vtrace_value *v,
				    const struct vtrace_definition *d,
				    const struct vtrace_hit *hit,
				    const struct vtrace_fetched *got, u32 field)
{
	u32 fixed = vtrace_fetch_fixed(&d->fetch), i = field - fixed, shift;
	const struct vtrace_fetch_arg *a;
	const u8 *at;

	if (field < fixed) {
		if (d->fetch.may_fault && field == fixed - 1)
			v->number = got->fault;
		else
			v->number = field ? hit->parent_ip : hit->ip;
		return;
	}
	a = d->fetch.arg + i;
	at = got->data + *(got->at + i);
	if (a->head.type == VTRACE_FIELD_STRING) {
		v->text = at;
		v->bytes = a->head.count;
		return;
	}
	v->number = 0;
	memcpy(&v->number, at, a->head.size);
	shift = 64 - 8 * a->head.size;
	if (a->head.flags & VTRACE_FIELD_SIGNED)
		v->number = (s64)(v->number << shift) >> shift;
}

static notrace bool passes(const struct vtrace_definition *d,
			   const struct vtrace_hit *hit,
			   const struct vtrace_fetched *got)
{
	const struct vtrace_program *filter = d->filter;
	struct vtrace_value value = {};
	u8 at = 0;
	u16 field;

	while (at < VTRACE_MAX_TERMS) {
		field = (filter->term + at)->operand;
		if (field < VTRACE_MAX_FIELDS)
			look_at(&value, d, hit, got, field);
		at = vtrace_program_step(filter, at, &value);
	}
	return at == VTRACE_PASS;
}

/* Without the frames of the driver, which is below a tracepoint. */
static notrace u32 tracepoint_stack(unsigned long *stack, u32 most)
{
	u32 n = stack_trace_save(stack, most + OWN_FRAMES, 0), own = 0;

	while (own < n && within_module(*(stack + own), THIS_MODULE))
		own++;
	memmove(stack, stack + own, (n - own) * sizeof(*stack));
	return min(n - own, most);
}

static notrace void add_stack(const struct vtrace_definition *d,
			      const struct vtrace_hit *hit, struct room *room)
{
	struct vtrace_fetched *got = &room->fetched;
	u32 most = d->fetch.head.stack_depth, n = 0;
	u8 *to = got->data + got->bytes;

	if (!hit->regs) {
		n = tracepoint_stack(room->stack, most);
	} else if (d->fetch.head.kind == VTRACE_PROBE_RETURN) {
		*room->stack = hit->parent_ip;
		n = 1 + vtrace_probe_stack(hit->regs, 0,
					   (u64 *)room->stack + 1, most - 1);
	} else {
		n = vtrace_probe_stack(hit->regs, hit->ip, (u64 *)room->stack,
				       most);
	}
	*to++ = n;
	memcpy(to, room->stack, n * sizeof(u64));
	got->bytes += 1 + n * sizeof(u64);
}

static notrace void record(struct vtrace_definition *d,
			   const struct vtrace_hit *hit, struct room *room)
{
	struct vtrace_probe_counts *counts = this_cpu_ptr(d->counts);

	/* What does not pass uses up nothing, so that it cannot hide the rest. */
	if (!d->filter && !may_record(d, counts)) {
		this_cpu_inc(d->counts->limited);
		return;
	}
	vtrace_fetch(&d->fetch, hit, &room->fetched);
	if (d->filter) {
		if (!passes(d, hit, &room->fetched))
			return;
		if (!may_record(d, counts)) {
			this_cpu_inc(d->counts->limited);
			return;
		}
	}
	if (d->fetch.head.stack_depth)
		add_stack(d, hit, room);
	if (vtrace_write(VTRACE_CHANNEL_EVENTS, d->id, room->fetched.data,
			 room->fetched.bytes))
		this_cpu_inc(d->counts->recorded);
}

notrace void vtrace_probe_hit(struct vtrace_definition *d,
			      const struct vtrace_hit *hit)
{
	struct room *room;

	preempt_disable_notrace();
	room = this_cpu_ptr(rooms)->of + interrupt_context_level();
	if (room->busy) {
		this_cpu_inc(d->counts->missed);
	} else {
		room->busy = true;
		/* For an exception of this vCPU. */
		barrier();
		record(d, hit, room);
		barrier();
		room->busy = false;
	}
	preempt_enable_notrace();
}
