// SPDX-License-Identifier: GPL-2.0
/*
 * Addresses of the kernel's symbols. Modules have no function for that, but a
 * kprobe that is never armed says where one is. Its first bytes may not be a
 * target of indirect calls, where the processor watches those: the call to it
 * is a direct one.
 */
#include <linux/kprobes.h>
#include <linux/static_call.h>

#include "vtrace_probe.h"

typedef unsigned long lookup_t(const char *name);

static unsigned long lookup_nothing(const char *name)
{
	return 0;
}

DEFINE_STATIC_CALL(vtrace_lookup, lookup_nothing);

static bool find_lookup(void)
{
	struct kprobe kp = {
		.symbol_name = "kallsyms_lookup_name",
		.flags = KPROBE_FLAG_DISABLED,
	};
	lookup_t *found;

	if (register_kprobe(&kp))
		return false;
	found = (lookup_t *)kp.addr;
	unregister_kprobe(&kp);
	static_call_update(vtrace_lookup, found);
	return true;
}

u64 vtrace_symbol_address(const char *name)
{
	static bool found;

	if (!found)
		found = find_lookup();
	return static_call(vtrace_lookup)(name);
}
