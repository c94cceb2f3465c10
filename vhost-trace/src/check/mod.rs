//! Whether a VM can be traced, and if not, what to do: a list of checks.

mod guest;
mod host;
mod identity;
mod qemu;

use serde::Serialize;

use crate::attach::{Judgement, Obstacle};
use crate::config::{RunDir, RunDirError, VmName};
use crate::monitor::{Monitor, MonitorError};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing is in the way.
    Ok,
    /// Something is.
    Fail,
    /// It cannot be seen from here.
    Unknown,
}

/// A check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Its name.
    pub check: &'static str,
    /// How it ended.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What to do, where there is something to do.
    pub remedy: Option<String>,
}

/// All checks, in the order in which things have to be right.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Finding>,
}

impl Report {
    /// Check what can be checked of this VM, with this monitor of its QEMU.
    pub fn new(
        run_dir: Result<RunDir, RunDirError>,
        vm: Option<&VmName>,
        monitor: Option<Result<Monitor, MonitorError>>,
    ) -> Report {
        let mut report = Report::default();
        let status = host::check_serve(&mut report, run_dir, vm);
        let status = status.as_ref();
        let qemu = qemu::check_qemu(&mut report, monitor, status);
        host::check_socket(&mut report, status, &qemu);
        guest::check_guest(&mut report, status, &qemu);
        report
    }

    /// Whether something is in the way.
    pub fn failed(&self) -> bool {
        self.checks.iter().any(|check| check.state == State::Fail)
    }

    fn ok(&mut self, check: &'static str, finding: impl Into<String>) {
        self.add(check, State::Ok, finding.into(), None);
    }

    fn fail(&mut self, check: &'static str, obstacle: Obstacle) {
        let Obstacle { finding, remedy } = obstacle;
        self.add(check, State::Fail, finding, Some(remedy));
    }

    fn unknown(&mut self, check: &'static str, obstacle: Obstacle) {
        let Obstacle { finding, remedy } = obstacle;
        self.add(check, State::Unknown, finding, Some(remedy));
    }

    /// A judgement; unknown if QEMU did not tell.
    fn judge(&mut self, check: &'static str, judgement: Result<Judgement, MonitorError>) {
        match judgement {
            Ok(Ok(finding)) => self.ok(check, finding),
            Ok(Err(obstacle)) => self.fail(check, obstacle),
            Err(error) => self.unknown(check, Obstacle::new(error.to_string(), "check again")),
        }
    }

    fn add(&mut self, check: &'static str, state: State, finding: String, remedy: Option<String>) {
        self.checks.push(Finding {
            check,
            state,
            finding,
            remedy,
        });
    }
}
