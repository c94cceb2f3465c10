/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of timers, with LTTng's names, fields and types. A table:
 * vtrace_event.h says what its words mean, and includes it for each meaning.
 */

TRACEPOINT(timer_init, timer_init,
	PROTO(struct timer_list *timer),
	ARGS(timer),
	HEX(u64, timer, (unsigned long)timer))

TRACEPOINT(timer_start, timer_start,
	VTRACE_TIMER_START_PROTO,
	VTRACE_TIMER_START_ARGS,
	HEX(u64, timer, (unsigned long)timer);
	HEX(u64, function, (unsigned long)timer->function);
	FIELD(u64, expires, timer->expires);
	FIELD(u64, now, jiffies);
	FIELD(u32, flags, timer->flags))

TRACEPOINT(timer_expire_entry, timer_expire_entry,
	PROTO(struct timer_list *timer, unsigned long baseclk),
	ARGS(timer, baseclk),
	HEX(u64, timer, (unsigned long)timer);
	FIELD(u64, now, jiffies);
	HEX(u64, function, (unsigned long)timer->function);
	FIELD(u64, baseclk, baseclk))

/* The timer itself may be gone. */
TRACEPOINT(timer_expire_exit, timer_expire_exit,
	PROTO(struct timer_list *timer),
	ARGS(timer),
	HEX(u64, timer, (unsigned long)timer))

TRACEPOINT(timer_cancel, timer_cancel,
	PROTO(struct timer_list *timer),
	ARGS(timer),
	HEX(u64, timer, (unsigned long)timer))

TRACEPOINT(timer_hrtimer_init, VTRACE_HRTIMER_INIT,
	PROTO(struct hrtimer *hrtimer, clockid_t clockid,
		enum hrtimer_mode mode),
	ARGS(hrtimer, clockid, mode),
	HEX(u64, hrtimer, (unsigned long)hrtimer);
	FIELD(s32, clockid, clockid);
	FIELD(u32, mode, mode))

TRACEPOINT(timer_hrtimer_start, hrtimer_start,
	VTRACE_HRTIMER_START_PROTO,
	VTRACE_HRTIMER_START_ARGS,
	HEX(u64, hrtimer, (unsigned long)hrtimer);
	HEX(u64, function, vtrace_hrtimer_function(hrtimer));
	FIELD(s64, expires, hrtimer_get_expires(hrtimer));
	FIELD(s64, softexpires, hrtimer_get_softexpires(hrtimer));
	FIELD(u32, mode, mode))

TRACEPOINT(timer_hrtimer_expire_entry, hrtimer_expire_entry,
	PROTO(struct hrtimer *hrtimer, VTRACE_HRTIMER_NOW now),
	ARGS(hrtimer, now),
	HEX(u64, hrtimer, (unsigned long)hrtimer);
	FIELD(s64, now, VTRACE_HRTIMER_NOW_VALUE(now));
	HEX(u64, function, vtrace_hrtimer_function(hrtimer)))

/* The timer itself may be gone. */
TRACEPOINT(timer_hrtimer_expire_exit, hrtimer_expire_exit,
	PROTO(struct hrtimer *hrtimer),
	ARGS(hrtimer),
	HEX(u64, hrtimer, (unsigned long)hrtimer))

TRACEPOINT(timer_hrtimer_cancel, hrtimer_cancel,
	PROTO(struct hrtimer *hrtimer),
	ARGS(hrtimer),
	HEX(u64, hrtimer, (unsigned long)hrtimer))

TRACEPOINT(timer_itimer_state, itimer_state,
	PROTO(int which, const struct itimerspec64 *value,
		unsigned long long expires),
	ARGS(which, value, expires),
	FIELD(s32, which, which);
	FIELD(u64, expires, expires);
	FIELD(s64, value_sec, value->it_value.tv_sec);
	FIELD(s64, value_nsec, value->it_value.tv_nsec);
	FIELD(s64, interval_sec, value->it_interval.tv_sec);
	FIELD(s64, interval_nsec, value->it_interval.tv_nsec))

TRACEPOINT(timer_itimer_expire, itimer_expire,
	PROTO(int which, struct pid *pid, unsigned long long now),
	ARGS(which, pid, now),
	FIELD(s32, which, which);
	FIELD(s32, pid, pid_nr(pid));
	FIELD(u64, now, now))
