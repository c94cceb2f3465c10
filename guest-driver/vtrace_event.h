/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver's own events. The tables in events/ are their only description:
 * each is included once for every thing that is made of it.
 *
 * Those of tracepoints.h and states.h:
 *   TRACEPOINT(name, tracepoint, PROTO(..), ARGS(..), fields)
 *				an event of a tracepoint, by the kernel's name
 *   ABSENT(name)		one that this kernel has no tracepoint for
 *   STATE(name, PROTO(..), ARGS(..), fields)
 *				one that the driver writes itself, to the state
 *				channel
 *   FIELD(type, name, value)	an integer
 *   HEX, OCT			the same, read in base 16, 8
 *   HEX_BE			in base 16 and big-endian, as the value is
 *   EARLY(type, name, value)	an integer of at most 32 bits
 *   ENUM(type, name, value, LABEL(text, value)..)
 *   TEXT(name, bytes, array)	a char array, NUL-padded
 *   STRING(name, pointer)	up to its NUL
 *   SEQUENCE(type of the length, type, name, length, value of element i)
 *   NOTHING			no fields
 * A value is evaluated between reserve and commit: it is made of loads, calls
 * nothing and cannot fault. An early value and a length are evaluated before,
 * as is what a filter looks at.
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

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/string.h>
#include <linux/types.h>

#include "vtrace_abi.h"
#include "vtrace_filter.h"

/*
 * Ids. A trace on the host can be of two driver versions, so they never change
 * their meaning: each table only grows at its end.
 */
enum vtrace_id {
#define TRACEPOINT(name, tracepoint, proto, args, fields...)	VTRACE_ID_##name,
#define STATE(name, proto, args, fields...)			VTRACE_ID_##name,
#define ABSENT(name)						VTRACE_ID_##name,
	VTRACE_IDS_SCHED = 0x000,
#include "events/sched.h"
	VTRACE_IDS_SCHED_END,
	VTRACE_IDS_IRQ = 0x040,
#include "events/irq.h"
	VTRACE_IDS_IRQ_END,
	VTRACE_IDS_TIMER = 0x060,
#include "events/timer.h"
	VTRACE_IDS_TIMER_END,
	VTRACE_IDS_SIGNAL = 0x080,
#include "events/signal.h"
	VTRACE_IDS_SIGNAL_END,
	VTRACE_IDS_BLOCK = 0x090,
#include "events/block.h"
	VTRACE_IDS_BLOCK_END,
	VTRACE_IDS_NET = 0x0b0,
#include "events/net.h"
	VTRACE_IDS_NET_END,
	VTRACE_IDS_KMEM = 0x0d0,
#include "events/kmem.h"
	VTRACE_IDS_KMEM_END,
	VTRACE_IDS_POWER = 0x100,
#include "events/power.h"
	VTRACE_IDS_POWER_END,
	VTRACE_IDS_OOM = 0x120,
#include "events/oom.h"
	VTRACE_IDS_OOM_END,
	VTRACE_IDS_X86_EXCEPTIONS = 0x130,
#include "events/x86_exceptions.h"
	VTRACE_IDS_X86_EXCEPTIONS_END,
	VTRACE_IDS_STATE = 0x200,
#include "events/statedump.h"
	VTRACE_IDS_STATE_END,
	VTRACE_IDS_STATE_FILES = 0x240,
#include "events/state_files.h"
	VTRACE_IDS_STATE_FILES_END,
	VTRACE_IDS_STATE_DEVICES = 0x250,
#include "events/state_devices.h"
	VTRACE_IDS_STATE_DEVICES_END,
#undef ABSENT
#undef STATE
#undef TRACEPOINT

	/* Entry and exit of system calls that have no event of their own. */
	VTRACE_IDS_UNKNOWN = 0x3fc,
	/* And of those that have: entry and exit of number 0, of number 1.. */
	VTRACE_IDS_SYSCALL = 0x400,
	VTRACE_IDS_COMPAT = 0xc00,
	VTRACE_IDS_COMPAT_END = 0x1400
};

static_assert(VTRACE_IDS_SCHED_END <= VTRACE_IDS_IRQ);
static_assert(VTRACE_IDS_IRQ_END <= VTRACE_IDS_TIMER);
static_assert(VTRACE_IDS_TIMER_END <= VTRACE_IDS_SIGNAL);
static_assert(VTRACE_IDS_SIGNAL_END <= VTRACE_IDS_BLOCK);
static_assert(VTRACE_IDS_BLOCK_END <= VTRACE_IDS_NET);
static_assert(VTRACE_IDS_NET_END <= VTRACE_IDS_KMEM);
static_assert(VTRACE_IDS_KMEM_END <= VTRACE_IDS_POWER);
static_assert(VTRACE_IDS_POWER_END <= VTRACE_IDS_OOM);
static_assert(VTRACE_IDS_OOM_END <= VTRACE_IDS_X86_EXCEPTIONS);
static_assert(VTRACE_IDS_X86_EXCEPTIONS_END <= VTRACE_IDS_STATE);
static_assert(VTRACE_IDS_STATE_END <= VTRACE_IDS_STATE_FILES);
static_assert(VTRACE_IDS_STATE_FILES_END <= VTRACE_IDS_STATE_DEVICES);
static_assert(VTRACE_IDS_STATE_DEVICES_END <= VTRACE_IDS_UNKNOWN);

/* Values of a network_header_type; LTTng's. */
enum {
	VTRACE_NETWORK_UNKNOWN,
	VTRACE_NETWORK_IPV4,
	VTRACE_NETWORK_IPV6
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

/* An event of a tracepoint, as events/handle.h makes it. */
struct vtrace_probe {
	u16 id;
	const char *tracepoint;	/* NULL: the end of a list */
	void *handler;
	void *filtered;		/* the handler that looks at filter first */
	enum vtrace_value_kind (*kind)(u16 field);
	struct tracepoint *found;	/* NULL: this kernel has none */
	void *on;		/* the handler that is registered, or NULL */
	struct vtrace_program *filter;
};

extern struct vtrace_probe vtrace_sched_probes[];
extern struct vtrace_probe vtrace_irq_probes[];
extern struct vtrace_probe vtrace_timer_probes[];
extern struct vtrace_probe vtrace_signal_probes[];
extern struct vtrace_probe vtrace_block_probes[];
extern struct vtrace_probe vtrace_net_probes[];
extern struct vtrace_probe vtrace_kmem_probes[];
extern struct vtrace_probe vtrace_power_probes[];
extern struct vtrace_probe vtrace_oom_probes[];
extern struct vtrace_probe vtrace_x86_exceptions_probes[];

/* events/enable.c: a tracepoint of the kernel itself, or NULL */
struct tracepoint *vtrace_find_tracepoint(const char *name);

/* events/tracepoints.c */

/* Before anything else below. Sleeps. */
void vtrace_tracepoints_find(void);
/* Whether this kernel has what the event comes from. */
bool vtrace_tracepoint_exists(u16 id);

/*
 * Those below are for events/enable.c, which holds a lock. With a filter only
 * what passes it is recorded; -EINVAL: it does not fit the event's fields.
 */
int vtrace_tracepoint_enable(u16 id, bool on, struct vtrace_program *filter);
int vtrace_syscall_enable(u16 id, bool on, struct vtrace_program *filter);
/* No handler runs any more. */
void vtrace_syscall_release(void);

#endif
