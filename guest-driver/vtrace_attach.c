// SPDX-License-Identifier: GPL-2.0
/* Tracepoints of the kernel, for other modules. */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/tracepoint.h>

#include "vtrace.h"
#include "vtrace_event.h"

int vtrace_attach(const char *tracepoint, void *function, void *data)
{
	struct tracepoint *found = vtrace_find_tracepoint(tracepoint);

	return found ? tracepoint_probe_register(found, function, data) : -ENOENT;
}
EXPORT_SYMBOL_GPL(vtrace_attach);

void vtrace_detach(const char *tracepoint, void *function, void *data)
{
	struct tracepoint *found = vtrace_find_tracepoint(tracepoint);

	if (!found)
		return;
	tracepoint_probe_unregister(found, function, data);
	tracepoint_synchronize_unregister();
}
EXPORT_SYMBOL_GPL(vtrace_detach);
