// SPDX-License-Identifier: GPL-2.0
/*
 * Probe definitions: those that there are, from the command that brings one to
 * the one that takes it away, or to the end of the session.
 */
#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "events/filter.h"
#include "vtrace.h"
#include "vtrace_driver.h"
#include "vtrace_probe.h"

static DEFINE_MUTEX(probes_lock);
static LIST_HEAD(probes);
static unsigned int num_probes;

int vtrace_say(struct vtrace_said *f, int error, const char *format, ...)
{
	va_list args;

	f->error = error;
	va_start(args, format);
	vscnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	return -error;
}

/* A schema record of it; see vtrace_abi.h. */
struct record {
	u32 bytes;
	u8 num_fields;
	u8 data[VTRACE_CMD_BYTES];
};

static void put(struct record *r, const void *from, size_t bytes)
{
	memcpy(r->data + r->bytes, from, bytes);
	r->bytes += bytes;
}

static void put_field(struct record *r, const char *name, u8 name_len,
		      const struct vtrace_probe_arg *type, u8 more_flags)
{
	u8 flags = type->flags | more_flags;
	const u8 head[] = { type->type, type->size, flags, name_len };
	u16 count = flags & VTRACE_FIELD_ARRAY ? type->count : 0;

	put(r, head, sizeof(head));
	put(r, &count, sizeof(count));
	put(r, name, name_len);
	r->num_fields++;
}

static void put_integer(struct record *r, const char *name, u8 size, u8 flags)
{
	const struct vtrace_probe_arg type = {
		.type = VTRACE_FIELD_INT,
		.size = size,
	};

	put_field(r, name, strlen(name), &type, flags);
}

/*
 * It fits: a field has fewer bytes there than its argument has in the command,
 * which has steps, too, and more than the other fields need to spare.
 */
static void describe(struct record *r, const struct vtrace_fetch *f)
{
	const struct vtrace_fetch_arg *a;
	u16 head[3] = { 0, 0, VTRACE_CHANNEL_EVENTS };
	const u8 counts[2] = { 0, f->head.name_len };
	u16 bytes;

	put(r, head, sizeof(head));
	put(r, counts, sizeof(counts));
	put(r, f->name, f->head.name_len);
	if (f->head.kind != VTRACE_PROBE_TRACEPOINT)
		put_integer(r, "ip", 8, VTRACE_FIELD_HEX);
	if (f->head.kind == VTRACE_PROBE_RETURN)
		put_integer(r, "parent_ip", 8, VTRACE_FIELD_HEX);
	if (f->may_fault)
		put_integer(r, "fault", 4, VTRACE_FIELD_HEX);
	for (a = f->arg; a < f->arg + f->head.num_args; a++)
		put_field(r, a->name, a->head.name_len, &a->head, 0);
	if (f->head.stack_depth) {
		put_integer(r, "stack_length", 1, 0);
		put_integer(r, "stack", 8, VTRACE_FIELD_HEX | VTRACE_FIELD_SEQ);
	}
	bytes = r->bytes;
	memcpy(r->data, &bytes, sizeof(bytes));
	r->data[sizeof(head)] = r->num_fields;
}

static int add_class(struct vtrace_definition *d, struct vtrace_said *f)
{
	struct record *r = kzalloc(sizeof(*r), GFP_KERNEL);

	if (!r)
		return vtrace_say(f, ENOMEM, "the guest has no memory for it");
	describe(r, &d->fetch);
	d->id = vtrace_class_register(r->data, r->bytes);
	kfree(r);
	/* The device may have turned one of before off. */
	if (d->id >= 0)
		return vtrace_class_enable(d->id, true, false);
	if (d->id == -ENOSPC)
		return vtrace_say(f, ENOSPC, "the driver has no room for more kinds of events: unload it and load it again");
	return vtrace_say(f, -d->id, "its event class is not taken: error %d; the host's log says why",
			  -d->id);
}

