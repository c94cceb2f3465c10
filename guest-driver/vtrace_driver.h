/* SPDX-License-Identifier: GPL-2.0 */
/* The driver's own parts, and what they need of each other. */
#ifndef VTRACE_DRIVER_H
#define VTRACE_DRIVER_H

#include <linux/completion.h>
#include <linux/cpuhotplug.h>
#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>

#include "vtrace_abi.h"

#define VTRACE_EVENT_BUFFERS	8
/* A schema record has at most 65535 bytes; no request needs to be larger. */
#define VTRACE_REQUEST_BYTES	(sizeof(struct vtrace_req) + 65536)

/*
 * Locks, outermost first:
 *   life		starting and stopping; never held by what they wait for
 *   (cpus_read_lock)
 *   rings		which vCPU has which ring, and the epoch
 *   schema lock	vtrace_class.c
 *   control		the control queue, one request at a time
 */
struct vtrace_device {
	struct virtio_device *vdev;
	struct virtqueue *vqs[VTRACE_NUM_VQS];

	struct mutex life;
	bool has_vqs;
	bool said_hello;
	bool running;			/* a lost device is to be reported */
	struct work_struct lost_work;
	struct notifier_block reboot;

	struct mutex control;
	struct completion answered;
	bool broken;			/* a request was not answered in time */
	u32 max_request;
	u8 *request;
	struct vtrace_resp *response;

	struct workqueue_struct *queue;
	struct work_struct command_work;
	bool commands;			/* are to be executed */
	u8 *buffers[VTRACE_EVENT_BUFFERS];
	u8 *command;			/* the one being executed */

	struct mutex rings;
	enum cpuhp_state hotplug;
	bool has_hotplug;
	u32 num_channels;
	struct vtrace_config_channel channel[VTRACE_MAX_CHANNELS];
	u32 contexts[VTRACE_MAX_CHANNELS];	/* that its events have */
	struct vtrace_ring_memory **ring;	/* of vCPU and channel */
};

static inline struct device *vtrace_dev(struct vtrace_device *dev)
{
	return &dev->vdev->dev;
}

/* vtrace_session.c: from hello to bye */
void vtrace_session_init(struct vtrace_device *dev);
int vtrace_session_start(struct vtrace_device *dev);
void vtrace_session_stop(struct vtrace_device *dev);
void vtrace_session_lost(struct vtrace_device *dev);

/* vtrace_control.c: requests */
int vtrace_control_init(struct vtrace_device *dev);
void vtrace_control_release(struct vtrace_device *dev);
void vtrace_control_answered(struct virtqueue *vq);
int vtrace_request(struct vtrace_device *dev, u32 type, const void *payload,
		   size_t bytes, u64 *value);
const char *vtrace_request_error(int status);

/* vtrace_command.c: what the device wants done */
int vtrace_command_init(struct vtrace_device *dev);
void vtrace_command_release(struct vtrace_device *dev);
void vtrace_command_arrived(struct virtqueue *vq);
int vtrace_command_start(struct vtrace_device *dev);
void vtrace_command_stop(struct vtrace_device *dev);

/* vtrace_rings.c: memory and registration of rings */
int vtrace_rings_init(struct vtrace_device *dev);
void vtrace_rings_release(struct vtrace_device *dev);
int vtrace_rings_start(struct vtrace_device *dev);
void vtrace_rings_add_missing(struct vtrace_device *dev);
void vtrace_rings_unpublish(struct vtrace_device *dev);
void vtrace_rings_unregister(struct vtrace_device *dev);
void vtrace_rings_free(struct vtrace_device *dev);

/* vtrace_writer.c: what writes in them */
struct vtrace_ring;
void vtrace_writer_open(struct vtrace_ring *r);
void vtrace_writer_publish(unsigned int cpu, unsigned int channel,
			   struct vtrace_ring *r);

