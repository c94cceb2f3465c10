// SPDX-License-Identifier: GPL-2.0
/* Events of block devices: their handlers. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/blktrace_api.h>
#include <linux/sched.h>
#include <trace/events/block.h>

#include "vtrace_event.h"
#include "vtrace_writer.h"

/* LTTng's bits. */
enum {
	VTRACE_RWBS_WRITE = 1 << 0,
	VTRACE_RWBS_DISCARD = 1 << 1,
	VTRACE_RWBS_READ = 1 << 2,
	VTRACE_RWBS_RAHEAD = 1 << 3,
	VTRACE_RWBS_SYNC = 1 << 5,
	VTRACE_RWBS_META = 1 << 6,
	VTRACE_RWBS_SECURE = 1 << 7,
	VTRACE_RWBS_FLUSH = 1 << 8,
	VTRACE_RWBS_FUA = 1 << 9,
	VTRACE_RWBS_PREFLUSH = 1 << 10
};

static __always_inline u32 vtrace_rwbs_op(const struct request *rq)
{
	/* No switch, which may become a jump through a table. */
	if (req_op(rq) == REQ_OP_READ)
		return VTRACE_RWBS_READ;
	if (req_op(rq) == REQ_OP_WRITE)
		return VTRACE_RWBS_WRITE;
	if (req_op(rq) == REQ_OP_FLUSH)
		return VTRACE_RWBS_FLUSH;
	if (req_op(rq) == REQ_OP_DISCARD)
		return VTRACE_RWBS_DISCARD;
	if (req_op(rq) == REQ_OP_SECURE_ERASE)
		return VTRACE_RWBS_DISCARD | VTRACE_RWBS_SECURE;
	return 0;
}

static __always_inline u32 vtrace_rwbs(const struct request *rq)
{
	u32 bits = vtrace_rwbs_op(rq);

	if (rq->cmd_flags & REQ_RAHEAD)
		bits |= VTRACE_RWBS_RAHEAD;
	if (rq->cmd_flags & REQ_SYNC)
		bits |= VTRACE_RWBS_SYNC;
	if (rq->cmd_flags & REQ_META)
		bits |= VTRACE_RWBS_META;
	if (rq->cmd_flags & REQ_PREFLUSH)
		bits |= VTRACE_RWBS_PREFLUSH;
	if (rq->cmd_flags & REQ_FUA)
		bits |= VTRACE_RWBS_FUA;
	return bits;
}

/* A queue may be without a disk, or lose it. */
static __always_inline u32 vtrace_rq_dev(const struct request *rq)
{
	const struct gendisk *disk = READ_ONCE(rq->q->disk);

	return disk ? MKDEV(disk->major, disk->first_minor) : 0;
}

#define VTRACE_TABLE	"events/block.h"
#define VTRACE_PROBES	vtrace_block_probes
#include "events/handle.h"
