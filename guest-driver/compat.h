/* SPDX-License-Identifier: GPL-2.0 */
/* Where kernels differ. */
#ifndef VTRACE_COMPAT_H
#define VTRACE_COMPAT_H

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

/* Since 6.16 the event tells whether the last thread of its process exits. */
#ifdef VTRACE_EXIT_HAS_GROUP_DEAD
#define VTRACE_EXIT_PROTO	PROTO(struct task_struct *p, bool group_dead)
#define VTRACE_EXIT_ARGS	ARGS(p, group_dead)
#else
#define VTRACE_EXIT_PROTO	PROTO(struct task_struct *p)
#define VTRACE_EXIT_ARGS	ARGS(p)
#endif

#endif