static enum vtrace_value_kind kind_of(const void *fetch, u16 field)
{
	const struct vtrace_fetch *f = fetch;
	u32 fixed = vtrace_fetch_fixed(f);

	if (field < fixed)
		return VTRACE_VALUE_NUMBER;
	field -= fixed;
	if (field >= f->head.num_args ||
	    f->arg[field].head.flags & VTRACE_FIELD_ARRAY)
		return VTRACE_VALUE_NONE;
	return f->arg[field].head.type == VTRACE_FIELD_STRING ?
		VTRACE_VALUE_TEXT : VTRACE_VALUE_NUMBER;
}

static int add_filter(struct vtrace_definition *d, struct vtrace_said *f)
{
	u32 bytes = d->fetch.head.filter_bytes, num_ids = 0;
	struct vtrace_program *filter;
	const u16 *ids;
	void *copy;

	if (!bytes)
		return 0;
	/* Aligned, as it is not where it came from. */
	copy = kmemdup(d->fetch.filter, bytes, GFP_KERNEL);
	if (!copy)
		return vtrace_say(f, ENOMEM, "the guest has no memory for it");
	filter = vtrace_program_load(copy, bytes, &ids, &num_ids);
	kfree(copy);
	if (IS_ERR(filter))
		return vtrace_say(f, -PTR_ERR(filter), "its filter is not valid");
	d->filter = filter;
	if (num_ids || !vtrace_program_fits(filter, &d->fetch, kind_of))
		return vtrace_say(f, EINVAL, "its filter is not one of its fields");
	return 0;
}

static int find_symbols(struct vtrace_definition *d, struct vtrace_said *f)
{
	char name[VTRACE_MAX_PROBE_SYMBOL + 1];
	struct vtrace_fetch_arg *a;
	u64 address;

	for (a = d->fetch.arg; a < d->fetch.arg + d->fetch.head.num_args; a++) {
		if (!a->head.symbol_len)
			continue;
		memcpy(name, a->symbol, a->head.symbol_len);
		name[a->head.symbol_len] = '\0';
		address = vtrace_symbol_address(name);
		if (!address)
			return vtrace_say(f, ENOENT, "argument %.*s: this kernel has no symbol %s: the guest's /proc/kallsyms has all",
					  a->head.name_len, a->name, name);
		d->fetch.step[a->first_step].value += address;
	}
	return 0;
}

/* What kprobe_events would ask, and with what result. */
static int ask_policy(const struct vtrace_definition *d, struct vtrace_said *f)
{
	if (d->fetch.head.kind != VTRACE_PROBE_TRACEPOINT &&
	    security_locked_down(LOCKDOWN_KPROBES))
		return vtrace_say(f, EPERM, "lockdown (confidentiality) forbids the use of kprobes in this guest");
	if (security_locked_down(LOCKDOWN_TRACEFS))
		return vtrace_say(f, EPERM, "lockdown (confidentiality) forbids what probe definitions read in this guest, as it forbids tracefs");
	return 0;
}

static struct vtrace_definition *find(const char *name, size_t bytes)
{
	struct vtrace_definition *d;

	list_for_each_entry(d, &probes, list)
		if (d->fetch.head.name_len == bytes &&
		    !memcmp(d->fetch.name, name, bytes))
			return d;
	return NULL;
}

static void release(struct vtrace_definition *d)
{
	if (d->id > 0)
		vtrace_class_unregister(d->id);
	free_percpu(d->counts);
	kfree(d->filter);
	kvfree(d);
}

