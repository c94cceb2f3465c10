/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * What driver and device share: configuration space, requests, commands,
 * schema records and the memory layout of a ring. docs/virtio-trace.md is the
 * specification; ringbuf/src/layout.rs and vhost-trace/src/wire.rs hold the
 * same definitions for the device, and a test compares them field by field.
 *
 * Everything is little-endian. The structures in shared memory use plain
 * types since their words are accessed with the machine's own loads and
 * stores; the device refuses guests of another byte order by the magic.
 */
#ifndef VTRACE_ABI_H
#define VTRACE_ABI_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;
#endif

/* Configuration space */

#define VTRACE_CONFIG_MAGIC	0x43525456	/* "VTRC" */
#define VTRACE_VERSION		1
#define VTRACE_MAX_CHANNELS	4

#define VTRACE_MODE_DISCARD	0
#define VTRACE_MODE_OVERWRITE	1

struct vtrace_config_channel {
	u32 mode;
	u32 sub_size;		/* bytes, a power of two, 4096 to 4 MiB */
	u32 nsub;		/* a power of two, 2 to 256 */
	u32 contexts;		/* wanted: VTRACE_CONTEXT_BIT() each */
};

struct vtrace_config {
	u32 magic;
	u32 version;
	u32 max_request;	/* bytes of one request, its header included */
	u32 num_channels;
	struct vtrace_config_channel channel[VTRACE_MAX_CHANNELS];
};

#define VTRACE_CHANNEL_EVENTS	0
#define VTRACE_CHANNEL_STATE	1

/* Feature bits */

#define VTRACE_F_HOST_CLOCK	0	/* the device writes the clock page */
#define VTRACE_F_FILTER		1	/* there is VTRACE_CMD_FILTER */
#define VTRACE_F_MODULE		2	/* uploads, modules, VTRACE_REQ_POLICY */
#define VTRACE_F_PROBE		3	/* there are VTRACE_CMD_PROBE_* */
#define VTRACE_F_WATCH		4	/* filters may end with VTRACE_NOTIFY */

/* Queues */

#define VTRACE_VQ_CONTROL	0
#define VTRACE_VQ_EVENT		1
#define VTRACE_VQ_DOORBELL	2
#define VTRACE_NUM_VQS		3

/* Control queue: a request, then its payload; the device writes a response */

#define VTRACE_REQ_HELLO	1
#define VTRACE_REQ_CLOCK_SAMPLE	2
#define VTRACE_REQ_ROOT		3
#define VTRACE_REQ_SCHEMA	4
#define VTRACE_REQ_RING_ADD	5
#define VTRACE_REQ_RING_DEL	6
#define VTRACE_REQ_EPOCH_ACK	7
#define VTRACE_REQ_DONE		8
#define VTRACE_REQ_BYE		9
#define VTRACE_REQ_POLICY	10

#define VTRACE_S_OK		0
#define VTRACE_S_BAD_REQUEST	1	/* unknown type, or a wrong length */
#define VTRACE_S_BAD_ADDRESS	2	/* not in guest memory, or misaligned */
#define VTRACE_S_BAD_VALUE	3	/* a field out of its bounds */
#define VTRACE_S_EXISTS		4	/* registered already, or overlapping */
#define VTRACE_S_NO_ENTRY	5	/* no such ring, no such command */
#define VTRACE_S_LIMIT		6	/* more rings, events or bytes than allowed */
#define VTRACE_S_STALE		7	/* of an epoch that has ended */
#define VTRACE_S_REFUSED	8	/* this device will not serve this guest */

struct vtrace_req {
	u32 type;
	u32 len;		/* bytes of payload behind this header */
};

struct vtrace_resp {
	u32 status;
	u32 reserved;
	u64 value;
};

#define VTRACE_ARCH_X86_64	1

struct vtrace_hello {
	u8 boot_id[16];
	u64 clock_hz;		/* frequency of the counter behind the clock */
	u64 clock_offset;	/* CLOCK_REALTIME minus the trace clock, ns */
	u32 driver_version;
	u32 arch;
	u32 page_size;
	u32 num_vcpus;
	char release[64];	/* utsname, NUL-terminated */
	char version[128];
	char nodename[64];
};

struct vtrace_clock_sample {
	u64 before;		/* counter, read just before this request */
	u64 after_last;		/* counter, read just after the last reply */
};

