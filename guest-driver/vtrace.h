/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What virtio_trace offers to other modules: event classes of their own, and
 * writing events of them.
 */
#ifndef VTRACE_H
#define VTRACE_H

#include <linux/types.h>

#include "vtrace_abi.h"

/*
 * Register the class of events that one schema record (vtrace_abi.h, "Schema")
 * describes; the id in it is ignored. Returns the id to write with, or a
 * negative errno. The same record has the same id for as long as the driver is
 * loaded, and nothing else ever gets it. It is enabled, until the device says
 * otherwise. Sleeps.
 */
int vtrace_class_register(const void *record, size_t bytes);

/* A field as it lies in the payload, byte-packed, in the order of the list. */
struct vtrace_class_field {
	const char *name;
	u8 kind;	/* VTRACE_FIELD_INT, _STRING or _TEXT */
	u8 size;	/* of an INT */
	u8 flags;	/* VTRACE_FIELD_SIGNED, .. */
	u16 count;	/* bytes of a TEXT, elements of an array */
};

#define VTRACE_CLASS_INT(name, type)					\
	{ name, VTRACE_FIELD_INT, sizeof(type),				\
	  (type)-1 < (type)1 ? VTRACE_FIELD_SIGNED : 0, 0 }
#define VTRACE_CLASS_HEX(name, type)					\
	{ name, VTRACE_FIELD_INT, sizeof(type), VTRACE_FIELD_HEX, 0 }
#define VTRACE_CLASS_BE(name, type)					\
	{ name, VTRACE_FIELD_INT, sizeof(type), VTRACE_FIELD_BE, 0 }
#define VTRACE_CLASS_TEXT(name, bytes)					\
	{ name, VTRACE_FIELD_TEXT, 1, 0, bytes }
#define VTRACE_CLASS_STRING(name)					\
	{ name, VTRACE_FIELD_STRING, 0, 0, 0 }

/* The same, of a name and fields. */
int vtrace_class_describe(const char *name, unsigned int channel,
			  const struct vtrace_class_field *fields,
			  unsigned int num_fields);

/* Once for each class that was registered. Sleeps. */
void vtrace_class_unregister(int id);

/*
 * Write an event in this vCPU's ring, from any context, NMI included. False:
 * it was dropped, and counted, or its class is disabled.
 */
bool vtrace_write(unsigned int channel, u32 id, const void *payload, u32 len);

/*
 * Have a function called by a tracepoint of the kernel: with data, then what the
 * tracepoint passes. Afterwards none is called any more. Both sleep.
 */
int vtrace_attach(const char *tracepoint, void *function, void *data);
void vtrace_detach(const char *tracepoint, void *function, void *data);

/*
 * Whether a writer of this vCPU is between reserve and commit. For whoever has
 * interrupted it: preemption is off.
 */
bool vtrace_writing(unsigned int channel);

#endif
