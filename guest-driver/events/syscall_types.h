/* SPDX-License-Identifier: GPL-2.0 */
/* The types of system calls' arguments, as initialisers of a vtrace_field. */
#ifndef VTRACE_EVENTS_SYSCALL_TYPES_H
#define VTRACE_EVENTS_SYSCALL_TYPES_H

#include "vtrace_abi.h"

#define VTRACE_TYPE_U8	.kind = VTRACE_FIELD_INT, .size = 1
#define VTRACE_TYPE_U16	.kind = VTRACE_FIELD_INT, .size = 2
#define VTRACE_TYPE_U32	.kind = VTRACE_FIELD_INT, .size = 4
#define VTRACE_TYPE_U64	.kind = VTRACE_FIELD_INT, .size = 8
#define VTRACE_TYPE_S16	.kind = VTRACE_FIELD_INT, .size = 2, .flags = VTRACE_FIELD_SIGNED
#define VTRACE_TYPE_S32	.kind = VTRACE_FIELD_INT, .size = 4, .flags = VTRACE_FIELD_SIGNED
#define VTRACE_TYPE_S64	.kind = VTRACE_FIELD_INT, .size = 8, .flags = VTRACE_FIELD_SIGNED

/* Read in base 16. */
#define VTRACE_TYPE_X8	.kind = VTRACE_FIELD_INT, .size = 1, .flags = VTRACE_FIELD_HEX
#define VTRACE_TYPE_X16	.kind = VTRACE_FIELD_INT, .size = 2, .flags = VTRACE_FIELD_HEX
#define VTRACE_TYPE_X32	.kind = VTRACE_FIELD_INT, .size = 4, .flags = VTRACE_FIELD_HEX
#define VTRACE_TYPE_X64	.kind = VTRACE_FIELD_INT, .size = 8, .flags = VTRACE_FIELD_HEX
#define VTRACE_TYPE_SX32						\
	.kind = VTRACE_FIELD_INT, .size = 4,				\
	.flags = VTRACE_FIELD_SIGNED | VTRACE_FIELD_HEX

/* All arguments, of a system call that is not known. */
#define VTRACE_TYPE_U64_ARGS						\
	.kind = VTRACE_FIELD_INT, .size = 8, .count = VTRACE_NUM_ARGS,	\
	.flags = VTRACE_FIELD_ARRAY

/* In network byte order. */
#define VTRACE_TYPE_BE16	.kind = VTRACE_FIELD_INT, .size = 2, .flags = VTRACE_FIELD_BE

/* As many as the field before says. */
#define VTRACE_TYPE_X8_SEQ						\
	.kind = VTRACE_FIELD_INT, .size = 1,				\
	.flags = VTRACE_FIELD_HEX | VTRACE_FIELD_SEQ
#define VTRACE_TYPE_BE8_SEQ						\
	.kind = VTRACE_FIELD_INT, .size = 1,				\
	.flags = VTRACE_FIELD_BE | VTRACE_FIELD_SEQ
#define VTRACE_TYPE_BE16_SEQ						\
	.kind = VTRACE_FIELD_INT, .size = 2,				\
	.flags = VTRACE_FIELD_BE | VTRACE_FIELD_SEQ

/* What the argument points to. */
#define VTRACE_TYPE_STR	.kind = VTRACE_FIELD_STRING
#define VTRACE_TYPE_INT_PAIR						\
	.kind = VTRACE_FIELD_INT, .size = 4, .count = 2,		\
	.flags = VTRACE_FIELD_SIGNED | VTRACE_FIELD_ARRAY

#define VTRACE_TYPE_EPOLL_OP						\
	.kind = VTRACE_FIELD_ENUM, .size = 4, .flags = VTRACE_FIELD_SIGNED, \
	.count = VTRACE_NUM_EPOLL_OPS, .more = vtrace_epoll_ops

#endif
