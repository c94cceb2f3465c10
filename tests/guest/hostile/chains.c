// SPDX-License-Identifier: GPL-2.0
/* Descriptors as the virtio core never writes them. */
#include <linux/delay.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/virtio_ring.h>

#include "hostile.h"

#define F_NEXT		VRING_DESC_F_NEXT
#define F_WRITE		VRING_DESC_F_WRITE
#define F_INDIRECT	VRING_DESC_F_INDIRECT
#define EITHER		1000	/* answered or left alone, as the device likes */

enum where { REQUEST, RESPONSE, TABLE, OUTSIDE, LAST_BYTES };

struct piece {
	enum where where;
	u32 len;
	u16 flags;
	u16 next;
};

struct chain {
	const char *name;
	struct piece direct[2];
	struct piece table[2];
	u16 head;
	u16 more;		/* available than there are */
	bool all;		/* every descriptor of the queue in one chain */
	int want;
};

static const struct chain chains[] = {
	{ "chain-loop-self", { { REQUEST, 8, F_NEXT, 0 } }, .want = NO_ROOM },
	{ "chain-loop-two", { { REQUEST, 8, F_NEXT, 1 }, { RESPONSE, 16, F_WRITE | F_NEXT, 0 } },
	  .want = NO_ROOM },
	{ "chain-loop-empty", { { REQUEST, 0, F_NEXT, 1 }, { REQUEST, 0, F_NEXT, 0 } },
	  .want = NO_ROOM },
	{ "chain-next-outside", { { REQUEST, 8, F_NEXT, 0xffff } }, .want = NO_ROOM },
	{ "chain-head-outside", { { REQUEST, 8, 0, 0 } }, .head = 0xfff0, .want = EITHER },
	{ "chain-nowhere", { { OUTSIDE, 8, F_NEXT, 1 }, { RESPONSE, 16, F_WRITE, 0 } },
	  .want = NO_ROOM },
	{ "chain-wraps", { { LAST_BYTES, 4096, F_NEXT, 1 }, { RESPONSE, 16, F_WRITE, 0 } },
	  .want = NO_ROOM },
	/* More than the 2^32 bytes that a chain may have. */
	{ "chain-huge", { { REQUEST, 0xffffffff, F_NEXT, 1 }, { RESPONSE, 16, F_WRITE, 0 } },
	  .want = NO_ROOM },
	{ "chain-response-nowhere", { { REQUEST, 8, F_NEXT, 1 }, { OUTSIDE, 16, F_WRITE, 0 } },
	  .want = NO_ROOM },
	{ "chain-response-readable", { { REQUEST, 8, F_NEXT, 1 }, { RESPONSE, 16, 0, 0 } },
	  .want = NO_ROOM },
	{ "chain-writable-first", { { RESPONSE, 16, F_WRITE | F_NEXT, 1 }, { REQUEST, 8, 0, 0 } },
	  .want = NO_ROOM },
	{ "chain-indirect-loop", { { TABLE, 32, F_INDIRECT, 0 } }, { { REQUEST, 8, F_NEXT, 0 } },
	  .want = NO_ROOM },
	{ "chain-indirect-nested", { { TABLE, 32, F_INDIRECT, 0 } }, { { TABLE, 32, F_INDIRECT, 0 } },
	  .want = NO_ROOM },
	{ "chain-indirect-odd", { { TABLE, 7, F_INDIRECT, 0 } }, .want = NO_ROOM },
	{ "chain-indirect-empty", { { TABLE, 0, F_INDIRECT, 0 } }, .want = NO_ROOM },
	{ "chain-indirect-nowhere", { { OUTSIDE, 32, F_INDIRECT, 0 } }, .want = NO_ROOM },
	{ "chain-indirect-next", { { TABLE, 32, F_INDIRECT | F_NEXT, 0 } }, { { REQUEST, 8, 0, 0 } },
	  .want = NO_ROOM },
	{ "chain-all", { { REQUEST, 8, F_NEXT, 1 } }, .all = true, .want = EITHER },
	{ "chain-available-jumps", { { REQUEST, 8, 0, 0 } }, .more = 1000, .want = EITHER },
	{ "chain-available-wraps", { { REQUEST, 8, 0, 0 } }, .more = 0x8000, .want = EITHER },
};

static void write_piece(struct vring_desc *desc, const struct piece *piece,
			const void *table)
{
	switch (piece->where) {
	case REQUEST:
		desc->addr = virt_to_phys(hostile.request);
		break;
	case RESPONSE:
		desc->addr = virt_to_phys(hostile.response);
		break;
	case TABLE:
		desc->addr = virt_to_phys((void *)table);
		break;
	case OUTSIDE:
		desc->addr = NOWHERE;
		break;
	case LAST_BYTES:
		desc->addr = -64ull;
		break;
	}
	desc->len = piece->len;
	desc->flags = piece->flags;
	desc->next = piece->next;
}

static int try_chain(const struct chain *c, struct vring_desc *table)
{
	struct virtqueue *vq = hostile.vqs[VTRACE_VQ_CONTROL];
	const struct vring *vring = virtqueue_get_vring(vq);
	struct vring_used *used = vring->used;
	u32 i;

	memset(hostile.request, 0, 64);
	*(u32 *)hostile.request = 99;
	hostile.response->status = U32_MAX;
	for (i = 0; i < 2; i++) {
		write_piece(&vring->desc[i], &c->direct[i], table);
		write_piece(&table[i], &c->table[i], table);
	}
	for (i = 0; c->all && i < vring->num; i++) {
		write_piece(&vring->desc[i], &c->direct[0], table);
		vring->desc[i].flags = i + 1 < vring->num ? F_NEXT : 0;
		vring->desc[i].next = i + 1;
	}

	/* Nothing but this was ever available since the last reset. */
	vring->avail->ring[0] = c->head;
	/* The device sees the entry before it sees that there is one. */
	smp_store_release(&vring->avail->idx, 1 + c->more);
	virtqueue_notify(vq);
	for (i = 0; i < 100; i++) {
		/* Pairs with the device's barrier before it counts up. */
		if (smp_load_acquire(&used->idx))
			return used->ring[0].len < sizeof(*hostile.response) ?
				NO_ROOM : (int)hostile.response->status;
		msleep(20);
	}
	return NO_ANSWER;
}

void try_chains(void)
{
	struct vring_desc *table = (void *)get_zeroed_page(GFP_KERNEL);
	int i, ret, err;

	for (i = 0; table && i < ARRAY_SIZE(chains); i++) {
		if (!wanted(chains[i].name))
			continue;
		transport_stop();
		err = transport_start();
		ret = err ?: try_chain(&chains[i], table);
		report(chains[i].name, ret,
		       chains[i].want == EITHER ? ret : chains[i].want);

		/* The queue is spoilt, but the device is to serve on. */
		transport_stop();
		err = transport_start() ?: say_hello();
		if (err)
			report("hello-after-chain", err, 0);
	}
	free_page((unsigned long)table);
}
