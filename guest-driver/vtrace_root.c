// SPDX-License-Identifier: GPL-2.0
/*
 * The root page leads to all that the driver shares, so that a core file or a
 * saved memory file can be read too. It lives as long as the module does.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/panic_notifier.h>
#include <linux/string.h>

#include "vtrace_driver.h"
#include "vtrace_writer.h"

struct vtrace_root *vtrace_root;
static u64 *ring_table;

static size_t table_bytes(void)
{
	return sizeof(*ring_table) * nr_cpu_ids * VTRACE_MAX_CHANNELS;
}

static int panicked(struct notifier_block *nb, unsigned long event, void *text)
{
	WRITE_ONCE(vtrace_root->panic_stamp, vtrace_clock_now());
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = { .notifier_call = panicked };

int vtrace_root_init(void)
{
	vtrace_root = (void *)get_zeroed_page(GFP_KERNEL);
	ring_table = alloc_pages_exact(table_bytes(), GFP_KERNEL | __GFP_ZERO);
	if (!vtrace_root || !ring_table) {
		free_page((unsigned long)vtrace_root);
		if (ring_table)
			free_pages_exact(ring_table, table_bytes());
		return -ENOMEM;
	}
	vtrace_boot_id_read(vtrace_root->boot_id);
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
	return 0;
}

void vtrace_root_release(void)
{
	atomic_notifier_chain_unregister(&panic_notifier_list, &panic_block);
	free_pages_exact(ring_table, table_bytes());
	free_page((unsigned long)vtrace_root);
}

/* A session begins, of which there are no rings yet. */
void vtrace_root_start(u64 epoch)
{
	struct vtrace_root *root = vtrace_root;

	memset(ring_table, 0, table_bytes());
	root->version = VTRACE_VERSION;
	root->num_rings = 0;
	root->epoch = epoch;
	root->clock_gpa = virt_to_phys(vtrace_clock_page);
	root->ring_table_gpa = virt_to_phys(ring_table);
	root->clock_hz = vtrace_clock_hz();
	root->clock_offset = vtrace_clock_offset();
	WRITE_ONCE(root->lost_no_ring, 0);
	/* The magic vouches for all the rest. */
	smp_wmb();
	WRITE_ONCE(root->magic, VTRACE_ROOT_MAGIC);
}

void vtrace_root_set_epoch(u64 epoch)
{
	WRITE_ONCE(vtrace_root->epoch, epoch);
}

void vtrace_root_set_schema(const void *schema, size_t bytes)
{
	WRITE_ONCE(vtrace_root->schema_gpa, virt_to_phys((void *)schema));
	/* Never more bytes than there are. */
	smp_wmb();
	WRITE_ONCE(vtrace_root->schema_bytes, bytes);
}

/* gpa 0: this ring is gone. */
void vtrace_root_set_ring(u32 ring, u64 gpa)
{
	WRITE_ONCE(ring_table[ring], gpa);
	/* The entry, then the count that covers it. */
	smp_wmb();
	if (ring >= vtrace_root->num_rings)
		WRITE_ONCE(vtrace_root->num_rings, ring + 1);
}

notrace void vtrace_no_ring(void)
{
	atomic64_inc((atomic64_t *)&vtrace_root->lost_no_ring);
}
