/* SPDX-License-Identifier: GPL-2.0 */
/* Probe definitions: what is of one, and what the parts need of each other. */
#ifndef VTRACE_PROBE_H
#define VTRACE_PROBE_H

#include <linux/kprobes.h>
#include <linux/list.h>
#include <linux/percpu.h>
#include <linux/tracepoint.h>

#include "vtrace_fetch.h"

struct vtrace_program;

/* Of a vCPU, written by it alone; interrupts add to them, too. */
struct vtrace_probe_counts {
	u64 recorded;		/* those that the ring had room for */
	u64 limited;		/* beyond the rate */
	u64 missed;		/* hit while another definition was at work */
	u64 due;		/* when what was recorded has used up its time */
};

struct vtrace_definition {
	struct list_head list;
	struct vtrace_fetch fetch;
	u8 payload[VTRACE_CMD_BYTES];	/* that fetch points into */
	u32 bytes;
	int id;				/* of its event class */
	struct vtrace_program *filter;
	u64 cost;			/* counts of the clock for each event; 0: no limit */
	u64 burst;			/* that may be used up at once */
	struct vtrace_probe_counts __percpu *counts;
	bool armed;
	union {
		struct kprobe kprobe;
		struct kretprobe kretprobe;
		struct {
			struct tracepoint *tracepoint;
			struct module *owner;
		};
	};
};

struct vtrace_said {
	int error;			/* a positive errno, or 0 */
	char text[VTRACE_MAX_REASON];
};

/* Returns the error, a negative one, for its caller to return. */
int __printf(3, 4) vtrace_say(struct vtrace_said *f, int error,
			      const char *format, ...);

/* vtrace_probe.c: all sleep, and none runs while another does */
void vtrace_probe_add(const void *payload, u32 bytes, struct vtrace_said *f);
void vtrace_probe_del(const void *name, u32 bytes, struct vtrace_said *f);
void vtrace_probe_counts(const void *name, u32 bytes, struct vtrace_said *f);
void vtrace_probes_stop(void);

/* vtrace_probe_place.c: to where it belongs, and away. Negative errnos. */
int vtrace_probe_place(struct vtrace_definition *d, struct vtrace_said *f);
int vtrace_probe_arm(struct vtrace_definition *d, struct vtrace_said *f);
void vtrace_probe_remove(struct vtrace_definition *d);
u64 vtrace_probe_missed(const struct vtrace_definition *d);

/* vtrace_probe_hit.c: what happens there */
int vtrace_probe_rooms_init(void);
void vtrace_probe_rooms_release(void);
void vtrace_probe_hit(struct vtrace_definition *d, const struct vtrace_hit *hit);

/* vtrace_probe_arch.c */
u32 vtrace_probe_stack(const struct pt_regs *regs, u64 ip, u64 *to, u32 most);

/* vtrace_symbol.c: its address, 0: there is none, or no way to find out */
u64 vtrace_symbol_address(const char *name);

#endif
