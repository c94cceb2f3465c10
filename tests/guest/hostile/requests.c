// SPDX-License-Identifier: GPL-2.0
/* Requests of a wrong length, content or order, and too many of them. */
#include <linux/errno.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "hostile.h"

#define FLOOD	5000

static const struct {
	const char *name;
	u32 type;
	u32 len;		/* as the header says */
	u32 readable;		/* bytes in all */
	u32 writable;
	int want;
} lengths[] = {
	{ "request-unknown", 99, 0, 8, 16, VTRACE_S_BAD_REQUEST },
	{ "request-type-0", 0, 0, 8, 16, VTRACE_S_BAD_REQUEST },
	{ "request-no-header", 0, 0, 0, 16, VTRACE_S_BAD_REQUEST },
	{ "request-half-header", VTRACE_REQ_HELLO, 0, 4, 16, VTRACE_S_BAD_REQUEST },
	{ "request-short", VTRACE_REQ_ROOT, 8, 12, 16, VTRACE_S_BAD_REQUEST },
	{ "request-long", VTRACE_REQ_ROOT, 8, 32, 16, VTRACE_S_BAD_REQUEST },
	{ "request-len-wraps", VTRACE_REQ_ROOT, 0xfffffff8, 8, 16, VTRACE_S_BAD_REQUEST },
	{ "request-hello-short", VTRACE_REQ_HELLO, 100, 108, 16, VTRACE_S_BAD_REQUEST },
	{ "request-bye-long", VTRACE_REQ_BYE, 8, 16, 16, VTRACE_S_BAD_REQUEST },
	{ "request-done-empty", VTRACE_REQ_DONE, 0, 8, 16, VTRACE_S_BAD_REQUEST },
	{ "request-done-unknown", VTRACE_REQ_DONE, 8, 16, 16, VTRACE_S_NO_ENTRY },
	{ "request-done-text", VTRACE_REQ_DONE, 8 + 513, 16 + 513, 16, VTRACE_S_BAD_REQUEST },
	{ "request-too-big", VTRACE_REQ_SCHEMA, REQUEST_ROOM - 8, REQUEST_ROOM, 16, VTRACE_S_BAD_REQUEST },
	{ "request-response-short", 99, 0, 8, 15, NO_ROOM },
	{ "request-response-none", 99, 0, 8, 0, NO_ROOM },
};

static void try_lengths(void)
{
	struct vtrace_req *head = (struct vtrace_req *)hostile.request;
	bool begun = false;
	int i;

	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		if (!wanted(lengths[i].name))
			continue;
		/* What is refused changes nothing, so that one will do. */
		if (!begun)
			introduce();
		begun = true;
		memset(hostile.request, 0, 1024);
		head->type = lengths[i].type;
		head->len = lengths[i].len;
		report(lengths[i].name,
		       send_raw(lengths[i].readable, lengths[i].writable),
		       lengths[i].want);
	}
}

static const struct {
	const char *name;
	size_t at;		/* u32 in the hello */
	u32 value;
	int want;
} hellos[] = {
#define HELLO(field) offsetof(struct vtrace_hello, field)
	{ "hello-version", HELLO(driver_version), 2, VTRACE_S_REFUSED },
	{ "hello-arch", HELLO(arch), 77, VTRACE_S_REFUSED },
	{ "hello-page-size", HELLO(page_size), 65536, VTRACE_S_REFUSED },
	{ "hello-no-vcpus", HELLO(num_vcpus), 0, VTRACE_S_BAD_VALUE },
	{ "hello-vcpus", HELLO(num_vcpus), 0xffffffff, VTRACE_S_BAD_VALUE },
	{ "hello-clock", HELLO(clock_hz), 0, VTRACE_S_BAD_VALUE },
#undef HELLO
};

static void try_hellos(void)
{
	struct vtrace_hello hello;
	int i;

	for (i = 0; i < ARRAY_SIZE(hellos); i++) {
		if (!wanted(hellos[i].name))
			continue;
		hello = hostile.hello;
		*(u32 *)((u8 *)&hello + hellos[i].at) = hellos[i].value;
		report(hellos[i].name,
		       send(VTRACE_REQ_HELLO, &hello, sizeof(hello)),
		       hellos[i].want);
	}
}

