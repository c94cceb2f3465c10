// SPDX-License-Identifier: GPL-2.0
/*
 * What system calls point to: strings, socket addresses, sets of descriptors.
 * It is copied before a place in the ring is reserved. A page that is not in
 * memory is not waited for: what is in it is left out, as LTTng does.
 */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/limits.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/socket.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <uapi/linux/eventpoll.h>

#include "events/put.h"
#include "events/syscall_special.h"
#include "events/syscall_types.h"

notrace u8 *vtrace_put_user_string(u8 *p, const char __user *string)
{
	u32 done = 0;

	/* A page is there as a whole, or not at all. */
	while (done < PATH_MAX - 1) {
		u32 most = min_t(u32, PATH_MAX - 1 - done,
				 PAGE_SIZE - offset_in_page(string + done));
		long n;

		pagefault_disable();
		n = strncpy_from_user(p + done, string + done, most);
		pagefault_enable();
		if (n < 0)
			break;
		done += n;
		if (n < most)
			break;
	}
	p[done] = '\0';
	return p + done + 1;
}

notrace u8 *vtrace_put_user_bytes(u8 *p, const void __user *from, u32 bytes)
{
	if (copy_from_user_nofault(p, from, bytes))
		memset(p, 0, bytes);
	return p + bytes;
}

/* connect, accept: the address of the other end */

struct address {
	u16 family;
	__be16 port;
	__be32 v4;
	struct in6_addr v6;
	u32 v4_bytes;
	u32 v6_words;
};

static notrace void read_address(struct address *a,
				 const struct sockaddr __user *from, int len)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} u;

	memset(a, 0, sizeof(*a));
	if (len < (int)sizeof(a->family) ||
	    copy_from_user_nofault(&a->family, &from->sa_family,
				   sizeof(a->family)))
		return;
	if (a->family == AF_INET && len >= (int)sizeof(u.v4) &&
	    !copy_from_user_nofault(&u.v4, from, sizeof(u.v4))) {
		a->port = u.v4.sin_port;
		a->v4 = u.v4.sin_addr.s_addr;
		a->v4_bytes = sizeof(a->v4);
	} else if (a->family == AF_INET6 && len >= (int)sizeof(u.v6) &&
		   !copy_from_user_nofault(&u.v6, from, sizeof(u.v6))) {
		a->port = u.v6.sin6_port;
		a->v6 = u.v6.sin6_addr;
		a->v6_words = ARRAY_SIZE(a->v6.s6_addr16);
	}
}

static notrace u8 *put_address(u8 *p, unsigned long from, int len)
{
	struct address a;

	read_address(&a, (const struct sockaddr __user *)from, len);
	p = vtrace_put(p, u16, a.family);
	p = vtrace_put(p, __be16, a.port);
	p = vtrace_put(p, u32, a.v4_bytes);
	memcpy(p, &a.v4, a.v4_bytes);
	p += a.v4_bytes;
	p = vtrace_put(p, u32, a.v6_words);
	memcpy(p, &a.v6, a.v6_words * sizeof(u16));
	return p + a.v6_words * sizeof(u16);
}

static notrace int user_int(unsigned long from)
{
	int value;

	if (copy_from_user_nofault(&value, (const void __user *)from,
				   sizeof(value)))
		return 0;
	return value;
}

static const struct vtrace_field connect_fields[] = {
	{ "family", VTRACE_TYPE_U16 },
	{ "dport", VTRACE_TYPE_BE16 },
	{ "_v4addr_length", VTRACE_TYPE_U32 },
	{ "v4addr", VTRACE_TYPE_BE8_SEQ },
	{ "_v6addr_length", VTRACE_TYPE_U32 },
	{ "v6addr", VTRACE_TYPE_BE16_SEQ },
	{ }
};

static notrace u8 *put_connect(u8 *p, const unsigned long *args, long ret)
{
	return put_address(p, args[1], args[2]);
}

const struct vtrace_special vtrace_special_connect = {
	connect_fields, put_connect
};

static const struct vtrace_field accept_fields[] = {
	{ "family", VTRACE_TYPE_U16 },
	{ "sport", VTRACE_TYPE_BE16 },
	{ "_v4addr_length", VTRACE_TYPE_U32 },
	{ "v4addr", VTRACE_TYPE_BE8_SEQ },
	{ "_v6addr_length", VTRACE_TYPE_U32 },
	{ "v6addr", VTRACE_TYPE_BE16_SEQ },
	{ }
};

static notrace u8 *put_accept(u8 *p, const unsigned long *args, long ret)
{
	return put_address(p, args[1], user_int(args[2]));
}

const struct vtrace_special vtrace_special_accept = {
	accept_fields, put_accept
};

static const struct vtrace_field accept_len_fields[] = {
	{ "upeer_addrlen", VTRACE_TYPE_S32 },
	{ }
};

static notrace u8 *put_accept_len(u8 *p, const unsigned long *args, long ret)
{
	return vtrace_put(p, s32, user_int(args[2]));
}

