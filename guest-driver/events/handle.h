/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes of VTRACE_TABLE, a table of tracepoints, their handlers, and the array
 * VTRACE_PROBES of what events/tracepoints.c needs to know of them. The
 * includer brings what the table's values name, and the tracepoints' headers.
 */
#include "events/write.h"

/* The word may be a macro, where kernels differ in a tracepoint's name. */
#define VTRACE_NAME(word)	#word
#define VTRACE_CHECK(word)	check_trace_callback_type_##word

#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
/* With preemption off; turns it on. */					\
static noinline notrace void odd_##name(proto)				\
{									\
	struct vtrace_ring *ring_ = vtrace_this_ring(VTRACE_CHANNEL_EVENTS); \
									\
	if (ring_)							\
		vtrace_write_##name(ring_, args);			\
	else								\
		vtrace_no_ring();					\
	preempt_enable_notrace();					\
}									\
static notrace void handle_##name(void *data_, proto)			\
{									\
	struct vtrace_ring *ring_;					\
									\
	preempt_disable_notrace();					\
	ring_ = vtrace_this_ring(VTRACE_CHANNEL_EVENTS);		\
	if (unlikely(!ring_ || !vtrace_quick_##name(ring_, args))) {	\
		odd_##name(args);					\
		return;							\
	}								\
	preempt_enable_notrace();					\
}									\
static inline void check_##name(void)					\
{									\
	VTRACE_CHECK(tracepoint)(handle_##name);			\
}
#define ABSENT(name)
#include VTRACE_TABLE
#undef TRACEPOINT

#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
	{ VTRACE_ID_##name, VTRACE_NAME(tracepoint), handle_##name },
struct vtrace_probe VTRACE_PROBES[] = {
#include VTRACE_TABLE
	{}
};
#undef ABSENT
#undef TRACEPOINT