struct vtrace_addr {
	u64 gpa;
};

struct vtrace_ring_ref {
	u32 ring;
	u32 reserved;
	u64 gpa;		/* of the control area; 0 in RING_DEL */
	u64 epoch;
};

struct vtrace_epoch {
	u64 epoch;
};

struct vtrace_done {
	u32 seq;
	u32 error;		/* 0 or a positive errno of the guest */
	/* then text, not terminated, at most VTRACE_MAX_REASON bytes */
};

#define VTRACE_MAX_REASON	512

struct vtrace_policy {
	u32 allow;		/* classes of commands, VTRACE_ALLOW_* */
	u32 reserved;
	u64 upload_limit;	/* bytes of one upload */
};

#define VTRACE_ALLOW_NATIVE	0x1	/* the driver's own events */
#define VTRACE_ALLOW_PROBES	0x2	/* probe definitions */
#define VTRACE_ALLOW_MODULES	0x4	/* uploads and modules */

/* Event queue: the device writes a command into a buffer of the driver's */

#define VTRACE_CMD_BYTES	4096	/* at least, of each buffer */

#define VTRACE_CMD_EPOCH	1	/* struct vtrace_epoch: acknowledge it */
#define VTRACE_CMD_ENABLE	2	/* u16 id[]; none: nothing */
#define VTRACE_CMD_DISABLE	3	/* u16 id[] */
#define VTRACE_CMD_STATEDUMP	4	/* no payload */
#define VTRACE_CMD_SCHEMA	5	/* no payload: send the schema again */
#define VTRACE_CMD_FILTER	6	/* struct vtrace_filter */
#define VTRACE_CMD_UPLOAD	7	/* struct vtrace_upload, then bytes */
#define VTRACE_CMD_UPLOAD_CANCEL	8	/* struct vtrace_blob */
#define VTRACE_CMD_MODULE_LOAD	9	/* struct vtrace_blob, then parameters */
#define VTRACE_CMD_MODULE_UNLOAD	10	/* the module's name */
#define VTRACE_CMD_MODULE_LIST	14	/* struct vtrace_module_list */
#define VTRACE_CMD_PROBE_ADD	11	/* struct vtrace_probe_def */
#define VTRACE_CMD_PROBE_DEL	12	/* its name */
#define VTRACE_CMD_PROBE_COUNTS	15	/* its name; the answer's text has them */

struct vtrace_cmd {
	u32 type;
	u32 seq;
	u32 len;
	u32 reserved;
};

/* A piece of a file: pieces come in order, the first one begins it. */
struct vtrace_upload {
	u32 blob;		/* the device's number of the file */
	u32 offset;
	u32 total;		/* bytes of the file, at most VTRACE_MAX_UPLOAD */
	u32 reserved;
};

#define VTRACE_MAX_UPLOAD	(256u << 20)

struct vtrace_blob {
	u32 blob;
	u32 reserved;
};

struct vtrace_module_list {
	u32 first;		/* number of the first name that is wanted */
	u32 reserved;
};

/*
 * Filter: a program that begins with term 0, and whose terms say where to go on
 * until it passes or drops the event. Behind its head: the terms, the patterns,
 * each with a NUL at its end, then u16 id[num_ids] of the events.
 */
struct vtrace_filter {
	u16 num_terms;		/* 1 to VTRACE_MAX_TERMS */
	u16 pattern_bytes;	/* at most VTRACE_MAX_PATTERNS, even */
	u16 num_ids;
	u16 reserved;
};

struct vtrace_term {
	u16 operand;		/* a field's index, or a VTRACE_CONTEXT_* */
	u8 op;
	u8 flags;
	u8 yes;			/* a term behind this one, or one of those below */
	u8 no;
	u16 reserved;
	u64 value;		/* or where the pattern begins */
};

#define VTRACE_OP_EQUAL		1
#define VTRACE_OP_LESS		2	/* than value */
#define VTRACE_OP_GREATER	3
#define VTRACE_OP_BITS		4	/* has any of value's bits */
#define VTRACE_OP_MATCH		5	/* a string, the pattern */

#define VTRACE_TERM_SIGNED	0x01	/* LESS, GREATER: as s64 */

