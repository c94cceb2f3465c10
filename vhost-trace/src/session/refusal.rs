//! Why a request was not done: for the driver a status, for the log a reason.

use crate::guest::BadArea;
use crate::guest::ranges::Overlap;
use crate::wire::Status;

/// A request that was not done.
#[derive(Debug, thiserror::Error)]
#[error("{status:?}: {reason}")]
pub struct Refusal {
    /// What the driver is told.
    pub status: Status,
    /// What the log says: the value that was wrong, and of which vCPU.
    pub reason: String,
}

impl Refusal {
    /// Refuse with a status and a reason.
    pub fn new(status: Status, reason: impl Into<String>) -> Refusal {
        Refusal {
            status,
            reason: reason.into(),
        }
    }

    /// The same, with what it is about put before the reason.
    pub fn about(mut self, what: impl std::fmt::Display) -> Refusal {
        self.reason = format!("{what}: {}", self.reason);
        self
    }
}

impl From<BadArea> for Refusal {
    fn from(bad: BadArea) -> Refusal {
        Refusal::new(Status::BadAddress, bad.to_string())
    }
}

impl From<Overlap> for Refusal {
    fn from(overlap: Overlap) -> Refusal {
        Refusal::new(Status::Exists, overlap.to_string())
    }
}
