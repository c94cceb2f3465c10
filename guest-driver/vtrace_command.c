// SPDX-License-Identifier: GPL-2.0
/*
 * The executor of the device's commands: in the order they came, one by one,
 * and each is answered.
 */
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/virtio_config.h>

#include "vtrace_driver.h"
#include "vtrace_filter.h"
#include "vtrace_probe.h"

/* Then others get a turn. */
#define COMMANDS_AT_ONCE	16

struct answer {
	struct vtrace_done done;
	char text[VTRACE_MAX_REASON];
};

static void __printf(3, 4) fail(struct answer *a, int error, const char *format, ...)
{
	va_list args;

	if (a->done.error)
		return;
	a->done.error = error;
	va_start(args, format);
	vscnprintf(a->text, sizeof(a->text), format, args);
	va_end(args);
}

/* Of what writes its text itself. Whether it is to be answered now. */
static bool finish(struct answer *a, int ret)
{
	a->done.error = ret < 0 ? -ret : 0;
	return ret != -EINPROGRESS;
}

static void fail_request(struct answer *a, int ret)
{
	if (ret)
		fail(a, ret < 0 ? -ret : EIO, "%s", vtrace_request_error(ret));
}

static void do_epoch(struct vtrace_device *dev, const void *payload, u32 bytes,
		     struct answer *a)
{
	const struct vtrace_epoch *epoch = payload;
	int ret;

	if (bytes != sizeof(*epoch)) {
		fail(a, EINVAL, "an epoch has %zu bytes, not %u",
		     sizeof(*epoch), bytes);
		return;
	}
	mutex_lock(&dev->rings);
	vtrace_root_set_epoch(epoch->epoch);
	ret = vtrace_request(dev, VTRACE_REQ_EPOCH_ACK, epoch, sizeof(*epoch),
			     NULL);
	mutex_unlock(&dev->rings);
	if (!ret)
		ret = vtrace_schema_resume(dev);
	if (!ret)
		vtrace_rings_add_missing(dev);
	fail_request(a, ret);
}

static void do_enable(const void *payload, u32 bytes, bool on, struct answer *a)
{
	const u16 *id = payload;
	u32 i;
	int ret;

	if (bytes % sizeof(*id)) {
		fail(a, EINVAL, "%u bytes are no list of ids", bytes);
		return;
	}
	/* What can be done is done; the first failure is reported. */
	for (i = 0; i < bytes / sizeof(*id); i++) {
		if (id[i] >= VTRACE_FIRST_CLASS)
			ret = vtrace_class_enable(id[i], on, false);
		else
			ret = vtrace_event_enable(id[i], on, NULL);
		if (ret)
			fail(a, -ret, "event %u cannot be %s", id[i],
			     on ? "enabled" : "disabled");
	}
	vtrace_events_settle(NULL);
}

/*
 * An event that cannot have the filter is off: it is not wanted without. What
 * another module writes has none, but can be watched.
 */
static int filter_event(u16 id, struct vtrace_program *filter)
{
	int ret;

	if (id < VTRACE_FIRST_CLASS)
		return vtrace_event_enable(id, true, filter);
	if (vtrace_program_always_notifies(filter))
		return vtrace_class_enable(id, true, true);
	ret = vtrace_class_enable(id, false, false);
	return ret ?: -EOPNOTSUPP;
}

static void do_filter(const void *payload, u32 bytes, struct answer *a)
{
	struct vtrace_program *filter;
	u32 i, num_ids;
	const u16 *id;
	int ret;

	filter = vtrace_program_load(payload, bytes, &id, &num_ids);
	if (IS_ERR(filter)) {
		fail(a, -PTR_ERR(filter), "a filter of %u bytes is not valid",
		     bytes);
		return;
	}
	for (i = 0; i < num_ids; i++) {
		ret = filter_event(id[i], filter);
		if (ret)
			fail(a, -ret, "event %u stays off: %s", id[i],
			     ret == -EOPNOTSUPP ? "it cannot have a filter" :
			     ret == -EINVAL ? "its fields are not those of the filter" :
			     "it cannot be enabled");
	}
	vtrace_events_settle(filter);
}

static void do_probe(void (*what)(const void *payload, u32 bytes,
				  struct vtrace_said *said),
		     const void *payload, u32 bytes, struct answer *a)
{
	struct vtrace_said *said = kzalloc(sizeof(*said), GFP_KERNEL);

	if (!said) {
		fail(a, ENOMEM, "the guest has no memory for it");
		return;
	}
	what(payload, bytes, said);
	a->done.error = said->error;
	/* Also what is no failure may have something to say. */
	strscpy(a->text, said->text, sizeof(a->text));
	kfree(said);
}