#define VTRACE_PASS		0xff	/* record the event */
#define VTRACE_DROP		0xfe	/* do not */
#define VTRACE_NOTIFY		0xfd	/* record it, then notify doorbellq */

/* Of a vCPU, notifications of VTRACE_NOTIFY may be so far apart, in ns. */
#define VTRACE_NOTIFY_GAP	1000000

/*
 * Contexts: what filters and the events of a channel may have besides fields.
 * Of the running task, as the initial namespace has it; of its own: V.
 */
#define VTRACE_CONTEXT_TID	0x100
#define VTRACE_CONTEXT_PID	0x101
#define VTRACE_CONTEXT_VTID	0x102
#define VTRACE_CONTEXT_VPID	0x103
#define VTRACE_CONTEXT_PROCNAME	0x104	/* a string */
#define VTRACE_CONTEXT_CPU	0x105
#define VTRACE_CONTEXT_CGROUP	0x106	/* id in the default hierarchy */
#define VTRACE_CONTEXT_STEAL	0x107	/* of the vCPU, in ns */
#define VTRACE_CONTEXT_PREEMPTIBLE	0x108	/* 0 or 1 */
#define VTRACE_CONTEXT_NEED_RESCHEDULE	0x109	/* 0 or 1 */
#define VTRACE_CONTEXT_INTERRUPTIBLE	0x10a	/* 0 or 1 */
#define VTRACE_CONTEXT_FILTER_END	0x10b	/* those below are of no filter */
/* Counters of the vCPU, where the guest has them. */
#define VTRACE_CONTEXT_CYCLES		0x10b
#define VTRACE_CONTEXT_INSTRUCTIONS	0x10c
#define VTRACE_CONTEXT_CACHE_MISSES	0x10d
#define VTRACE_CONTEXT_PAGE_FAULTS	0x10e
#define VTRACE_CONTEXT_SWITCHES		0x10f
#define VTRACE_CONTEXT_END		0x110

#define VTRACE_CONTEXT_BIT(context)	(1u << ((context) - VTRACE_CONTEXT_TID))

#define VTRACE_MAX_TERMS	32
#define VTRACE_MAX_PATTERNS	512	/* bytes, NULs included */

/*
 * Probe definition: a place in the kernel, and what an event of it has. Behind
 * its head, byte-packed: the name, the symbol, each argument, and the filter
 * (struct vtrace_filter, without ids).
 */
struct vtrace_probe_def {
	u64 offset;		/* from the symbol, in bytes */
	u32 rate;		/* events in a second and of a vCPU; 0: any number */
	u16 maxactive;		/* calls that a RETURN follows; 0: the kernel's choice */
	u16 filter_bytes;	/* 0: no filter */
	u8 kind;
	u8 stack_depth;		/* return addresses; 0: no stack */
	u8 num_args;
	u8 name_len;
	u8 symbol_len;
	u8 reserved[3];
};

#define VTRACE_PROBE_ENTRY	1	/* a kprobe: at symbol + offset */
#define VTRACE_PROBE_RETURN	2	/* a kretprobe: when symbol returns */
#define VTRACE_PROBE_TRACEPOINT	3	/* symbol is a tracepoint */

/* Then its name, the symbol of its VTRACE_FETCH_SYMBOL, and its steps. */
struct vtrace_probe_arg {
	u16 count;		/* integers, or bytes at most of a STRING */
	u8 type;		/* VTRACE_FIELD_INT or VTRACE_FIELD_STRING */
	u8 size;		/* of an integer: 1, 2, 4 or 8 */
	u8 flags;		/* VTRACE_FIELD_SIGNED, _HEX, _ARRAY */
	u8 name_len;
	u8 symbol_len;
	u8 num_steps;
};

/* Steps make a value: the first one gets it, the others go on from there. */
struct vtrace_probe_step {
	u64 value;
	u8 op;
	u8 size;		/* bytes that a LOAD reads */
	u8 reserved[6];
};

