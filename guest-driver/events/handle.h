/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes of VTRACE_TABLE, a table of tracepoints, their handlers, and the array
 * VTRACE_PROBES of what events/tracepoints.c needs to know of them. The
 * includer brings what the table's values name, and the tracepoints' headers.
 */
#include "events/filter.h"
#include "events/write.h"
#include "events/value.h"
#include "vtrace_arch.h"

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
/* The same. */								\
static __always_inline void record_##name(proto)			\
{									\
	struct vtrace_ring *ring_ = vtrace_this_ring(VTRACE_CHANNEL_EVENTS); \
									\
	if (unlikely(!ring_ || !vtrace_quick_##name(ring_, args))) {	\
		odd_##name(args);					\
		return;							\
	}								\
	preempt_enable_notrace();					\
}									\
static notrace void handle_##name(void *data_, proto)			\
{									\
	preempt_disable_notrace();					\
	record_##name(args);						\
}									\
static notrace void filtered_##name(void *data_, proto)			\
{									\
	const struct vtrace_probe *probe_ = data_;			\
	const struct vtrace_program *filter_;				\
	struct vtrace_value value_ = {};				\
	u8 at_ = VTRACE_DROP;						\
	u16 field_;							\
									\
	preempt_disable_notrace();					\
	filter_ = READ_ONCE(probe_->filter);				\
	if (likely(filter_))						\
		at_ = 0;						\
	while (at_ < VTRACE_MAX_TERMS) {				\
		field_ = (filter_->term + at_)->operand;		\
		if (field_ < VTRACE_MAX_FIELDS)				\
			vtrace_value_##name(&value_, field_, args);	\
		at_ = vtrace_program_step(filter_, at_, &value_);	\
	}								\
	if (at_ == VTRACE_DROP) {					\
		preempt_enable_notrace();				\
		return;							\
	}								\
	record_##name(args);						\
	if (at_ == VTRACE_NOTIFY)					\
		vtrace_notify();					\
}									\
static inline void check_##name(void)					\
{									\
	VTRACE_CHECK(tracepoint)(handle_##name);			\
	VTRACE_CHECK(tracepoint)(filtered_##name);			\
}
#define ABSENT(name)
#include VTRACE_TABLE
#undef TRACEPOINT

#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
	{ VTRACE_ID_##name, VTRACE_NAME(tracepoint), handle_##name,	\
	  filtered_##name, vtrace_kind_##name },
struct vtrace_probe VTRACE_PROBES[] = {
#include VTRACE_TABLE
	{}
};
#undef ABSENT
#undef TRACEPOINT
