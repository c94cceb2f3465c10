// SPDX-License-Identifier: GPL-2.0
/* Schema records that are wrong, and some that would harm who prints them. */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/unaligned.h>

#include "hostile.h"

#define ID		7
#define HEAD		8
#define LONG_NAME	"a23456789012345678901234567890123456789012345678901234567890" \
			"123456789012345678901234567890123456789012345678901234567890" \
			"1234567890"

/* Bytes of a field: kind, size, flags, length of the name, count, name. */
#define OK_FIELD	"\1\10\0\1\0\0x"

#define ROW(_name, _event, _nfields, _fields)				\
	.name = _name,							\
	.event = _event, .event_len = sizeof(_event) - 1,		\
	.nfields = _nfields,						\
	.fields = _fields, .fields_len = sizeof(_fields) - 1

struct row {
	const char *name;
	const char *event;
	u8 event_len;
	u8 nfields;
	const char *fields;
	size_t fields_len;
	u32 id;			/* 0: a new one */
	u16 channel;
	int bytes;		/* more than there are */
};

static const struct row rows[] = {
	{ ROW("schema-name-empty", "", 1, OK_FIELD) },
	{ ROW("schema-name-digit", "9lives", 1, OK_FIELD) },
	{ ROW("schema-name-space", "a b", 1, OK_FIELD) },
	{ ROW("schema-name-quote", "x\"; }; event {", 1, OK_FIELD) },
	{ ROW("schema-name-newline", "a\nb", 1, OK_FIELD) },
	{ ROW("schema-name-escape", "a\33[31mb", 1, OK_FIELD) },
	{ ROW("schema-name-utf8", "\303\251", 1, OK_FIELD) },
	{ ROW("schema-name-nul", "a\0b", 1, OK_FIELD) },
	{ ROW("schema-name-path", "../x", 1, OK_FIELD) },
	{ ROW("schema-name-long", LONG_NAME, 1, OK_FIELD) },
	{ ROW("schema-field-empty", "e", 1, "\1\10\0\0\0\0") },
	{ ROW("schema-field-breaks-out", "e", 1, "\1\10\0\10\0\0x; } } ;") },
	{ ROW("schema-field-twice", "e", 2, OK_FIELD OK_FIELD) },
	{ ROW("schema-field-missing", "e", 2, OK_FIELD) },
	{ ROW("schema-field-surplus", "e", 1, OK_FIELD "\1\10\0\1\0\0y") },
	{ ROW("schema-fields-255", "e", 255, OK_FIELD) },
	{ ROW("schema-kind-0", "e", 1, "\0\10\0\1\0\0x") },
	{ ROW("schema-kind-99", "e", 1, "\143\10\0\1\0\0x") },
	{ ROW("schema-size-3", "e", 1, "\1\3\0\1\0\0x") },
	{ ROW("schema-size-0", "e", 1, "\1\0\0\1\0\0x") },
	{ ROW("schema-flags", "e", 1, "\1\10\377\1\0\0x") },
	{ ROW("schema-flag-unknown", "e", 1, "\1\10\200\1\0\0x") },
	{ ROW("schema-hex-and-oct", "e", 1, "\1\10\6\1\0\0x") },
	{ ROW("schema-array-0", "e", 1, "\1\10\20\1\0\0x") },
	{ ROW("schema-text-0", "e", 1, "\3\0\0\1\0\0x") },
	{ ROW("schema-seq-first", "e", 1, "\1\10\40\1\0\0x") },
	{ ROW("schema-seq-signed", "e", 2, "\1\4\1\1\0\0n\1\10\40\1\0\0x") },
	{ ROW("schema-seq-of-seq", "e", 3, "\1\4\0\1\0\0n\1\4\40\1\0\0m\1\10\40\1\0\0x") },
	{ ROW("schema-struct-0", "e", 1, "\4\0\0\1\0\0s") },
	{ ROW("schema-struct-missing", "e", 1, "\4\0\0\1\5\0s" OK_FIELD) },
	{ ROW("schema-depth", "e", 1,
	      "\4\0\0\1\1\0a\4\0\0\1\1\0b\4\0\0\1\1\0c\4\0\0\1\1\0d" OK_FIELD) },
	{ ROW("schema-enum-0", "e", 1, "\5\4\0\1\0\0x") },
	{ ROW("schema-enum-missing", "e", 1, "\5\4\0\1\377\377x") },
	{ ROW("schema-name-beyond", "e", 1, "\1\10\0\377\0\0x") },
	{ ROW("schema-contexts", "contexts", 1, OK_FIELD), .id = VTRACE_ID_FULL,
	  .channel = VTRACE_MAX_CHANNELS },
	{ ROW("schema-channel", "e", 1, OK_FIELD), .channel = VTRACE_MAX_CHANNELS },
	{ ROW("schema-bytes-beyond", "e", 1, OK_FIELD), .bytes = 1 },
	{ ROW("schema-bytes-short", "e", 1, OK_FIELD), .bytes = -1 },
	{ ROW("schema-bytes-0", "e", 1, OK_FIELD), .bytes = -16 },
};

