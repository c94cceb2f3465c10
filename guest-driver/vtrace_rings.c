// SPDX-License-Identifier: GPL-2.0
/*
 * A ring for each vCPU and channel: its memory, its registration with the
 * device, and when writers see it. A vCPU gets its rings before it runs, and
 * keeps them when it goes offline. One that has no memory for its rings runs
 * without: its events are counted.
 */
#include <linux/cpu.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "vtrace_driver.h"
#include "vtrace_writer.h"

#define RING_GFP	(GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | \
			 __GFP_RETRY_MAYFAIL)

struct vtrace_ring_memory {
	struct vtrace_ring ring;
	u32 id;
	u32 nsub;
	bool registered;
	struct vtrace_ring_desc *desc;
	size_t control_bytes;
	struct page *sub[];
};

static size_t control_bytes(u32 nsub)
{
	return 2 * VTRACE_PAGE +
	       PAGE_ALIGN(struct_size((struct vtrace_ring_guest *)NULL, sub, nsub));
}

/* The device does not know this memory, or has been reset. */
static void free_ring(struct vtrace_ring_memory *m)
{
	u32 i;

	if (m->ring.data)
		vunmap(m->ring.data);
	for (i = 0; i < m->nsub && m->sub[i]; i++)
		__free_pages(m->sub[i], m->ring.sub_shift - PAGE_SHIFT);
	if (m->desc)
		free_pages_exact(m->desc, m->control_bytes);
	kfree(m);
}

