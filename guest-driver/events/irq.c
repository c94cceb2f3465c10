// SPDX-License-Identifier: GPL-2.0
/* Events of interrupts: their handlers. */
#include <linux/interrupt.h>
#include <trace/events/irq.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

#define VTRACE_TABLE	"events/irq.h"
#define VTRACE_PROBES	vtrace_irq_probes
#include "events/handle.h"