static void execute(struct vtrace_device *dev, u32 bytes)
{
	const struct vtrace_cmd *cmd = (const struct vtrace_cmd *)dev->command;
	const void *payload = cmd + 1;
	struct answer *a;
	bool now = true;
	int ret;

	a = kzalloc(sizeof(*a), GFP_KERNEL);
	if (!a)
		return;
	a->done.seq = cmd->seq;
	if (cmd->len != bytes - sizeof(*cmd)) {
		fail(a, EINVAL, "a command of %u bytes came with %zu",
		     cmd->len, bytes - sizeof(*cmd));
	} else if (vtrace_policy_check(cmd->type, a->text)) {
		a->done.error = EPERM;
	} else {
		switch (cmd->type) {
		case VTRACE_CMD_EPOCH:
			do_epoch(dev, payload, cmd->len, a);
			break;
		case VTRACE_CMD_ENABLE:
			do_enable(payload, cmd->len, true, a);
			break;
		case VTRACE_CMD_DISABLE:
			do_enable(payload, cmd->len, false, a);
			break;
		case VTRACE_CMD_FILTER:
			do_filter(payload, cmd->len, a);
			break;
		case VTRACE_CMD_PROBE_ADD:
			do_probe(vtrace_probe_add, payload, cmd->len, a);
			break;
		case VTRACE_CMD_PROBE_DEL:
			do_probe(vtrace_probe_del, payload, cmd->len, a);
			break;
		case VTRACE_CMD_PROBE_COUNTS:
			do_probe(vtrace_probe_counts, payload, cmd->len, a);
			break;
		case VTRACE_CMD_STATEDUMP:
			vtrace_statedump();
			break;
		case VTRACE_CMD_SCHEMA:
			fail_request(a, vtrace_schema_send(dev));
			break;
		case VTRACE_CMD_UPLOAD:
			now = finish(a, vtrace_upload_take(payload, cmd->len,
							   a->text));
			break;
		case VTRACE_CMD_UPLOAD_CANCEL:
			now = finish(a, vtrace_upload_cancel(payload, cmd->len,
							     a->text));
			break;
		case VTRACE_CMD_MODULE_LOAD:
			now = finish(a, vtrace_module_load(cmd->seq, payload,
							   cmd->len, a->text));
			break;
		case VTRACE_CMD_MODULE_UNLOAD:
			now = finish(a, vtrace_module_unload(cmd->seq, payload,
							     cmd->len, a->text));
			break;
		case VTRACE_CMD_MODULE_LIST:
			now = finish(a, vtrace_module_list(payload, cmd->len,
							   a->text));
			break;
		default:
			fail(a, EOPNOTSUPP, "unknown command %u", cmd->type);
		}
	}
	ret = now ? vtrace_request(dev, VTRACE_REQ_DONE, a,
				   sizeof(a->done) + strlen(a->text), NULL) : 0;
	/* A stale one is of an epoch in which it was to be answered. */
	if (ret > 0 && ret != VTRACE_S_STALE)
		dev_warn_ratelimited(vtrace_dev(dev), "answering command %u: %s\n",
				     cmd->seq, vtrace_request_error(ret));
	kfree(a);
}

static int post(struct vtrace_device *dev, u8 *buffer)
{
	struct virtqueue *vq = dev->vqs[VTRACE_VQ_EVENT];
	struct scatterlist in;

	sg_init_one(&in, buffer, VTRACE_CMD_BYTES);
	return virtqueue_add_inbuf(vq, &in, 1, buffer, GFP_KERNEL);
}

static void run_commands(struct work_struct *work)
{
	struct vtrace_device *dev =
		container_of(work, struct vtrace_device, command_work);
	struct virtqueue *vq = dev->vqs[VTRACE_VQ_EVENT];
	unsigned int bytes, n;
	u8 *buffer;

	for (n = 0; n < COMMANDS_AT_ONCE; n++) {
		if (!READ_ONCE(dev->commands))
			return;
		buffer = virtqueue_get_buf(vq, &bytes);
		if (!buffer)
			return;
		/* The device could change the buffer while it is read. */
		bytes = min_t(u32, bytes, VTRACE_CMD_BYTES);
		memcpy(dev->command, buffer, bytes);
		if (post(dev, buffer) || !virtqueue_kick(vq)) {
			dev_err(vtrace_dev(dev), "the event queue is broken\n");
			vtrace_session_lost(dev);
			return;
		}
		if (bytes < sizeof(struct vtrace_cmd))
			dev_warn_ratelimited(vtrace_dev(dev),
					     "a command of %u bytes\n", bytes);
		else
			execute(dev, bytes);
	}
	queue_work(dev->queue, work);
}

/* The event queue's callback. */
void vtrace_command_arrived(struct virtqueue *vq)
{
	struct vtrace_device *dev = vq->vdev->priv;

	if (READ_ONCE(dev->commands))
		queue_work(dev->queue, &dev->command_work);
}

int vtrace_command_init(struct vtrace_device *dev)
{
	int i;

	INIT_WORK(&dev->command_work, run_commands);
	dev->queue = alloc_ordered_workqueue("virtio_trace", 0);
	dev->command = kmalloc(VTRACE_CMD_BYTES, GFP_KERNEL);
	if (!dev->queue || !dev->command)
		return -ENOMEM;
	for (i = 0; i < VTRACE_EVENT_BUFFERS; i++) {
		dev->buffers[i] = (u8 *)get_zeroed_page(GFP_KERNEL);
		if (!dev->buffers[i])
			return -ENOMEM;
	}
	return 0;
}

/* The device has been reset, or has never seen the buffers. */
void vtrace_command_release(struct vtrace_device *dev)
{
	int i;

	if (dev->queue)
		destroy_workqueue(dev->queue);
	kfree(dev->command);
	for (i = 0; i < VTRACE_EVENT_BUFFERS; i++)
		free_page((unsigned long)dev->buffers[i]);
}

/* From now on the device may send commands. */
int vtrace_command_start(struct vtrace_device *dev)
{
	int i, err;

	WRITE_ONCE(dev->commands, true);
	for (i = 0; i < VTRACE_EVENT_BUFFERS; i++) {
		err = post(dev, dev->buffers[i]);
		if (err)
			return err;
	}
	return virtqueue_kick(dev->vqs[VTRACE_VQ_EVENT]) ? 0 : -EIO;
}

/* Ends the command that is being executed, and takes no more. */
void vtrace_command_stop(struct vtrace_device *dev)
{
	WRITE_ONCE(dev->commands, false);
	virtio_synchronize_cbs(dev->vdev);
	cancel_work_sync(&dev->command_work);
}
