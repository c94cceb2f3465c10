/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes of each event in VTRACE_TABLE its writers, for preemption off: one
 * reservation and plain stores. What is known when it is compiled costs nothing:
 * the size of most events, and where a field is.
 *   vtrace_quick_NAME(ring, ..)	false: it was not quick, nothing has happened,
 *   vtrace_write_NAME(ring, ..)	which must follow
 *
 * The includer brings what the table's values name. It may include this for
 * another table.
 */
#ifndef VTRACE_EVENTS_WRITE_H
#define VTRACE_EVENTS_WRITE_H

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/limits.h>
#include <linux/string.h>

#include "events/put.h"
#include "vtrace_event.h"
#include "vtrace_writer.h"

/* Strings, sequences and early values of one event. */
#define VTRACE_MAX_COUNTS	2

/*
 * Of a string that has bytes with its NUL, or would have without its bound. The
 * reader must find as many, whatever becomes of it meanwhile: a device may be
 * renamed.
 */
static __always_inline u8 *vtrace_put_string(u8 *p, const char *from, u32 bytes)
{
	u8 *last = p + bytes - 1;

	while (p < last)
		*p++ = READ_ONCE(*from++) ?: '#';
	*p++ = '\0';
	return p;
}

/* Longer ones are cut. No path that the kernel takes is longer. */
static inline u32 vtrace_string_bytes(const char *string)
{
	return strnlen(string, PATH_MAX - 1) + 1;
}

#define PROTO(args...)	args
#define ARGS(args...)	args

#endif

/* The payload's size; what it counts for that it leaves in count. */
#define STATE(name, proto, args, fields...)				\
static __always_inline u32 vtrace_size_##name(u32 *count_, proto)		\
{									\
	u32 size_ = 0;							\
									\
	fields;								\
	return size_;							\
}
#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
	STATE(name, PROTO(proto), ARGS(args), fields)
#define ABSENT(name)
#define FIELD(type, name, value)	(size_ += sizeof(type))
#define HEX	FIELD
#define OCT	FIELD
#define HEX_BE	FIELD
#define ENUM(type, name, value, labels...)	FIELD(type, name, value)
#define EARLY(type, name, value)					\
	(size_ += sizeof(type), *count_++ = (u32)(value))
#define TEXT(name, bytes, array)	(size_ += (bytes))
#define STRING(name, string)						\
	(size_ += *count_++ = vtrace_string_bytes(string))
#define SEQUENCE(length_type, type, name, length, value)		\
	(size_ += sizeof(length_type) +					\
		  sizeof(type) * (*count_++ = (length)))
#define NOTHING				do { } while (0)
#include VTRACE_TABLE
#undef NOTHING
#undef SEQUENCE
#undef STRING
#undef TEXT
#undef EARLY
#undef ENUM
#undef HEX_BE
#undef OCT
#undef HEX
#undef FIELD
#undef ABSENT
#undef TRACEPOINT
#undef STATE

#define STATE(name, proto, args, fields...)				\
static __always_inline void vtrace_store_##name(u8 *to_,		\
						const u32 *count_, proto) \
{									\
	fields;								\
}									\
static __always_inline bool vtrace_quick_##name(struct vtrace_ring *ring_, \
						proto)			\
{									\
	u32 count_[VTRACE_MAX_COUNTS];					\
	u32 size_ = vtrace_size_##name(count_, args);			\
	struct vtrace_slot slot_;					\
	u8 *to_;							\
									\
	if (unlikely(!vtrace_reserve_quick(ring_, &slot_, &to_,		\
					   VTRACE_ID_##name, size_)))	\
		return false;						\
	vtrace_store_##name(to_, count_, args);				\
	vtrace_commit_quick(ring_, &slot_);				\
	return true;							\
}									\
static __always_inline void vtrace_write_##name(struct vtrace_ring *ring_, \
						proto)			\
{									\
	u32 count_[VTRACE_MAX_COUNTS];					\
	u32 size_ = vtrace_size_##name(count_, args);			\
	struct vtrace_slot slot_;					\
									\
	slot_ = vtrace_reserve_slow(ring_, VTRACE_ID_##name, size_);	\
	if (slot_.amount) {						\
		vtrace_store_##name(vtrace_payload(ring_, &slot_),	\
				    count_, args);			\
		vtrace_commit(ring_, &slot_);				\
	}								\
}
#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
	STATE(name, PROTO(proto), ARGS(args), fields)
#define ABSENT(name)
#define FIELD(type, name, value)	(to_ = vtrace_put(to_, type, value))
#define HEX	FIELD
#define OCT	FIELD
#define HEX_BE	FIELD
#define ENUM(type, name, value, labels...)	FIELD(type, name, value)
#define EARLY(type, name, value)	FIELD(type, name, *count_++)
#define TEXT(name, bytes, array) ({					\
	BUILD_BUG_ON(sizeof(array) < (bytes));				\
	to_ = vtrace_put_bytes(to_, array, bytes);			\
})
#define STRING(name, string)						\
	(to_ = vtrace_put_string(to_, string, *count_++))
#define SEQUENCE(length_type, type, name, length, value) ({		\
	u32 i, n_ = *count_++;						\
									\
	to_ = vtrace_put(to_, length_type, n_);				\
	for (i = 0; i < n_; i++)					\
		to_ = vtrace_put(to_, type, value);			\
})
#define NOTHING				do { } while (0)
#include VTRACE_TABLE
#undef NOTHING
#undef SEQUENCE
#undef STRING
#undef TEXT
#undef EARLY
#undef ENUM
#undef HEX_BE
#undef OCT
#undef HEX
#undef FIELD
#undef ABSENT
#undef TRACEPOINT
#undef STATE
