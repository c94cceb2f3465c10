/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The devices that a trace begins with, in LTTng's events. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

STATE(lttng_statedump_interrupt,
	PROTO(u32 irq, const char *chip, const struct irqaction *action),
	ARGS(irq, chip, action),
	FIELD(u32, irq, irq);
	STRING(name, chip);
	STRING(action, action->name ?: "");
	FIELD(s32, tid, action->thread ? action->thread->pid : 0))

STATE(lttng_statedump_block_device,
	PROTO(dev_t dev, const char *name),
	ARGS(dev, name),
	FIELD(u32, dev, dev);
	STRING(diskname, name))

STATE(lttng_statedump_network_interface,
	PROTO(const struct net_device *dev, __be32 address),
	ARGS(dev, address),
	STRING(name, dev->name);
	HEX_BE(u32, address_ipv4, (__force u32)address))
