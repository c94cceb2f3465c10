// SPDX-License-Identifier: GPL-2.0
/*
 * virtio_trace: the kernel's trace in rings that the host reads in place. This
 * is the virtio driver; docs/virtio-trace.md specifies the device.
 */
#include <linux/atomic.h>
#include <linux/cc_platform.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/virtio_config.h>

#include "vtrace_driver.h"
#include "vtrace_event.h"

static unsigned int virtio_id = 37;
module_param(virtio_id, uint, 0444);
MODULE_PARM_DESC(virtio_id, "virtio id of the device (37)");

static struct virtio_device_id id_table[] = {
	{ 37, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, id_table);

static const unsigned int features[] = {
	VTRACE_F_HOST_CLOCK,
	VTRACE_F_FILTER,
	VTRACE_F_MODULE,
	VTRACE_F_PROBE,
	VTRACE_F_WATCH,
};

/* Rings are per vCPU, so that there is one device. */
static atomic_t devices = ATOMIC_INIT(0);

static int validate(struct virtio_device *vdev)
{
	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "not a virtio 1 device\n");
		return -ENODEV;
	}
	/* Rings are described by guest-physical addresses. */
	if (virtio_has_feature(vdev, VIRTIO_F_ACCESS_PLATFORM)) {
		dev_err(&vdev->dev, "cannot be used behind an IOMMU (VIRTIO_F_ACCESS_PLATFORM)\n");
		return -ENODEV;
	}
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		dev_err(&vdev->dev, "cannot be used by a guest with encrypted memory\n");
		return -ENODEV;
	}
	return 0;
}

static u32 config_word(struct virtio_device *vdev, size_t offset)
{
	return virtio_cread32(vdev, offset);
}

static bool pow2_within(u32 value, u32 low, u32 high)
{
	return is_power_of_2(value) && value >= low && value <= high;
}

static int read_channel(struct vtrace_device *dev, u32 i)
{
	struct vtrace_config_channel *c = &dev->channel[i];
	size_t at = offsetof(struct vtrace_config, channel) + i * sizeof(*c);

	c->mode = config_word(dev->vdev, at + offsetof(typeof(*c), mode));
	c->sub_size = config_word(dev->vdev, at + offsetof(typeof(*c), sub_size));
	c->nsub = config_word(dev->vdev, at + offsetof(typeof(*c), nsub));
	/* Those that this driver does not know are none that it has. */
	c->contexts = config_word(dev->vdev,
				  at + offsetof(typeof(*c), contexts));
	if (c->mode > VTRACE_MODE_OVERWRITE ||
	    !pow2_within(c->sub_size, max_t(u32, VTRACE_MIN_SUB, PAGE_SIZE), VTRACE_MAX_SUB) ||
	    !pow2_within(c->nsub, VTRACE_MIN_NSUB, VTRACE_MAX_NSUB)) {
		dev_err(vtrace_dev(dev),
			"channel %u: mode %u, %u x %u bytes: not a ring\n",
			i, c->mode, c->nsub, c->sub_size);
		return -ENODEV;
	}
	return 0;
}

static int read_config(struct vtrace_device *dev)
{
	struct virtio_device *vdev = dev->vdev;
	u32 word, i;
	int err;

	word = config_word(vdev, offsetof(struct vtrace_config, magic));
	if (word != VTRACE_CONFIG_MAGIC) {
		dev_err(&vdev->dev, "magic %#x: another device with this id\n",
			word);
		return -ENODEV;
	}
	word = config_word(vdev, offsetof(struct vtrace_config, version));
	if (word != VTRACE_VERSION) {
		dev_err(&vdev->dev, "version %u, this driver knows %u\n", word,
			VTRACE_VERSION);
		return -ENODEV;
	}
	word = config_word(vdev, offsetof(struct vtrace_config, max_request));
	if (word < VTRACE_PAGE) {
		dev_err(&vdev->dev, "requests of %u bytes are too small\n",
			word);
		return -ENODEV;
	}
	dev->max_request = min_t(u32, word, VTRACE_REQUEST_BYTES);
	word = config_word(vdev, offsetof(struct vtrace_config, num_channels));
	if (word <= VTRACE_CHANNEL_STATE || word > VTRACE_MAX_CHANNELS) {
		dev_err(&vdev->dev, "%u channels: not one for events and one for process state\n",
			word);
		return -ENODEV;
	}
	dev->num_channels = word;
	for (i = 0; i < dev->num_channels; i++) {
		err = read_channel(dev, i);
		if (err)
			return err;
	}
	return 0;
}