const struct vtrace_special vtrace_special_accept_len = {
	accept_len_fields, put_accept_len
};

/* select, pselect6: three sets of descriptors */

#define MAX_SET_FDS	1024

static notrace bool select_overflows(const unsigned long *args)
{
	return (int)args[0] > MAX_SET_FDS;
}

static const struct vtrace_field select_overflow_fields[] = {
	{ "overflow", VTRACE_TYPE_U8 },
	{ }
};

static notrace u8 *put_select_overflow(u8 *p, const unsigned long *args,
				       long ret)
{
	return vtrace_put(p, u8, select_overflows(args));
}

const struct vtrace_special vtrace_special_select_overflow = {
	select_overflow_fields, put_select_overflow
};

static const struct vtrace_field select_fields[] = {
	{ "_readfds_length", VTRACE_TYPE_U8 },
	{ "readfds", VTRACE_TYPE_X8_SEQ },
	{ "_writefds_length", VTRACE_TYPE_U8 },
	{ "writefds", VTRACE_TYPE_X8_SEQ },
	{ "_exceptfds_length", VTRACE_TYPE_U8 },
	{ "exceptfds", VTRACE_TYPE_X8_SEQ },
	{ }
};

static notrace u8 *put_select(u8 *p, const unsigned long *args, long ret)
{
	u32 bytes = DIV_ROUND_UP((u32)args[0], BITS_PER_BYTE);
	u8 *start = p;
	int set;

	if (ret <= 0 || (int)args[0] <= 0 || select_overflows(args))
		goto none;
	for (set = 1; set <= 3; set++) {
		if (!args[set]) {
			*p++ = 0;
			continue;
		}
		/* Its size is that of whole words. */
		if (copy_from_user_nofault(p + 1, (const void __user *)args[set],
					   round_up(bytes, sizeof(long))))
			goto none;
		*p++ = bytes;
		p += bytes;
	}
	return p;

none:
	memset(start, 0, 3);
	return start + 3;
}

const struct vtrace_special vtrace_special_select = {
	select_fields, put_select
};

/*
 * poll, epoll_wait: user space's array is read into the last of the room, and
 * converted to the front of it. An element, though larger there, does not reach
 * those that are still to be converted.
 */
#define ELEMENTS_BYTES		4096
#define ELEMENTS_OFFSET		2000

static const struct vtrace_field pollfd_fields[] = {
	{ "fd", VTRACE_TYPE_S32 },
	{ "raw_events", VTRACE_TYPE_X16 },
	{ "events", VTRACE_TYPE_X8 },
	{ }
};

#define MAX_POLLFDS		(ELEMENTS_BYTES / sizeof(struct pollfd))

static const struct vtrace_field poll_fields[] = {
	{ "overflow", VTRACE_TYPE_U8 },
	{ "fds_length", VTRACE_TYPE_U32 },
	{
		.name = "fds",
		.kind = VTRACE_FIELD_STRUCT,
		.flags = VTRACE_FIELD_SEQ,
		.count = ARRAY_SIZE(pollfd_fields) - 1,
		.more = pollfd_fields
	},
	{ }
};

static notrace u8 *put_pollfds(u8 *p, const unsigned long *args, bool out)
{
	u32 i, n = min_t(u32, args[1], MAX_POLLFDS);
	const u8 *from = p + ELEMENTS_OFFSET;
	u32 done = 0;
	u8 *length = p;

	if (copy_from_user_nofault(p + ELEMENTS_OFFSET,
				   (const void __user *)args[0],
				   n * sizeof(struct pollfd)))
		n = 0;
	p += sizeof(u32);
	for (i = 0; i < n; i++) {
		struct pollfd fd;
		u16 events;

		memcpy(&fd, from + i * sizeof(fd), sizeof(fd));
		events = out ? fd.revents : fd.events;
		/* Of a result only those that there is something to say of. */
		if (out && !events)
			continue;
		p = vtrace_put(p, s32, fd.fd);
		p = vtrace_put(p, u16, events);
		p = vtrace_put(p, u8, events);
		done++;
	}
	vtrace_put(length, u32, done);
	return p;
}

static notrace u8 *put_poll_overflow(u8 *p, const unsigned long *args)
{
	return vtrace_put(p, u8, (u32)args[1] > MAX_POLLFDS);
}

static notrace u8 *put_poll_in(u8 *p, const unsigned long *args, long ret)
{
	p = put_poll_overflow(p, args);
	return put_pollfds(p, args, false);
}

const struct vtrace_special vtrace_special_poll_in = {
	poll_fields, put_poll_in
};

static notrace u8 *put_poll_out(u8 *p, const unsigned long *args, long ret)
{
	if (ret <= 0 || ret > (u32)args[1])
		return vtrace_put(p, u32, 0);
	return put_pollfds(p, args, true);
}

const struct vtrace_special vtrace_special_poll_out = {
	poll_fields + 1, put_poll_out
};

