// SPDX-License-Identifier: GPL-2.0
/* Enabling system calls' events: what each has to do, and who hears of it. */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/topology.h>
#include <linux/tracepoint.h>
#include <asm/ptrace.h>

#include "events/syscall_filter.h"
#include "events/syscall_modes.h"

#define SCRATCH_ORDER	get_order(SCRATCH_BYTES)

static const struct {
	const char *tracepoint;
	void *handler;
} handlers[] = {
	{ "sys_enter", vtrace_handle_sys_enter },
	{ "sys_exit", vtrace_handle_sys_exit },
};

/* Events that are enabled, of entries and exits. */
static unsigned int users[ARRAY_SIZE(handlers)];

void vtrace_syscall_release(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_pages((unsigned long)per_cpu(vtrace_scratch, cpu), SCRATCH_ORDER);
		per_cpu(vtrace_scratch, cpu) = NULL;
	}
}

/* Not vmalloc()'s, which copies from user space would look up with a lock. */
static int get_scratch(void)
{
	struct page *page;
	int cpu;

	for_each_possible_cpu(cpu) {
		if (per_cpu(vtrace_scratch, cpu))
			continue;
		page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL,
					SCRATCH_ORDER);
		if (!page)
			return -ENOMEM;
		per_cpu(vtrace_scratch, cpu) = page_address(page);
	}
	return 0;
}

/* What a field takes at most, if it is not one integer; else 0. */
static u32 room_for(const struct vtrace_field *f)
{
	if (f->kind == VTRACE_FIELD_SPECIAL)
		return VTRACE_SPECIAL_BYTES;
	if (f->kind == VTRACE_FIELD_STRING)
		return PATH_MAX;
	return f->flags & VTRACE_FIELD_ARRAY ? f->size * f->count : 0;
}

/* Returns how its events are written. */
static enum mode prepare(unsigned int calls, u32 number)
{
	struct call *call = &vtrace_call_table[calls][number];
	const struct vtrace_field *f = vtrace_calls[calls].class[number].fields;
	u32 num_ops = 0, room = 0;

	call->id = vtrace_call_id(calls, number);
	call->size = 0;
	for (; f->name; f++) {
		room += room_for(f);
		if (room_for(f))
			continue;
		call->size += f->size;
		if (f->reg == offsetof(struct pt_regs, ax))
			continue;
		if (WARN_ON(num_ops == MAX_OPS))
			return MODE_OFF;
		call->op[num_ops++] = f->reg | ilog2(f->size);
	}
	if (WARN_ON(call->size + room > SCRATCH_BYTES))
		return MODE_OFF;
	return room ? MODE_SLOW : MODE_QUICK;
}

static void set_mode(struct call *call, u8 mode)
{
	/* Who sees it sees what has been prepared. */
	smp_store_release(&call->mode, mode);
}

static void set_unknown(unsigned int calls, u8 mode)
{
	const struct vtrace_class *class = vtrace_calls[calls].class;
	u32 number;

	/* As set_mode(): what is seen has its filter. */
	smp_store_release(&vtrace_unknown_mode[calls], mode);
	for (number = 0; number < vtrace_calls[calls].num; number++)
		if (!class[number].name)
			set_mode(&vtrace_call_table[calls][number], mode);
}

static int use_handler(unsigned int i)
{
	struct tracepoint *tp;
	int err;

	err = get_scratch();
	if (!err && !users[i]) {
		tp = vtrace_find_tracepoint(handlers[i].tracepoint);
		err = tp ? tracepoint_probe_register(tp, handlers[i].handler,
						     NULL) : -ENODEV;
	}
	if (!err)
		users[i]++;
	return err;
}

static void unuse_handler(unsigned int i)
{
	if (!--users[i])
		tracepoint_probe_unregister(vtrace_find_tracepoint(handlers[i].tracepoint),
					    handlers[i].handler, NULL);
}

/* Which events an id is of. Number -1: those of unknown calls. */
static int find(u16 id, unsigned int *calls, s32 *number)
{
	unsigned int n;

	if (id >= VTRACE_IDS_UNKNOWN && id < VTRACE_IDS_SYSCALL) {
		*calls = id - VTRACE_IDS_UNKNOWN;
		*number = -1;
		return 0;
	}
	if (id < VTRACE_IDS_SYSCALL || id >= VTRACE_IDS_COMPAT_END)
		return -ENOENT;
	if (id < VTRACE_IDS_COMPAT) {
		n = id - VTRACE_IDS_SYSCALL;
		*calls = n % 2;
	} else {
		n = id - VTRACE_IDS_COMPAT;
		*calls = n % 2 + VTRACE_CALLS_COMPAT;
	}
	*number = n / 2;
	if (*number >= vtrace_calls[*calls].num ||
	    !vtrace_calls[*calls].class[*number].name)
		return -ENOENT;
	return 0;
}

int vtrace_syscall_enable(u16 id, bool on, struct vtrace_program *filter)
{
	unsigned int calls;
	struct call *call;
	u8 mode, old;
	s32 number;
	int err;

	err = find(id, &calls, &number);
	if (err)
		return err;
	if (filter && !vtrace_syscall_filter_fits(calls, number, filter))
		return -EINVAL;
	call = number < 0 ? NULL : &vtrace_call_table[calls][number];
	old = call ? call->mode : vtrace_unknown_mode[calls];
	mode = old & ~MODE_FILTERED;
	if (!on) {
		mode = MODE_OFF;
	} else if (old == MODE_OFF) {
		/* Not while it is on: a handler may look at it. */
		mode = call ? prepare(calls, number) : MODE_UNKNOWN;
		if (mode == MODE_OFF)
			return -EINVAL;
		err = use_handler(calls & VTRACE_CALLS_EXIT);
		if (err)
			return err;
	}
	/* Nothing passes while there is no filter. */
	if (filter) {
		mode |= MODE_FILTERED;
		vtrace_syscall_filter(calls, number, filter);
	}
	if (call)
		set_mode(call, mode);
	else
		set_unknown(calls, mode);
	if (!filter)
		vtrace_syscall_filter(calls, number, NULL);
	if (old != MODE_OFF && !on)
		unuse_handler(calls & VTRACE_CALLS_EXIT);
	return 0;
}
