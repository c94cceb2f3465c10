// SPDX-License-Identifier: GPL-2.0
/*
 * The schema: the driver's own events, and behind them the classes that other
 * modules have registered. It only grows, since rings and files may hold events
 * of a class whose module has gone; so an id never means something else, and a
 * module that comes back gets its old one.
 */
#include <linux/bitmap.h>
#include <linux/bitops.h>
#include <linux/export.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "vtrace.h"
#include "vtrace_driver.h"

#define ROOM		(128 * 1024)	/* for their records */

/* In a record: u16 bytes, u16 id, u16 channel, u8 nfields, u8 name_len. */
#define RECORD_ID	2
#define RECORD_CHANNEL	4
#define RECORD_NFIELDS	6
#define RECORD_NAME_LEN	7
#define RECORD_NAME	8
/* In a field: u8 kind, u8 size, u8 flags, u8 name_len, u16 count. */
#define FIELD_NAME	6

static DEFINE_MUTEX(schema_lock);
static struct vtrace_device *device;	/* that has the schema */
static u8 *schema;
static size_t schema_room;
static size_t own_bytes;		/* of contexts and the driver's own records */
static size_t schema_bytes;
static bool schema_stale;		/* the device has not got all of it */
static unsigned int num_classes;
static struct {
	size_t offset;
	unsigned int users;
} classes[VTRACE_MAX_CLASSES];

/* A bit for each that the device does not want. */
unsigned long vtrace_classes_off[BITS_TO_LONGS(VTRACE_MAX_CLASSES)];

/* And for each whose events are to wake the device. */
unsigned long vtrace_classes_notify[BITS_TO_LONGS(VTRACE_MAX_CLASSES)];

static u16 record_bytes(const u8 *record)
{
	u16 bytes;

	memcpy(&bytes, record, sizeof(bytes));
	return bytes;
}

int vtrace_schema_init(void)
{
	own_bytes = vtrace_schema_size();
	schema_bytes = own_bytes;
	schema_room = PAGE_ALIGN(schema_bytes + ROOM +
				 VTRACE_MAX_CHANNELS *
				 vtrace_schema_write_contexts(NULL, 0, ~0u));
	schema = alloc_pages_exact(schema_room, GFP_KERNEL | __GFP_ZERO);
	if (!schema)
		return -ENOMEM;
	vtrace_schema_write(schema);
	vtrace_root_set_schema(schema, schema_bytes);
	return 0;
}

void vtrace_schema_release(void)
{
	free_pages_exact(schema, schema_room);
}

static void complain(struct vtrace_device *dev, const u8 *record, int status)
{
	dev_warn(vtrace_dev(dev), "event class %.*s: %s: it is not recorded\n",
		 record[RECORD_NAME_LEN], record + RECORD_NAME,
		 vtrace_request_error(status));
}

/* In requests of whole records. */
static int send(struct vtrace_device *dev, size_t from, size_t to)
{
	size_t most = dev->max_request - sizeof(struct vtrace_req);
	int ret;

	while (from < to) {
		size_t end = from;

		while (end < to && end + record_bytes(schema + end) - from <= most)
			end += record_bytes(schema + end);
		if (end == from)
			return -EMSGSIZE;
		ret = vtrace_request(dev, VTRACE_REQ_SCHEMA, schema + from,
				     end - from, NULL);
		if (ret)
			return ret;
		from = end;
	}
	return 0;
}

/*
 * All of it. Returns what vtrace_request() does. A class that the device does
 * not want is another module's mistake: it is off, and the others go on.
 */
static int send_all(struct vtrace_device *dev)
{
	unsigned int i;
	int ret;

	ret = send(dev, 0, own_bytes);
	for (i = 0; i < num_classes && !ret; i++) {
		ret = send(dev, classes[i].offset,
			   classes[i].offset + record_bytes(schema + classes[i].offset));
		if (ret > 0 && ret != VTRACE_S_STALE) {
			complain(dev, schema + classes[i].offset, ret);
			set_bit(i, vtrace_classes_off);
			ret = 0;
		}
	}
	if (!ret)
		schema_stale = false;
	return ret;
}