static void release(struct vtrace_device *dev)
{
	vtrace_rings_release(dev);
	vtrace_command_release(dev);
	vtrace_control_release(dev);
	kfree(dev);
	atomic_set(&devices, 0);
}

/*
 * kexec starts the next kernel without a reset of the device, which would
 * write the words that it has in rings into whatever is there by then.
 */
static int shut_down(struct notifier_block *reboot, unsigned long action,
		     void *data)
{
	vtrace_session_stop(container_of(reboot, struct vtrace_device, reboot));
	return NOTIFY_DONE;
}

static int probe(struct virtio_device *vdev)
{
	struct vtrace_device *dev;
	int err;

	if (atomic_cmpxchg(&devices, 0, 1)) {
		dev_err(&vdev->dev, "another device traces this guest already\n");
		return -EBUSY;
	}
	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev) {
		atomic_set(&devices, 0);
		return -ENOMEM;
	}
	dev->vdev = vdev;
	vdev->priv = dev;
	vtrace_session_init(dev);
	err = read_config(dev);
	if (!err)
		err = vtrace_control_init(dev);
	if (!err)
		err = vtrace_command_init(dev);
	if (!err)
		err = vtrace_rings_init(dev);
	if (!err)
		err = vtrace_session_start(dev);
	if (err) {
		release(dev);
		return err;
	}
	dev->reboot.notifier_call = shut_down;
	/* What the others do is traced. */
	dev->reboot.priority = INT_MIN;
	register_reboot_notifier(&dev->reboot);
	return 0;
}

static void remove(struct virtio_device *vdev)
{
	struct vtrace_device *dev = vdev->priv;

	unregister_reboot_notifier(&dev->reboot);
	vtrace_session_stop(dev);
	release(dev);
}

static void config_changed(struct virtio_device *vdev)
{
	if (vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) {
		dev_err(&vdev->dev, "the device needs a reset\n");
		vtrace_session_lost(vdev->priv);
	}
}

static int __maybe_unused freeze(struct virtio_device *vdev)
{
	vtrace_session_stop(vdev->priv);
	return 0;
}

static int __maybe_unused restore(struct virtio_device *vdev)
{
	return vtrace_session_start(vdev->priv);
}

static struct virtio_driver driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = id_table,
	.feature_table = features,
	.feature_table_size = ARRAY_SIZE(features),
	.validate = validate,
	.probe = probe,
	.remove = remove,
	.config_changed = config_changed,
#ifdef CONFIG_PM
	.freeze = freeze,
	.restore = restore,
#endif
};

static int __init vtrace_init(void)
{
	int err;

	id_table[0].device = virtio_id;
	err = vtrace_clock_init();
	if (err)
		return err;
	err = vtrace_root_init();
	if (err)
		goto no_root;
	vtrace_kick_init();
	vtrace_tracepoints_find();
	err = vtrace_schema_init();
	if (err)
		goto no_schema;
	err = vtrace_modules_init();
	if (err)
		goto no_modules;
	err = register_virtio_driver(&driver);
	if (err)
		goto no_driver;
	return 0;

no_driver:
	vtrace_modules_release();
no_modules:
	vtrace_schema_release();
no_schema:
	vtrace_root_release();
no_root:
	vtrace_clock_release();
	return err;
}

static void __exit vtrace_exit(void)
{
	unregister_virtio_driver(&driver);
	vtrace_modules_release();
	vtrace_schema_release();
	vtrace_root_release();
	vtrace_clock_release();
}

module_init(vtrace_init);
module_exit(vtrace_exit);

MODULE_DESCRIPTION("Kernel trace in rings that the host reads in place");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
