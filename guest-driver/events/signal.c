// SPDX-License-Identifier: GPL-2.0
/* Events of signals: their handlers. */
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/signal.h>
#include <trace/events/signal.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

/* Two values are no pointers, but say who sends it. */

static __always_inline s32 vtrace_signal_errno(const struct kernel_siginfo *info)
{
	if (info == SEND_SIG_NOINFO || info == SEND_SIG_PRIV)
		return 0;
	return info->si_errno;
}

static __always_inline s32 vtrace_signal_code(const struct kernel_siginfo *info)
{
	if (info == SEND_SIG_NOINFO)
		return SI_USER;
	if (info == SEND_SIG_PRIV)
		return SI_KERNEL;
	return info->si_code;
}

#define VTRACE_TABLE	"events/signal.h"
#define VTRACE_PROBES	vtrace_signal_probes
#include "events/handle.h"
