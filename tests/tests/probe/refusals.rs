//! Probe definitions that cannot be, addresses that fault, storms of hits, and a
//! guest whose user space does not run.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use vhost_trace_lab::{Guest, Serve, read_trace};

use crate::figures::{add, counted, recorded, wait_for};
use crate::rig::{Rig, TIME};

const ROOM: &[&str] = &["--sub-size", "256K", "--num-sub", "16"];

/// What the guest's driver refuses, and a part of what it says.
const REFUSED: &[(&str, &str)] = &[
    (
        "p:x no_such_function",
        "this kernel has no symbol no_such_function",
    ),
    (
        "r:x no_such_function",
        "this kernel has no symbol no_such_function",
    ),
    ("p:x no_module:vtrace_write", "this kernel has no symbol"),
    (
        "t:x no_such_tracepoint",
        "this kernel has no tracepoint no_such_tracepoint",
    ),
    (
        "p:x do_sys_openat2+1",
        "there is no begin of an instruction at do_sys_openat2+1",
    ),
    ("p:x do_sys_openat2+0x8000", "do_sys_openat2"),
    ("p:x get_kprobe", "the kernel lets nobody probe get_kprobe"),
    ("r:x get_kprobe", "the kernel lets nobody probe get_kprobe"),
    (
        "p:x linux_banner",
        "the kernel lets nobody probe linux_banner",
    ),
    (
        "p:x vtrace_write",
        "vtrace_write is part of what records events",
    ),
    (
        "r:x virtio_trace:vtrace_write",
        "is part of what records events",
    ),
    (
        "p:x irq_work_queue",
        "irq_work_queue is part of what records events",
    ),
    (
        "p:x copy_from_kernel_nofault",
        "is part of what records events",
    ),
    (
        "p:x do_sys_openat2 a=@no_such_data",
        "argument a: this kernel has no symbol no_such_data",
    ),
    (
        "p:sched_switch do_sys_openat2",
        "the driver has an event sched_switch of its own",
    ),
];

/// The guest refuses it, for this reason.
fn refused(serve: &Serve, definition: &str, why: &str) -> Result<()> {
    let args = ["probe", "add", "probe-bad", definition];
    let output = serve.command(&args)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{definition}: {}", said.trim());
    ensure!(!output.status.success(), "{definition} was taken");
    ensure!(said.contains(why), "{definition}: {said}");
    Ok(())
}

/// Addresses of symbols, without those of modules.
fn symbol(guest: &Guest, name: &str) -> Result<u64> {
    let line = guest.sh(&format!("grep ' {name}$' /proc/kallsyms | head -n 1"))?;
    let address = line.split(' ').next().context("no address")?;
    Ok(u64::from_str_radix(address, 16)?)
}

/// The return addresses of an event.
fn addresses(fields: &str) -> Option<Vec<u64>> {
    let values = fields.split_once("stack = [")?.1.split("0x").skip(1);
    let values = values.map(|value| {
        let end = value.find(|c: char| !c.is_ascii_hexdigit());
        u64::from_str_radix(&value[..end.unwrap_or(value.len())], 16).ok()
    });
    values.collect()
}

/// Stacks of a function, of its return, of a place in it, and of a tracepoint:
/// all lead to the entry of system calls.
const STACKS: [&str; 4] = ["stack_of_p", "stack_of_r", "stack_of_place", "stack_of_t"];

fn record_stacks(rig: &Rig) -> Result<()> {
    add(&rig.serve, "p:stack_of_p __x64_sys_getppid stack")?;
    add(&rig.serve, "r:stack_of_r __x64_sys_getppid stack[8]")?;
    // Behind what ftrace needs, and behind a mark for indirect calls.
    let place = |offset| format!("p:stack_of_place __x64_sys_getppid+{offset} stack[8]");
    add(&rig.serve, &place(5)).or_else(|_| add(&rig.serve, &place(9)))?;
    add(
        &rig.serve,
        "t:stack_of_t sys_enter id=$arg2:s64 stack[16] if id == 110",
    )?;
    rig.guest.sh("workload getppid 20")?;
    for name in STACKS {
        rig.serve.vm2(&["probe", "del"], &[name])?;
    }
    Ok(())
}

