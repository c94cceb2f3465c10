// SPDX-License-Identifier: GPL-2.0
/*
 * Waking the device, from wherever an event is written: an NMI cannot touch a
 * queue, so that an irq_work does. Each vCPU has one for all its rings, hence at
 * most one notification outstanding, and waits for no other vCPU, which may be
 * stuck with its interrupts off.
 */
#include <linux/cpumask.h>
#include <linux/init.h>
#include <linux/irq_work.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/smp.h>
#include <linux/timekeeping.h>
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

static DEFINE_PER_CPU(struct irq_work, kick_work);

/* When a watched event has kicked. */
static DEFINE_PER_CPU(u64, notified);

/* What the kick itself causes kicks no more: the device is looking already. */
void vtrace_kick(struct vtrace_ring *r)
{
	if (!__this_cpu_read(kicking))
		irq_work_queue(this_cpu_ptr(&kick_work));
}

/*
 * A watched event has been committed, in any context. A storm of them kicks no
 * more often than the gap allows, whatever the device does: it looks again when
 * the gap is over, and finds what has come in between.
 */
notrace void vtrace_notify(void)
{
	u64 now = ktime_get_mono_fast_ns();

	preempt_disable_notrace();
	if (now - __this_cpu_read(notified) >= VTRACE_NOTIFY_GAP) {
		__this_cpu_write(notified, now);
		vtrace_kick(NULL);
	}
	preempt_enable_notrace();
}

/* A module's variables of each vCPU cannot begin with an address. */
void __init vtrace_kick_init(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		per_cpu(kick_work, cpu) = IRQ_WORK_INIT_HARD(kick);
}

void vtrace_kick_start(struct virtqueue *vq)
{
	WRITE_ONCE(doorbell, vq);
}

/* No writer is left that could kick; the queue is not touched any more. */
void vtrace_kick_stop(void)
{
	unsigned int cpu;

	WRITE_ONCE(doorbell, NULL);
	for_each_possible_cpu(cpu)
		irq_work_sync(per_cpu_ptr(&kick_work, cpu));
}
