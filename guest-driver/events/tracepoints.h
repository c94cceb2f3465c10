/* SPDX-License-Identifier: GPL-2.0 */
/* All tables of tracepoints, in the order of their ids. */
#include "events/sched.h"
#include "events/irq.h"
#include "events/timer.h"
#include "events/signal.h"
#include "events/block.h"
#include "events/net.h"
#include "events/kmem.h"
#include "events/power.h"
#include "events/oom.h"
#include "events/x86_exceptions.h"