/// Each address that a probe may be asked to read, and nothing has happened.
fn fault(rig: &Rig) -> Result<()> {
    add(
        &rig.serve,
        "p:faults __x64_sys_getppid good=@linux_banner:u8 null=+0(\\0):u64 low=+0(\\16):string \
         hole=+0(\\0xdead000000000000):u32 high=+0(\\0xfffffffffffffff8):x8[16] \
         chain=+0(+0(+0(\\8))):u16 user=+u0(\\0x7ffffffff000):ustring wrap=+16(\\-8):s64",
    )?;
    rig.guest.sh("workload getppid 30")?;
    ensure!(counted(&rig.serve, "faults", "recorded")? >= 30);
    rig.serve.vm2(&["probe", "del"], &["faults"]).map(|_| ())
}

/// What a fetch that faults goes through itself: each hit would lead to the next.
fn recurse(rig: &Rig) -> Result<()> {
    const BAD: &str = "a=+0(\\16):u64 b=+0(\\32):string c=+u0(\\48):ustring d=+0(\\64):x8[8]";
    let names = [
        "fault_trigger",
        "fault_trace",
        "fault_fixup",
        "fault_return",
    ];
    let places = [
        "p:fault_trigger __x64_sys_getppid",
        "t:fault_trace page_fault_kernel",
        "p:fault_fixup search_exception_tables",
        "r:fault_return search_exception_tables",
    ];
    for place in places {
        rig.serve.vm2(
            &["probe", "add"],
            &["--rate", "0", &format!("{place} {BAD}")],
        )?;
    }
    rig.guest.sh_within("workload getppid 300", TIME)?;
    for name in names {
        println!(
            "{name}: {} recorded, {} missed",
            counted(&rig.serve, name, "recorded")?,
            counted(&rig.serve, name, "missed")?
        );
    }
    ensure!(counted(&rig.serve, "fault_trigger", "recorded")? >= 300);
    ensure!(counted(&rig.serve, "fault_trace", "missed")? > 0);
    rig.serve.vm2(&["probe", "del"], &names).map(|_| ())
}

/// A function and a tracepoint of a module, which stays as long as its tracepoint
/// is in use.
fn module(rig: &Rig) -> Result<()> {
    add(&rig.serve, "t:nine_requests 9p_client_req client=$arg1")?;
    add(&rig.serve, "p:nine_creates 9pnet:p9_client_create")?;
    ensure!(rig.guest.run("rmmod 9pnet")?.status != 0);
    rig.serve.vm2(&["probe", "del"], &["nine_requests"])?;
    rig.guest.sh("rmmod 9pnet")?;
    rig.serve.vm2(&["probe", "del"], &["nine_creates"])?;
    refused(
        &rig.serve,
        "t:x 9p_client_req",
        "no tracepoint 9p_client_req",
    )
}

/// Nothing is left of what comes and goes.
fn come_and_go(rig: &Rig) -> Result<()> {
    const LEFT: &str = "grep Percpu: /proc/meminfo; wc -l </sys/kernel/debug/kprobes/list
        grep -c . /sys/kernel/tracing/enabled_functions";
    let names = ["comes", "returns", "traces"];
    let definitions = [
        "p:comes do_sys_openat2 path=+0($arg2):ustring stack if $tid > 1",
        "r20:returns do_sys_openat2 fd=$retval:s32",
        "t:traces sys_exit ret=$arg2:s64 if ret < 0",
    ];
    let before = rig.guest.sh(LEFT)?;
    for _ in 0..10 {
        rig.serve.vm2(&["probe", "add"], &definitions)?;
        rig.serve.vm2(&["probe", "del"], &names)?;
    }
    let after = rig.guest.sh(LEFT)?;
    ensure!(before == after, "{before}\n{after}");
    Ok(())
}

