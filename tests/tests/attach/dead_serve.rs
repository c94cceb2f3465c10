//! A `serve` that dies under its device, in a guest on i440FX.

use anyhow::{Result, ensure};

use crate::cycles::{read_session, sessions, wait_events};
use crate::numbers::Numbers;
use crate::report::Report;
use crate::rig::{RINGS, TIME, Vm, serve};

#[test]
fn attach_again_after_the_death_of_serve() -> Result<()> {
    let mut first = serve(RINGS)?;
    let vm = Vm::start("attach-dead", &[], true, |guest| guest.machine("pc"))?;
    vm.load_driver()?;
    let said = first.vm(&["attach", "--qmp", vm.monitor()?])?;
    ensure!(said.contains("on bus pci.0"), "{said}");
    vm.load_witness()?;
    let report = Report::of(&first, &vm)?;
    report.assert("device", "ok", &["/machine/peripheral/vtrace"])?;
    report.assert("driver", "ok", &["version 1", "said hello"])?;
    report.assert("lockdown", "ok", &[])?;
    report.assert_failed(&[])?;

    first.signal(libc::SIGKILL);
    first.wait_exit(TIME)?;
    let report = Report::of(&first, &vm)?;
    report.assert(
        "serve",
        "fail",
        &["without having ended properly", "unplug"],
    )?;
    report.assert_failed(&["serve"])?;
    let why = vm.refusal(&first, &["detach"])?;
    ensure!(
        why.contains("no backend any more") && why.contains("--force"),
        "{why}"
    );
    let mut second = serve(RINGS)?;
    // QEMU does not come to it by itself.
    let report = Report::of(&second, &vm)?;
    report.assert("device", "fail", &["not connected to this serve"])?;
    report.assert_failed(&["device"])?;
    ensure!(
        vm.refusal(&second, &["attach"])?
            .contains("attached already")
    );

    second.vm(&["detach", "--force", "--qmp", vm.monitor()?])?;
    vm.attach(&second)?;
    wait_events(&second, 1000)?;
    vm.detach(&second)?;
    ensure!(vm.guest.boots() == 1, "the guest has restarted");
    second.terminate()?;
    let sessions = sessions(&second.trace())?;
    ensure!(sessions.len() == 1, "{sessions:?}");
    read_session(&sessions[0], &mut Numbers::new())
}
