//! System calls that only some of the kernels have: each has an event of its own
//! where the kernel has the call, and is traced as unknown otherwise.

use anyhow::Result;
use vhost_trace_lab::read_trace;

use crate::rig::{ROOMY, Rig};

/// Calls since Linux 6.2, whose numbers are those of every architecture.
const CALLS: &[(&str, u32)] = &[
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
    ("rseq_slice_yield", 471),
];

#[test]
fn trace_calls_of_later_kernels_have_events() -> Result<()> {
    const EACH: u64 = 7;
    let mut rig = Rig::boot("calls", 1, ROOMY)?;
    rig.load_driver()?;
    rig.enable("syscalls")?;
    // What the kernel's own tracer knows is the kernel's list of its calls.
    let known = rig.guest.sh("ls /sys/kernel/tracing/events/syscalls")?;
    for (_, number) in CALLS {
        rig.guest.sh(&format!("workload call {number} {EACH}"))?;
    }
    rig.finish()?;
    let mut unknown = std::collections::BTreeMap::<i64, u64>::new();
    let summary = read_trace(&rig.serve.trace(), |event| {
        if event.name == "syscall_entry_unknown" {
            *unknown.entry(event.int("id").unwrap_or(-1)).or_default() += 1;
        }
        Ok(())
    })?;
    for (name, number) in CALLS {
        let as_unknown = unknown.get(&i64::from(*number)).copied().unwrap_or(0);
        for (way, tracefs) in [("entry", "enter"), ("exit", "exit")] {
            let count = summary.count(&format!("syscall_{way}_{name}"));
            let tracefs = format!("sys_{tracefs}_{name}");
            // A call that is configured out has a number, and no tracer's name.
            assert_eq!(count + as_unknown, EACH, "{way} of {name}");
            if known.lines().any(|line| line.trim() == tracefs) {
                assert_eq!(count, EACH, "{way} of {name}");
            }
        }
    }
    Ok(())
}
