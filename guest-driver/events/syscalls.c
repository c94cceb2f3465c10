// SPDX-License-Identifier: GPL-2.0
/* The handlers of system calls: one for all entries, one for all exits. */
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <linux/topology.h>
#include <linux/tracepoint.h>
#include <asm/syscall.h>
#include <trace/events/syscalls.h>

#include "events/put.h"
#include "events/syscall_filter.h"
#include "events/syscall_special.h"
#include "vtrace_event.h"
#include "vtrace_writer.h"

enum mode {
	MODE_OFF,
	MODE_QUICK,	/* integers only: size and op say all */
	MODE_SLOW,	/* the payload is made in the scratch memory */
	MODE_UNKNOWN,	/* there is no such call */
	MODE_FILTERED = 0x80	/* with one of the others: if it passes */
};

/*
 * An op is an argument's offset in pt_regs and the logarithm of its size. 0
 * ends the list. An exit event begins with the return value, without an op.
 */
#define OP_SIZE		7
#define MAX_OPS		VTRACE_NUM_ARGS

struct call {
	u32 size;	/* of the payload */
	u16 id;
	u8 mode;
	u8 op[MAX_OPS + 1];
} __aligned(16);

static struct call entry_call[VTRACE_NUM_SYSCALLS] __read_mostly;
static struct call exit_call[VTRACE_NUM_SYSCALLS] __read_mostly;
static struct call compat_entry_call[VTRACE_NUM_COMPAT] __read_mostly;
static struct call compat_exit_call[VTRACE_NUM_COMPAT] __read_mostly;

/* As vtrace_calls[]. */
static struct call *const call_table[VTRACE_NUM_CALLS] = {
	entry_call, exit_call, compat_entry_call, compat_exit_call
};

static u8 unknown_mode[VTRACE_NUM_CALLS] __read_mostly;

/*
 * For payloads whose size is known only when they are made. One is enough for
 * a processor: system calls do not nest, and nothing else writes here. Not
 * vmalloc()'s, which copies from user space would look up with a lock.
 */
#define SCRATCH_ORDER	get_order(SCRATCH_BYTES)
#define SCRATCH_BYTES	16384
static DEFINE_PER_CPU(u8 *, scratch);

static __always_inline u8 *put_arg(u8 *p, const struct pt_regs *regs, u8 op)
{
	const u64 *reg = (const void *)regs + (op & ~OP_SIZE);

	switch (op & OP_SIZE) {
	case 3:
		return vtrace_put(p, u64, *reg);
	case 2:
		return vtrace_put(p, u32, *reg);
	case 1:
		return vtrace_put(p, u16, *reg);
	default:
		return vtrace_put(p, u8, *reg);
	}
}

static __always_inline void put_args(u8 *p, const struct call *call,
				     unsigned int calls,
				     const struct pt_regs *regs)
{
	const u8 *op;

	if (calls & VTRACE_CALLS_EXIT)
		p = vtrace_put(p, u64, regs->ax);
	/* An exit mostly has no more. */
	if (unlikely(call->op[0])) {
		for (op = call->op; *op; op++)
			p = put_arg(p, regs, *op);
	}
}

/* What is not quick after all. With preemption off; turns it on. */
static noinline notrace void write_args(const struct call *call,
					unsigned int calls,
					const struct pt_regs *regs)
{
	struct vtrace_ring *r = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);
	struct vtrace_slot slot;

	if (r) {
		slot = vtrace_reserve_slow(r, call->id, call->size);
		if (slot.amount) {
			put_args(vtrace_payload(r, &slot), call, calls, regs);
			vtrace_commit(r, &slot);
		}
	} else {
		vtrace_no_ring();
	}
	preempt_enable_notrace();
}

