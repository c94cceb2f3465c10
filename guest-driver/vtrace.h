/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What virtio_trace offers to other modules: event classes of their own, and
 * writing events of them.
 */
#ifndef VTRACE_H
#define VTRACE_H

#include <linux/types.h>

/*
 * Register the class of events that one schema record (vtrace_abi.h, "Schema")
 * describes; the id in it is ignored. Returns the id to write with, or a
 * negative errno. The same record has the same id for as long as the driver is
 * loaded, and nothing else ever gets it. It is enabled, until the device says
 * otherwise. Sleeps.
 */
int vtrace_class_register(const void *record, size_t bytes);

/* Once for each successful vtrace_class_register(). Sleeps. */
void vtrace_class_unregister(int id);

/*
 * Write an event in this vCPU's ring, from any context, NMI included. False:
 * it was dropped, and counted, or its class is disabled.
 */
bool vtrace_write(unsigned int channel, u32 id, const void *payload, u32 len);

/*
 * Whether a writer of this vCPU is between reserve and commit. For whoever has
 * interrupted it: preemption is off.
 */
bool vtrace_writing(unsigned int channel);

#endif
