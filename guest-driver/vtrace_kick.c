// SPDX-License-Identifier: GPL-2.0
/*
 * Waking the device, from wherever an event is written: an NMI cannot touch a
 * queue, so that an irq_work does. It is one for all rings, hence at most one
 * notification is outstanding.
 */
#include <linux/irq_work.h>
#include <linux/percpu.h>
#include <linux/smp.h>
#include <linux/virtio.h>

#include "vtrace_arch.h"
#include "vtrace_driver.h"

static struct virtqueue *doorbell;
static DEFINE_PER_CPU(bool, kicking);

static void kick(struct irq_work *work)
{
	struct virtqueue *vq = READ_ONCE(doorbell);

	__this_cpu_write(kicking, true);
	if (vq)
		virtqueue_notify(vq);
	__this_cpu_write(kicking, false);
}

static struct irq_work kick_work = IRQ_WORK_INIT_HARD(kick);

/* What the kick itself causes kicks no more: the device is looking already. */
void vtrace_kick(struct vtrace_ring *r)
{
	if (!__this_cpu_read(kicking))
		irq_work_queue(&kick_work);
}

void vtrace_kick_start(struct virtqueue *vq)
{
	WRITE_ONCE(doorbell, vq);
}

/* No writer is left that could kick; the queue is not touched any more. */
void vtrace_kick_stop(void)
{
	WRITE_ONCE(doorbell, NULL);
	irq_work_sync(&kick_work);
}