static notrace u8 *put_ppoll_out(u8 *p, const unsigned long *args, long ret)
{
	p = ret > 0 ? put_poll_overflow(p, args) : vtrace_put(p, u8, 0);
	return put_poll_out(p, args, ret);
}

const struct vtrace_special vtrace_special_ppoll_out = {
	poll_fields, put_ppoll_out
};

/* epoll_ctl, epoll_wait, epoll_pwait */

const struct vtrace_label vtrace_epoll_ops[VTRACE_NUM_EPOLL_OPS] = {
	{ "EPOLL_CTL_ADD", EPOLL_CTL_ADD },
	{ "EPOLL_CTL_DEL", EPOLL_CTL_DEL },
	{ "EPOLL_CTL_MOD", EPOLL_CTL_MOD },
};

static const struct vtrace_field epoll_data_fields[] = {
	{ "u64", VTRACE_TYPE_X64 },
	{ "fd", VTRACE_TYPE_S32 },
	{ }
};

static const struct vtrace_field epoll_event_fields[] = {
	{
		.name = "data_union",
		.kind = VTRACE_FIELD_STRUCT,
		.count = ARRAY_SIZE(epoll_data_fields) - 1,
		.more = epoll_data_fields
	},
	{ "raw_events", VTRACE_TYPE_X32 },
	{ "events", VTRACE_TYPE_X8 },
	{ }
};

#define EPOLL_EVENT_BYTES	17
#define MAX_EPOLL_EVENTS	(ELEMENTS_BYTES / sizeof(struct epoll_event))

static notrace u8 *put_epoll_event(u8 *p, const struct epoll_event *event)
{
	p = vtrace_put(p, u64, event->data);
	p = vtrace_put(p, s32, event->data);
	p = vtrace_put(p, u32, (__force u32)event->events);
	return vtrace_put(p, u8, (__force u32)event->events);
}

static const struct vtrace_field epoll_ctl_fields[] = {
	{
		.name = "event",
		.kind = VTRACE_FIELD_STRUCT,
		.count = ARRAY_SIZE(epoll_event_fields) - 1,
		.more = epoll_event_fields
	},
	{ }
};

static notrace u8 *put_epoll_ctl(u8 *p, const unsigned long *args, long ret)
{
	struct epoll_event event;

	vtrace_put_user_bytes((u8 *)&event, (const void __user *)args[3],
			      sizeof(event));
	return put_epoll_event(p, &event);
}

const struct vtrace_special vtrace_special_epoll_ctl = {
	epoll_ctl_fields, put_epoll_ctl
};

static const struct vtrace_field epoll_wait_fields[] = {
	{ "overflow", VTRACE_TYPE_U8 },
	{ "fds_length", VTRACE_TYPE_U32 },
	{
		.name = "fds",
		.kind = VTRACE_FIELD_STRUCT,
		.flags = VTRACE_FIELD_SEQ,
		.count = ARRAY_SIZE(epoll_event_fields) - 1,
		.more = epoll_event_fields
	},
	{ }
};

static notrace u8 *put_epoll_wait(u8 *p, const unsigned long *args, long ret)
{
	const u8 *from = p + ELEMENTS_OFFSET;
	u32 i, n = 0;

	BUILD_BUG_ON(sizeof(u8) + sizeof(u32) + MAX_EPOLL_EVENTS *
		     (EPOLL_EVENT_BYTES - sizeof(struct epoll_event)) >
		     ELEMENTS_OFFSET);
	BUILD_BUG_ON(ELEMENTS_OFFSET + ELEMENTS_BYTES + sizeof(u8) >
		     VTRACE_SPECIAL_BYTES);
	if (ret > 0 && ret <= (int)args[2])
		n = min_t(u32, ret, MAX_EPOLL_EVENTS);
	if (copy_from_user_nofault(p + ELEMENTS_OFFSET,
				   (const void __user *)args[1],
				   n * sizeof(struct epoll_event)))
		n = 0;
	p = vtrace_put(p, u8, n && n < ret);
	p = vtrace_put(p, u32, n);
	for (i = 0; i < n; i++) {
		struct epoll_event event;

		memcpy(&event, from + i * sizeof(event), sizeof(event));
		p = put_epoll_event(p, &event);
	}
	return p;
}

const struct vtrace_special vtrace_special_epoll_wait = {
	epoll_wait_fields, put_epoll_wait
};

/* sync_file_range of 32-bit programs: two arguments each make a number */

static const struct vtrace_field sync_range_fields[] = {
	{ "offset", VTRACE_TYPE_S64 },
	{ "nbytes", VTRACE_TYPE_S64 },
	{ }
};

static notrace u8 *put_sync_range(u8 *p, const unsigned long *args, long ret)
{
	p = vtrace_put(p, u64, (u32)args[1] | (u64)args[2] << 32);
	return vtrace_put(p, u64, (u32)args[3] | (u64)args[4] << 32);
}

const struct vtrace_special vtrace_special_sync_range = {
	sync_range_fields, put_sync_range
};