/* It calls nothing unless it ends with that, and so saves no registers. */
static __always_inline void write_quick(const struct call *call,
					unsigned int calls,
					const struct pt_regs *regs)
{
	struct vtrace_slot slot;
	struct vtrace_ring *r;
	u8 *to;

	preempt_disable_notrace();
	r = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);
	if (unlikely(!r || !vtrace_reserve_quick(r, &slot, &to, call->id,
						 call->size))) {
		write_args(call, calls, regs);
		return;
	}
	put_args(to, call, calls, regs);
	vtrace_commit_quick(r, &slot);
	preempt_enable_notrace();
}

static notrace u8 *put_field(u8 *p, const struct vtrace_field *f,
			     const struct pt_regs *regs,
			     const unsigned long *args, long ret)
{
	const struct vtrace_special *special = f->more;
	unsigned long arg;

	if (f->kind == VTRACE_FIELD_SPECIAL)
		return special->write(p, args, ret);
	if (f->kind != VTRACE_FIELD_STRING && !(f->flags & VTRACE_FIELD_ARRAY))
		return put_arg(p, regs, f->reg | ilog2(f->size));
	arg = *(const unsigned long *)((const void *)regs + f->reg);
	if (f->kind == VTRACE_FIELD_STRING)
		return vtrace_put_user_string(p, (const char __user *)arg);
	return vtrace_put_user_bytes(p, (const void __user *)arg,
				     f->size * f->count);
}

static notrace u8 *put_call(u8 *p, unsigned int calls, u32 number,
			    struct pt_regs *regs)
{
	const struct vtrace_field *f = vtrace_calls[calls].class[number].fields;
	unsigned long args[VTRACE_NUM_ARGS];
	long ret = 1;

	syscall_get_arguments(current, regs, args);
	if (calls & VTRACE_CALLS_EXIT)
		ret = syscall_get_return_value(current, regs);
	for (; f->name; f++)
		p = put_field(p, f, regs, args, ret);
	return p;
}

static notrace u8 *put_unknown(u8 *p, unsigned int calls, s32 number,
			       struct pt_regs *regs)
{
	unsigned long args[VTRACE_NUM_ARGS];

	syscall_get_arguments(current, regs, args);
	p = vtrace_put(p, s32, number);
	if (calls & VTRACE_CALLS_EXIT)
		p = vtrace_put(p, u64, syscall_get_return_value(current, regs));
	return vtrace_put_bytes(p, args, sizeof(args));
}

static __always_inline void write_made(unsigned int calls, long number,
				       bool known, struct pt_regs *regs)
{
	struct vtrace_slot slot;
	struct vtrace_ring *r;
	u8 *start, *end;
	u16 id;

	preempt_disable_notrace();
	r = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);
	if (!r) {
		vtrace_no_ring();
		goto out;
	}
	start = __this_cpu_read(scratch);
	if (known) {
		id = vtrace_call_id(calls, number);
		end = put_call(start, calls, number, regs);
	} else {
		id = vtrace_unknown_id(calls);
		end = put_unknown(start, calls, number, regs);
	}
	if (vtrace_reserve(r, &slot, id, end - start)) {
		memcpy(vtrace_payload(r, &slot), start, end - start);
		vtrace_commit(r, &slot);
	}
out:
	preempt_enable_notrace();
}

static noinline notrace void write_slow(unsigned int calls, long number,
					struct pt_regs *regs)
{
	write_made(calls, number, true, regs);
}

static noinline notrace void write_unknown(unsigned int calls, long number,
					   struct pt_regs *regs)
{
	write_made(calls, number, false, regs);
}

/* What passes, or may pass. With preemption off; turns it on. */
static noinline notrace void write_filtered(unsigned int calls, long number,
					    u8 mode, u8 at, struct pt_regs *regs)
{
	bool known = mode != (MODE_UNKNOWN | MODE_FILTERED);

	if (vtrace_syscall_passes(calls, number, known, at, regs,
				  __this_cpu_read(scratch))) {
		if (!known)
			write_unknown(calls, number, regs);
		else if (mode == (MODE_SLOW | MODE_FILTERED))
			write_slow(calls, number, regs);
		else
			write_quick(&call_table[calls][number], calls, regs);
	}
	preempt_enable_notrace();
}

