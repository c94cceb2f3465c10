// SPDX-License-Identifier: GPL-2.0
/* Registrations of rings that are none. */
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/string.h>

#include "hostile.h"

int honest_ring(struct honest_ring *ring, u32 number, u32 vcpu)
{
	const struct vtrace_config_channel *c = &hostile.config.channel[0];
	struct vtrace_ring_desc *desc;
	u32 i;

	ring->data_bytes = (size_t)c->nsub * c->sub_size;
	ring->control_bytes = 2 * VTRACE_PAGE +
		PAGE_ALIGN(sizeof(struct vtrace_ring_guest) +
			   c->nsub * sizeof(struct vtrace_sub));
	ring->desc = alloc_pages_exact(ring->control_bytes, GFP_KERNEL | __GFP_ZERO);
	ring->data = alloc_pages_exact(ring->data_bytes, GFP_KERNEL | __GFP_ZERO);
	if (!ring->desc || !ring->data) {
		free_ring(ring);
		return -ENOMEM;
	}
	desc = ring->desc;
	desc->magic = VTRACE_RING_MAGIC;
	desc->version = VTRACE_VERSION;
	desc->ring = number;
	desc->vcpu = vcpu;
	desc->mode = c->mode;
	desc->sub_size = c->sub_size;
	desc->nsub = c->nsub;
	desc->epoch = hostile.epoch;
	for (i = 0; i < c->nsub; i++)
		desc->sub_gpa[i] = virt_to_phys(ring->data) + i * c->sub_size;
	return 0;
}

void free_ring(struct honest_ring *ring)
{
	if (ring->desc)
		free_pages_exact(ring->desc, ring->control_bytes);
	if (ring->data)
		free_pages_exact(ring->data, ring->data_bytes);
	ring->desc = NULL;
	ring->data = NULL;
}

int add_ring(const struct honest_ring *ring)
{
	struct vtrace_ring_ref ref = {
		.ring = ring->desc->ring,
		.gpa = virt_to_phys(ring->desc),
		.epoch = hostile.epoch,
	};

	return send(VTRACE_REQ_RING_ADD, &ref, sizeof(ref));
}

enum base { VALUE, FIRST_SUB, SECOND_SUB, CONTROL, ROOT_PAGE };

static u64 address(const struct honest_ring *ring, enum base base)
{
	switch (base) {
	case FIRST_SUB:
		return ring->desc->sub_gpa[0];
	case SECOND_SUB:
		return ring->desc->sub_gpa[1];
	case CONTROL:
		return virt_to_phys(ring->desc);
	case ROOT_PAGE:
		return virt_to_phys(hostile.root);
	default:
		return 0;
	}
}

/* One word of the descriptor that is wrong. */
static const struct {
	const char *name;
	size_t at;
	size_t bytes;
	enum base base;
	u64 value;
	int want;
} descs[] = {
#define DESC(field)	.at = offsetof(struct vtrace_ring_desc, field), \
			.bytes = sizeof_field(struct vtrace_ring_desc, field)
#define SUB(i)		.at = offsetof(struct vtrace_ring_desc, sub_gpa[i]), \
			.bytes = sizeof(u64)
	{ "ring-magic", DESC(magic), VALUE, 1, VTRACE_S_BAD_VALUE },
	{ "ring-version", DESC(version), VALUE, 2, VTRACE_S_BAD_VALUE },
	{ "ring-number", DESC(ring), VALUE, 5, VTRACE_S_BAD_VALUE },
	{ "ring-vcpu", DESC(vcpu), VALUE, 2, VTRACE_S_BAD_VALUE },
	{ "ring-vcpu-huge", DESC(vcpu), VALUE, 0xffffffff, VTRACE_S_BAD_VALUE },
	{ "ring-channel", DESC(channel), VALUE, 4, VTRACE_S_BAD_VALUE },
	{ "ring-mode", DESC(mode), VALUE, 2, VTRACE_S_BAD_VALUE },
	{ "ring-sub-size-0", DESC(sub_size), VALUE, 0, VTRACE_S_BAD_VALUE },
	{ "ring-sub-size-odd", DESC(sub_size), VALUE, 4097, VTRACE_S_BAD_VALUE },
	{ "ring-sub-size-huge", DESC(sub_size), VALUE, 1u << 31, VTRACE_S_BAD_VALUE },
	{ "ring-nsub-0", DESC(nsub), VALUE, 0, VTRACE_S_BAD_VALUE },
	{ "ring-nsub-odd", DESC(nsub), VALUE, 3, VTRACE_S_BAD_VALUE },
	{ "ring-nsub-huge", DESC(nsub), VALUE, 1u << 31, VTRACE_S_BAD_VALUE },
	{ "ring-epoch", DESC(epoch), VALUE, 1ull << 60, VTRACE_S_BAD_VALUE },
	{ "ring-sub-nowhere", SUB(0), VALUE, NOWHERE, VTRACE_S_BAD_ADDRESS },
	{ "ring-sub-wraps", SUB(0), VALUE, ~4095ull, VTRACE_S_BAD_ADDRESS },
	{ "ring-sub-misaligned", SUB(0), FIRST_SUB, 8, VTRACE_S_BAD_ADDRESS },
	{ "ring-sub-overlaps-sub", SUB(0), SECOND_SUB, 0, VTRACE_S_EXISTS },
	{ "ring-sub-overlaps-half", SUB(0), SECOND_SUB, -4096ull, VTRACE_S_EXISTS },
	{ "ring-sub-overlaps-control", SUB(0), CONTROL, 4096, VTRACE_S_EXISTS },
	{ "ring-sub-overlaps-root", SUB(0), ROOT_PAGE, 0, VTRACE_S_EXISTS },
#undef SUB
#undef DESC
};

