// SPDX-License-Identifier: GPL-2.0
/*
 * Filters as they come from the device, how long they live, and what they see
 * of the running task.
 */
#include <linux/err.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>

#include "events/context.h"
#include "events/filter.h"
#include "vtrace_driver.h"

/* Of a command's payload; the ids stay there. The caller is its one user. */
struct vtrace_program *vtrace_program_load(const void *payload, u32 bytes,
					   const u16 **ids, u32 *num_ids)
{
	struct vtrace_program *p;

	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p)
		return ERR_PTR(-ENOMEM);
	p->users = 1;
	if (!vtrace_program_read(p, payload, bytes, ids, num_ids)) {
		kfree(p);
		return ERR_PTR(-EINVAL);
	}
	return p;
}

bool vtrace_program_fits(const struct vtrace_program *p, const void *event,
			 enum vtrace_value_kind (*kind)(const void *event, u16 field))
{
	const struct vtrace_term *t;

	for (t = p->term; t < p->term + p->num_terms; t++)
		if (t->operand < VTRACE_MAX_FIELDS &&
		    kind(event, t->operand) != vtrace_term_kind(t))
			return false;
	return true;
}

/* Without a user; a handler may still run one of them. */
static struct vtrace_program *unused;

void vtrace_program_set(struct vtrace_program **slot, struct vtrace_program *p)
{
	struct vtrace_program *old = *slot;

	if (p)
		p->users++;
	/* Who sees it sees its terms. */
	smp_store_release(slot, p);
	if (old && !--old->users) {
		old->next = unused;
		unused = old;
	}
}

void vtrace_programs_collect(void)
{
	struct vtrace_program *p;

	if (!unused)
		return;
	tracepoint_synchronize_unregister();
	while ((p = unused)) {
		unused = p->next;
		kfree(p);
	}
}

static __always_inline void look_at_context(struct vtrace_value *v, u16 operand)
{
	/* No switch, which may become a jump through a table. */
	if (operand == VTRACE_CONTEXT_PROCNAME) {
		v->text = current->comm;
		v->bytes = sizeof(current->comm);
	} else if (operand == VTRACE_CONTEXT_CGROUP) {
		v->number = vtrace_this_cgroup();
	} else if (operand == VTRACE_CONTEXT_VTID) {
		v->number = task_pid_vnr(current);
	} else if (operand == VTRACE_CONTEXT_VPID) {
		v->number = task_tgid_vnr(current);
	} else if (operand == VTRACE_CONTEXT_STEAL) {
		v->number = vtrace_this_steal();
	} else if (operand == VTRACE_CONTEXT_PREEMPTIBLE) {
		v->number = vtrace_is_preemptible();
	} else if (operand == VTRACE_CONTEXT_NEED_RESCHEDULE) {
		v->number = test_tsk_need_resched(current);
	} else if (operand == VTRACE_CONTEXT_INTERRUPTIBLE) {
		v->number = !irqs_disabled();
	}
}

static noinline notrace u8 step_slowly(const struct vtrace_program *p,
				       const struct vtrace_term *t,
				       struct vtrace_value *v)
{
	look_at_context(v, t->operand);
	return vtrace_term_holds(p, t, v) ? t->yes : t->no;
}

/* It calls nothing unless it ends with that, and so saves no registers. */
notrace u8 vtrace_program_step(const struct vtrace_program *p, u8 at,
			       struct vtrace_value *v)
{
	const struct vtrace_term *t = p->term + at;
	u64 number = v->number;

	if (t->op == VTRACE_OP_MATCH ||
	    (t->operand >= VTRACE_MAX_FIELDS &&
	     !vtrace_quick_context(&number, t->operand)))
		return step_slowly(p, t, v);
	return vtrace_number_holds(t, number) ? t->yes : t->no;
}
