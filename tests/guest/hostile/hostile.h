/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of a driver that does what no driver should. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <linux/completion.h>
#include <linux/types.h>
#include <linux/virtio.h>

#include "vtrace_abi.h"

/* Not in guest memory, wherever that is. */
#define NOWHERE		(1ull << 50)
/* Room for requests beyond what any device takes. */
#define REQUEST_ROOM	(512 * 1024)

struct hostile {
	struct virtio_device *vdev;
	struct virtqueue *vqs[VTRACE_NUM_VQS];
	bool has_vqs;
	struct completion answered;
	struct vtrace_config config;

	u8 *request;
	struct vtrace_resp *response;
	struct vtrace_root *root;
	struct vtrace_clock *clock;
	struct vtrace_hello hello;
	u64 epoch;
};

extern struct hostile hostile;

/* main.c */
bool wanted(const char *name);
void report(const char *name, int status, int want);

/* transport.c: a negative errno where there is no status */
#define NO_ANSWER	(-ETIMEDOUT)
#define NO_ROOM		(-ENODATA)	/* answered with too few bytes */
int transport_start(void);
void transport_stop(void);
int send_raw(size_t readable, size_t writable);
int send(u32 type, const void *payload, size_t bytes);
void ring_doorbell(void);
void answered(struct virtqueue *vq);
int say_hello(void);
int introduce(void);

/* One for each kind of malice. */
void try_requests(void);
void try_schemas(void);
void try_rings(void);
void try_words(void);
void try_chains(void);

/* rings.c: a ring with which nothing is wrong, yet */
struct honest_ring {
	struct vtrace_ring_desc *desc;
	size_t control_bytes;
	size_t data_bytes;
	u8 *data;
};

int honest_ring(struct honest_ring *ring, u32 number, u32 vcpu);
void free_ring(struct honest_ring *ring);
int add_ring(const struct honest_ring *ring);

#endif
