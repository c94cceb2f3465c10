// SPDX-License-Identifier: GPL-2.0
/* The schema of the driver's own events. */
#include <linux/build_bug.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>

#include "vtrace_driver.h"
#include "vtrace_event.h"

/* Where records go; without memory they are only counted. */
struct writer {
	u8 *buf;
	size_t bytes;
	size_t record;		/* where the last one begins */
	u8 num_fields;		/* that it has */
};

static void put(struct writer *w, const void *from, size_t bytes)
{
	if (w->buf)
		memcpy(w->buf + w->bytes, from, bytes);
	w->bytes += bytes;
}

static void put_u8(struct writer *w, u8 value)
{
	put(w, &value, sizeof(value));
}

static void put_u16(struct writer *w, u16 value)
{
	put(w, &value, sizeof(value));
}

static void put_u64(struct writer *w, u64 value)
{
	put(w, &value, sizeof(value));
}

/* In a record: u16 bytes, u16 id, u16 channel, u8 nfields, .. */
#define RECORD_NFIELDS	6

static void begin(struct writer *w, u16 id, u16 channel, const char *prefix,
		  const char *name)
{
	w->record = w->bytes;
	w->num_fields = 0;
	put_u16(w, 0);
	put_u16(w, id);
	put_u16(w, channel);
	put_u8(w, 0);
	put_u8(w, strlen(prefix) + strlen(name));
	put(w, prefix, strlen(prefix));
	put(w, name, strlen(name));
}

static void end(struct writer *w)
{
	u16 bytes = w->bytes - w->record;

	if (!w->buf)
		return;
	memcpy(w->buf + w->record, &bytes, sizeof(bytes));
	w->buf[w->record + RECORD_NFIELDS] = w->num_fields;
}

static void field(struct writer *w, const char *name, u8 kind, u8 size,
		  u8 flags, u16 count)
{
	put_u8(w, kind);
	put_u8(w, size);
	put_u8(w, flags);
	put_u8(w, strlen(name));
	put_u16(w, count);
	put(w, name, strlen(name));
}

static void labels(struct writer *w, const struct vtrace_label *label, u16 count)
{
	for (; count--; label++) {
		put_u64(w, label->value);
		put_u64(w, label->value);
		put_u8(w, strlen(label->name));
		put(w, label->name, strlen(label->name));
	}
}

/* Returns how many there are, not counting those inside others. */
static u8 fields(struct writer *w, const struct vtrace_field *f)
{
	u8 num = 0;

	for (; f->name; f++) {
		const struct vtrace_special *special = f->more;

		if (f->kind == VTRACE_FIELD_SPECIAL) {
			num += fields(w, special->fields);
			continue;
		}
		field(w, f->name, f->kind, f->size, f->flags, f->count);
		if (f->kind == VTRACE_FIELD_ENUM)
			labels(w, f->more, f->count);
		else if (f->kind == VTRACE_FIELD_STRUCT)
			fields(w, f->more);
		num++;
	}
	return num;
}

static void event(struct writer *w, u16 id, const char *prefix,
		  const char *name, const struct vtrace_field *f)
{
	begin(w, id, VTRACE_CHANNEL_EVENTS, prefix, name);
	w->num_fields = fields(w, f);
	end(w);
}

static void syscalls(struct writer *w)
{
	const struct vtrace_calls *c;
	unsigned int calls;
	u32 number;

	for (calls = 0; calls < VTRACE_NUM_CALLS; calls++) {
		c = &vtrace_calls[calls];
		event(w, vtrace_unknown_id(calls), c->prefix, "unknown",
		      c->unknown_fields);
		for (number = 0; number < c->num; number++)
			if (c->class[number].name)
				event(w, vtrace_call_id(calls, number),
				      c->prefix, c->class[number].name,
				      c->class[number].fields);
	}
}

/* The events of the tables in tracepoints.h and states.h. */

static void integer(struct writer *w, const char *name, u8 size, u8 flags)
{
	field(w, name, VTRACE_FIELD_INT, size, flags, 0);
	w->num_fields++;
}

