// SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
/* Prints what the driver's header says of the memory it shares. */
#include <stddef.h>
#include <stdio.h>
#include "vtrace_abi.h"

#define SIZE(type) printf(#type " %zu\n", sizeof(struct type))
#define FIELD(type, field) \
	printf(#type "." #field " %zu\n", offsetof(struct type, field))
#define VALUE(name) printf(#name " %llu\n", (unsigned long long)(name))

int main(void)
{
	SIZE(vtrace_ring_desc);
	FIELD(vtrace_ring_desc, magic);
	FIELD(vtrace_ring_desc, version);
	FIELD(vtrace_ring_desc, ring);
	FIELD(vtrace_ring_desc, vcpu);
	FIELD(vtrace_ring_desc, channel);
	FIELD(vtrace_ring_desc, mode);
	FIELD(vtrace_ring_desc, sub_size);
	FIELD(vtrace_ring_desc, nsub);
	FIELD(vtrace_ring_desc, epoch);
	FIELD(vtrace_ring_desc, reserved);
	FIELD(vtrace_ring_desc, sub_gpa);
	SIZE(vtrace_ring_host);
	FIELD(vtrace_ring_host, consumed);
	FIELD(vtrace_ring_host, wake_at);
	SIZE(vtrace_open);
	FIELD(vtrace_open, begin);
	FIELD(vtrace_open, len);
	FIELD(vtrace_open, stamp);
	FIELD(vtrace_open, overtaken);
	SIZE(vtrace_sub);
	FIELD(vtrace_sub, commit);
	FIELD(vtrace_sub, end);
	FIELD(vtrace_sub, end_stamp);
	FIELD(vtrace_sub, opened);
	SIZE(vtrace_ring_guest);
	FIELD(vtrace_ring_guest, pos);
	FIELD(vtrace_ring_guest, stamp);
	FIELD(vtrace_ring_guest, active);
	FIELD(vtrace_ring_guest, reserved0);
	FIELD(vtrace_ring_guest, open);
	FIELD(vtrace_ring_guest, lost);
	FIELD(vtrace_ring_guest, sub);
	SIZE(vtrace_preamble);
	FIELD(vtrace_preamble, begin);
	FIELD(vtrace_preamble, lost);
	FIELD(vtrace_preamble, position);
	SIZE(vtrace_clock_slot);
	FIELD(vtrace_clock_slot, base);
	FIELD(vtrace_clock_slot, base_ns);
	FIELD(vtrace_clock_slot, mult);
	FIELD(vtrace_clock_slot, reserved);
	SIZE(vtrace_clock);
	FIELD(vtrace_clock, index);
	FIELD(vtrace_clock, reserved);
	FIELD(vtrace_clock, slot);
	VALUE(VTRACE_PAGE);
	VALUE(VTRACE_MIN_SUB);
	VALUE(VTRACE_MAX_SUB);
	VALUE(VTRACE_MIN_NSUB);
	VALUE(VTRACE_MAX_NSUB);
	VALUE(VTRACE_LEVELS);
	VALUE(VTRACE_RING_MAGIC);
	VALUE(VTRACE_VERSION);
	VALUE(VTRACE_MODE_DISCARD);
	VALUE(VTRACE_MODE_OVERWRITE);
	VALUE(VTRACE_WAKE_NEVER);
	VALUE(VTRACE_OPEN_GOT);
	VALUE(VTRACE_COMMIT_EVENT);
	VALUE(VTRACE_COMMIT_BYTES);
	VALUE(VTRACE_LOST_FULL);
	VALUE(VTRACE_LOST_TOO_BIG);
	VALUE(VTRACE_LOST_NESTED);
	VALUE(VTRACE_LOST_WRAPPED);
	VALUE(VTRACE_LOST_REASONS);
	VALUE(VTRACE_ID_FULL);
	VALUE(VTRACE_HEADER);
	VALUE(VTRACE_HEADER_FULL);
	return 0;
}
