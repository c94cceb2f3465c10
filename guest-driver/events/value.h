/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes of each event of a tracepoint in VTRACE_TABLE what a filter needs:
 *   vtrace_kind_NAME(field)	whether there is a field of this number, as the
 *				schema counts them, that a filter can look at
 *   vtrace_value_NAME(value, field, ..)	what it has
 *
 * The includer brings what the table's values name, and events/write.h. It may
 * include this for another table.
 */
#include "vtrace_event.h"

#define ABSENT(name)
#define HEX	FIELD
#define OCT	FIELD
#define EARLY	FIELD
#define ENUM(type, name, value, labels...)	FIELD(type, name, value)

#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
static enum vtrace_value_kind vtrace_kind_##name(u16 field_)		\
{									\
	enum vtrace_value_kind kind_ = VTRACE_VALUE_NONE;		\
	u16 i_ = 0;							\
									\
	fields;								\
	return kind_;							\
}
#define FIELD(type, name, value) ({					\
	if (field_ == i_++)						\
		kind_ = VTRACE_VALUE_NUMBER;				\
})
#define TEXT(name, bytes, array)	STRING(name, array)
#define STRING(name, string) ({						\
	if (field_ == i_++)						\
		kind_ = VTRACE_VALUE_TEXT;				\
})
#define SEQUENCE(length_type, type, name, length, value) ({		\
	FIELD(length_type, name, length);				\
	i_++;								\
})
#include VTRACE_TABLE
#undef SEQUENCE
#undef STRING
#undef TEXT
#undef FIELD
#undef TRACEPOINT

#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
static __always_inline void vtrace_value_##name(struct vtrace_value *v_, \
						u16 field_, proto)	\
{									\
	u16 i_ = 0;							\
									\
	fields;								\
}
#define FIELD(type, name, value) ({					\
	if (field_ == i_++)						\
		v_->number = (u64)(type)(value);			\
})
#define TEXT(name, bytes_, array) ({					\
	if (field_ == i_++) {						\
		v_->text = array;					\
		v_->bytes = bytes_;					\
	}								\
})
#define STRING(name, string)	TEXT(name, PATH_MAX - 1, string)
#define SEQUENCE(length_type, type, name, length, value) ({		\
	FIELD(length_type, name, length);				\
	i_++;								\
})
#include VTRACE_TABLE
#undef SEQUENCE
#undef STRING
#undef TEXT
#undef FIELD
#undef TRACEPOINT

#undef ENUM
#undef EARLY
#undef OCT
#undef HEX
#undef ABSENT
