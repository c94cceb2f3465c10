/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver's own events. The tables in events/ are their only description:
 * each is included once for every thing that is made of it.
 *
 * sched.h, statedump.h:
 *   TRACEPOINT(name, PROTO(..), ARGS(..), fields)  an event of a tracepoint
 *   STATE(name, PROTO(..), ARGS(..), fields)	    one that the driver writes
 *						    itself, to the state channel
 *   FIELD(type, name, value)	an integer
 *   HEX(type, name, value)	an integer that is read in base 16
 *   TEXT(name, bytes, array)	a char array, NUL-padded
 *   STRING(name, pointer)	up to its NUL; it does not change meanwhile
 *   SEQUENCE(type of the length, type, name, length, value of element i)
 *   NOTHING			no fields
 * A value is evaluated between reserve and commit: it is made of loads, calls
 * nothing and cannot fault. A length is evaluated before.
 *
 * syscalls.h, syscalls_compat.h, syscalls_since.h:
 *   SYSCALL(number, name, arguments)		its return value is S64
 *   SYSCALL_RET(number, name, type, arguments)
 *   IN(which, type, name)	an argument that the entry event has
 *   OUT(which, type, name)	the exit event
 *   INOUT(which, type, name)	both
 *   SPECIAL_IN(what), SPECIAL_OUT, SPECIAL_INOUT   fields of syscall_special.c
 * The types are in events/syscall_types.h.
 */
#ifndef VTRACE_EVENT_H
#define VTRACE_EVENT_H

#include <linux/types.h>

#include "vtrace_abi.h"

/*
 * Ids. A trace on the host can be of two driver versions, so they never change
 * their meaning: each table only grows at its end.
 */
enum vtrace_id {
#define TRACEPOINT(name, proto, args, fields...)	VTRACE_ID_##name,
#define STATE	TRACEPOINT
	VTRACE_IDS_SCHED = 0x000,
#include "events/sched.h"
	VTRACE_IDS_SCHED_END,
	VTRACE_IDS_STATE = 0x200,
#include "events/statedump.h"
	VTRACE_IDS_STATE_END,
#undef STATE
#undef TRACEPOINT

	/* Entry and exit of system calls that have no event of their own. */
	VTRACE_IDS_UNKNOWN = 0x3fc,
	/* And of those that have: entry and exit of number 0, of number 1.. */
	VTRACE_IDS_SYSCALL = 0x400,
	VTRACE_IDS_COMPAT = 0xc00,
	VTRACE_IDS_COMPAT_END = 0x1400
};

/* A field as the schema has it; of a system call also where it comes from. */
struct vtrace_field {
	const char *name;	/* NULL: the end of a list */
	u8 kind;		/* VTRACE_FIELD_..., or VTRACE_FIELD_SPECIAL */
	u8 size;
	u8 flags;
	u8 reg;			/* of an argument: its offset in pt_regs */
	u16 count;
	const void *more;	/* a STRUCT's fields, an ENUM's labels */
};

struct vtrace_label {
	const char *name;
	u64 value;
};

/* Fields that are not an argument each, and what writes them. */
#define VTRACE_FIELD_SPECIAL	0

struct vtrace_special {
	const struct vtrace_field *fields;
	/*
	 * Writes them at p, where it has VTRACE_SPECIAL_BYTES; returns the
	 * end. ret is the call's result, 1 if it begins.
	 */
	u8 *(*write)(u8 *p, const unsigned long *args, long ret);
};

#define VTRACE_SPECIAL_BYTES	6144

/* Events of system calls, by number. */
struct vtrace_class {
	const char *name;	/* NULL: there is none of this number */
	const struct vtrace_field *fields;
};

/* All events of entries, or of exits. */
struct vtrace_calls {
	const char *prefix;	/* of the events' names */
	const struct vtrace_class *class;
	u32 num;
	const struct vtrace_field *unknown_fields;
};

/* Entry, exit; of 64-bit programs, of 32-bit ones. */
#define VTRACE_NUM_CALLS	4
#define VTRACE_CALLS_EXIT	1
#define VTRACE_CALLS_COMPAT	2
#define VTRACE_NUM_ARGS		6
#define VTRACE_NUM_SYSCALLS	472
#define VTRACE_NUM_COMPAT	472
extern const struct vtrace_calls vtrace_calls[VTRACE_NUM_CALLS];

static inline u16 vtrace_unknown_id(unsigned int calls)
{
	return VTRACE_IDS_UNKNOWN + calls;
}

static inline u16 vtrace_call_id(unsigned int calls, u32 number)
{
	return (calls & VTRACE_CALLS_COMPAT ? VTRACE_IDS_COMPAT :
					      VTRACE_IDS_SYSCALL) +
	       2 * number + (calls & VTRACE_CALLS_EXIT);
}

/* events/enable.c: tracepoints of the kernel itself, by name */
int vtrace_probe_register(const char *tracepoint, void *probe);
void vtrace_probe_unregister(const char *tracepoint, void *probe);

/* Those below are for events/enable.c, which holds a lock. */
int vtrace_tracepoint_enable(u16 id, bool on);
int vtrace_syscall_enable(u16 id, bool on);
/* No handler runs any more. */
void vtrace_syscall_release(void);

#endif
