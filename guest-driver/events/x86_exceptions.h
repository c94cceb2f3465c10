/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page faults, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(x86_exceptions_page_fault_user, page_fault_user,
	PROTO(unsigned long address, struct pt_regs *regs,
		unsigned long error_code),
	ARGS(address, regs, error_code),
	HEX(u64, address, address);
	HEX(u64, ip, regs->ip);
	HEX(u8, error_code, error_code))

TRACEPOINT(x86_exceptions_page_fault_kernel, page_fault_kernel,
	PROTO(unsigned long address, struct pt_regs *regs,
		unsigned long error_code),
	ARGS(address, regs, error_code),
	HEX(u64, address, address);
	HEX(u64, ip, regs->ip);
	HEX(u8, error_code, error_code))