/* As write_quick(), it calls nothing unless it ends with that. */
static noinline notrace void handle_filtered(unsigned int calls, long number,
					     u8 mode, struct pt_regs *regs)
{
	u8 at = 0;

	preempt_disable_notrace();
	if (mode != (MODE_UNKNOWN | MODE_FILTERED))
		at = vtrace_syscall_begin(calls, number, regs);
	if (at != VTRACE_DROP) {
		write_filtered(calls, number, mode, at, regs);
		return;
	}
	preempt_enable_notrace();
}

/* Strings, calls without an event, filters, what is off. */
static noinline notrace void handle_mode(unsigned int calls, long number,
					 u8 mode, struct pt_regs *regs)
{
	if (mode == MODE_SLOW)
		write_slow(calls, number, regs);
	else if (mode == MODE_UNKNOWN)
		write_unknown(calls, number, regs);
	else if (mode & MODE_FILTERED)
		handle_filtered(calls, number, mode, regs);
}

/* 32-bit programs, numbers out of bounds. */
static noinline notrace void handle_odd(unsigned int calls, long number,
					struct pt_regs *regs)
{
	const struct call *call;
	u8 mode;

	if (in_ia32_syscall())
		calls |= VTRACE_CALLS_COMPAT;
	if ((unsigned long)number < vtrace_calls[calls].num) {
		call = &call_table[calls][number];
		mode = READ_ONCE(call->mode);
		if (mode == MODE_QUICK) {
			write_quick(call, calls, regs);
			return;
		}
	} else {
		mode = READ_ONCE(unknown_mode[calls]);
	}
	handle_mode(calls, number, mode, regs);
}

static __always_inline void handle(unsigned int calls, const struct call *table,
				   long number, struct pt_regs *regs)
{
	if (unlikely((unsigned long)number >= VTRACE_NUM_SYSCALLS ||
		     in_ia32_syscall()))
		handle_odd(calls, number, regs);
	/* Any value that it ever had will do. */
	else if (likely(data_race(table[number].mode) == MODE_QUICK))
		write_quick(&table[number], calls, regs);
	else
		handle_mode(calls, number, READ_ONCE(table[number].mode), regs);
}

static notrace void handle_sys_enter(void *data, struct pt_regs *regs, long id)
{
	handle(0, entry_call, id, regs);
}

static notrace void handle_sys_exit(void *data, struct pt_regs *regs, long ret)
{
	handle(VTRACE_CALLS_EXIT, exit_call, syscall_get_nr(current, regs),
	       regs);
}

static inline void check_handlers(void)
{
	check_trace_callback_type_sys_enter(handle_sys_enter);
	check_trace_callback_type_sys_exit(handle_sys_exit);
}

static const struct {
	const char *tracepoint;
	void *handler;
} handlers[] = {
	{ "sys_enter", handle_sys_enter },
	{ "sys_exit", handle_sys_exit },
};

/* Events that are enabled, of entries and exits. */
static unsigned int users[ARRAY_SIZE(handlers)];

void vtrace_syscall_release(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		free_pages((unsigned long)per_cpu(scratch, cpu), SCRATCH_ORDER);
		per_cpu(scratch, cpu) = NULL;
	}
}

static int get_scratch(void)
{
	struct page *page;
	int cpu;

	for_each_possible_cpu(cpu) {
		if (per_cpu(scratch, cpu))
			continue;
		page = alloc_pages_node(cpu_to_node(cpu), GFP_KERNEL,
					SCRATCH_ORDER);
		if (!page)
			return -ENOMEM;
		per_cpu(scratch, cpu) = page_address(page);
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
	struct call *call = &call_table[calls][number];
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
	smp_store_release(&unknown_mode[calls], mode);
	for (number = 0; number < vtrace_calls[calls].num; number++)
		if (!class[number].name)
			set_mode(&call_table[calls][number], mode);
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
	call = number < 0 ? NULL : &call_table[calls][number];
	old = call ? call->mode : unknown_mode[calls];
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
