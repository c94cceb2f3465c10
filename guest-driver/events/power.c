// SPDX-License-Identifier: GPL-2.0
/* Events of power states: their handlers. */
#include <trace/events/power.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

#define VTRACE_TABLE	"events/power.h"
#define VTRACE_PROBES	vtrace_power_probes
#include "events/handle.h"
