//! Kernels that differ in their configuration.

use anyhow::{Result, ensure};
use vhost_trace_lab::{Flavour, Series};

use crate::numbers::{account, assert_complete, read_numbers};
use crate::rig::{ROOMY, Rig};

/// For virtual machines: fewer drivers, and other options.
#[test]
#[ignore = "full tier"]
fn kernels_cloud_flavours_are_traced() -> Result<()> {
    for series in Series::ALL {
        let kernel = series.kernel(Flavour::Cloud)?;
        ensure!(kernel.release.contains("-cloud-"), "{}", kernel.release);
        let name = format!("cloud-{}", series.name());
        let mut rig = Rig::boot_on(&kernel, &name, ROOMY, |guest| guest.smp(2))?;
        rig.load_driver()?;
        let witness = rig.load_witness("payload=24 pace_us=1000 burst=4 irq_us=2000")?;
        rig.enable("sched_switch")?;
        rig.run_witness(true)?;
        rig.guest.sh("sleep 1")?;
        rig.run_witness(false)?;
        let cpus = witness.read()?;
        let status = rig.finish()?;
        let (summary, numbers) = read_numbers(&rig.serve.trace())?;
        assert_complete(&numbers, &cpus);
        ensure!(cpus.iter().all(|cpu| cpu.recorded() > 0), "{cpus:?}");
        ensure!(summary.count("sched_switch") > 0);
        for vcpu in 0..2 {
            assert_eq!(account(&status, vcpu)?.lost, 0, "{}", kernel.release);
        }
    }
    Ok(())
}