int vtrace_schema_send(struct vtrace_device *dev)
{
	int ret;

	mutex_lock(&schema_lock);
	ret = send_all(dev);
	mutex_unlock(&schema_lock);
	return ret;
}

/*
 * Put the contexts that this device wants before all else. No device knows the
 * schema yet.
 */
void vtrace_schema_prepare(struct vtrace_device *dev)
{
	size_t own = vtrace_schema_size(), bytes = 0;
	u32 c, i;

	mutex_lock(&schema_lock);
	for (c = 0; c < dev->num_channels; c++)
		if (dev->contexts[c])
			bytes += vtrace_schema_write_contexts(NULL, c,
							      dev->contexts[c]);
	memmove(schema + bytes + own, schema + own_bytes,
		schema_bytes - own_bytes);
	for (i = 0; i < num_classes; i++)
		classes[i].offset += bytes + own - own_bytes;
	schema_bytes += bytes + own - own_bytes;
	own_bytes = bytes + own;

	vtrace_schema_write(schema + bytes);
	for (c = 0, bytes = 0; c < dev->num_channels; c++)
		if (dev->contexts[c])
			bytes += vtrace_schema_write_contexts(schema + bytes, c,
							      dev->contexts[c]);
	vtrace_root_set_schema(schema, schema_bytes);
	mutex_unlock(&schema_lock);
}

/* The same, and from now on what is added to it. */
int vtrace_schema_start(struct vtrace_device *dev)
{
	int ret;

	mutex_lock(&schema_lock);
	ret = send_all(dev);
	if (!ret)
		device = dev;
	mutex_unlock(&schema_lock);
	return ret;
}

/* A new epoch: the device takes what it did not take in the old one. */
int vtrace_schema_resume(struct vtrace_device *dev)
{
	int ret = 0;

	mutex_lock(&schema_lock);
	if (schema_stale)
		ret = send_all(dev);
	mutex_unlock(&schema_lock);
	return ret;
}

void vtrace_schema_stop(void)
{
	mutex_lock(&schema_lock);
	bitmap_zero(vtrace_classes_notify, VTRACE_MAX_CLASSES);
	device = NULL;
	mutex_unlock(&schema_lock);
}

/* Whether an event of the driver's own has this name. */
bool vtrace_schema_has(const char *name, size_t bytes)
{
	bool found = false;
	const u8 *record;

	mutex_lock(&schema_lock);
	for (record = schema; record < schema + own_bytes && !found;
	     record += record_bytes(record))
		found = record[RECORD_NAME_LEN] == bytes &&
			!memcmp(record + RECORD_NAME, name, bytes);
	mutex_unlock(&schema_lock);
	return found;
}

static bool plausible(const u8 *record, size_t bytes)
{
	return bytes > RECORD_NAME &&
	       record_bytes(record) == bytes &&
	       !record[RECORD_CHANNEL + 1] &&
	       record[RECORD_CHANNEL] < VTRACE_MAX_CHANNELS &&
	       record[RECORD_NFIELDS] <= VTRACE_MAX_FIELDS &&
	       record[RECORD_NAME_LEN] && record[RECORD_NAME_LEN] <= VTRACE_MAX_NAME &&
	       RECORD_NAME + record[RECORD_NAME_LEN] <= bytes;
}

static bool same(const u8 *a, const u8 *b, size_t bytes)
{
	return !memcmp(a, b, RECORD_ID) &&
	       !memcmp(a + RECORD_CHANNEL, b + RECORD_CHANNEL,
		       bytes - RECORD_CHANNEL);
}

