/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of the page allocator, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(kmem_mm_page_alloc, mm_page_alloc,
	PROTO(struct page *page, unsigned int order, gfp_t gfp_flags,
		int migratetype),
	ARGS(page, order, gfp_flags, migratetype),
	HEX(u64, page, (unsigned long)page);
	FIELD(u64, pfn, page ? page_to_pfn(page) : -1ul);
	FIELD(u32, order, order);
	FIELD(u32, gfp_flags, (__force u32)gfp_flags);
	FIELD(s32, migratetype, migratetype))

TRACEPOINT(kmem_mm_page_free, mm_page_free,
	PROTO(struct page *page, unsigned int order),
	ARGS(page, order),
	HEX(u64, page, (unsigned long)page);
	FIELD(u64, pfn, page_to_pfn(page));
	FIELD(u32, order, order))
