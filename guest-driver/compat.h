/* SPDX-License-Identifier: GPL-2.0 */
/* Where kernels differ. */
#ifndef VTRACE_COMPAT_H
#define VTRACE_COMPAT_H

#include <linux/fs_struct.h>
#include <linux/irqnr.h>
#include <linux/path.h>
#include <linux/virtio_config.h>

#include "vtrace_abi.h"

struct vtrace_vq_info {
	const char *name;
	vq_callback_t *callback;
};

/* Kbuild looks into the headers. */
#ifdef VTRACE_HAS_VIRTQUEUE_INFO
static inline int vtrace_find_vqs(struct virtio_device *vdev, unsigned int n,
				  struct virtqueue *vqs[],
				  const struct vtrace_vq_info *info)
{
	struct virtqueue_info vqs_info[VTRACE_NUM_VQS] = {};
	unsigned int i;

	for (i = 0; i < n; i++) {
		vqs_info[i].name = info[i].name;
		vqs_info[i].callback = info[i].callback;
	}
	return virtio_find_vqs(vdev, n, vqs, vqs_info, NULL);
}
#else
static inline int vtrace_find_vqs(struct virtio_device *vdev, unsigned int n,
				  struct virtqueue *vqs[],
				  const struct vtrace_vq_info *info)
{
	vq_callback_t *callbacks[VTRACE_NUM_VQS];
	const char *names[VTRACE_NUM_VQS];
	unsigned int i;

	for (i = 0; i < n; i++) {
		names[i] = info[i].name;
		callbacks[i] = info[i].callback;
	}
	return virtio_find_vqs(vdev, n, vqs, callbacks, names, NULL);
}
#endif

static inline unsigned int vtrace_nr_irqs(void)
{
#ifdef VTRACE_HAS_IRQ_GET_NR_IRQS
	return irq_get_nr_irqs();
#else
	return nr_irqs;
#endif
}

/* Have a process begin in a folder that it is given. */
static inline void vtrace_enter(struct fs_struct *fs, const struct path *folder)
{
	struct path old;

	path_get(folder);
#ifdef VTRACE_HAS_FS_SEQLOCK
	write_seqlock(&fs->seq);
	old = fs->pwd;
	fs->pwd = *folder;
	write_sequnlock(&fs->seq);
#else
	spin_lock(&fs->lock);
	write_seqcount_begin(&fs->seq);
	old = fs->pwd;
	fs->pwd = *folder;
	write_seqcount_end(&fs->seq);
	spin_unlock(&fs->lock);
#endif
	path_put(&old);
}

/* Tracepoints. */

/* How often one turns preemption off around its handlers. */
#ifdef VTRACE_HAS_TRACEPOINT_PREEMPT_OFF
#define VTRACE_TRACEPOINT_PREEMPT_OFF	1
#else
#define VTRACE_TRACEPOINT_PREEMPT_OFF	0
#endif

/* Since 6.16 it says whether the last thread of its process exits. */
#ifdef VTRACE_HAS_EXIT_GROUP_DEAD
#define VTRACE_EXIT_PROTO	PROTO(struct task_struct *p, bool group_dead)
#define VTRACE_EXIT_ARGS	ARGS(p, group_dead)
#else
#define VTRACE_EXIT_PROTO	PROTO(struct task_struct *p)
#define VTRACE_EXIT_ARGS	ARGS(p)
#endif

#ifdef VTRACE_HAS_TIMER_START_FLAGS
#define VTRACE_TIMER_START_PROTO					\
	PROTO(struct timer_list *timer, unsigned long expires,		\
		unsigned int flags)
#define VTRACE_TIMER_START_ARGS		ARGS(timer, expires, flags)
#else
#define VTRACE_TIMER_START_PROTO					\
	PROTO(struct timer_list *timer, unsigned long bucket_expiry)
#define VTRACE_TIMER_START_ARGS		ARGS(timer, bucket_expiry)
#endif

#ifdef VTRACE_HAS_HRTIMER_SETUP
#define VTRACE_HRTIMER_INIT		hrtimer_setup
#else
#define VTRACE_HRTIMER_INIT		hrtimer_init
#endif

#ifdef VTRACE_HAS_HRTIMER_WAS_ARMED
#define VTRACE_HRTIMER_START_PROTO					\
	PROTO(struct hrtimer *hrtimer, enum hrtimer_mode mode, bool was_armed)
#define VTRACE_HRTIMER_START_ARGS	ARGS(hrtimer, mode, was_armed)
#else
#define VTRACE_HRTIMER_START_PROTO					\
	PROTO(struct hrtimer *hrtimer, enum hrtimer_mode mode)
#define VTRACE_HRTIMER_START_ARGS	ARGS(hrtimer, mode)
#endif

#ifdef VTRACE_HAS_HRTIMER_NOW_VALUE
#define VTRACE_HRTIMER_NOW		ktime_t
#define VTRACE_HRTIMER_NOW_VALUE(now)	(now)
#else
#define VTRACE_HRTIMER_NOW		ktime_t *
#define VTRACE_HRTIMER_NOW_VALUE(now)	(*(now))
#endif

#ifdef VTRACE_HAS_STAT_RUNTIME_VRUNTIME
#define VTRACE_STAT_RUNTIME_PROTO					\
	PROTO(struct task_struct *p, u64 runtime, u64 vruntime)
#define VTRACE_STAT_RUNTIME_ARGS	ARGS(p, runtime, vruntime)
#else
#define VTRACE_STAT_RUNTIME_PROTO	PROTO(struct task_struct *p, u64 runtime)
#define VTRACE_STAT_RUNTIME_ARGS	ARGS(p, runtime)
#endif

#endif
