// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Counts the instructions that a guest executes between two marks, by vCPU,
 * and in watched ranges by address.
 *
 *   -plugin libinsn_count.so,out=FILE[,watch=LO-HI]...
 *
 * A mark is an instruction that does nothing: nopl 0x4d5456NN(%rax,%rax,1),
 * NN = 01 where counting begins, NN = 02 where it ends. Each end adds a
 * section to FILE, whole before the guest goes on:
 *
 *   section 1
 *   vcpu 0 1234567			instructions between the marks
 *   insn ffffffffc0a01234 2000		and those at watched addresses
 *   end 1
 *
 * Addresses are hexadecimal and virtual. What is watched is fixed when QEMU
 * starts, since a block that has been translated stays as it is: watch the
 * range that modules are loaded into, and ask the guest afterwards where its
 * module is.
 *
 * An instruction counts when it begins to execute: one that faults counts
 * again when it is repeated, and a string instruction with a repeat prefix
 * counts at least once.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qemu_plugin_api.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define MARK_LEN 8
#define MARK_AT 4
static const uint8_t mark_code[MARK_LEN] = {
	0x0f, 0x1f, 0x84, 0x00, 0, 0x56, 0x54, 0x4d
};
enum { MARK_BEGIN = 1, MARK_END = 2 };

/*
 * Counters: 0 is of all instructions, the others of one watched address each.
 * 64 Ki addresses are all of a few modules' code.
 */
#define COUNTERS (1u << 16)
#define HASH (2 * COUNTERS)
#define MAX_VCPUS 64
#define MAX_WATCHED 8

static struct qemu_plugin_scoreboard *board;
static uint64_t address[COUNTERS];
static uint32_t hash[HASH];	/* counters by address; 0: none */
static uint32_t counters = 1;
static uint64_t unwatched;	/* watched addresses that had no room */

static uint64_t at_begin[MAX_VCPUS][COUNTERS];
static bool counting;
static unsigned int sections;

static struct range {
	uint64_t lo, hi;
} watched[MAX_WATCHED];
static int num_watched;

static FILE *out;
/* Blocks are translated, and marks passed, by several vCPUs at once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static qemu_plugin_u64 counter(uint32_t n)
{
	return (qemu_plugin_u64){ board, n * sizeof(uint64_t) };
}

static unsigned int num_vcpus(void)
{
	int n = qemu_plugin_num_vcpus();

	return n < MAX_VCPUS ? n : MAX_VCPUS;
}

static bool is_watched(uint64_t pc)
{
	for (int i = 0; i < num_watched; i++)
		if (pc >= watched[i].lo && pc < watched[i].hi)
			return true;
	return false;
}

/* The counter of a watched address; 0 when there is no room for it. */
static uint32_t counter_of(uint64_t pc)
{
	uint32_t at = pc * 0x9e3779b97f4a7c15ull >> 32 & (HASH - 1);
	uint32_t n;

	pthread_mutex_lock(&lock);
	while ((n = hash[at]) && address[n] != pc)
		at = (at + 1) & (HASH - 1);
	if (!n && counters < COUNTERS) {
		n = counters++;
		address[n] = pc;
		hash[at] = n;
	}
	unwatched += !n;
	pthread_mutex_unlock(&lock);
	return n;
}

static void begin(void)
{
	for (unsigned int vcpu = 0; vcpu < num_vcpus(); vcpu++)
		for (uint32_t n = 0; n < counters; n++)
			at_begin[vcpu][n] = qemu_plugin_u64_get(counter(n), vcpu);
	counting = true;
}

static uint64_t since_begin(uint32_t n, unsigned int vcpu)
{
	return qemu_plugin_u64_get(counter(n), vcpu) - at_begin[vcpu][n];
}