/* All sub-buffers side by side for the writer, each with its own address. */
static void *map_subs(struct vtrace_ring_memory *m)
{
	u32 each = (m->ring.sub_mask + 1) >> PAGE_SHIFT;
	struct page **pages;
	void *data;
	u32 i;

	pages = kvmalloc_array(m->nsub, each * sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;
	for (i = 0; i < m->nsub * each; i++)
		pages[i] = m->sub[i / each] + i % each;
	data = vmap(pages, m->nsub * each, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return data;
}

static struct vtrace_ring_memory *alloc_ring(const struct vtrace_config_channel *c,
					     u32 contexts, int node)
{
	struct vtrace_ring_memory *m;
	u8 *control;
	u32 i;

	m = kzalloc_node(struct_size(m, sub, c->nsub), GFP_KERNEL, node);
	if (!m)
		return NULL;
	m->nsub = c->nsub;
	m->ring.mask = (u64)c->nsub * c->sub_size - 1;
	m->ring.sub_mask = c->sub_size - 1;
	m->ring.sub_shift = ilog2(c->sub_size);
	m->ring.mode = c->mode;
	m->ring.contexts = contexts;
	m->ring.context_bytes = vtrace_context_bytes(contexts);
	m->ring.clock_page = vtrace_clock_page;

	m->control_bytes = control_bytes(c->nsub);
	control = alloc_pages_exact(m->control_bytes, RING_GFP);
	if (!control)
		goto fail;
	m->desc = (struct vtrace_ring_desc *)control;
	m->ring.host = (struct vtrace_ring_host *)(control + VTRACE_PAGE);
	m->ring.guest = (struct vtrace_ring_guest *)(control + 2 * VTRACE_PAGE);

	for (i = 0; i < c->nsub; i++) {
		m->sub[i] = alloc_pages_node(node, RING_GFP,
					     m->ring.sub_shift - PAGE_SHIFT);
		if (!m->sub[i])
			goto fail;
	}
	m->ring.data = map_subs(m);
	if (!m->ring.data)
		goto fail;
	return m;

fail:
	free_ring(m);
	return NULL;
}

static void describe_ring(struct vtrace_ring_memory *m, unsigned int cpu,
			  u32 channel, u64 epoch)
{
	struct vtrace_ring_desc *desc = m->desc;
	u32 i;

	desc->magic = VTRACE_RING_MAGIC;
	desc->version = VTRACE_VERSION;
	desc->ring = m->id;
	desc->vcpu = cpu;
	desc->channel = channel;
	desc->mode = m->ring.mode;
	desc->sub_size = m->ring.sub_mask + 1;
	desc->nsub = m->nsub;
	desc->epoch = epoch;
	for (i = 0; i < m->nsub; i++)
		desc->sub_gpa[i] = page_to_phys(m->sub[i]);
}

static void add_ring(struct vtrace_device *dev, unsigned int cpu, u32 channel)
{
	const struct vtrace_config_channel *c = &dev->channel[channel];
	u32 id = cpu * dev->num_channels + channel;
	struct vtrace_ring_ref ref = { .ring = id };
	struct vtrace_ring_memory *m;
	int ret;

	if (dev->ring[id])
		return;
	m = alloc_ring(c, dev->contexts[channel], cpu_to_node(cpu));
	if (!m) {
		dev_warn(vtrace_dev(dev),
			 "no memory for vCPU %u's ring of channel %u (%u x %u bytes): its events are lost\n",
			 cpu, channel, c->nsub, c->sub_size);
		return;
	}
	m->id = id;
	ref.gpa = virt_to_phys(m->desc);
	ref.epoch = vtrace_root->epoch;
	describe_ring(m, cpu, channel, ref.epoch);
	vtrace_writer_open(&m->ring);

	ret = vtrace_request(dev, VTRACE_REQ_RING_ADD, &ref, sizeof(ref), NULL);
	if (ret > 0) {
		/* One of an old epoch is tried again in the new one. */
		if (ret != VTRACE_S_STALE)
			dev_warn(vtrace_dev(dev),
				 "vCPU %u's ring of channel %u: %s: its events are lost\n",
				 cpu, channel, vtrace_request_error(ret));
		free_ring(m);
		return;
	}
	/* Without an answer the device may know of it: reset comes first. */
	dev->ring[id] = m;
	if (ret)
		return;
	m->registered = true;
	vtrace_root_set_ring(id, ref.gpa);
	vtrace_writer_publish(cpu, channel, &m->ring);
}

static void add_rings(struct vtrace_device *dev, unsigned int cpu)
{
	u32 channel;

	mutex_lock(&dev->rings);
	for (channel = 0; channel < dev->num_channels; channel++)
		add_ring(dev, cpu, channel);
	mutex_unlock(&dev->rings);
}

/* The one device that there is: hotplug callbacks are told no more. */
static struct vtrace_device *hotplug_device;

static int prepare_cpu(unsigned int cpu)
{
	add_rings(hotplug_device, cpu);
	return 0;
}

int vtrace_rings_init(struct vtrace_device *dev)
{
	mutex_init(&dev->rings);
	dev->ring = kvcalloc(nr_cpu_ids * dev->num_channels,
			     sizeof(*dev->ring), GFP_KERNEL);
	return dev->ring ? 0 : -ENOMEM;
}

void vtrace_rings_release(struct vtrace_device *dev)
{
	kvfree(dev->ring);
}

/* For all vCPUs that are online, and for those that will be. */
int vtrace_rings_start(struct vtrace_device *dev)
{
	int ret;

	hotplug_device = dev;
	ret = cpuhp_setup_state(CPUHP_BP_PREPARE_DYN, "virtio_trace:prepare",
				prepare_cpu, NULL);
	if (ret < 0)
		return ret;
	dev->hotplug = ret;
	dev->has_hotplug = true;
	return 0;
}

/* Those that an old epoch or a lack of memory has left without. */
void vtrace_rings_add_missing(struct vtrace_device *dev)
{
	unsigned int cpu;

	cpus_read_lock();
	for_each_online_cpu(cpu)
		add_rings(dev, cpu);
	cpus_read_unlock();
}

/* When this returns nobody writes in a ring or kicks. */
void vtrace_rings_unpublish(struct vtrace_device *dev)
{
	unsigned int cpu;
	u32 channel;

	if (dev->has_hotplug)
		cpuhp_remove_state_nocalls(dev->hotplug);
	dev->has_hotplug = false;

	for_each_possible_cpu(cpu)
		for (channel = 0; channel < VTRACE_MAX_CHANNELS; channel++)
			vtrace_writer_publish(cpu, channel, NULL);
	synchronize_rcu();
}

/* The answer says that the device reads the ring no more. */
void vtrace_rings_unregister(struct vtrace_device *dev)
{
	struct vtrace_ring_ref ref = { .epoch = vtrace_root->epoch };
	u32 id;
	int ret;

	for (id = 0; id < nr_cpu_ids * dev->num_channels; id++) {
		if (!dev->ring[id] || !dev->ring[id]->registered)
			continue;
		ref.ring = id;
		ret = vtrace_request(dev, VTRACE_REQ_RING_DEL, &ref,
				     sizeof(ref), NULL);
		if (ret < 0)
			return;
		if (ret)
			dev_warn(vtrace_dev(dev), "taking ring %u back: %s\n",
				 id, vtrace_request_error(ret));
	}
}

/* The device has been reset. */
void vtrace_rings_free(struct vtrace_device *dev)
{
	u32 id;

	for (id = 0; id < nr_cpu_ids * dev->num_channels; id++) {
		if (!dev->ring[id])
			continue;
		vtrace_root_set_ring(id, 0);
		free_ring(dev->ring[id]);
		dev->ring[id] = NULL;
	}
}