/* vtrace_kick.c: waking the device */
void vtrace_kick_init(void);
void vtrace_kick_start(struct virtqueue *doorbell);
void vtrace_kick_stop(void);

/* vtrace_clock.c: from the counter to nanoseconds */
extern struct vtrace_clock *vtrace_clock_page;
int vtrace_clock_init(void);
void vtrace_clock_release(void);
void vtrace_clock_start(void);
u64 vtrace_clock_now(void);
u64 vtrace_clock_hz(void);
u64 vtrace_clock_offset(void);

/* vtrace_root.c: the page that leads to everything */
extern struct vtrace_root *vtrace_root;
int vtrace_root_init(void);
void vtrace_root_release(void);
void vtrace_root_start(u64 epoch);
void vtrace_root_set_epoch(u64 epoch);
void vtrace_root_set_schema(const void *schema, size_t bytes);
void vtrace_root_set_ring(u32 ring, u64 gpa);

/* vtrace_boot_id.c */
void vtrace_boot_id_read(u8 id[16]);

/* vtrace_class.c: the schema, and classes that other modules add to it */
#define VTRACE_FIRST_CLASS	0x8000	/* their ids: far above the driver's own */
#define VTRACE_MAX_CLASSES	1024
extern unsigned long vtrace_classes_off[];
bool vtrace_schema_has(const char *name, size_t bytes);
extern unsigned long vtrace_classes_notify[];
int vtrace_class_enable(u16 id, bool on, bool notify);
int vtrace_schema_init(void);
void vtrace_schema_release(void);
void vtrace_schema_prepare(struct vtrace_device *dev);
int vtrace_schema_start(struct vtrace_device *dev);
int vtrace_schema_resume(struct vtrace_device *dev);
void vtrace_schema_stop(void);
int vtrace_schema_send(struct vtrace_device *dev);

/*
 * vtrace_policy.c: what the device may have done. Here and below, 0 or a negative
 * errno, and why in a text of VTRACE_MAX_REASON bytes.
 */
int vtrace_policy_check(u32 command, char *text);
int vtrace_policy_send(struct vtrace_device *dev);
u32 vtrace_upload_limit(void);

/* vtrace_upload.c: what the device sends in pieces */
#define VTRACE_UPLOAD_FILE	"upload"
struct vfsmount;
int vtrace_upload_take(const void *payload, u32 bytes, char *text);
int vtrace_upload_cancel(const void *payload, u32 bytes, char *text);
struct vfsmount *vtrace_upload_claim(u32 blob, char *text);
void vtrace_upload_drop(void);

/* vtrace_module.c: modules from the device; -EINPROGRESS: answered later */
int vtrace_modules_init(void);
void vtrace_modules_release(void);
void vtrace_modules_start(struct vtrace_device *dev);
void vtrace_modules_stop(void);
int vtrace_module_load(u32 seq, const void *payload, u32 bytes, char *text);
int vtrace_module_unload(u32 seq, const void *payload, u32 bytes, char *text);
int vtrace_module_list(const void *payload, u32 bytes, char *text);

/* vtrace_filter.c */
struct vtrace_program;
struct vtrace_program *vtrace_program_load(const void *payload, u32 bytes,
					   const u16 **ids, u32 *num_ids);

/* vtrace_context.c: what a channel's events have besides their fields */
void vtrace_contexts_start(struct vtrace_device *dev);
void vtrace_contexts_stop(void);
u32 vtrace_context_bytes(u32 contexts);

/* events/ and vtrace_schema.c: the driver's own events */
int vtrace_event_enable(u16 id, bool on, struct vtrace_program *filter);
void vtrace_events_settle(struct vtrace_program *filter);
void vtrace_events_disable_all(void);
size_t vtrace_schema_size(void);
void vtrace_schema_write(void *buf);
size_t vtrace_schema_write_contexts(void *buf, u16 channel, u32 contexts);
void vtrace_statedump(void);

#endif
