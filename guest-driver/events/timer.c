// SPDX-License-Identifier: GPL-2.0
/* Events of timers: their handlers. */
#include <linux/compiler.h>
#include <linux/hrtimer.h>
#include <linux/jiffies.h>
#include <linux/pid.h>
#include <linux/timer.h>
#include <trace/events/timer.h>

#include "compat.h"
#include "vtrace_event.h"
#include "vtrace_writer.h"

static __always_inline u64 vtrace_hrtimer_function(struct hrtimer *hrtimer)
{
	return (unsigned long)ACCESS_PRIVATE(hrtimer, function);
}

#define VTRACE_TABLE	"events/timer.h"
#define VTRACE_PROBES	vtrace_timer_probes
#include "events/handle.h"
