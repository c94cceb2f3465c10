// SPDX-License-Identifier: GPL-2.0
/*
 * From hello to bye: what is started in which order, and how all of it ends,
 * with or without a device that still answers.
 */
#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/string.h>
#include <linux/utsname.h>
#include <linux/virtio_config.h>

#include "compat.h"
#include "vtrace_arch.h"
#include "vtrace_driver.h"
#include "vtrace_probe.h"

#define CLOCK_SAMPLES	16
#define HELLOS		5

static const struct vtrace_vq_info queues[VTRACE_NUM_VQS] = {
	[VTRACE_VQ_CONTROL] = { "control", vtrace_control_answered },
	[VTRACE_VQ_EVENT] = { "event", vtrace_command_arrived },
	[VTRACE_VQ_DOORBELL] = { "doorbell", NULL },
};

static int refused(struct vtrace_device *dev, const char *what, int ret)
{
	if (ret <= 0)
		return ret;
	if (ret == VTRACE_S_STALE)
		return -ESTALE;
	dev_err(vtrace_dev(dev), "%s: %s\n", what, vtrace_request_error(ret));
	return -EIO;
}

static int hello(struct vtrace_device *dev)
{
	const struct new_utsname *name = init_utsname();
	struct vtrace_hello hello = {
		.clock_hz = vtrace_clock_hz(),
		.clock_offset = vtrace_clock_offset(),
		.driver_version = VTRACE_VERSION,
		.arch = VTRACE_ARCH,
		.page_size = PAGE_SIZE,
		.num_vcpus = nr_cpu_ids,
	};
	u64 epoch;
	int ret;

	memcpy(hello.boot_id, vtrace_root->boot_id, sizeof(hello.boot_id));
	strscpy(hello.release, name->release, sizeof(hello.release));
	strscpy(hello.version, name->version, sizeof(hello.version));
	strscpy(hello.nodename, name->nodename, sizeof(hello.nodename));
	ret = vtrace_request(dev, VTRACE_REQ_HELLO, &hello, sizeof(hello),
			     &epoch);
	if (ret)
		return refused(dev, "hello", ret);
	dev->said_hello = true;
	vtrace_root_start(epoch);
	return 0;
}

static int tell_policy(struct vtrace_device *dev)
{
	if (!virtio_has_feature(dev->vdev, VTRACE_F_MODULE))
		return 0;
	return refused(dev, "policy", vtrace_policy_send(dev));
}

static int sample_clock(struct vtrace_device *dev)
{
	struct vtrace_clock_sample sample = {};
	int i, ret;

	if (!virtio_has_feature(dev->vdev, VTRACE_F_HOST_CLOCK))
		return 0;
	for (i = 0; i < CLOCK_SAMPLES; i++) {
		sample.before = vtrace_counter();
		ret = vtrace_request(dev, VTRACE_REQ_CLOCK_SAMPLE, &sample,
				     sizeof(sample), NULL);
		sample.after_last = vtrace_counter();
		if (ret)
			return refused(dev, "clock sample", ret);
	}
	return 0;
}

static int show_root(struct vtrace_device *dev)
{
	struct vtrace_addr addr = { .gpa = virt_to_phys(vtrace_root) };

	return refused(dev, "root page",
		       vtrace_request(dev, VTRACE_REQ_ROOT, &addr, sizeof(addr),
				      NULL));
}

static int introduce(struct vtrace_device *dev)
{
	int err;

	err = hello(dev);
	if (!err)
		err = tell_policy(dev);
	if (!err)
		err = sample_clock(dev);
	if (!err)
		err = show_root(dev);
	if (!err)
		err = refused(dev, "schema", vtrace_schema_start(dev));
	return err;
}

static int start(struct vtrace_device *dev)
{
	int err, hellos = 0;

	err = vtrace_find_vqs(dev->vdev, VTRACE_NUM_VQS, dev->vqs, queues);
	if (err)
		return err;
	dev->has_vqs = true;
	dev->broken = false;
	virtio_device_ready(dev->vdev);

	vtrace_clock_start();
	vtrace_contexts_start(dev);
	vtrace_schema_prepare(dev);
	/* The guest may be stopped in between, which ends the epoch. */
	do {
		err = introduce(dev);
	} while (err == -ESTALE && ++hellos < HELLOS);
	if (err)
		return err;

	vtrace_kick_start(dev->vqs[VTRACE_VQ_DOORBELL]);
	err = vtrace_rings_start(dev);
	if (err)
		return err;
	if (dev->broken)
		return -ETIMEDOUT;

	WRITE_ONCE(dev->running, true);
	vtrace_modules_start(dev);
	return vtrace_command_start(dev);
}

static void stop(struct vtrace_device *dev)
{
	WRITE_ONCE(dev->running, false);
	if (!dev->has_vqs)
		return;

	vtrace_command_stop(dev);
	vtrace_modules_stop();
	vtrace_events_disable_all();
	vtrace_probes_stop();
	vtrace_schema_stop();
	vtrace_rings_unpublish(dev);
	vtrace_contexts_stop();
	vtrace_kick_stop();
	if (dev->said_hello) {
		vtrace_rings_unregister(dev);
		vtrace_request(dev, VTRACE_REQ_BYE, NULL, 0, NULL);
	}
	dev->said_hello = false;

	/* Only now has the device nothing of ours, whether it answered or not. */
	virtio_reset_device(dev->vdev);
	dev->vdev->config->del_vqs(dev->vdev);
	dev->has_vqs = false;
	vtrace_rings_free(dev);
}

int vtrace_session_start(struct vtrace_device *dev)
{
	int err;

	mutex_lock(&dev->life);
	err = start(dev);
	if (err)
		stop(dev);
	mutex_unlock(&dev->life);
	return err;
}

/* All is given back, after a bounded time. */
void vtrace_session_stop(struct vtrace_device *dev)
{
	mutex_lock(&dev->life);
	stop(dev);
	mutex_unlock(&dev->life);
	cancel_work_sync(&dev->lost_work);
}

static void stop_lost(struct work_struct *work)
{
	struct vtrace_device *dev =
		container_of(work, struct vtrace_device, lost_work);

	mutex_lock(&dev->life);
	if (dev->running) {
		dev->broken = true;
		stop(dev);
		dev_err(vtrace_dev(dev), "tracing has ended; bind the driver again to resume\n");
	}
	mutex_unlock(&dev->life);
}

/* The device is not to be used any more. In any context but NMI. */
void vtrace_session_lost(struct vtrace_device *dev)
{
	if (READ_ONCE(dev->running))
		schedule_work(&dev->lost_work);
}

void vtrace_session_init(struct vtrace_device *dev)
{
	mutex_init(&dev->life);
	INIT_WORK(&dev->lost_work, stop_lost);
}
