/*
 * The driver's interpreter of probe definitions in user space. Standard input:
 * cases, each a u32 of payload bytes, the payload, and a struct world. Standard
 * output: a u32 of bytes and these, or 0xffffffff if the definition is refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vtrace_fetch.h"

#define KERNEL		0xffff888000001000ull
#define USER		0x400000ull
#define USER_END	(1ull << 47)
#define SYMBOL		(KERNEL + 64)
#define BYTES		256
#define WORDS		16

static struct world {
	u64 registers[VTRACE_REGISTER_END];
	u64 stack[WORDS];
	u64 args[VTRACE_NUM_PROBE_ARGUMENTS];
	u64 ip, parent_ip;
	u8 comm[16];
	u8 kernel[BYTES];
	u8 user[BYTES];
} world;

bool vtrace_fetch_memory(void *to, u64 from, u32 bytes, bool user)
{
	const u8 *memory = world.kernel;
	u64 begin = KERNEL;

	if (user || from < USER_END) {
		memory = world.user;
		begin = USER;
	}
	if (!bytes || from < begin || from - begin > BYTES - bytes)
		return false;
	memcpy(to, memory + (from - begin), bytes);
	return true;
}

u64 vtrace_fetch_stack(const struct pt_regs *regs, u64 word)
{
	(void)regs;
	return word < WORDS ? world.stack[word] : 0;
}

u64 vtrace_fetch_register(const struct pt_regs *regs, u32 code)
{
	(void)regs;
	if (code >= VTRACE_REGISTER_END)
		abort();
	return world.registers[code];
}

u64 vtrace_fetch_argument(const struct pt_regs *regs, u32 index)
{
	(void)regs;
	if (index >= VTRACE_NUM_PROBE_ARGUMENTS)
		abort();
	return world.args[index];
}

u32 vtrace_fetch_comm(u8 *to, u32 bytes)
{
	u32 i;

	for (i = 0; i < bytes - 1 && i < 15 && world.comm[i]; i++)
		to[i] = world.comm[i];
	to[i] = 0;
	return i + 1;
}

static int get(void *to, size_t bytes)
{
	return fread(to, 1, bytes, stdin) == bytes;
}

static void run(const struct vtrace_fetch *f)
{
	struct vtrace_hit hit = { .ip = world.ip, .parent_ip = world.parent_ip };
	struct vtrace_fetched *got = malloc(sizeof(*got));

	if (f->head.kind == VTRACE_PROBE_TRACEPOINT)
		hit.args = world.args;
	else
		hit.regs = (const struct pt_regs *)&world;
	vtrace_fetch(f, &hit, got);
	if (got->bytes > sizeof(got->data))
		abort();
	fwrite(&got->bytes, sizeof(got->bytes), 1, stdout);
	fwrite(got->data, 1, got->bytes, stdout);
	free(got);
}

int main(void)
{
	const u32 refused = ~0u;
	struct vtrace_fetch *f;
	void *payload;
	u32 bytes, i;

	while (get(&bytes, sizeof(bytes))) {
		/* Of memory that ends where it does, for sanitizers to see. */
		payload = malloc(bytes);
		if ((bytes && !get(payload, bytes)) || !get(&world, sizeof(world)))
			return 1;
		f = malloc(sizeof(*f));
		if (vtrace_fetch_read(f, payload, bytes)) {
			fwrite(&refused, sizeof(refused), 1, stdout);
		} else {
			for (i = 0; i < f->head.num_args; i++)
				if (f->arg[i].head.symbol_len)
					f->step[f->arg[i].first_step].value += SYMBOL;
			run(f);
		}
		fflush(stdout);
		free(f);
		free(payload);
	}
	return 0;
}
