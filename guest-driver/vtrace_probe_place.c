// SPDX-License-Identifier: GPL-2.0
/* Where definitions are hit: kprobes, kretprobes and tracepoints. */
#include <linux/errno.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/string.h>

#include "vtrace_event.h"
#include "vtrace_probe.h"

static notrace int entered(struct kprobe *kp, struct pt_regs *regs)
{
	struct vtrace_definition *d =
		container_of(kp, struct vtrace_definition, kprobe);
	const struct vtrace_hit hit = {
		.regs = regs,
		.ip = (unsigned long)kp->addr,
	};

	vtrace_probe_hit(d, &hit);
	return 0;
}

static notrace int returned(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct kretprobe *rp = get_kretprobe(ri);
	struct vtrace_hit hit = { .regs = regs };

	/* It is being removed. */
	if (!rp)
		return 0;
	hit.ip = (unsigned long)rp->kp.addr;
	hit.parent_ip = get_kretprobe_retaddr(ri);
	vtrace_probe_hit(container_of(rp, struct vtrace_definition, kretprobe),
			 &hit);
	return 0;
}

/* Of any tracepoint: those that it has not are whatever was there. */
static notrace void traced(void *data, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f,
			   u64 g, u64 h, u64 i, u64 j, u64 k, u64 l)
{
	const u64 args[VTRACE_NUM_PROBE_ARGUMENTS] = {
		a, b, c, d, e, f, g, h, i, j, k, l
	};
	const struct vtrace_hit hit = { .args = args };

	vtrace_probe_hit(data, &hit);
}

/*
 * What records an event calls these. A probe there would be hit by what it does
 * itself, again and again. Whatever they call in turn is missed while a kprobe is
 * at work, which the kernel counts.
 */
static const char *const own[] = {
	"__irq_work_queue_local", "__memcpy", "__memset", "__task_pid_nr_ns",
	"__unwind_start", "arch_irq_work_raise", "copy_from_kernel_nofault",
	"copy_from_kernel_nofault_allowed", "copy_from_user_nofault",
	"irq_work_queue", "ktime_get_mono_fast_ns", "memcpy", "memcpy_orig",
	"memmove", "memset", "memset_orig", "nmi_uaccess_okay",
	"rep_movs_alternative", "stack_trace_save", "strnlen",
	"unwind_get_return_address", "unwind_next_frame",
};

static bool is_own(unsigned long address)
{
	char name[KSYM_SYMBOL_LEN];
	unsigned int i;

	if (within_module(address, THIS_MODULE))
		return true;
	sprint_symbol_no_offset(name, address);
	for (i = 0; i < ARRAY_SIZE(own); i++)
		if (!strcmp(name, own[i]))
			return true;
	return false;
}

/* The offset from the symbol that the kernel itself would say. */
static bool is_beyond(unsigned long address, u64 offset)
{
	char name[KSYM_SYMBOL_LEN], *plus;
	unsigned long found;

	sprint_symbol(name, address);
	plus = strrchr(name, '+');
	if (!plus || sscanf(plus, "+%lx/", &found) != 1)
		return true;
	return found != offset;
}

static int refused(const struct vtrace_definition *d, int err,
		   struct vtrace_said *f)
{
	const char *symbol = d->fetch.symbol;

	switch (err) {
	case -ENOENT:
		return vtrace_say(f, ENOENT, "this kernel has no symbol %s: its functions are in the guest's /proc/kallsyms, a module's are MODULE:SYMBOL",
				  symbol);
	case -EILSEQ:
		return vtrace_say(f, EILSEQ, "there is no begin of an instruction at %s+%llu",
				  symbol, d->fetch.head.offset);
	case -EINVAL:
		return vtrace_say(f, EINVAL, "the kernel lets nobody probe %s: it is on the kprobe blacklist (the guest's /sys/kernel/debug/kprobes/blacklist), or no code; a function that calls it, or a tracepoint, may do",
				  symbol);
	default:
		return vtrace_say(f, -err, "the kernel does not take a probe of %s: error %d",
				  symbol, -err);
	}
}

/* Before it is armed, and so before it is hit. */
static int check(const struct vtrace_definition *d, const struct kprobe *kp,
		 struct vtrace_said *f)
{
	if (is_own((unsigned long)kp->addr))
		return vtrace_say(f, EINVAL, "%s is part of what records events: a probe of it would be hit by its own events",
				  d->fetch.symbol);
	if (d->fetch.head.offset &&
	    is_beyond((unsigned long)kp->addr, d->fetch.head.offset))
		return vtrace_say(f, EINVAL, "%s ends before offset %llu",
				  d->fetch.symbol, d->fetch.head.offset);
	return 0;
}