#define VTRACE_FETCH_REGISTER	1	/* value: VTRACE_REGISTER_* */
#define VTRACE_FETCH_ARGUMENT	2	/* value: which one, from 0 */
#define VTRACE_FETCH_RETVAL	3
#define VTRACE_FETCH_STACK	4	/* the word at the stack pointer + 8 * value */
#define VTRACE_FETCH_SP		5	/* the stack pointer */
#define VTRACE_FETCH_IMMEDIATE	6	/* value */
#define VTRACE_FETCH_SYMBOL	7	/* the symbol's address + value */
#define VTRACE_FETCH_COMM	8	/* the running thread's name, a STRING */
#define VTRACE_FETCH_LAST_BASE	8	/* what is above is no first step */
#define VTRACE_FETCH_LOAD	9	/* what is at the value before + value */
#define VTRACE_FETCH_LOAD_USER	10	/* the same, in user space */
#define VTRACE_FETCH_BITS	11	/* shifted left by value & 63, then right
					 * by value >> 8
					 */

/* Registers, numbered as x86-64 numbers them. */
#define VTRACE_REGISTER_AX	0
#define VTRACE_REGISTER_CX	1
#define VTRACE_REGISTER_DX	2
#define VTRACE_REGISTER_BX	3
#define VTRACE_REGISTER_SP	4
#define VTRACE_REGISTER_BP	5
#define VTRACE_REGISTER_SI	6
#define VTRACE_REGISTER_DI	7
#define VTRACE_REGISTER_R8	8	/* to R15 */
#define VTRACE_REGISTER_IP	16
#define VTRACE_REGISTER_FLAGS	17
#define VTRACE_REGISTER_END	18

#define VTRACE_MAX_PROBES	64
#define VTRACE_MAX_PROBE_NAME	63	/* bytes, as of the others */
#define VTRACE_MAX_PROBE_SYMBOL	200
#define VTRACE_MAX_PROBE_ARGS	32
#define VTRACE_MAX_PROBE_STEPS	16	/* of an argument */
#define VTRACE_MAX_PROBE_STACK	64
#define VTRACE_MAX_PROBE_COUNT	64	/* integers of an array */
#define VTRACE_MAX_PROBE_STRING	1024	/* with its NUL */
#define VTRACE_MAX_PROBE_BYTES	3072	/* of an event's fields */
#define VTRACE_MAX_PROBE_RATE	1000000
#define VTRACE_MAX_PROBE_ACTIVE	4096
#define VTRACE_NUM_PROBE_ARGUMENTS	12	/* of a function or a tracepoint */

/*
 * Schema: records of events, one after the other, byte-packed.
 *
 * event:  u16 bytes (of the whole record), u16 id, u16 channel, u8 nfields,
 *         u8 name_len, name, field[nfields]
 *         An id of VTRACE_ID_FULL is of no event: the fields are the contexts
 *         that every event of the channel has between its header and its own.
 * field:  u8 kind, u8 size, u8 flags, u8 name_len, u16 count, name,
 *         then what its kind adds
 */
#define VTRACE_FIELD_INT	1	/* size 1, 2, 4 or 8 */
#define VTRACE_FIELD_STRING	2	/* up to and including a NUL */
#define VTRACE_FIELD_TEXT	3	/* count bytes, NUL-padded */
#define VTRACE_FIELD_STRUCT	4	/* count fields follow */
#define VTRACE_FIELD_ENUM	5	/* an INT; count labels follow:
					 * u64 first, u64 last, u8 len, label
					 */

#define VTRACE_FIELD_SIGNED	0x01
#define VTRACE_FIELD_HEX	0x02
#define VTRACE_FIELD_OCT	0x04
#define VTRACE_FIELD_BE		0x08	/* big-endian */
#define VTRACE_FIELD_ARRAY	0x10	/* INT: count elements */
#define VTRACE_FIELD_SEQ	0x20	/* INT, STRUCT: as many elements as the
					 * unsigned INT field just before says
					 */

#define VTRACE_MAX_EVENTS	8192
#define VTRACE_MAX_FIELDS	64	/* of one event, nested ones included */
#define VTRACE_MAX_NAME		128
#define VTRACE_MAX_DEPTH	4
#define VTRACE_MAX_LABELS	256

/* Event header in a ring, byte-packed: u16 id, u32 time; or, in full: */

#define VTRACE_ID_FULL		0xffff	/* then u32 id, u64 time */
#define VTRACE_HEADER		6
#define VTRACE_HEADER_FULL	14

/* Root page */

#define VTRACE_ROOT_MAGIC	0x544f4f5256545256ull	/* "VRTVROOT" */

