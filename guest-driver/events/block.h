/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of block devices, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(block_rq_insert, block_rq_insert,
	PROTO(struct request *rq),
	ARGS(rq),
	FIELD(u32, dev, vtrace_rq_dev(rq));
	FIELD(u64, sector, blk_rq_trace_sector(rq));
	FIELD(u32, nr_sector, blk_rq_trace_nr_sectors(rq));
	FIELD(u32, bytes, blk_rq_bytes(rq));
	FIELD(s32, tid, current->pid);
	FIELD(u32, rwbs, vtrace_rwbs(rq));
	TEXT(comm, TASK_COMM_LEN, current->comm))

TRACEPOINT(block_rq_issue, block_rq_issue,
	PROTO(struct request *rq),
	ARGS(rq),
	FIELD(u32, dev, vtrace_rq_dev(rq));
	FIELD(u64, sector, blk_rq_trace_sector(rq));
	FIELD(u32, nr_sector, blk_rq_trace_nr_sectors(rq));
	FIELD(u32, bytes, blk_rq_bytes(rq));
	FIELD(s32, tid, current->pid);
	FIELD(u32, rwbs, vtrace_rwbs(rq));
	TEXT(comm, TASK_COMM_LEN, current->comm))

TRACEPOINT(block_rq_complete, block_rq_complete,
	PROTO(struct request *rq, blk_status_t error, unsigned int nr_bytes),
	ARGS(rq, error, nr_bytes),
	FIELD(u32, dev, vtrace_rq_dev(rq));
	FIELD(u64, sector, blk_rq_pos(rq));
	FIELD(u32, nr_sector, nr_bytes >> SECTOR_SHIFT);
	EARLY(s32, error, blk_status_to_errno(error));
	FIELD(u32, rwbs, vtrace_rwbs(rq)))

TRACEPOINT(block_rq_requeue, block_rq_requeue,
	PROTO(struct request *rq),
	ARGS(rq),
	FIELD(u32, dev, vtrace_rq_dev(rq));
	FIELD(u64, sector, blk_rq_trace_sector(rq));
	FIELD(u32, nr_sector, blk_rq_trace_nr_sectors(rq));
	FIELD(u32, rwbs, vtrace_rwbs(rq)))
