/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of interrupts, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(irq_handler_entry, irq_handler_entry,
	PROTO(int irq, struct irqaction *action),
	ARGS(irq, action),
	FIELD(s32, irq, irq);
	STRING(name, action->name ?: ""))

TRACEPOINT(irq_handler_exit, irq_handler_exit,
	PROTO(int irq, struct irqaction *action, int ret),
	ARGS(irq, action, ret),
	FIELD(s32, irq, irq);
	FIELD(s32, ret, ret))

TRACEPOINT(irq_softirq_entry, softirq_entry,
	PROTO(unsigned int vec),
	ARGS(vec),
	FIELD(u32, vec, vec))

TRACEPOINT(irq_softirq_exit, softirq_exit,
	PROTO(unsigned int vec),
	ARGS(vec),
	FIELD(u32, vec, vec))

TRACEPOINT(irq_softirq_raise, softirq_raise,
	PROTO(unsigned int vec),
	ARGS(vec),
	FIELD(u32, vec, vec))