static int prepare(struct vtrace_definition *d, struct vtrace_said *f)
{
	const char *wrong = vtrace_fetch_read(&d->fetch, d->payload, d->bytes);
	int err;

	if (wrong)
		return vtrace_say(f, EINVAL, "the definition is not valid: %s", wrong);
	if (find(d->fetch.name, d->fetch.head.name_len))
		return vtrace_say(f, EEXIST, "there is a definition %s already: delete it first",
				  d->fetch.name);
	if (vtrace_schema_has(d->fetch.name, d->fetch.head.name_len))
		return vtrace_say(f, EEXIST, "the driver has an event %s of its own: choose another name",
				  d->fetch.name);
	if (num_probes == VTRACE_MAX_PROBES)
		return vtrace_say(f, ENOSPC, "there are %u definitions, which is the most: delete one first",
				  num_probes);
	err = ask_policy(d, f) ?: find_symbols(d, f) ?: add_filter(d, f);
	if (err)
		return err;
	d->counts = alloc_percpu(struct vtrace_probe_counts);
	if (!d->counts || vtrace_probe_rooms_init())
		return vtrace_say(f, ENOMEM, "the guest has no memory for it");
	d->burst = vtrace_clock_hz();
	if (d->fetch.head.rate)
		d->cost = max_t(u64, div_u64(d->burst, d->fetch.head.rate), 1);
	return 0;
}

/*
 * Classes are never given back: there is none before it is known that the place
 * exists and may be probed.
 */
static int add(struct vtrace_definition *d, struct vtrace_said *f)
{
	int err = prepare(d, f) ?: vtrace_probe_place(d, f);

	if (err)
		return err;
	err = add_class(d, f) ?: vtrace_probe_arm(d, f);
	if (err)
		vtrace_probe_remove(d);
	return err;
}

void vtrace_probe_add(const void *payload, u32 bytes, struct vtrace_said *f)
{
	struct vtrace_definition *d = kvzalloc(sizeof(*d), GFP_KERNEL);

	if (!d) {
		vtrace_say(f, ENOMEM, "the guest has no memory for it");
		return;
	}
	d->bytes = min_t(u32, bytes, sizeof(d->payload));
	memcpy(d->payload, payload, d->bytes);
	mutex_lock(&probes_lock);
	if (add(d, f)) {
		release(d);
	} else {
		list_add_tail(&d->list, &probes);
		num_probes++;
	}
	mutex_unlock(&probes_lock);
}

static struct vtrace_definition *find_named(const void *name, u32 bytes,
					    struct vtrace_said *f)
{
	struct vtrace_definition *d = find(name, bytes);

	if (!d)
		vtrace_say(f, ENOENT, "there is no definition %.*s",
			   (int)min_t(u32, bytes, VTRACE_MAX_PROBE_NAME),
			      (const char *)name);
	return d;
}

static void say_counts(const struct vtrace_definition *d, struct vtrace_said *f)
{
	u64 recorded = 0, limited = 0, missed = vtrace_probe_missed(d);
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		const struct vtrace_probe_counts *c = per_cpu_ptr(d->counts, cpu);

		recorded += c->recorded;
		limited += c->limited;
		missed += c->missed;
	}
	vtrace_say(f, 0, "recorded %llu, limited %llu, missed %llu", recorded,
		   limited, missed);
}

static void end(struct vtrace_definition *d)
{
	vtrace_probe_remove(d);
	list_del(&d->list);
	num_probes--;
}

void vtrace_probe_del(const void *name, u32 bytes, struct vtrace_said *f)
{
	struct vtrace_definition *d;

	mutex_lock(&probes_lock);
	d = find_named(name, bytes, f);
	if (d) {
		end(d);
		say_counts(d, f);
		release(d);
	}
	mutex_unlock(&probes_lock);
}

void vtrace_probe_counts(const void *name, u32 bytes, struct vtrace_said *f)
{
	struct vtrace_definition *d;

	mutex_lock(&probes_lock);
	d = find_named(name, bytes, f);
	if (d)
		say_counts(d, f);
	mutex_unlock(&probes_lock);
}

/* When this returns nothing of theirs runs. */
void vtrace_probes_stop(void)
{
	struct vtrace_definition *d, *next;

	mutex_lock(&probes_lock);
	list_for_each_entry_safe(d, next, &probes, list) {
		end(d);
		release(d);
	}
	vtrace_probe_rooms_release();
	mutex_unlock(&probes_lock);
}
