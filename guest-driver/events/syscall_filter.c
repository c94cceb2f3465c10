// SPDX-License-Identifier: GPL-2.0
/* Filters of system calls' events: which there are, and what they look at. */
#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <asm/syscall.h>

#include "events/syscall_filter.h"
#include "events/syscall_special.h"

struct vtrace_program *vtrace_syscall_filters[VTRACE_NUM_CALLS][VTRACE_SYSCALL_FILTERS];
static_assert(VTRACE_NUM_SYSCALLS < VTRACE_SYSCALL_FILTERS);
static_assert(VTRACE_NUM_COMPAT < VTRACE_SYSCALL_FILTERS);

void vtrace_syscall_filter(unsigned int calls, s32 number,
			   struct vtrace_program *filter)
{
	if (number < 0)
		number = VTRACE_SYSCALL_FILTERS - 1;
	vtrace_program_set(&vtrace_syscall_filters[calls][number], filter);
}

static __always_inline enum vtrace_value_kind kind_of(const struct vtrace_field *f)
{
	if (f->kind == VTRACE_FIELD_STRING)
		return VTRACE_VALUE_TEXT;
	if ((f->kind != VTRACE_FIELD_INT && f->kind != VTRACE_FIELD_ENUM) ||
	    f->flags & (VTRACE_FIELD_ARRAY | VTRACE_FIELD_SEQ))
		return VTRACE_VALUE_NONE;
	return VTRACE_VALUE_NUMBER;
}

/* A field, and where it comes from. */
struct source {
	const struct vtrace_field *field;
	const struct vtrace_special *special;	/* NULL: an argument */
	u32 offset;		/* in what special writes */
};

/*
 * By the field's number in the schema. False: there is none, or it is not one
 * integer or string at a place that is always the same.
 */
static notrace bool find(struct source *s, const struct vtrace_field *f, u16 index)
{
	const struct vtrace_field *in;

	for (; f->name; f++) {
		if (f->kind != VTRACE_FIELD_SPECIAL) {
			s->field = f;
			s->special = NULL;
			if (!index--)
				return kind_of(f) != VTRACE_VALUE_NONE;
			continue;
		}
		s->special = f->more;
		s->offset = 0;
		for (in = s->special->fields; in->name; in++) {
			s->field = in;
			if (!index--)
				return s->offset != U32_MAX &&
				       kind_of(in) == VTRACE_VALUE_NUMBER;
			if (kind_of(in) != VTRACE_VALUE_NUMBER)
				s->offset = U32_MAX;
			else if (s->offset != U32_MAX)
				s->offset += in->size;
		}
	}
	return false;
}

struct call_ref {
	unsigned int calls;
	s32 number;
};

static enum vtrace_value_kind kind(const void *event, u16 field)
{
	const struct call_ref *ref = event;
	const struct vtrace_calls *c = &vtrace_calls[ref->calls];
	struct source s;

	if (!find(&s, ref->number < 0 ? c->unknown_fields :
					c->class[ref->number].fields, field))
		return VTRACE_VALUE_NONE;
	return kind_of(s.field);
}

bool vtrace_syscall_filter_fits(unsigned int calls, s32 number,
				const struct vtrace_program *filter)
{
	struct call_ref ref = { .calls = calls, .number = number };

	return vtrace_program_fits(filter, &ref, kind);
}

static notrace u64 number_at(const u8 *from, const struct vtrace_field *f)
{
	u64 raw = 0;

	if (f->flags & VTRACE_FIELD_BE) {
		unsigned int i;

		for (i = 0; i < f->size; i++)
			raw = raw << BITS_PER_BYTE | from[i];
	} else {
		memcpy(&raw, from, f->size);
	}
	return vtrace_syscall_extend(raw, f);
}

static notrace void look_at(struct vtrace_value *v, const struct source *s,
			    unsigned int calls, struct pt_regs *regs, u8 *room)
{
	unsigned long args[VTRACE_NUM_ARGS];
	unsigned long raw;
	long ret = 1;

	if (s->special) {
		syscall_get_arguments(current, regs, args);
		if (calls & VTRACE_CALLS_EXIT)
			ret = syscall_get_return_value(current, regs);
		s->special->write(room, args, ret);
		v->number = number_at(room + s->offset, s->field);
		return;
	}
	raw = *(const unsigned long *)((const void *)regs + s->field->reg);
	if (s->field->kind == VTRACE_FIELD_STRING) {
		v->text = (const char *)room;
		v->bytes = vtrace_put_user_string(room, (const char __user *)raw) - room;
	} else {
		v->number = vtrace_syscall_extend(raw, s->field);
	}
}

notrace u8 vtrace_syscall_verdict(unsigned int calls, long number, bool known,
				  u8 at, struct pt_regs *regs, u8 *room)
{
	const struct vtrace_program *filter =
		vtrace_syscall_filter_of(calls, number, known);
	struct vtrace_value v = {};
	struct source s;
	u16 field;

	if (!filter)
		return VTRACE_DROP;
	while (at < VTRACE_MAX_TERMS) {
		field = filter->term[at].operand;
		if (field < VTRACE_MAX_FIELDS && known &&
		    find(&s, vtrace_calls[calls].class[number].fields, field))
			look_at(&v, &s, calls, regs, room);
		else if (field < VTRACE_MAX_FIELDS)
			v.number = field ? syscall_get_return_value(current, regs) :
					   number;
		at = vtrace_program_step(filter, at, &v);
	}
	return at;
}