/// The driver goes and comes while its definitions are hit.
fn unload(rig: &Rig) -> Result<()> {
    let job = rig
        .guest
        .spawn("while ! test -e /tmp/enough; do workload getppid 500; done")?;
    for _ in 0..4 {
        rig.guest.sh("rmmod virtio_trace")?;
        rig.load_driver()?;
        wait_for(&rig.serve, "kept")?;
    }
    rig.guest.sh("echo >/tmp/enough")?;
    ensure!(job.wait(TIME)?.status == 0);
    Ok(())
}

/// A hot function and every system call, with a rate: the guest goes on.
fn storm(rig: &Rig) -> Result<String> {
    const RATE: u64 = 500;
    let rate = RATE.to_string();
    let begin = Instant::now();
    rig.serve.vm2(
        &["probe", "add"],
        &[
            "--rate",
            &rate,
            "t:storm sys_enter nr=$arg2:s64",
            "p:hot _raw_spin_lock lock=$arg1",
        ],
    )?;
    rig.guest
        .sh_within("workload getppid 20000 & workload ctxsw 500; wait", TIME)?;
    for name in ["storm", "hot"] {
        let recorded = counted(&rig.serve, name, "recorded")?;
        let limited = counted(&rig.serve, name, "limited")?;
        // Each vCPU may begin with what a second has.
        let seconds = begin.elapsed().as_secs() + 2;
        println!("{name}: {recorded} recorded, {limited} beyond {RATE}/s in {seconds} s");
        ensure!(recorded <= 2 * RATE * seconds, "{recorded} in {seconds} s");
        ensure!(limited > 0 && recorded > 0, "{name}");
    }
    rig.serve.vm2(&["probe", "del"], &["storm", "hot"])
}

/// Stops all user space, the lab's agent too, and takes its files away: from then
/// on the guest is reached through the device alone.
fn freeze(rig: &Rig) -> Result<()> {
    let from = rig.guest.console().len();
    // Whoever freezes the others goes last, without a program to call. Kernel
    // threads have none, and never freeze.
    let script = "cd /sys/fs/cgroup
        mkdir ice
        for pid in $(ls /proc | grep '^[0-9]'); do
            test $pid != $$ && readlink /proc/$pid/exe >/dev/null && echo $pid >ice/cgroup.procs
        done
        echo 1 >ice/cgroup.freeze
        until grep -q 'frozen 1' ice/cgroup.events; do :; done
        rm -rf /bin /etc /init /lib /mnt /modules /root
        read cgroup </proc/1/cgroup
        { read populated; read frozen; } <ice/cgroup.events
        echo \"PID 1 is in $cgroup, which has: $frozen; left in /:\" /* >/dev/console
        echo $$ >ice/cgroup.procs";
    rig.guest.spawn(script)?;
    let end = rig.guest.wait_console(from, "/tmp", TIME)?;
    let said = rig.guest.console()[from..end].trim().to_owned();
    println!("{said}");
    ensure!(
        said.contains("frozen 1") && !said.contains("/bin"),
        "{said}"
    );
    Ok(())
}

fn probe_frozen(rig: &Rig) -> Result<()> {
    freeze(rig)?;
    let begin = Instant::now();
    loop {
        add(&rig.serve, "t:frozen_calls sys_enter nr=$arg2:s64")?;
        add(
            &rig.serve,
            "p:frozen_wakes try_to_wake_up task=$arg1 comm=$comm stack[4]",
        )?;
        // Each answer takes the guest a few.
        while counted(&rig.serve, "frozen_wakes", "recorded")? < 20 {
            ensure!(begin.elapsed() < TIME, "nothing wakes up");
        }
        let calls = counted(&rig.serve, "frozen_calls", "recorded")?;
        let wakes = counted(&rig.serve, "frozen_wakes", "recorded")?;
        println!("frozen: {calls} system calls, {wakes} wake-ups");
        rig.serve
            .vm2(&["probe", "del"], &["frozen_calls", "frozen_wakes"])?;
        if calls == 0 {
            return Ok(());
        }
        // The one that froze the others may have been on its way.
        ensure!(begin.elapsed() < TIME, "user space is not frozen");
    }
}