static u8 record[65536];

static size_t build(const struct row *row)
{
	size_t bytes = HEAD + row->event_len + row->fields_len;

	put_unaligned((u16)(bytes + row->bytes), (u16 *)record);
	put_unaligned((u16)(row->id ?: ID), (u16 *)(record + 2));
	put_unaligned(row->channel, (u16 *)(record + 4));
	record[6] = row->nfields;
	record[7] = row->event_len;
	memcpy(record + HEAD, row->event, row->event_len);
	memcpy(record + HEAD + row->event_len, row->fields, row->fields_len);
	return bytes;
}

/* In one structure, as many as a record can hold. */
static int ten_thousand_fields(void)
{
	static const struct row row = {
		ROW("", "e", 1, "\4\0\0\1\20\47s"),
	};
	size_t bytes = build(&row);
	int i;

	for (i = 0; i < 7000; i++, bytes += 9)
		sprintf(record + bytes, "\1\10%c\3%c%ca%c%c", 0, 0, 0,
			'a' + i / 26 % 26, 'a' + i % 26);
	bytes = min_t(size_t, bytes, hostile.config.max_request - 8);
	put_unaligned((u16)bytes, (u16 *)record);
	return send(VTRACE_REQ_SCHEMA, record, bytes);
}

/* One after the other, until one is refused. */
static int too_many_events(void)
{
	struct row row = { ROW("", "e", 1, OK_FIELD) };
	int ret = 0;
	u32 i;

	for (i = 0; !ret && i < VTRACE_MAX_EVENTS + 1; i++) {
		char name[16];

		row.id = 1000 + i;
		row.event = name;
		row.event_len = sprintf(name, "e%u", i);
		ret = send(VTRACE_REQ_SCHEMA, record, build(&row));
	}
	return ret;
}

/* Another meaning for an id that is in use. */
static int redefined(void)
{
	struct row row = { ROW("", "one", 1, OK_FIELD), .id = 500 };
	int ret = send(VTRACE_REQ_SCHEMA, record, build(&row));

	row.event = "two";
	return ret ?: send(VTRACE_REQ_SCHEMA, record, build(&row));
}

static const struct {
	const char *name;
	int (*attempt)(void);
} attempts[] = {
	{ "schema-10000-fields", ten_thousand_fields },
	{ "schema-redefined", redefined },
	{ "schema-too-many", too_many_events },
};

void try_schemas(void)
{
	bool begun = false;
	int i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!wanted(rows[i].name))
			continue;
		if (!begun)
			introduce();
		begun = true;
		report(rows[i].name,
		       send(VTRACE_REQ_SCHEMA, record, build(&rows[i])),
		       VTRACE_S_BAD_VALUE);
	}
	for (i = 0; i < ARRAY_SIZE(attempts); i++)
		if (wanted(attempts[i].name))
			report(attempts[i].name,
			       introduce() ?: attempts[i].attempt(),
			       VTRACE_S_BAD_VALUE);
}
