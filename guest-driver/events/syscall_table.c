// SPDX-License-Identifier: GPL-2.0
/* The events of system calls, by number, as the tables describe them. */
#include <linux/kernel.h>
#include <linux/stddef.h>
#include <asm/ptrace.h>
#include <asm/unistd.h>

#include "events/syscall_special.h"
#include "events/syscall_types.h"
#include "vtrace_event.h"

#define SYSCALL(number, name_, args...)	SYSCALL_RET(number, name_, S64, args)
#define SYSCALL_RET(number, name_, type, args...)			\
	[number] = {							\
		.name = #name_,						\
		.fields = (const struct vtrace_field[]){ RET(type) args { } } \
	},
#define ARG(which, type, name_)						\
	{ .name = #name_, VTRACE_TYPE_##type, .reg = REG(which) },
#define SPECIAL(what)							\
	{ .name = "", .kind = VTRACE_FIELD_SPECIAL, .more = &vtrace_special_##what },
#define RETURN(type)							\
	{ .name = "ret", VTRACE_TYPE_##type, .reg = offsetof(struct pt_regs, ax) },

/* Where an argument is. */
#define REG64(which)	offsetof(struct pt_regs, REG64_##which)
#define REG64_0		di
#define REG64_1		si
#define REG64_2		dx
#define REG64_3		r10
#define REG64_4		r8
#define REG64_5		r9
#define REG32(which)	offsetof(struct pt_regs, REG32_##which)
#define REG32_0		bx
#define REG32_1		cx
#define REG32_2		dx
#define REG32_3		si
#define REG32_4		di
#define REG32_5		bp

#define SKIP(args...)

#define INOUT		ARG
#define SPECIAL_INOUT	SPECIAL

/* What an entry event has. */
#define RET		SKIP
#define IN		ARG
#define OUT		SKIP
#define SPECIAL_IN	SPECIAL
#define SPECIAL_OUT	SKIP

#define REG(which)	REG64(which)
static const struct vtrace_class entry_class[VTRACE_NUM_SYSCALLS] = {
#include "events/syscalls.h"
#include "events/syscalls_since.h"
};

#undef REG
#define REG(which)	REG32(which)
static const struct vtrace_class compat_entry_class[VTRACE_NUM_COMPAT] = {
#include "events/syscalls_compat.h"
#include "events/syscalls_since.h"
};

#undef SPECIAL_OUT
#undef SPECIAL_IN
#undef OUT
#undef IN
#undef RET

/* What an exit event has. */
#define RET		RETURN
#define IN		SKIP
#define OUT		ARG
#define SPECIAL_IN	SKIP
#define SPECIAL_OUT	SPECIAL

#undef REG
#define REG(which)	REG64(which)
static const struct vtrace_class exit_class[VTRACE_NUM_SYSCALLS] = {
#include "events/syscalls.h"
#include "events/syscalls_since.h"
};

#undef REG
#define REG(which)	REG32(which)
static const struct vtrace_class compat_exit_class[VTRACE_NUM_COMPAT] = {
#include "events/syscalls_compat.h"
#include "events/syscalls_since.h"
};

#undef SPECIAL_OUT
#undef SPECIAL_IN
#undef OUT
#undef IN
#undef RET

static const struct vtrace_field unknown_entry_fields[] = {
	{ .name = "id", VTRACE_TYPE_S32 },
	{ .name = "args", VTRACE_TYPE_U64_ARGS },
	{ }
};

static const struct vtrace_field unknown_exit_fields[] = {
	{ .name = "id", VTRACE_TYPE_S32 },
	{ .name = "ret", VTRACE_TYPE_S64 },
	{ .name = "args", VTRACE_TYPE_U64_ARGS },
	{ }
};

const struct vtrace_calls vtrace_calls[VTRACE_NUM_CALLS] = {
	{
		.prefix = "syscall_entry_",
		.class = entry_class,
		.num = ARRAY_SIZE(entry_class),
		.unknown_fields = unknown_entry_fields,
	},
	{
		.prefix = "syscall_exit_",
		.class = exit_class,
		.num = ARRAY_SIZE(exit_class),
		.unknown_fields = unknown_exit_fields,
	},
	{
		.prefix = "compat_syscall_entry_",
		.class = compat_entry_class,
		.num = ARRAY_SIZE(compat_entry_class),
		.unknown_fields = unknown_entry_fields,
	},
	{
		.prefix = "compat_syscall_exit_",
		.class = compat_exit_class,
		.num = ARRAY_SIZE(compat_exit_class),
		.unknown_fields = unknown_exit_fields,
	},
};
