/*
 * The driver's evaluator in user space. Standard input: cases, each a u32 of
 * payload bytes, the payload, then VALUES values: u64 number, u32 bytes, text
 * without a NUL. Fields come first, contexts behind them. Standard output: a
 * byte a case, 0 dropped, 1 passed, 2 refused, 3 passed with a notification.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#include "vtrace_filter.h"

#define FIELDS		4
#define VALUES		(FIELDS + VTRACE_CONTEXT_FILTER_END - VTRACE_CONTEXT_TID)

static int get(void *to, size_t bytes)
{
	return fread(to, 1, bytes, stdin) == bytes;
}

/* Of memory that ends where it does, for sanitizers to see. */
static void *get_new(u32 bytes)
{
	void *new = malloc(bytes);

	if (bytes && !get(new, bytes))
		exit(2);
	return new;
}

static int run(const struct vtrace_program *p, const struct vtrace_value *values)
{
	u32 at = 0, steps = 0, operand;

	while (at < VTRACE_MAX_TERMS) {
		if (at >= p->num_terms || steps++ >= p->num_terms)
			abort();
		operand = p->term[at].operand;
		if (operand >= VTRACE_MAX_FIELDS)
			operand = operand - VTRACE_CONTEXT_TID + FIELDS;
		else
			operand %= FIELDS;
		at = vtrace_term_holds(p, &p->term[at], &values[operand]) ?
			p->term[at].yes : p->term[at].no;
	}
	return at == VTRACE_NOTIFY ? 3 : at == VTRACE_PASS;
}

int main(void)
{
	struct vtrace_value values[VALUES];
	struct vtrace_program *p;
	u32 bytes, num_ids, i;
	const u16 *ids;
	void *payload;
	int valid;

	while (get(&bytes, sizeof(bytes))) {
		payload = get_new(bytes);
		p = calloc(1, sizeof(*p));
		for (i = 0; i < VALUES; i++) {
			if (!get(&values[i].number, sizeof(u64)) ||
			    !get(&values[i].bytes, sizeof(u32)))
				return 1;
			values[i].text = get_new(values[i].bytes);
		}
		valid = vtrace_program_read(p, payload, bytes, &ids, &num_ids);
		putchar(valid ? run(p, values) : 2);
		fflush(stdout);
		for (i = 0; i < VALUES; i++)
			free((void *)values[i].text);
		free(payload);
		free(p);
	}
	return 0;
}
