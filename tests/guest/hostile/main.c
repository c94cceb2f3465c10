// SPDX-License-Identifier: GPL-2.0
/*
 * A driver for the trace device that does what a guest can do to a host. For
 * each case it prints what the device answered and what it should have: the
 * last line of a run is "vt_hostile: alive" if the device still serves.
 */
#include <linux/gfp.h>
#include <linux/glob.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/virtio_config.h>

#include "hostile.h"
#include "vtrace_arch.h"

static char *pattern = "*";
module_param_named(case, pattern, charp, 0444);
MODULE_PARM_DESC(case, "names of the cases to try, as a glob (*)");

static uint virtio_id = 37;
module_param(virtio_id, uint, 0444);
MODULE_PARM_DESC(virtio_id, "virtio id of the device (37)");

struct hostile hostile;

bool wanted(const char *name)
{
	return glob_match(pattern, name);
}

void report(const char *name, int status, int want)
{
	pr_info("vt_hostile: %s: status %d, want %d: %s\n", name, status, want,
		status == want ? "ok" : "WRONG");
}

static void read_config(void)
{
	u32 *word = (u32 *)&hostile.config;
	size_t at;

	for (at = 0; at < sizeof(hostile.config); at += sizeof(*word))
		*word++ = virtio_cread32(hostile.vdev, at);
}

static void release(void)
{
	free_pages_exact(hostile.request, REQUEST_ROOM);
	kfree(hostile.response);
	free_page((unsigned long)hostile.root);
	free_page((unsigned long)hostile.clock);
}

static int prepare(void)
{
	struct vtrace_hello *hello = &hostile.hello;
	struct vtrace_clock_slot *slot;

	init_completion(&hostile.answered);
	hostile.request = alloc_pages_exact(REQUEST_ROOM, GFP_KERNEL | __GFP_ZERO);
	hostile.response = kzalloc(sizeof(*hostile.response), GFP_KERNEL);
	hostile.root = (void *)get_zeroed_page(GFP_KERNEL);
	hostile.clock = (void *)get_zeroed_page(GFP_KERNEL);
	if (!hostile.request || !hostile.response || !hostile.root ||
	    !hostile.clock)
		return -ENOMEM;

	/* A clock that stands at the time of its base does for all of this. */
	slot = &hostile.clock->slot[0];
	slot->base = vtrace_counter();
	slot->base_ns = ktime_get_ns();
	slot->mult = 1ull << 32;
	memset(hello->boot_id, 0x66, sizeof(hello->boot_id));
	hello->clock_hz = NSEC_PER_SEC;
	hello->driver_version = VTRACE_VERSION;
	hello->arch = VTRACE_ARCH;
	hello->page_size = PAGE_SIZE;
	hello->num_vcpus = 2;
	strscpy(hello->release, "hostile\n\x1b[31m\"};", sizeof(hello->release));
	strscpy(hello->nodename, "../\";\n\xff", sizeof(hello->nodename));
	return 0;
}

static int probe(struct virtio_device *vdev)
{
	int err;

	hostile.vdev = vdev;
	read_config();
	if (hostile.config.magic != VTRACE_CONFIG_MAGIC)
		return -ENODEV;
	err = prepare();
	if (err)
		goto out;
	err = transport_start();
	if (err)
		goto stop;

	try_requests();
	try_schemas();
	try_rings();
	try_words();
	try_chains();

	err = introduce();
	pr_info("vt_hostile: %s\n", err ? "DEAD" : "alive");
	err = 0;
stop:
	transport_stop();
out:
	if (err)
		release();
	return err;
}

static void remove(struct virtio_device *vdev)
{
	virtio_reset_device(vdev);
	release();
}

static struct virtio_device_id id_table[] = {
	{ 37, VIRTIO_DEV_ANY_ID },
	{ 0 },
};

static struct virtio_driver driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = id_table,
	.probe = probe,
	.remove = remove,
};

static int __init hostile_init(void)
{
	id_table[0].device = virtio_id;
	return register_virtio_driver(&driver);
}

static void __exit hostile_exit(void)
{
	unregister_virtio_driver(&driver);
}

module_init(hostile_init);
module_exit(hostile_exit);

MODULE_DESCRIPTION("A driver that is up to no good");
MODULE_AUTHOR("The vhost-trace authors");
MODULE_LICENSE("GPL");
