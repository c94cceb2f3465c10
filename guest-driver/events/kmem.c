// SPDX-License-Identifier: GPL-2.0
/* Events of the page allocator: their handlers. */
#include <linux/mm.h>
#include <trace/events/kmem.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

#define VTRACE_TABLE	"events/kmem.h"
#define VTRACE_PROBES	vtrace_kmem_probes
#include "events/handle.h"