static void enumeration(struct writer *w, const char *name, u8 size, u8 flags,
			const struct vtrace_label *label, u16 count)
{
	field(w, name, VTRACE_FIELD_ENUM, size, flags, count);
	labels(w, label, count);
	w->num_fields++;
}

static void text(struct writer *w, const char *name, u16 bytes)
{
	field(w, name, VTRACE_FIELD_TEXT, 1, 0, bytes);
	w->num_fields++;
}

static void string(struct writer *w, const char *name)
{
	field(w, name, VTRACE_FIELD_STRING, 0, 0, 0);
	w->num_fields++;
}

#define SIGN(type)	(is_signed_type(type) ? VTRACE_FIELD_SIGNED : 0)
#define FIELD(type, name, value)					\
	integer(w, #name, sizeof(type), SIGN(type))
#define HEX(type, name, value)						\
	integer(w, #name, sizeof(type), SIGN(type) | VTRACE_FIELD_HEX)
#define OCT(type, name, value)						\
	integer(w, #name, sizeof(type), SIGN(type) | VTRACE_FIELD_OCT)
#define HEX_BE(type, name, value)					\
	integer(w, #name, sizeof(type),					\
		SIGN(type) | VTRACE_FIELD_HEX | VTRACE_FIELD_BE)
#define EARLY	FIELD
#define ENUM(type, name, value, ...) ({					\
	static const struct vtrace_label labels_[] = { __VA_ARGS__ };	\
									\
	enumeration(w, #name, sizeof(type), SIGN(type), labels_,	\
		    ARRAY_SIZE(labels_));				\
})
#define LABEL(text, value)	{ text, value }
#define TEXT(name, bytes, array)	text(w, #name, bytes)
#define STRING(name, pointer)	string(w, #name)
#define SEQUENCE(length_type, type, name, length, value) ({		\
	integer(w, "_" #name "_length", sizeof(length_type), 0);	\
	integer(w, #name, sizeof(type), SIGN(type) | VTRACE_FIELD_SEQ);	\
})
#define NOTHING			do { } while (0)
#define EVENT(name, channel, fields...)					\
static void event_##name(struct writer *w)				\
{									\
	begin(w, VTRACE_ID_##name, channel, "", #name);			\
	fields;								\
	end(w);								\
}
#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
	EVENT(name, VTRACE_CHANNEL_EVENTS, fields)
#define STATE(name, proto, args, fields...)				\
	EVENT(name, VTRACE_CHANNEL_STATE, fields)
#define ABSENT(name)
#include "events/tracepoints.h"
#include "events/states.h"
#undef STATE
#undef TRACEPOINT

#define TRACEPOINT(name, tracepoint, proto, args, fields...)		\
	{ VTRACE_ID_##name, event_##name },
#define STATE(name, proto, args, fields...)				\
	{ VTRACE_ID_##name, event_##name },
static const struct {
	u16 id;
	void (*write)(struct writer *w);
} table_events[] = {
#include "events/tracepoints.h"
#include "events/states.h"
};

static bool offered(u16 id)
{
	return id >= VTRACE_IDS_STATE || vtrace_tracepoint_exists(id);
}

static void all(struct writer *w)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(table_events); i++)
		if (offered(table_events[i].id))
			table_events[i].write(w);
	syscalls(w);
}

/* A record of the channel's contexts. Returns its bytes; buf NULL: only that. */
size_t vtrace_schema_write_contexts(void *buf, u16 channel, u32 contexts)
{
	struct writer writer = { .buf = buf }, *w = &writer;

	begin(w, VTRACE_ID_FULL, channel, "", "contexts");
#define CONTEXT(which, field) do {					\
	if (contexts & VTRACE_CONTEXT_BIT(VTRACE_CONTEXT_##which))	\
		field;							\
} while (0)
#include "events/contexts.h"
#undef CONTEXT
	end(w);
	return w->bytes;
}

size_t vtrace_schema_size(void)
{
	struct writer w = {};

	all(&w);
	return w.bytes;
}

void vtrace_schema_write(void *buf)
{
	struct writer w = { .buf = buf };

	all(&w);
}
