// SPDX-License-Identifier: GPL-2.0
/* Page faults: their handlers. */
#include <asm/ptrace.h>
#ifdef VTRACE_HAS_X86_EXCEPTIONS
#include <asm/trace/exceptions.h>
#else
#include <trace/events/exceptions.h>
#endif

#include "vtrace_event.h"
#include "vtrace_writer.h"

#define VTRACE_TABLE	"events/x86_exceptions.h"
#define VTRACE_PROBES	vtrace_x86_exceptions_probes
#include "events/handle.h"
