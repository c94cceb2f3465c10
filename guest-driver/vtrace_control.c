// SPDX-License-Identifier: GPL-2.0
/*
 * Requests: one at a time, and each waits for its answer, but never for long.
 * A device that does not answer is not asked again, since it may still write
 * into the buffers of what it owes: those stay until it has been reset.
 */
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "vtrace_driver.h"

#define STEPS	10		/* in a second */

static unsigned int timeout = 10;
module_param(timeout, uint, 0644);
MODULE_PARM_DESC(timeout, "seconds until a device that does not answer is given up (10)");

int vtrace_control_init(struct vtrace_device *dev)
{
	mutex_init(&dev->control);
	init_completion(&dev->answered);
	dev->request = alloc_pages_exact(VTRACE_REQUEST_BYTES,
					 GFP_KERNEL | __GFP_NOWARN);
	dev->response = kzalloc(sizeof(*dev->response), GFP_KERNEL);
	return dev->request && dev->response ? 0 : -ENOMEM;
}

/* The device has been reset, or has never seen these. */
void vtrace_control_release(struct vtrace_device *dev)
{
	if (dev->request)
		free_pages_exact(dev->request, VTRACE_REQUEST_BYTES);
	kfree(dev->response);
}

/* The control queue's callback. */
void vtrace_control_answered(struct virtqueue *vq)
{
	struct vtrace_device *dev = vq->vdev->priv;

	complete(&dev->answered);
}

static int exchange(struct vtrace_device *dev, size_t bytes)
{
	struct virtqueue *vq = dev->vqs[VTRACE_VQ_CONTROL];
	struct scatterlist out, in, *sgs[] = { &out, &in };
	unsigned int len, left;
	int err;

	sg_init_one(&out, dev->request, bytes);
	sg_init_one(&in, dev->response, sizeof(*dev->response));
	reinit_completion(&dev->answered);
	err = virtqueue_add_sgs(vq, sgs, 1, 1, dev, GFP_KERNEL);
	if (err)
		return err;
	if (!virtqueue_kick(vq))
		return -EIO;

	/*
	 * In small steps: time may leap while the guest is stopped, which must
	 * not look like a device that does not answer.
	 */
	left = clamp(timeout, 1u, 600u) * STEPS;
	while (!virtqueue_get_buf(vq, &len)) {
		if (!left-- || virtqueue_is_broken(vq))
			return -ETIMEDOUT;
		wait_for_completion_timeout(&dev->answered, HZ / STEPS);
	}
	return len < sizeof(*dev->response) ? -EPROTO : 0;
}

/*
 * 0: done; a positive VTRACE_S_*: the device refuses; a negative errno: it
 * cannot be reached, now or any more. Sleeps.
 */
int vtrace_request(struct vtrace_device *dev, u32 type, const void *payload,
		   size_t bytes, u64 *value)
{
	struct vtrace_req *head = (struct vtrace_req *)dev->request;
	int ret;

	if (bytes > dev->max_request - sizeof(*head))
		return -EMSGSIZE;

	mutex_lock(&dev->control);
	if (dev->broken) {
		ret = -ENOTCONN;
		goto out;
	}
	head->type = type;
	head->len = bytes;
	if (bytes)
		memcpy(head + 1, payload, bytes);
	memset(dev->response, 0, sizeof(*dev->response));
	ret = exchange(dev, sizeof(*head) + bytes);
	if (ret) {
		dev->broken = true;
		dev_err(vtrace_dev(dev),
			"no answer to request %u (error %d), giving the device up\n",
			type, ret);
		vtrace_session_lost(dev);
		goto out;
	}
	ret = READ_ONCE(dev->response->status);
	if (ret < 0)
		ret = VTRACE_S_REFUSED;
	if (value)
		*value = dev->response->value;
out:
	mutex_unlock(&dev->control);
	return ret;
}

/* What vtrace_request() returned, in words. */
const char *vtrace_request_error(int status)
{
	static const char * const text[] = {
		[VTRACE_S_OK] = "no error",
		[VTRACE_S_BAD_REQUEST] = "unknown request or wrong length",
		[VTRACE_S_BAD_ADDRESS] = "address outside memory",
		[VTRACE_S_BAD_VALUE] = "value out of bounds",
		[VTRACE_S_EXISTS] = "registered already",
		[VTRACE_S_NO_ENTRY] = "not registered",
		[VTRACE_S_LIMIT] = "a limit of the device",
		[VTRACE_S_STALE] = "the epoch has ended",
		[VTRACE_S_REFUSED] = "refused",
	};

	if (status < 0)
		return "the device does not answer";
	return status < ARRAY_SIZE(text) ? text[status] : "unknown status";
}