static void end(void)
{
	if (!counting)
		return;
	counting = false;
	fprintf(out, "section %u\n", ++sections);
	for (unsigned int vcpu = 0; vcpu < num_vcpus(); vcpu++)
		fprintf(out, "vcpu %u %" PRIu64 "\n", vcpu, since_begin(0, vcpu));
	for (uint32_t n = 1; n < counters; n++) {
		uint64_t sum = 0;

		for (unsigned int vcpu = 0; vcpu < num_vcpus(); vcpu++)
			sum += since_begin(n, vcpu);
		if (sum)
			fprintf(out, "insn %" PRIx64 " %" PRIu64 "\n", address[n], sum);
	}
	if (unwatched)
		fprintf(out, "unwatched %" PRIu64 "\n", unwatched);
	fprintf(out, "end %u\n", sections);
	if (fflush(out))
		qemu_plugin_outs("insn_count: cannot write to the output file\n");
}

static void on_mark(unsigned int vcpu, void *what)
{
	(void)vcpu;
	pthread_mutex_lock(&lock);
	if ((uintptr_t)what == MARK_BEGIN)
		begin();
	else
		end();
	pthread_mutex_unlock(&lock);
}

static int mark_of(const struct qemu_plugin_insn *insn)
{
	uint8_t code[MARK_LEN];
	int mark;

	if (qemu_plugin_insn_data(insn, code, MARK_LEN) != MARK_LEN)
		return 0;
	mark = code[MARK_AT];
	code[MARK_AT] = mark_code[MARK_AT];
	return memcmp(code, mark_code, MARK_LEN) ? 0 : mark;
}

static void call_at(struct qemu_plugin_insn *insn, uintptr_t mark)
{
	qemu_plugin_register_vcpu_insn_exec_cb(insn, on_mark,
					       QEMU_PLUGIN_CB_NO_REGS,
					       (void *)mark);
}

static void count(struct qemu_plugin_insn *insn, uint32_t n)
{
	qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
		insn, QEMU_PLUGIN_INLINE_ADD_U64, counter(n), 1);
}

static void on_translation(struct qemu_plugin_tb *tb, void *data)
{
	size_t insns = qemu_plugin_tb_n_insns(tb);

	(void)data;
	for (size_t i = 0; i < insns; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uint64_t pc = qemu_plugin_insn_vaddr(insn);
		uint32_t n = is_watched(pc) ? counter_of(pc) : 0;
		int mark = mark_of(insn);

		/* They run in this order, and neither mark is between the marks. */
		if (mark == MARK_END)
			call_at(insn, MARK_END);
		count(insn, 0);
		if (n)
			count(insn, n);
		if (mark == MARK_BEGIN)
			call_at(insn, MARK_BEGIN);
	}
}

static int refuse(const char *what, const char *value)
{
	fprintf(stderr, "insn_count: %s: %s\n", what, value);
	return -1;
}

static int watch(const char *text)
{
	struct range *r = &watched[num_watched];
	int used = 0;

	if (num_watched == MAX_WATCHED)
		return refuse("too many ranges to watch", text);
	if (sscanf(text, "%" SCNx64 "-%" SCNx64 "%n", &r->lo, &r->hi, &used) != 2 ||
	    text[used] || r->lo >= r->hi)
		return refuse("not a range of addresses (LO-HI, hexadecimal)", text);
	num_watched++;
	return 0;
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
			char **argv)
{
	if (!info->system_emulation || strcmp(info->target_name, "x86_64"))
		return refuse("not a machine with marks", info->target_name);
	if (info->system.max_vcpus > MAX_VCPUS)
		return refuse("too many vCPUs", "64 are counted");
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4) && !out) {
			out = fopen(argv[i] + 4, "we");
			if (!out)
				return refuse("cannot open", argv[i] + 4);
		} else if (!strncmp(argv[i], "watch=", 6)) {
			if (watch(argv[i] + 6))
				return -1;
		} else {
			return refuse("unknown argument", argv[i]);
		}
	}
	if (!out)
		return refuse("missing argument", "out=FILE");
	board = qemu_plugin_scoreboard_new(COUNTERS * sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation, NULL);
	return 0;
}
