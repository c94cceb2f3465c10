/* SPDX-License-Identifier: GPL-2.0 */
/* Fields of system calls that are more than an argument each. */
#ifndef VTRACE_EVENTS_SYSCALL_SPECIAL_H
#define VTRACE_EVENTS_SYSCALL_SPECIAL_H

#include "vtrace_event.h"

extern const struct vtrace_special vtrace_special_connect;
extern const struct vtrace_special vtrace_special_accept;
extern const struct vtrace_special vtrace_special_accept_len;
extern const struct vtrace_special vtrace_special_select;
extern const struct vtrace_special vtrace_special_select_overflow;
extern const struct vtrace_special vtrace_special_poll_in;
extern const struct vtrace_special vtrace_special_poll_out;
extern const struct vtrace_special vtrace_special_ppoll_out;
extern const struct vtrace_special vtrace_special_epoll_ctl;
extern const struct vtrace_special vtrace_special_epoll_wait;
extern const struct vtrace_special vtrace_special_sync_range;

#define VTRACE_NUM_EPOLL_OPS	3
extern const struct vtrace_label vtrace_epoll_ops[VTRACE_NUM_EPOLL_OPS];

/*
 * Copies a string of user space; at most PATH_MAX bytes with its NUL, as many
 * as the kernel itself takes of a path. It ends where memory is not there: this
 * does not wait for it. Returns the end.
 */
u8 *vtrace_put_user_string(u8 *p, const char __user *string);

/* Bytes of user space, or zeros. Returns the end. */
u8 *vtrace_put_user_bytes(u8 *p, const void __user *from, u32 bytes);

#endif