struct vtrace_root {
	u64 magic;
	u32 version;
	u32 num_rings;		/* entries of ring_table in use or used once */
	u64 epoch;
	u8 boot_id[16];
	u64 clock_gpa;
	u64 ring_table_gpa;	/* u64[num_rings], control areas; 0: none */
	u64 schema_gpa;
	u64 schema_bytes;
	u64 clock_hz;
	u64 clock_offset;
	u64 panic_stamp;	/* trace clock when the guest panicked, or 0 */
	u64 lost_no_ring;	/* events of vCPUs that have no ring */
};

/*
 * Clock page. stamp = base_ns + ((counter - base) * mult >> 32). The device
 * writes the slot that index does not select, then index + 1.
 */
struct vtrace_clock_slot {
	u64 base;		/* at least a second old when published */
	u64 base_ns;
	u64 mult;		/* ns per count, 32.32 */
	u64 reserved;
};

struct vtrace_clock {
	u64 index;		/* bit 0 selects the slot */
	u64 reserved[3];
	struct vtrace_clock_slot slot[2];
};

/*
 * A ring's control area, physically contiguous and page-aligned:
 *   page 0   struct vtrace_ring_desc, constant once registered
 *   page 1   struct vtrace_ring_host, written by the device only
 *   page 2.. struct vtrace_ring_guest, written by the driver only
 */
#define VTRACE_RING_MAGIC	0x474e5256	/* "VRNG" */
#define VTRACE_PAGE		4096
#define VTRACE_MIN_SUB		4096
#define VTRACE_MAX_SUB		(4u << 20)
#define VTRACE_MIN_NSUB		2
#define VTRACE_MAX_NSUB		256
#define VTRACE_LEVELS		4

struct vtrace_ring_desc {
	u32 magic;
	u32 version;
	u32 ring;
	u32 vcpu;
	u32 channel;
	u32 mode;
	u32 sub_size;
	u32 nsub;
	u64 epoch;
	u64 reserved[3];
	u64 sub_gpa[VTRACE_MAX_NSUB];
};

#define VTRACE_WAKE_NEVER	(~0ull)

struct vtrace_ring_host {
	u64 consumed;		/* discard mode: sub-buffers below are free */
	u64 wake_at;		/* kick when a sub-buffer ends at or past it */
};

enum vtrace_lost {
	VTRACE_LOST_FULL,	/* discard mode: no free sub-buffer */
	VTRACE_LOST_TOO_BIG,	/* does not fit a sub-buffer */
	VTRACE_LOST_NESTED,	/* more than VTRACE_LEVELS writers nested */
	VTRACE_LOST_WRAPPED,	/* would lap a reservation still open */
	VTRACE_LOST_REASONS
};

struct vtrace_open {
	u64 begin;
	u64 len;		/* 0: no reservation in flight */
	u64 stamp;
	u64 overtaken;		/* end of the last one nested into this level */
};

/*
 * In vtrace_open.len: the reservation is certain. Without it, it is one only
 * if begin >= overtaken, begin < pos and no higher level's begins there too.
 */
#define VTRACE_OPEN_GOT		(1ull << 63)

struct vtrace_sub {
	u64 commit;		/* events << 24 plus bytes, cumulative */
	u64 end;		/* position behind its last event */
	u64 end_stamp;		/* no event in it is later */
	u64 opened;		/* commit when this lap was opened */
};

#define VTRACE_COMMIT_EVENT	(1ull << 24)
#define VTRACE_COMMIT_BYTES	(VTRACE_COMMIT_EVENT - 1)

struct vtrace_ring_guest {
	u64 pos;		/* next byte to reserve, never wraps */
	u64 stamp;		/* no event before pos is later */
	u64 active;		/* writers now between reserve and commit */
	u64 reserved0[5];
	struct vtrace_open open[VTRACE_LEVELS];
	u64 lost[8];		/* enum vtrace_lost; events, cumulative */
	struct vtrace_sub sub[];
};

/*
 * First bytes of every sub-buffer, committed with the reservation that opened
 * it.
 */
struct vtrace_preamble {
	u64 begin;		/* stamp of its first event */
	u64 lost;		/* sum of lost[] when it was opened */
	u64 position;		/* of this preamble: which lap this is */
};

#endif
