/* SPDX-License-Identifier: GPL-2.0 */
/* Storing fields one behind the other, without padding. */
#ifndef VTRACE_EVENTS_PUT_H
#define VTRACE_EVENTS_PUT_H

#include <linux/types.h>

/* Returns where the next field goes. */
#define vtrace_put(p, type, value) ({					\
	type value_ = (value);						\
	__builtin_memcpy(p, &value_, sizeof(type));			\
	(p) + sizeof(type);						\
})

static __always_inline u8 *vtrace_put_bytes(u8 *p, const void *from, u32 bytes)
{
	__builtin_memcpy(p, from, bytes);
	return p + bytes;
}

#endif