/// The next kernel of the guest has what the last one had; its lockdown does not
/// let it have more.
fn lock_down(rig: &Rig) -> Result<()> {
    rig.guest.reset()?;
    rig.load_driver()?;
    wait_for(&rig.serve, "kept")?;
    rig.guest.sh("workload getppid 40")?;
    ensure!(counted(&rig.serve, "kept", "recorded")? >= 40);
    rig.guest.sh("mount -t securityfs none /sys/kernel/security
         echo confidentiality >/sys/kernel/security/lockdown")?;
    for (definition, what) in [
        ("p:x do_sys_openat2", "use of kprobes"),
        ("r:x do_sys_openat2", "use of kprobes"),
        ("t:x sys_enter", "as it forbids tracefs"),
    ] {
        refused(&rig.serve, definition, what)?;
    }
    Ok(())
}

#[test]
fn probe_def_cannot_harm_the_guest() -> Result<()> {
    let mut rig = Rig::boot_with("probe-bad", ROOM, |guest| {
        guest.smp(2).kernel_module("9pnet")
    })?;
    rig.load_driver()?;
    for (definition, why) in REFUSED {
        refused(&rig.serve, definition, why)?;
    }
    // Not even an event class.
    let list = rig.serve.vm(&["events", "--list"])?;
    ensure!(!list.contains(" x\n"), "{list}");
    add(&rig.serve, "p:kept __x64_sys_getppid nr=+0x78($arg1):u64")?;
    refused(
        &rig.serve,
        "t:kept sys_exit",
        "there is a probe definition kept already",
    )?;
    // All or none.
    let both = ["t:fine sys_enter", "p:x no_such_function"];
    ensure!(rig.serve.vm2(&["probe", "add"], &both).is_err());
    let list = rig.serve.vm2(&["probe", "list"], &[])?;
    ensure!(!list.contains("t:fine"), "{list}");
    let entry = symbol(&rig.guest, "do_syscall_64")?;
    record_stacks(&rig)?;
    fault(&rig)?;
    recurse(&rig)?;
    let stormed = storm(&rig)?;
    module(&rig)?;
    come_and_go(&rig)?;
    unload(&rig)?;
    probe_frozen(&rig)?;
    lock_down(&rig)?;
    rig.finish()?;

    let mut stacks: BTreeMap<String, Vec<Vec<u64>>> = BTreeMap::new();
    let summary = read_trace(&rig.serve.trace(), |event| {
        if event.name == "faults" {
            // All but the first argument.
            ensure!(event.int("fault") == Some(0b1111_1110), "{event:?}");
            ensure!(
                event
                    .fields
                    .contains("good = 76, null = 0, low = \"(fault)\""),
                "{event:?}"
            );
        }
        if STACKS.contains(&event.name) {
            let stack = addresses(event.fields).context("no stack")?;
            stacks.entry(event.name.into()).or_default().push(stack);
        }
        Ok(())
    })?;
    println!("{:?}", summary.names);
    // All are of a system call, and so in what enters those.
    let enters = |address: &u64| (entry..entry + 4096).contains(address);
    for name in STACKS {
        let all = stacks.get(name).with_context(|| format!("no {name}"))?;
        assert!(all.len() >= 20, "{name}: {}", all.len());
        let bad = all.iter().find(|stack| !stack.iter().any(enters));
        assert_eq!(bad, None, "{name}, a system call enters at {entry:#x}");
    }
    for name in ["storm", "hot"] {
        assert_eq!(
            recorded(&stormed, name),
            Some(summary.count(name)),
            "{name}"
        );
    }
    assert!(summary.count("faults") >= 30);
    assert!(summary.count("frozen_wakes") >= 20);
    assert!(summary.count("kept") >= 40);
    Ok(())
}
