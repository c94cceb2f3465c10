// SPDX-License-Identifier: GPL-2.0
/* Contexts: which there are, and their values. */
#include <linux/build_bug.h>
#include <linux/sched.h>

#include "events/context.h"
#include "events/put.h"
#include "vtrace_counters.h"
#include "vtrace_driver.h"
#include "vtrace_writer.h"

#define HAS(which)	(contexts & VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_##which))
#define CONTEXT(which, field) do {					\
	if (HAS(which))							\
		field;							\
} while (0)

static __always_inline u32 bytes_of(u32 contexts)
{
	u32 all = 0;

#define FIELD(type, name, value)	(all += sizeof(type))
#define TEXT(name, bytes, array)	(all += (bytes))
#include "events/contexts.h"
#undef TEXT
#undef FIELD
	return all;
}

u32 vtrace_context_bytes(u32 contexts)
{
	BUILD_BUG_ON(bytes_of(~0u) > VTRACE_MAX_CONTEXT_BYTES);
	return bytes_of(contexts);
}

notrace void vtrace_contexts(const struct vtrace_ring *r, u8 *to)
{
	u32 contexts = r->contexts;

#define FIELD(type, name, value)	(to = vtrace_put(to, type, value))
#define TEXT(name, bytes, array)	(to = vtrace_put_bytes(to, array, bytes))
#include "events/contexts.h"
#undef TEXT
#undef FIELD
}
#undef CONTEXT

/* Those of wanted that this kernel and machine have. */
static u32 available(u32 wanted)
{
	u32 contexts = 0;

#define CONTEXT(which, field)						\
	(contexts |= VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_##which))
#include "events/contexts.h"
#undef CONTEXT
	if (!IS_ENABLED(CONFIG_PREEMPT_COUNT))
		contexts &= ~VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_PREEMPTIBLE);
	if (!IS_ENABLED(CONFIG_CGROUPS))
		contexts &= ~VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_CGROUP);
	return contexts & wanted & ~vtrace_counters_missing();
}

void vtrace_contexts_start(struct vtrace_device *dev)
{
	u32 i, wanted = 0;

	for (i = 0; i < dev->num_channels; i++)
		wanted |= dev->channel[i].contexts;
	vtrace_counters_start(wanted);
	for (i = 0; i < dev->num_channels; i++)
		dev->contexts[i] = available(dev->channel[i].contexts);
}

void vtrace_contexts_stop(void)
{
	vtrace_counters_stop();
}
