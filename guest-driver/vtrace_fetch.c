// SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause
/* Probe definitions as they come from the device, and what they fetch. */
#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

#include "vtrace_fetch.h"

#ifndef notrace
#define notrace
#endif

/* A function has no more bytes than this; an offset leads to no other. */
#define MAX_OFFSET	(1u << 20)

/* Room for what a text has that faults. */
#define FAULT_TEXT	"(fault)"

static bool is_name(const char *text, u32 bytes)
{
	u32 i;

	for (i = 0; i < bytes; i++) {
		char c = text[i] | 0x20;

		if (!(c >= 'a' && c <= 'z') && text[i] != '_' &&
		    !(i && text[i] >= '0' && text[i] <= '9'))
			return false;
	}
	return bytes;
}

static bool is_printable(const char *text, u32 bytes)
{
	u32 i;

	for (i = 0; i < bytes; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	return true;
}

static bool is_load(const struct vtrace_probe_step *s)
{
	return s->op == VTRACE_FETCH_LOAD || s->op == VTRACE_FETCH_LOAD_USER;
}

static bool base_is_valid(u8 kind, const struct vtrace_probe_step *s)
{
	switch (s->op) {
	case VTRACE_FETCH_REGISTER:
		return kind != VTRACE_PROBE_TRACEPOINT &&
		       s->value < VTRACE_REGISTER_END;
	case VTRACE_FETCH_ARGUMENT:
		return kind != VTRACE_PROBE_RETURN &&
		       s->value < VTRACE_NUM_PROBE_ARGUMENTS;
	case VTRACE_FETCH_RETVAL:
		return kind == VTRACE_PROBE_RETURN;
	case VTRACE_FETCH_STACK:
	case VTRACE_FETCH_SP:
		return kind != VTRACE_PROBE_TRACEPOINT;
	case VTRACE_FETCH_IMMEDIATE:
	case VTRACE_FETCH_SYMBOL:
	case VTRACE_FETCH_COMM:
		return true;
	default:
		return false;
	}
}

static bool type_is_valid(const struct vtrace_probe_arg *a)
{
	u8 size = a->size;

	if (a->type == VTRACE_FIELD_STRING)
		return !size && !a->flags && a->count >= sizeof(FAULT_TEXT) &&
		       a->count <= VTRACE_MAX_PROBE_STRING;
	if (a->type != VTRACE_FIELD_INT ||
	    a->flags & ~(VTRACE_FIELD_SIGNED | VTRACE_FIELD_HEX | VTRACE_FIELD_ARRAY) ||
	    (size != 1 && size != 2 && size != 4 && size != 8))
		return false;
	if (a->flags & VTRACE_FIELD_ARRAY)
		return a->count && a->count <= VTRACE_MAX_PROBE_COUNT;
	return !a->count;
}

/* Of all steps: that each may be where it is, and reads what it may. */
static const char *check_steps(const struct vtrace_fetch *f,
			       const struct vtrace_probe_arg *a,
			       const struct vtrace_probe_step *first)
{
	const struct vtrace_probe_step *s, *last = first + a->num_steps - 1;
	bool array = a->flags & VTRACE_FIELD_ARRAY;
	u32 i;

	if (!base_is_valid(f->head.kind, first))
		return "an argument begins with what this kind of probe has not";
	if (!a->symbol_len == (first->op == VTRACE_FETCH_SYMBOL))
		return "a symbol without its step, or the other way round";
	if ((first->op == VTRACE_FETCH_COMM) !=
	    (a->type == VTRACE_FIELD_STRING && first == last))
		return "a thread's name is a text, and a text is in memory";
	if ((array || a->type == VTRACE_FIELD_STRING) && first != last &&
	    !is_load(last))
		return "a text or an array that is not in memory";
	if (array && first == last)
		return "an array that is not in memory";
	for (s = first; s <= last; s++) {
		u8 size = s == last ? a->size : 8;

		for (i = 0; i < sizeof(s->reserved); i++)
			if (s->reserved[i])
				return "a reserved field is not 0";
		if (s != first && s->op <= VTRACE_FETCH_LAST_BASE)
			return "a step begins anew";
		if (s->op == VTRACE_FETCH_BITS &&
		    (s != last || array || s->value & ~0x3f3full))
			return "bits of what is no integer, or none";
		if (s + 1 == last && last->op == VTRACE_FETCH_BITS)
			size = a->size;
		if (is_load(s) ? s->size != size : s->size)
			return "a step reads another size than its argument has";
		if (s->op > VTRACE_FETCH_BITS)
			return "there is no such step";
	}
	return NULL;
}

static u32 most_bytes(const struct vtrace_probe_arg *a)
{
	if (a->type == VTRACE_FIELD_STRING)
		return a->count;
	return a->size * (a->count ? a->count : 1);
}

/* Takes so many bytes from *at; NULL: there are fewer. */
static const char *take(const char **at, const char *end, u32 bytes)
{
	const char *begin = *at;

	if (bytes > end - begin)
		return NULL;
	*at += bytes;
	return begin;
}

static const char *read_arg(struct vtrace_fetch *f, struct vtrace_fetch_arg *a,
			    const char **at, const char *end)
{
	const char *head = take(at, end, sizeof(a->head)), *steps;
	struct vtrace_probe_step *first = f->step + f->num_steps;
	const char *wrong;
	u32 i;

	if (!head)
		return "it is too short";
	memcpy(&a->head, head, sizeof(a->head));
	if (!a->head.num_steps || a->head.num_steps > VTRACE_MAX_PROBE_STEPS)
		return "an argument has no steps, or too many";
	a->name = take(at, end, a->head.name_len);
	a->symbol = take(at, end, a->head.symbol_len);
	steps = take(at, end, a->head.num_steps * sizeof(*first));
	if (!a->name || !a->symbol || !steps)
		return "it is too short";
	/* Each has 16 bytes of the command: there cannot be more. */
	memcpy(first, steps, a->head.num_steps * sizeof(*first));
	a->first_step = f->num_steps;
	f->num_steps += a->head.num_steps;
	if (a->head.name_len > VTRACE_MAX_PROBE_NAME ||
	    !is_name(a->name, a->head.name_len))
		return "an argument's name is none";
	if (a->head.symbol_len > VTRACE_MAX_PROBE_SYMBOL ||
	    !is_printable(a->symbol, a->head.symbol_len))
		return "an argument's symbol is none";
	if (!type_is_valid(&a->head))
		return "an argument's type is none";
	wrong = check_steps(f, &a->head, first);
	for (i = 0; i < a->head.num_steps; i++)
		f->may_fault |= is_load(first + i);
	return wrong;
}

static bool head_is_valid(const struct vtrace_probe_def *h)
{
	if (h->kind < VTRACE_PROBE_ENTRY || h->kind > VTRACE_PROBE_TRACEPOINT ||
	    h->reserved[0] || h->reserved[1] || h->reserved[2])
		return false;
	if (h->offset && (h->kind != VTRACE_PROBE_ENTRY || h->offset > MAX_OFFSET))
		return false;
	if (h->maxactive && (h->kind != VTRACE_PROBE_RETURN ||
			     h->maxactive > VTRACE_MAX_PROBE_ACTIVE))
		return false;
	return h->rate <= VTRACE_MAX_PROBE_RATE &&
	       h->stack_depth <= VTRACE_MAX_PROBE_STACK &&
	       h->num_args <= VTRACE_MAX_PROBE_ARGS &&
	       h->name_len <= VTRACE_MAX_PROBE_NAME &&
	       h->symbol_len && h->symbol_len <= VTRACE_MAX_PROBE_SYMBOL;
}

const char *vtrace_fetch_read(struct vtrace_fetch *f, const void *payload,
			      u32 bytes)
{
	const char *at = payload, *end = at + bytes, *name, *symbol, *wrong;
	u32 i, most;

	memset(f, 0, sizeof(*f));
	if (bytes < sizeof(f->head) || bytes > VTRACE_CMD_BYTES)
		return "it is too short";
	memcpy(&f->head, take(&at, end, sizeof(f->head)), sizeof(f->head));
	if (!head_is_valid(&f->head))
		return "a field of its head is out of its bounds";
	name = take(&at, end, f->head.name_len);
	symbol = take(&at, end, f->head.symbol_len);
	if (!name || !symbol)
		return "it is too short";
	if (!is_name(name, f->head.name_len) ||
	    !is_printable(symbol, f->head.symbol_len))
		return "its name or its symbol is none";
	memcpy(f->name, name, f->head.name_len);
	memcpy(f->symbol, symbol, f->head.symbol_len);
	for (i = 0; i < f->head.num_args; i++) {
		wrong = read_arg(f, &f->arg[i], &at, end);
		if (wrong)
			return wrong;
	}
	f->filter = take(&at, end, f->head.filter_bytes);
	if (!f->filter || at != end)
		return "it has not the length that its fields say";

	/* What all have, the stack with its length. */
	most = 2 * sizeof(u64) + sizeof(u32) + 1 + sizeof(u64) * f->head.stack_depth;
	for (i = 0; i < f->head.num_args; i++)
		most += most_bytes(&f->arg[i].head);
	if (most > VTRACE_MAX_PROBE_BYTES)
		return "its events would be too large";
	return NULL;
}

static notrace u64 begin(const struct vtrace_probe_step *s,
			 const struct vtrace_hit *hit)
{
	if (s->op == VTRACE_FETCH_ARGUMENT)
		return hit->args ? *(hit->args + s->value) :
				   vtrace_fetch_argument(hit->regs, s->value);
	if (s->op == VTRACE_FETCH_REGISTER)
		return vtrace_fetch_register(hit->regs, s->value);
	if (s->op == VTRACE_FETCH_RETVAL)
		return vtrace_fetch_register(hit->regs, VTRACE_REGISTER_AX);
	if (s->op == VTRACE_FETCH_STACK)
		return vtrace_fetch_stack(hit->regs, s->value);
	if (s->op == VTRACE_FETCH_SP)
		return vtrace_fetch_register(hit->regs, VTRACE_REGISTER_SP);
	/* A symbol has become its address. */
	return s->value;
}

/* All steps before end. False: one of them faults. */
static notrace bool run(const struct vtrace_probe_step *s,
			const struct vtrace_probe_step *end,
			const struct vtrace_hit *hit, u64 *value)
{
	u64 from;

	*value = begin(s, hit);
	while (++s < end) {
		if (s->op == VTRACE_FETCH_BITS) {
			*value = *value << (s->value & 63) >> (s->value >> 8);
			continue;
		}
		from = *value + s->value;
		*value = 0;
		if (!vtrace_fetch_memory(value, from, s->size,
					 s->op == VTRACE_FETCH_LOAD_USER))
			return false;
	}
	return true;
}

/*
 * Up to its NUL, at most so many bytes with it; 0: it faults. In words that do
 * not cross a page, so that what is behind its end cannot fault.
 */
static notrace u32 read_text(u8 *to, u64 from, u32 most, bool user)
{
	u32 n = 0, i, bytes;

	while (n < most) {
		bytes = 8 - ((from + n) & 7);
		if (bytes > most - n)
			bytes = most - n;
		if (!vtrace_fetch_memory(to + n, from + n, bytes, user))
			return 0;
		for (i = 0; i < bytes; i++)
			if (!to[n + i])
				return n + i + 1;
		n += bytes;
	}
	to[n - 1] = '\0';
	return n;
}

static notrace u32 fetch_text(const struct vtrace_fetch_arg *a,
			      const struct vtrace_probe_step *first,
			      const struct vtrace_hit *hit, u8 *to, bool *ok)
{
	const struct vtrace_probe_step *last = first + a->head.num_steps - 1;
	u32 bytes = 0;
	u64 address;

	if (first->op == VTRACE_FETCH_COMM)
		return vtrace_fetch_comm(to, a->head.count);
	if (run(first, last, hit, &address))
		bytes = read_text(to, address + last->value, a->head.count,
				  last->op == VTRACE_FETCH_LOAD_USER);
	*ok = bytes;
	if (bytes)
		return bytes;
	memcpy(to, FAULT_TEXT, sizeof(FAULT_TEXT));
	return sizeof(FAULT_TEXT);
}

static notrace u32 fetch_array(const struct vtrace_fetch_arg *a,
			       const struct vtrace_probe_step *first,
			       const struct vtrace_hit *hit, u8 *to, bool *ok)
{
	const struct vtrace_probe_step *last = first + a->head.num_steps - 1;
	u32 bytes = most_bytes(&a->head);
	u64 address;

	*ok = run(first, last, hit, &address) &&
	      vtrace_fetch_memory(to, address + last->value, bytes,
				  last->op == VTRACE_FETCH_LOAD_USER);
	if (!*ok)
		memset(to, 0, bytes);
	return bytes;
}

static notrace u8 *put(u8 *to, const void *from, u32 bytes)
{
	memcpy(to, from, bytes);
	return to + bytes;
}

notrace void vtrace_fetch(const struct vtrace_fetch *f,
			  const struct vtrace_hit *hit,
			  struct vtrace_fetched *out)
{
	const struct vtrace_fetch_arg *a = f->arg;
	const struct vtrace_fetch_arg *end = a + f->head.num_args;
	u8 *to = out->data, *fault;
	u64 value;
	bool ok;

	out->fault = 0;
	if (f->head.kind != VTRACE_PROBE_TRACEPOINT)
		to = put(to, &hit->ip, sizeof(hit->ip));
	if (f->head.kind == VTRACE_PROBE_RETURN)
		to = put(to, &hit->parent_ip, sizeof(hit->parent_ip));
	fault = to;
	if (f->may_fault)
		to += sizeof(out->fault);
	for (; a < end; a++) {
		const struct vtrace_probe_step *first = f->step + a->first_step;

		*(out->at + (a - f->arg)) = to - out->data;
		ok = true;
		if (a->head.type == VTRACE_FIELD_STRING) {
			to += fetch_text(a, first, hit, to, &ok);
		} else if (a->head.flags & VTRACE_FIELD_ARRAY) {
			to += fetch_array(a, first, hit, to, &ok);
		} else {
			ok = run(first, first + a->head.num_steps, hit, &value);
			if (!ok)
				value = 0;
			/* Little-endian: the lower bytes come first. */
			to = put(to, &value, a->head.size);
		}
		if (!ok)
			out->fault |= 1u << (a - f->arg);
	}
	if (f->may_fault)
		memcpy(fault, &out->fault, sizeof(out->fault));
	out->bytes = to - out->data;
}
