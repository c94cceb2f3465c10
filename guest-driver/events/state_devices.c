// SPDX-License-Identifier: GPL-2.0
/* The state dump's interrupts, disks and network interfaces. */
#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/inetdevice.h>
#include <linux/interrupt.h>
#include <linux/irq.h>
#include <linux/irqdesc.h>
#include <linux/kernel.h>
#include <linux/netdevice.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <net/net_namespace.h>

#include "compat.h"
#include "events/state.h"
#include "vtrace_event.h"

#define VTRACE_TABLE	"events/state_devices.h"
#include "events/write.h"

static void dump_interrupt(unsigned int irq, struct irq_desc *desc)
{
	const struct irqaction *action;
	const char *chip;
	unsigned long flags;

	raw_spin_lock_irqsave(&desc->lock, flags);
	chip = irq_desc_get_chip(desc)->name ?: "unnamed_irq_chip";
	for (action = desc->action; action; action = action->next)
		write_state(lttng_statedump_interrupt, irq, chip, action);
	raw_spin_unlock_irqrestore(&desc->lock, flags);
}

static void dump_interrupts(void)
{
	struct irq_data *data;
	unsigned int irq;

	for (irq = 0; irq < vtrace_nr_irqs(); irq++) {
		/* Which holds off that the kernel frees it. */
		rcu_read_lock();
		data = irq_get_irq_data(irq);
		if (data)
			dump_interrupt(irq, irq_data_to_desc(data));
		rcu_read_unlock();
		cond_resched();
	}
}

/* Under the lock of the list. Not those without content, as the kernel's own. */
static void dump_block_device(struct block_device *bdev)
{
	char name[BDEVNAME_SIZE];

	if (!bdev_nr_sectors(bdev) || bdev->bd_disk->flags & GENHD_FL_HIDDEN)
		return;
	snprintf(name, sizeof(name), "%pg", bdev);
	write_state(lttng_statedump_block_device, bdev->bd_dev, name);
}

/*
 * The class of block devices is not exported; but each, a partition too, is an
 * inode of this file system, in its hash from when it is complete until it is
 * removed. A partition's disk may go after that, but not before a grace period.
 */
static void dump_block_devices(void)
{
	struct super_block *sb = blockdev_superblock;
	struct inode *inode;
	bool there;

	rcu_read_lock();
	spin_lock(&sb->s_inode_list_lock);
	list_for_each_entry(inode, &sb->s_inodes, i_sb_list) {
		spin_lock(&inode->i_lock);
		there = !inode_unhashed(inode);
		spin_unlock(&inode->i_lock);
		if (there)
			dump_block_device(I_BDEV(inode));
	}
	spin_unlock(&sb->s_inode_list_lock);
	rcu_read_unlock();
}

static void dump_network_interface(struct net_device *dev)
{
	const struct in_device *in_dev;
	const struct in_ifaddr *ifa;

	if (!(dev->flags & IFF_UP)) {
		write_state(lttng_statedump_network_interface, dev, 0);
		return;
	}
	in_dev = __in_dev_get_rcu(dev);
	if (!in_dev)
		return;
	in_dev_for_each_ifa_rcu(ifa, in_dev)
		write_state(lttng_statedump_network_interface, dev,
			    ifa->ifa_address);
}

static void dump_network_interfaces(void)
{
	struct net_device *dev;

	rcu_read_lock();
	for_each_netdev_rcu(&init_net, dev)
		dump_network_interface(dev);
	rcu_read_unlock();
}

void vtrace_dump_devices(void)
{
	dump_interrupts();
	dump_network_interfaces();
	dump_block_devices();
}
