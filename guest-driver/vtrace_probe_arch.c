// SPDX-License-Identifier: GPL-2.0
/* What probe definitions see of x86: registers, the stack, its return addresses. */
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/unwind.h>

#include "vtrace_probe.h"

/* By VTRACE_REGISTER_*. */
static const u16 registers[VTRACE_REGISTER_END] = {
	offsetof(struct pt_regs, ax), offsetof(struct pt_regs, cx),
	offsetof(struct pt_regs, dx), offsetof(struct pt_regs, bx),
	offsetof(struct pt_regs, sp), offsetof(struct pt_regs, bp),
	offsetof(struct pt_regs, si), offsetof(struct pt_regs, di),
	offsetof(struct pt_regs, r8), offsetof(struct pt_regs, r9),
	offsetof(struct pt_regs, r10), offsetof(struct pt_regs, r11),
	offsetof(struct pt_regs, r12), offsetof(struct pt_regs, r13),
	offsetof(struct pt_regs, r14), offsetof(struct pt_regs, r15),
	offsetof(struct pt_regs, ip), offsetof(struct pt_regs, flags),
};

/* Those that are in registers, in this order; the others are on the stack. */
static const u8 arguments[] = {
	VTRACE_REGISTER_DI, VTRACE_REGISTER_SI, VTRACE_REGISTER_DX,
	VTRACE_REGISTER_CX, VTRACE_REGISTER_R8, VTRACE_REGISTER_R8 + 1,
};

notrace u64 vtrace_fetch_register(const struct pt_regs *regs, u32 code)
{
	return *(const u64 *)((const u8 *)regs + *(registers + code));
}

notrace u64 vtrace_fetch_stack(const struct pt_regs *regs, u64 word)
{
	/* More words than a stack has: no sum wraps. */
	if (word >= THREAD_SIZE / sizeof(u64))
		return 0;
	return regs_get_kernel_stack_nth((struct pt_regs *)regs, word);
}

notrace u64 vtrace_fetch_argument(const struct pt_regs *regs, u32 index)
{
	if (index < ARRAY_SIZE(arguments))
		return vtrace_fetch_register(regs, *(arguments + index));
	/* Behind the return address. */
	return vtrace_fetch_stack(regs, 1 + index - ARRAY_SIZE(arguments));
}

/* As kprobe_events does it: an address of user space is one, whatever is said. */
notrace bool vtrace_fetch_memory(void *to, u64 from, u32 bytes, bool user)
{
	if (user || from < TASK_SIZE_MAX)
		return !copy_from_user_nofault(to, (const void __user *)from,
					       bytes);
	return !copy_from_kernel_nofault(to, (const void *)from, bytes);
}

/*
 * Return addresses, from ip on; 0: from the caller of what has returned. The
 * registers say that the breakpoint has been executed, but what it stands for,
 * which may move the stack pointer, has not. Returns how many there are.
 */
notrace u32 vtrace_probe_stack(const struct pt_regs *regs, u64 ip, u64 *to,
			       u32 most)
{
	struct unwind_state state;
	struct pt_regs place;
	u64 address;
	u32 n = 0;

	if (ip) {
		place = *regs;
		place.ip = ip;
		unwind_start(&state, current, &place, NULL);
	} else {
		unwind_start(&state, current, NULL, (unsigned long *)regs->sp);
	}
	for (; n < most && !unwind_done(&state); unwind_next_frame(&state)) {
		address = unwind_get_return_address(&state);
		if (!address)
			break;
		*(to + n++) = address;
	}
	return n;
}
