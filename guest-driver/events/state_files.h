/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The open files that a trace begins with, in LTTng's events. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

STATE(lttng_statedump_file_descriptor,
	PROTO(const struct vtrace_file_state *f, const char *name),
	ARGS(f, name),
	HEX(u64, file_table_address, f->table);
	FIELD(s32, fd, f->fd);
	OCT(u32, flags, f->flags);
	HEX(u32, fmode, f->mode);
	STRING(filename, name);
	/* LTTng had it before it had tables; lttng-analyses asks for it. */
	FIELD(s32, pid, f->pid))
