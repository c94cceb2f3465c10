/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of power states, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(power_cpu_idle, cpu_idle,
	PROTO(unsigned int state, unsigned int cpu),
	ARGS(state, cpu),
	FIELD(u32, state, state);
	FIELD(u32, cpu_id, cpu))

TRACEPOINT(power_cpu_frequency, cpu_frequency,
	PROTO(unsigned int frequency, unsigned int cpu),
	ARGS(frequency, cpu),
	FIELD(u32, state, frequency);
	FIELD(u32, cpu_id, cpu))
