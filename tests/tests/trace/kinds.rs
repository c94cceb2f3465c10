//! Which events are compared with those of the guest's own tracer.

/// An event, the kernel's name of it with its subsystem's, and an integer
/// field with its name in the kernel's text.
pub type Kind = (
    &'static str,
    &'static str,
    Option<(&'static str, &'static str)>,
);

/// Those that the test's work makes.
pub const MADE: &[Kind] = &[
    (
        "irq_handler_entry",
        "irq/irq_handler_entry",
        Some(("irq", "irq")),
    ),
    (
        "irq_handler_exit",
        "irq/irq_handler_exit",
        Some(("irq", "irq")),
    ),
    (
        "irq_softirq_entry",
        "irq/softirq_entry",
        Some(("vec", "vec")),
    ),
    ("irq_softirq_exit", "irq/softirq_exit", Some(("vec", "vec"))),
    (
        "irq_softirq_raise",
        "irq/softirq_raise",
        Some(("vec", "vec")),
    ),
    ("timer_init", "timer/timer_init", None),
    (
        "timer_start",
        "timer/timer_start",
        Some(("expires", "expires")),
    ),
    (
        "timer_expire_entry",
        "timer/timer_expire_entry",
        Some(("baseclk", "baseclk")),
    ),
    ("timer_expire_exit", "timer/timer_expire_exit", None),
    ("timer_cancel", "timer/timer_cancel", None),
    ("timer_hrtimer_init", "timer/hrtimer_init", None),
    (
        "timer_hrtimer_start",
        "timer/hrtimer_start",
        Some(("expires", "expires")),
    ),
    (
        "timer_hrtimer_expire_entry",
        "timer/hrtimer_expire_entry",
        Some(("now", "now")),
    ),
    (
        "timer_hrtimer_expire_exit",
        "timer/hrtimer_expire_exit",
        None,
    ),
    ("timer_hrtimer_cancel", "timer/hrtimer_cancel", None),
    (
        "timer_itimer_state",
        "timer/itimer_state",
        Some(("which", "which")),
    ),
    (
        "timer_itimer_expire",
        "timer/itimer_expire",
        Some(("pid", "pid")),
    ),
    (
        "signal_generate",
        "signal/signal_generate",
        Some(("code", "code")),
    ),
    (
        "signal_deliver",
        "signal/signal_deliver",
        Some(("sig", "sig")),
    ),
    (
        "x86_exceptions_page_fault_user",
        "exceptions/page_fault_user",
        Some(("error_code", "error_code")),
    ),
    (
        "x86_exceptions_page_fault_kernel",
        "exceptions/page_fault_kernel",
        Some(("error_code", "error_code")),
    ),
    ("block_rq_insert", "block/block_rq_insert", None),
    ("block_rq_issue", "block/block_rq_issue", None),
    ("block_rq_complete", "block/block_rq_complete", None),
    ("net_dev_queue", "net/net_dev_queue", Some(("len", "len"))),
    ("net_dev_xmit", "net/net_dev_xmit", Some(("rc", "rc"))),
    (
        "net_if_receive_skb",
        "net/netif_receive_skb",
        Some(("len", "len")),
    ),
    ("net_if_rx", "net/netif_rx", Some(("len", "len"))),
    (
        "kmem_mm_page_alloc",
        "kmem/mm_page_alloc",
        Some(("pfn", "pfn")),
    ),
    (
        "kmem_mm_page_free",
        "kmem/mm_page_free",
        Some(("pfn", "pfn")),
    ),
    ("power_cpu_idle", "power/cpu_idle", Some(("state", "state"))),
    (
        "oom_score_adj_update",
        "oom/oom_score_adj_update",
        Some(("oom_score_adj", "oom_score_adj")),
    ),
    ("oom_mark_victim", "oom/mark_victim", Some(("tid", "pid"))),
    (
        "sched_process_wait",
        "sched/sched_process_wait",
        Some(("tid", "pid")),
    ),
    (
        "sched_process_free",
        "sched/sched_process_free",
        Some(("tid", "pid")),
    ),
    (
        "sched_stat_runtime",
        "sched/sched_stat_runtime",
        Some(("runtime", "runtime")),
    ),
    (
        "sched_stat_wait",
        "sched/sched_stat_wait",
        Some(("delay", "delay")),
    ),
    (
        "sched_stat_sleep",
        "sched/sched_stat_sleep",
        Some(("delay", "delay")),
    ),
    (
        "sched_stat_iowait",
        "sched/sched_stat_iowait",
        Some(("delay", "delay")),
    ),
];

/// Those that this guest may not make; what it makes is counted all the same.
const RARE: &[Kind] = &[
    ("block_rq_requeue", "block/block_rq_requeue", None),
    ("power_cpu_frequency", "power/cpu_frequency", None),
    ("sched_kthread_stop", "sched/sched_kthread_stop", None),
    (
        "sched_kthread_stop_ret",
        "sched/sched_kthread_stop_ret",
        None,
    ),
    ("sched_pi_setprio", "sched/sched_pi_setprio", None),
    ("sched_stat_blocked", "sched/sched_stat_blocked", None),
    ("sched_wait_task", "sched/sched_wait_task", None),
];

/// All of them.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    MADE.iter().chain(RARE)
}