static int add_class(const u8 *record, size_t bytes)
{
	u8 *copy = schema + schema_bytes;
	unsigned int i;
	u16 id;
	int ret;

	for (i = 0; i < num_classes; i++) {
		if (same(schema + classes[i].offset, record, bytes)) {
			classes[i].users++;
			return VTRACE_FIRST_CLASS + i;
		}
	}
	if (num_classes == VTRACE_MAX_CLASSES || bytes > schema_room - schema_bytes)
		return -ENOSPC;

	memcpy(copy, record, bytes);
	id = VTRACE_FIRST_CLASS + num_classes;
	memcpy(copy + RECORD_ID, &id, sizeof(id));
	if (device) {
		ret = send(device, schema_bytes, schema_bytes + bytes);
		if (ret == VTRACE_S_STALE) {
			schema_stale = true;
		} else if (ret > 0) {
			complain(device, record, ret);
			return -EINVAL;
		}
		if (ret == -EMSGSIZE)
			return ret;
		/* Lost: the next device gets it with all the others. */
	}
	classes[num_classes].offset = schema_bytes;
	classes[num_classes].users = 1;
	schema_bytes += bytes;
	vtrace_root_set_schema(schema, schema_bytes);
	num_classes++;
	return id;
}

/* All are on until the device says otherwise: their modules were asked for. */
int vtrace_class_enable(u16 id, bool on, bool notify)
{
	unsigned int i = id - VTRACE_FIRST_CLASS;
	int ret = 0;

	mutex_lock(&schema_lock);
	if (i < num_classes) {
		assign_bit(i, vtrace_classes_off, !on);
		assign_bit(i, vtrace_classes_notify, notify);
	} else {
		ret = -ENOENT;
	}
	mutex_unlock(&schema_lock);
	return ret;
}

int vtrace_class_register(const void *record, size_t bytes)
{
	int ret;

	if (!plausible(record, bytes))
		return -EINVAL;
	mutex_lock(&schema_lock);
	ret = add_class(record, bytes);
	mutex_unlock(&schema_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(vtrace_class_register);

static u8 *put_field(u8 *at, const struct vtrace_class_field *f)
{
	size_t name_len = strlen(f->name);

	*at++ = f->kind;
	*at++ = f->size;
	*at++ = f->flags;
	*at++ = name_len;
	memcpy(at, &f->count, sizeof(f->count));
	at += sizeof(f->count);
	memcpy(at, f->name, name_len);
	return at + name_len;
}

int vtrace_class_describe(const char *name, unsigned int channel,
			  const struct vtrace_class_field *fields,
			  unsigned int num_fields)
{
	size_t bytes = RECORD_NAME + strlen(name);
	u16 record_bytes, record_channel = channel;
	unsigned int i;
	u8 *record, *at;
	int ret;

	if (num_fields > VTRACE_MAX_FIELDS || strlen(name) > VTRACE_MAX_NAME)
		return -EINVAL;
	for (i = 0; i < num_fields; i++) {
		if (strlen(fields[i].name) > VTRACE_MAX_NAME)
			return -EINVAL;
		bytes += FIELD_NAME + strlen(fields[i].name);
	}
	record = kzalloc(bytes, GFP_KERNEL);
	if (!record)
		return -ENOMEM;
	record_bytes = bytes;
	memcpy(record, &record_bytes, sizeof(record_bytes));
	memcpy(record + RECORD_CHANNEL, &record_channel, sizeof(record_channel));
	record[RECORD_NFIELDS] = num_fields;
	record[RECORD_NAME_LEN] = strlen(name);
	at = record + RECORD_NAME;
	memcpy(at, name, strlen(name));
	at += strlen(name);
	for (i = 0; i < num_fields; i++)
		at = put_field(at, &fields[i]);
	ret = vtrace_class_register(record, bytes);
	kfree(record);
	return ret;
}
EXPORT_SYMBOL_GPL(vtrace_class_describe);

void vtrace_class_unregister(int id)
{
	unsigned int i = id - VTRACE_FIRST_CLASS;

	mutex_lock(&schema_lock);
	if (!WARN_ON(i >= num_classes || !classes[i].users))
		classes[i].users--;
	mutex_unlock(&schema_lock);
}
EXPORT_SYMBOL_GPL(vtrace_class_unregister);