/* What is refused changes nothing, so that one ring will do. */
static int begin(struct honest_ring *ring)
{
	int ret = introduce() ?: honest_ring(ring, 0, 0);

	if (ret)
		report("ring", ret, 0);
	return ret;
}

static void end(struct honest_ring *ring)
{
	if (ring->desc)
		send(VTRACE_REQ_BYE, NULL, 0);
	free_ring(ring);
}

static void try_descs(void)
{
	static struct vtrace_ring_desc honest;
	struct honest_ring ring = {};
	u64 value;
	int i;

	for (i = 0; i < ARRAY_SIZE(descs); i++) {
		struct vtrace_ring_ref ref = { .ring = 0 };

		if (!wanted(descs[i].name))
			continue;
		if (!ring.desc) {
			if (begin(&ring))
				return;
			honest = *ring.desc;
		}
		*ring.desc = honest;
		value = address(&ring, descs[i].base) + descs[i].value;
		memcpy((u8 *)ring.desc + descs[i].at, &value, descs[i].bytes);
		ref.gpa = virt_to_phys(ring.desc);
		ref.epoch = hostile.epoch;
		report(descs[i].name,
		       send(VTRACE_REQ_RING_ADD, &ref, sizeof(ref)),
		       descs[i].want);
	}
	end(&ring);
}

/* A request that is wrong; the descriptor is as it should be. */
static const struct {
	const char *name;
	u64 gpa;		/* 0: the ring's */
	u64 gpa_add;
	u64 epoch_add;
	int want;
} refs[] = {
	{ "ring-nowhere", NOWHERE, 0, 0, VTRACE_S_BAD_ADDRESS },
	{ "ring-wraps", ~4095ull, 0, 0, VTRACE_S_BAD_ADDRESS },
	{ "ring-misaligned", 0, 64, 0, VTRACE_S_BAD_ADDRESS },
	{ "ring-stale", 0, 0, -1ull, VTRACE_S_STALE },
	{ "ring-future", 0, 0, 1, VTRACE_S_STALE },
};

static void try_refs(void)
{
	struct honest_ring ring = {};
	int i;

	for (i = 0; i < ARRAY_SIZE(refs); i++) {
		struct vtrace_ring_ref ref = { .ring = 0 };

		if (!wanted(refs[i].name))
			continue;
		if (!ring.desc && begin(&ring))
			return;
		ref.gpa = (refs[i].gpa ?: virt_to_phys(ring.desc)) + refs[i].gpa_add;
		ref.epoch = hostile.epoch + refs[i].epoch_add;
		report(refs[i].name,
		       send(VTRACE_REQ_RING_ADD, &ref, sizeof(ref)),
		       refs[i].want);
	}
	end(&ring);
}

/* Two rings, of which the second is too much. */
static const struct {
	const char *name;
	u32 number;
	u32 vcpu;
	bool same_memory;
} pairs[] = {
	{ "ring-twice", 0, 0, true },
	{ "ring-number-twice", 0, 1, false },
	{ "ring-vcpu-twice", 1, 0, false },
	{ "ring-memory-twice", 1, 1, true },
};

static void try_pairs(void)
{
	struct honest_ring first, second;
	int i, ret;

	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		if (!wanted(pairs[i].name))
			continue;
		ret = introduce() ?: honest_ring(&first, 0, 0);
		if (ret) {
			report(pairs[i].name, ret, VTRACE_S_EXISTS);
			continue;
		}
		ret = honest_ring(&second, pairs[i].number, pairs[i].vcpu);
		if (!ret && pairs[i].same_memory)
			memcpy(second.desc->sub_gpa, first.desc->sub_gpa,
			       sizeof(first.desc->sub_gpa));
		if (!ret)
			ret = add_ring(&first);
		if (!ret)
			ret = add_ring(&second);
		report(pairs[i].name, ret, VTRACE_S_EXISTS);
		send(VTRACE_REQ_BYE, NULL, 0);
		free_ring(&first);
		free_ring(&second);
	}
}

void try_rings(void)
{
	try_descs();
	try_refs();
	try_pairs();
}
