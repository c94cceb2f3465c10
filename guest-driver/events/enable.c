// SPDX-License-Identifier: GPL-2.0
/* Enabling events, and the kernel's tracepoints that they come from. */
#include <linux/errno.h>
#include <linux/mutex.h>
#include <linux/string.h>
#include <linux/tracepoint.h>

#include "events/filter.h"
#include "vtrace_driver.h"
#include "vtrace_event.h"

static DEFINE_MUTEX(enable_lock);

struct search {
	const char *name;
	struct tracepoint *found;
};

static void match(struct tracepoint *tp, void *data)
{
	struct search *search = data;

	if (!strcmp(tp->name, search->name))
		search->found = tp;
}

struct tracepoint *vtrace_find_tracepoint(const char *name)
{
	struct search search = { .name = name };

	for_each_kernel_tracepoint(match, &search);
	return search.found;
}

static bool is_state(u16 id)
{
	return (id > VTRACE_IDS_STATE && id < VTRACE_IDS_STATE_END) ||
	       (id > VTRACE_IDS_STATE_FILES && id < VTRACE_IDS_STATE_FILES_END) ||
	       (id > VTRACE_IDS_STATE_DEVICES && id < VTRACE_IDS_STATE_DEVICES_END);
}

static int enable(u16 id, bool on, struct vtrace_program *filter)
{
	if (id < VTRACE_IDS_STATE)
		return vtrace_tracepoint_enable(id, on, filter);
	/* Written when the state is asked for, whatever is enabled. */
	if (is_state(id))
		return filter ? -EOPNOTSUPP : 0;
	return vtrace_syscall_enable(id, on, filter);
}

/*
 * From process context. A handler that runs meanwhile on another processor may
 * write one more event of a kind that was disabled. What was there before is
 * replaced, and vtrace_events_settle() must follow. With a filter, an event
 * that cannot be enabled is off.
 */
int vtrace_event_enable(u16 id, bool on, struct vtrace_program *filter)
{
	int err;

	mutex_lock(&enable_lock);
	err = enable(id, on, filter);
	if (err && filter)
		enable(id, false, NULL);
	mutex_unlock(&enable_lock);
	return err;
}

/* Free the filters that were replaced, and this one, unless an event has it. */
void vtrace_events_settle(struct vtrace_program *filter)
{
	mutex_lock(&enable_lock);
	vtrace_program_set(&filter, NULL);
	vtrace_programs_collect();
	mutex_unlock(&enable_lock);
}

/* When this returns, no handler runs or will run. */
void vtrace_events_disable_all(void)
{
	unsigned int id;

	mutex_lock(&enable_lock);
	for (id = 0; id < VTRACE_IDS_COMPAT_END; id++)
		enable(id, false, NULL);
	tracepoint_synchronize_unregister();
	vtrace_programs_collect();
	vtrace_syscall_release();
	mutex_unlock(&enable_lock);
}
