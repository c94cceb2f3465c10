// SPDX-License-Identifier: GPL-2.0
/* Queues and requests, of any length and content. */
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/scatterlist.h>
#include <linux/string.h>
#include <linux/virtio_config.h>

#include "hostile.h"

#define PATIENCE	(3 * HZ)

void answered(struct virtqueue *vq)
{
	complete(&hostile.answered);
}

/* From reset to ready, as the virtio core does it after a suspend. */
int transport_start(void)
{
	static const char * const names[] = { "control", "event", "doorbell" };
	vq_callback_t *callbacks[] = { answered, NULL, NULL };
	struct virtio_device *vdev = hostile.vdev;
	int err;

	virtio_reset_device(vdev);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_ACKNOWLEDGE);
	virtio_add_status(vdev, VIRTIO_CONFIG_S_DRIVER);
	err = vdev->config->finalize_features(vdev);
	if (err)
		return err;
	virtio_add_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
	err = virtio_find_vqs(vdev, VTRACE_NUM_VQS, hostile.vqs, callbacks,
			      names, NULL);
	if (err)
		return err;
	hostile.has_vqs = true;
	virtio_device_ready(vdev);
	return 0;
}

void transport_stop(void)
{
	virtio_reset_device(hostile.vdev);
	if (hostile.has_vqs)
		hostile.vdev->config->del_vqs(hostile.vdev);
	hostile.has_vqs = false;
}

/* So many bytes of the request's room as one, and room for the response. */
int send_raw(size_t readable, size_t writable)
{
	struct virtqueue *vq = hostile.vqs[VTRACE_VQ_CONTROL];
	struct scatterlist out, in, *sgs[2];
	unsigned int num_out = 0, num_in = 0, len;
	unsigned long left = PATIENCE;
	int err;

	if (readable) {
		sg_init_one(&out, hostile.request, readable);
		sgs[num_out++] = &out;
	}
	if (writable) {
		sg_init_one(&in, hostile.response, writable);
		sgs[num_out + num_in++] = &in;
	}
	memset(hostile.response, 0xff, sizeof(*hostile.response));
	reinit_completion(&hostile.answered);
	err = virtqueue_add_sgs(vq, sgs, num_out, num_in, &hostile, GFP_KERNEL);
	if (err)
		return err;
	virtqueue_kick(vq);
	while (!virtqueue_get_buf(vq, &len)) {
		if (!left)
			return NO_ANSWER;
		left = wait_for_completion_timeout(&hostile.answered, left);
	}
	return len < sizeof(*hostile.response) ? NO_ROOM :
		(int)hostile.response->status;
}

int send(u32 type, const void *payload, size_t bytes)
{
	struct vtrace_req *head = (struct vtrace_req *)hostile.request;

	head->type = type;
	head->len = bytes;
	memcpy(head + 1, payload, bytes);
	return send_raw(sizeof(*head) + bytes, sizeof(*hostile.response));
}

void ring_doorbell(void)
{
	virtqueue_notify(hostile.vqs[VTRACE_VQ_DOORBELL]);
}

int say_hello(void)
{
	int ret;

	ret = send(VTRACE_REQ_HELLO, &hostile.hello, sizeof(hostile.hello));
	hostile.epoch = hostile.response->value;
	return ret;
}

/* A beginning as it should be: all requests until the first ring. */
int introduce(void)
{
	static const u8 record[] = {
		24, 0, 0, 0, 0, 0, 1, 5, 'e', 'v', 'e', 'n', 't',
		VTRACE_FIELD_INT, 8, 0, 5, 0, 0, 'v', 'a', 'l', 'u', 'e',
	};
	struct vtrace_addr addr = { .gpa = virt_to_phys(hostile.root) };
	struct vtrace_root *root = hostile.root;
	int ret;

	ret = say_hello();
	if (ret)
		return ret;
	memset(root, 0, sizeof(*root));
	root->magic = VTRACE_ROOT_MAGIC;
	root->version = VTRACE_VERSION;
	root->epoch = hostile.epoch;
	memcpy(root->boot_id, hostile.hello.boot_id, sizeof(root->boot_id));
	root->clock_gpa = virt_to_phys(hostile.clock);
	root->clock_hz = hostile.hello.clock_hz;
	ret = send(VTRACE_REQ_ROOT, &addr, sizeof(addr));
	if (ret)
		return ret;
	return send(VTRACE_REQ_SCHEMA, record, sizeof(record));
}
