//! A service in the guest, and its two ends.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::{Guest, Job};

use crate::stamp;

/// How the service ends.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// Somebody kills it.
    Signal,
    /// Its cgroup has no memory left.
    Memory,
}

impl End {
    /// What the host watches.
    pub fn event(self) -> &'static str {
        match self {
            End::Signal => "signal_generate if sig == 9 && comm == \"service\"",
            End::Memory => "oom_mark_victim",
        }
    }

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            End::Signal => "kill signal",
            End::Memory => "OOM kill",
        }
    }
}

/// A service that runs.
#[derive(Debug)]
pub struct Service<'a> {
    guest: &'a Guest,
    job: Job,
    limit: Job,
    /// Its process.
    pub pid: u32,
}

const CGROUP: &str = "/sys/fs/cgroup/service";
const TIME: Duration = Duration::from_secs(60);

/// What all services need.
pub fn prepare(guest: &Guest) -> Result<()> {
    guest.sh(&format!(
        "echo +memory >/sys/fs/cgroup/cgroup.subtree_control
         mkdir {CGROUP}
         cp $(which workload) /tmp/service"
    ))?;
    Ok(())
}

impl<'a> Service<'a> {
    /// Starts it; it does next to nothing.
    pub fn start(guest: &'a Guest) -> Result<Service<'a>> {
        guest.sh(&format!("echo max >{CGROUP}/memory.max"))?;
        let job = guest.spawn(&format!(
            "echo $$ >{CGROUP}/cgroup.procs; echo $$; exec /tmp/service paced 1 1000000"
        ))?;
        job.wait_stdout("\n", TIME)?;
        let said = String::from_utf8(job.stdout_now())?;
        let limit = guest.spawn_reading(&format!(
            "echo ready; read limit; echo $limit >{CGROUP}/memory.max"
        ))?;
        limit.wait_stdout("ready", TIME)?;
        let pid = said.trim().parse().with_context(|| format!("{said:?}"))?;
        Ok(Service {
            guest,
            job,
            limit,
            pid,
        })
    }

    /// Ends it; returns when the host asked the guest for that, which is before
    /// the kernel's kill. So what is measured from here is no less than it is.
    pub fn end(&self, end: End) -> Result<Duration> {
        let asked = stamp::now()?;
        match end {
            End::Signal => self.job.kill()?,
            End::Memory => self.limit.input(b"4096\n")?,
        }
        Ok(asked)
    }

    /// It has ended.
    pub fn wait(self) -> Result<()> {
        let ended = self.job.wait(TIME)?;
        if ended.status != 128 + 9 {
            bail!("the service ended with {}", ended.status);
        }
        self.limit.kill()?;
        self.limit.wait(TIME)?;
        let count = format!("cat {CGROUP}/cgroup.procs");
        if !self.guest.sh(&count)?.is_empty() {
            bail!("the service's cgroup is not empty");
        }
        Ok(())
    }
}