static const struct {
	const char *name;
	u64 gpa;		/* 0: the root page */
	u64 add;
	size_t at;		/* u64 in the root page to spoil */
	u64 value;
	int want;
} roots[] = {
#define ROOT(field) offsetof(struct vtrace_root, field)
	{ "root-nowhere", NOWHERE, 0, ROOT(lost_no_ring), 0, VTRACE_S_BAD_ADDRESS },
	{ "root-wraps", ~4095ull, 0, ROOT(lost_no_ring), 0, VTRACE_S_BAD_ADDRESS },
	{ "root-misaligned", 0, 8, ROOT(lost_no_ring), 0, VTRACE_S_BAD_ADDRESS },
	{ "root-magic", 0, 0, ROOT(magic), 1, VTRACE_S_BAD_VALUE },
	{ "root-epoch", 0, 0, ROOT(epoch), 1ull << 60, VTRACE_S_BAD_VALUE },
	{ "root-boot-id", 0, 0, ROOT(boot_id), 5, VTRACE_S_BAD_VALUE },
	{ "root-clock-nowhere", 0, 0, ROOT(clock_gpa), NOWHERE, VTRACE_S_BAD_ADDRESS },
	{ "root-schema-nowhere", 0, 0, ROOT(schema_bytes), NOWHERE, VTRACE_S_BAD_ADDRESS },
#undef ROOT
};

static void try_roots(void)
{
	struct vtrace_root *root = hostile.root;
	struct vtrace_addr addr;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(roots); i++) {
		if (!wanted(roots[i].name))
			continue;
		ret = say_hello();
		memset(root, 0, sizeof(*root));
		root->magic = VTRACE_ROOT_MAGIC;
		root->version = VTRACE_VERSION;
		root->epoch = hostile.epoch;
		memcpy(root->boot_id, hostile.hello.boot_id, sizeof(root->boot_id));
		*(u64 *)((u8 *)root + roots[i].at) = roots[i].value;
		addr.gpa = (roots[i].gpa ?: virt_to_phys(root)) + roots[i].add;
		if (!ret)
			ret = send(VTRACE_REQ_ROOT, &addr, sizeof(addr));
		report(roots[i].name, ret, roots[i].want);
	}
}

static int root_twice(void)
{
	struct vtrace_addr addr = { .gpa = virt_to_phys(hostile.root) };

	return introduce() ?: send(VTRACE_REQ_ROOT, &addr, sizeof(addr));
}

static int epoch_unasked(void)
{
	struct vtrace_epoch epoch = {};

	if (introduce())
		return -EIO;
	epoch.epoch = hostile.epoch + 1;
	return send(VTRACE_REQ_EPOCH_ACK, &epoch, sizeof(epoch));
}

static int ring_del_unknown(void)
{
	struct vtrace_ring_ref ref = { .ring = 4711 };

	if (introduce())
		return -EIO;
	ref.epoch = hostile.epoch;
	return send(VTRACE_REQ_RING_DEL, &ref, sizeof(ref));
}

static int after_bye(void)
{
	struct vtrace_ring_ref ref = { .ring = 0 };
	int ret = introduce() ?: send(VTRACE_REQ_BYE, NULL, 0);

	ref.epoch = hostile.epoch;
	return ret ?: send(VTRACE_REQ_RING_ADD, &ref, sizeof(ref));
}

static int before_root(void)
{
	struct vtrace_ring_ref ref = { .ring = 0 };

	if (say_hello())
		return -EIO;
	ref.epoch = hostile.epoch;
	return send(VTRACE_REQ_RING_ADD, &ref, sizeof(ref));
}

/* As fast as they are answered: each is, and the device serves on. */
static int flood(void)
{
	int i, ret = VTRACE_S_BAD_REQUEST;

	for (i = 0; i < FLOOD && ret == VTRACE_S_BAD_REQUEST; i++)
		ret = send(99, NULL, 0);
	return ret;
}

static const struct {
	const char *name;
	int (*attempt)(void);
	int want;
} orders[] = {
	{ "order-root-twice", root_twice, VTRACE_S_EXISTS },
	{ "order-epoch-unasked", epoch_unasked, VTRACE_S_STALE },
	{ "order-ring-del-unknown", ring_del_unknown, VTRACE_S_NO_ENTRY },
	{ "order-after-bye", after_bye, VTRACE_S_STALE },
	{ "order-before-root", before_root, VTRACE_S_BAD_REQUEST },
	{ "flood", flood, VTRACE_S_BAD_REQUEST },
};

void try_requests(void)
{
	int i;

	try_lengths();
	try_hellos();
	try_roots();
	for (i = 0; i < ARRAY_SIZE(orders); i++)
		if (wanted(orders[i].name))
			report(orders[i].name, orders[i].attempt(),
			       orders[i].want);
}
