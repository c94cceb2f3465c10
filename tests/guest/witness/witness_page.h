/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the witness says, in memory that a test reads from outside: also that of
 * a guest that is paused or dead. Little-endian, physically contiguous.
 */
#ifndef WITNESS_PAGE_H
#define WITNESS_PAGE_H

#include <linux/types.h>

#define WITNESS_MAGIC		0x53454e5457545456ull	/* "VTTWNTES" */
#define WITNESS_VERSION		1
#define WITNESS_CPUS		256
#define WITNESS_COUNTERS	16

enum witness_context {
	WITNESS_TASK,
	WITNESS_SOFTIRQ,
	WITNESS_HARDIRQ,
	WITNESS_NMI,
	WITNESS_CONTEXTS
};

/* Sequence numbers are each context's own, on each vCPU, and begin at 1. */
struct witness_counts {
	u64 attempted;		/* the last number, stored before it is written */
	u64 recorded;		/* how many of them were, said after the commit */
	u64 last;		/* the last one that was */
	u64 reserved;
};

struct witness_cpu {
	struct witness_counts context[WITNESS_CONTEXTS];
	u64 nmis;		/* while running */
	u64 nmis_in_reservation;/* of these, on top of an open reservation */
	u64 reserved[6];
	u64 counted[WITNESS_COUNTERS];	/* calls of counted tracepoints */
};

struct witness_page {
	u64 magic;
	u32 version;
	u32 num_cpus;
	u32 id;			/* of the event class */
	u32 running;		/* writers that have not ended */
	u64 reserved[5];
	struct witness_cpu cpu[WITNESS_CPUS];
};

extern struct witness_page *witness_page;

/* attempts.c */
int attempts_start(void);
void attempts_stop(void);

#endif