static int place_entry(struct vtrace_definition *d, struct vtrace_said *f)
{
	int err;

	d->kprobe.symbol_name = d->fetch.symbol;
	d->kprobe.offset = d->fetch.head.offset;
	d->kprobe.pre_handler = entered;
	d->kprobe.flags = KPROBE_FLAG_DISABLED;
	err = register_kprobe(&d->kprobe);
	if (err)
		return refused(d, err, f);
	err = check(d, &d->kprobe, f);
	if (err)
		unregister_kprobe(&d->kprobe);
	return err;
}

static int place_return(struct vtrace_definition *d, struct vtrace_said *f)
{
	int err;

	d->kretprobe.kp.symbol_name = d->fetch.symbol;
	d->kretprobe.handler = returned;
	d->kretprobe.maxactive = d->fetch.head.maxactive;
	d->kretprobe.kp.flags = KPROBE_FLAG_DISABLED;
	err = register_kretprobe(&d->kretprobe);
	if (err)
		return refused(d, err, f);
	err = check(d, &d->kretprobe.kp, f);
	if (err)
		unregister_kretprobe(&d->kretprobe);
	return err;
}

/* Modules' tracepoints: the notifier tells a newcomer of all that there are. */
struct search {
	struct notifier_block nb;
	const char *name;
	struct tracepoint *found;
	struct module *owner;
};

static int coming(struct notifier_block *nb, unsigned long action, void *data)
{
#ifdef CONFIG_MODULES
	struct search *search = container_of(nb, struct search, nb);
	struct tp_module *tp_mod = data;
	struct module *mod = tp_mod->mod;
	struct tracepoint *tp;
	unsigned int i;

	if (action != MODULE_STATE_COMING || search->found)
		return NOTIFY_OK;
	for (i = 0; i < mod->num_tracepoints; i++) {
		tp = tracepoint_ptr_deref(&mod->tracepoints_ptrs[i]);
		if (strcmp(tp->name, search->name) || !try_module_get(mod))
			continue;
		search->found = tp;
		search->owner = mod;
		break;
	}
#endif
	return NOTIFY_OK;
}

static int place_tracepoint(struct vtrace_definition *d, struct vtrace_said *f)
{
	struct search search = {
		.nb.notifier_call = coming,
		.name = d->fetch.symbol,
	};

	/* Its handler has not the type of any tracepoint's. */
	if (IS_ENABLED(CONFIG_CFI_CLANG) || IS_ENABLED(CONFIG_CFI))
		return vtrace_say(f, EOPNOTSUPP, "this kernel checks the types of calls (CONFIG_CFI), so that no handler serves all tracepoints: probe a function");
	search.found = vtrace_find_tracepoint(d->fetch.symbol);
	if (!search.found && !register_tracepoint_module_notifier(&search.nb))
		unregister_tracepoint_module_notifier(&search.nb);
	if (!search.found)
		return vtrace_say(f, ENOENT, "this kernel has no tracepoint %s: the last parts of the names in the guest's /sys/kernel/tracing/available_events are mostly theirs",
				  d->fetch.symbol);
	d->tracepoint = search.found;
	d->owner = search.owner;
	return 0;
}

/* Where it belongs, but not yet hit. A negative errno, and what to say of it. */
int vtrace_probe_place(struct vtrace_definition *d, struct vtrace_said *f)
{
	switch (d->fetch.head.kind) {
	case VTRACE_PROBE_ENTRY:
		return place_entry(d, f);
	case VTRACE_PROBE_RETURN:
		return place_return(d, f);
	default:
		return place_tracepoint(d, f);
	}
}

/* From now on it is hit; its class is known. The same. */
int vtrace_probe_arm(struct vtrace_definition *d, struct vtrace_said *f)
{
	int err;

	switch (d->fetch.head.kind) {
	case VTRACE_PROBE_ENTRY:
		err = enable_kprobe(&d->kprobe);
		break;
	case VTRACE_PROBE_RETURN:
		err = enable_kprobe(&d->kretprobe.kp);
		break;
	default:
		err = tracepoint_probe_register(d->tracepoint, traced, d);
	}
	d->armed = !err;
	return err ? refused(d, err, f) : 0;
}

/* Of one that has been placed: nobody is in its handler any more. */
void vtrace_probe_remove(struct vtrace_definition *d)
{
	switch (d->fetch.head.kind) {
	case VTRACE_PROBE_ENTRY:
		unregister_kprobe(&d->kprobe);
		break;
	case VTRACE_PROBE_RETURN:
		unregister_kretprobe(&d->kretprobe);
		break;
	default:
		if (d->armed) {
			tracepoint_probe_unregister(d->tracepoint, traced, d);
			tracepoint_synchronize_unregister();
		}
		module_put(d->owner);
	}
}

/* Hits that the kernel itself has not told of. */
u64 vtrace_probe_missed(const struct vtrace_definition *d)
{
	switch (d->fetch.head.kind) {
	case VTRACE_PROBE_ENTRY:
		return d->kprobe.nmissed;
	case VTRACE_PROBE_RETURN:
		return d->kretprobe.nmissed + d->kretprobe.kp.nmissed;
	default:
		return 0;
	}
}
