/* SPDX-License-Identifier: GPL-2.0 OR BSD-3-Clause */
/*
 * Filters: what decides, before anything is reserved, whether an event is
 * recorded. The includer brings memcpy() and __always_inline. In a program that
 * vtrace_program_read() has taken jumps only go forward, so that each term is
 * evaluated once at most.
 */
#ifndef VTRACE_FILTER_H
#define VTRACE_FILTER_H

#include "vtrace_abi.h"

/* A program as the driver keeps it: checked, and of memory of its own. */
struct vtrace_program {
	struct vtrace_program *next;	/* vtrace_filter.c's */
	u32 users;
	u32 num_terms;
	struct vtrace_term term[VTRACE_MAX_TERMS];
	char patterns[VTRACE_MAX_PATTERNS];
};

/* What a term looks at. */
struct vtrace_value {
	u64 number;		/* sign-extended, if it is signed */
	const char *text;	/* up to a NUL, or to its bytes */
	u32 bytes;
};

/* What there is to look at. */
enum vtrace_value_kind {
	VTRACE_VALUE_NONE,	/* there is no such thing, or it is neither */
	VTRACE_VALUE_NUMBER,
	VTRACE_VALUE_TEXT
};

static inline enum vtrace_value_kind vtrace_context_kind(u16 operand)
{
	if (operand < VTRACE_CONTEXT_TID || operand >= VTRACE_CONTEXT_FILTER_END)
		return VTRACE_VALUE_NONE;
	return operand == VTRACE_CONTEXT_PROCNAME ? VTRACE_VALUE_TEXT :
						    VTRACE_VALUE_NUMBER;
}

static inline enum vtrace_value_kind vtrace_term_kind(const struct vtrace_term *t)
{
	return t->op == VTRACE_OP_MATCH ? VTRACE_VALUE_TEXT :
					  VTRACE_VALUE_NUMBER;
}

static inline int vtrace_target_is_valid(u8 target, u32 from, u32 num_terms)
{
	return target >= VTRACE_NOTIFY || (target > from && target < num_terms);
}

/*
 * Of all terms, but not of their fields: which there are depends on the event.
 * p has what the command had, and zeros.
 */
static inline int vtrace_program_is_valid(const struct vtrace_program *p,
					  u32 pattern_bytes)
{
	const struct vtrace_term *t;
	u32 i;

	if (pattern_bytes && p->patterns[pattern_bytes - 1])
		return 0;
	for (i = 0; i < p->num_terms; i++) {
		t = &p->term[i];
		if (t->op < VTRACE_OP_EQUAL || t->op > VTRACE_OP_MATCH ||
		    t->flags & ~VTRACE_TERM_SIGNED || t->reserved ||
		    !vtrace_target_is_valid(t->yes, i, p->num_terms) ||
		    !vtrace_target_is_valid(t->no, i, p->num_terms))
			return 0;
		if (t->op == VTRACE_OP_MATCH && t->value >= pattern_bytes)
			return 0;
		if (t->operand >= VTRACE_MAX_FIELDS &&
		    vtrace_context_kind(t->operand) != vtrace_term_kind(t))
			return 0;
	}
	return 1;
}

/* Whatever the event is, at a glance. */
static inline int vtrace_program_always_notifies(const struct vtrace_program *p)
{
	return p->num_terms == 1 && p->term[0].yes == VTRACE_NOTIFY &&
	       p->term[0].no == VTRACE_NOTIFY;
}

/*
 * Make p, of zeros, what a command's payload says; its ids stay there, aligned
 * as it is. 0: it says nothing that makes sense.
 */
static inline int vtrace_program_read(struct vtrace_program *p,
				      const void *payload, u32 bytes,
				      const u16 **ids, u32 *num_ids)
{
	const struct vtrace_filter *head = payload;
	const char *at = (const char *)(head + 1);
	u32 term_bytes;

	if (bytes < sizeof(*head) || head->reserved || !head->num_terms ||
	    head->num_terms > VTRACE_MAX_TERMS || head->pattern_bytes % 2 ||
	    head->pattern_bytes > VTRACE_MAX_PATTERNS)
		return 0;
	p->num_terms = head->num_terms;
	*num_ids = head->num_ids;
	term_bytes = p->num_terms * sizeof(p->term[0]);
	if (bytes != sizeof(*head) + term_bytes + head->pattern_bytes +
		     *num_ids * sizeof(**ids))
		return 0;
	memcpy(p->term, at, term_bytes);
	memcpy(p->patterns, at + term_bytes, head->pattern_bytes);
	*ids = (const u16 *)(at + term_bytes + head->pattern_bytes);
	return vtrace_program_is_valid(p, head->pattern_bytes);
}

/*
 * In the pattern '*' is any text, and a backslash takes its meaning from what
 * follows. No recursion: on a mismatch the last '*' takes one more. The text
 * may change meanwhile, and is never read beyond its bytes.
 */
static inline int vtrace_text_matches(const char *pattern, const char *text,
				      u32 bytes)
{
	const char *star = 0, *p = pattern;
	u32 from = 0, i = 0;
	char wanted;

	while (i < bytes && text[i]) {
		if (*p == '*') {
			star = ++p;
			from = i;
			continue;
		}
		wanted = *p;
		if (wanted == '\\' && p[1])
			wanted = *++p;
		if (wanted && wanted == text[i]) {
			p++;
			i++;
			continue;
		}
		if (!star)
			return 0;
		p = star;
		i = ++from;
	}
	while (*p == '*')
		p++;
	return !*p;
}

/* Of all operations but VTRACE_OP_MATCH. */
static __always_inline int vtrace_number_holds(const struct vtrace_term *t,
					       u64 number)
{
	if (t->op == VTRACE_OP_EQUAL)
		return number == t->value;
	if (t->op == VTRACE_OP_BITS)
		return !!(number & t->value);
	if (t->flags & VTRACE_TERM_SIGNED)
		return t->op == VTRACE_OP_LESS ? (s64)number < (s64)t->value :
						 (s64)number > (s64)t->value;
	return t->op == VTRACE_OP_LESS ? number < t->value : number > t->value;
}

static inline int vtrace_term_holds(const struct vtrace_program *p,
				    const struct vtrace_term *t,
				    const struct vtrace_value *v)
{
	if (t->op == VTRACE_OP_MATCH)
		return vtrace_text_matches(p->patterns + t->value, v->text,
					   v->bytes);
	return vtrace_number_holds(t, v->number);
}

#endif
