// SPDX-License-Identifier: GPL-2.0
/* The handlers of system calls: one for all entries, one for all exits. */
#include <linux/compiler.h>
#include <linux/log2.h>
#include <linux/percpu.h>
#include <linux/sched.h>
#include <asm/syscall.h>
#include <trace/events/syscalls.h>

#include "events/put.h"
#include "events/syscall_filter.h"
#include "events/syscall_modes.h"
#include "events/syscall_special.h"
#include "vtrace_writer.h"

static struct call entry_call[VTRACE_NUM_SYSCALLS] __read_mostly;
static struct call exit_call[VTRACE_NUM_SYSCALLS] __read_mostly;
static struct call compat_entry_call[VTRACE_NUM_COMPAT] __read_mostly;
static struct call compat_exit_call[VTRACE_NUM_COMPAT] __read_mostly;

/* As vtrace_calls[]. */
struct call *const vtrace_call_table[VTRACE_NUM_CALLS] = {
	entry_call, exit_call, compat_entry_call, compat_exit_call
};

u8 vtrace_unknown_mode[VTRACE_NUM_CALLS] __read_mostly;
DEFINE_PER_CPU(u8 *, vtrace_scratch);

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

/*
 * With preemption off; turns it on. It calls nothing unless it ends with that,
 * and so saves no registers.
 */
static __always_inline void write_quick(const struct call *call,
					unsigned int calls,
					const struct pt_regs *regs)
{
	struct vtrace_ring *r = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);
	struct vtrace_slot slot;
	u8 *to;

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

/* With preemption off; turns it on. */
static __always_inline void write_made(unsigned int calls, long number,
				       bool known, struct pt_regs *regs)
{
	struct vtrace_ring *r = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);
	struct vtrace_slot slot;
	u8 *start, *end;
	u16 id;

	if (!r) {
		vtrace_no_ring();
		goto out;
	}
	start = __this_cpu_read(vtrace_scratch);
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

/* As that. */
static noinline notrace void write_slow(unsigned int calls, long number,
					struct pt_regs *regs)
{
	write_made(calls, number, true, regs);
}

/* As that. */
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

	at = vtrace_syscall_verdict(calls, number, known, at, regs,
				    __this_cpu_read(vtrace_scratch));
	if (at == VTRACE_DROP) {
		preempt_enable_notrace();
		return;
	}
	if (!known)
		write_unknown(calls, number, regs);
	else if (mode == (MODE_SLOW | MODE_FILTERED))
		write_slow(calls, number, regs);
	else
		write_quick(&vtrace_call_table[calls][number], calls, regs);
	if (at == VTRACE_NOTIFY)
		vtrace_notify();
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
	if (mode == MODE_SLOW) {
		preempt_disable_notrace();
		write_slow(calls, number, regs);
	} else if (mode == MODE_UNKNOWN) {
		preempt_disable_notrace();
		write_unknown(calls, number, regs);
	} else if (mode & MODE_FILTERED) {
		handle_filtered(calls, number, mode, regs);
	}
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
		call = &vtrace_call_table[calls][number];
		mode = READ_ONCE(call->mode);
		if (mode == MODE_QUICK) {
			preempt_disable_notrace();
			write_quick(call, calls, regs);
			return;
		}
	} else {
		mode = READ_ONCE(vtrace_unknown_mode[calls]);
	}
	handle_mode(calls, number, mode, regs);
}

static __always_inline void handle(unsigned int calls, const struct call *table,
				   long number, struct pt_regs *regs)
{
	if (unlikely((unsigned long)number >= VTRACE_NUM_SYSCALLS ||
		     in_ia32_syscall())) {
		handle_odd(calls, number, regs);
	/* Any value that it ever had will do. */
	} else if (likely(data_race(table[number].mode) == MODE_QUICK)) {
		preempt_disable_notrace();
		write_quick(&table[number], calls, regs);
	} else {
		handle_mode(calls, number, READ_ONCE(table[number].mode), regs);
	}
}

notrace void vtrace_handle_sys_enter(void *data, struct pt_regs *regs, long id)
{
	handle(0, entry_call, id, regs);
}

notrace void vtrace_handle_sys_exit(void *data, struct pt_regs *regs, long ret)
{
	handle(VTRACE_CALLS_EXIT, exit_call, syscall_get_nr(current, regs),
	       regs);
}

static inline void check_handlers(void)
{
	check_trace_callback_type_sys_enter(vtrace_handle_sys_enter);
	check_trace_callback_type_sys_exit(vtrace_handle_sys_exit);
}
