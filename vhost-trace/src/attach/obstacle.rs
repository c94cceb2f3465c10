//! What is in the way of tracing a VM.

use std::fmt;

/// Something that has to be changed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What was found.
    pub finding: String,
    /// What to do about it.
    pub remedy: String,
}

/// What was found where nothing is in the way, or what is.
pub type Judgement = Result<String, Obstacle>;

impl Obstacle {
    /// An obstacle.
    pub fn new(finding: impl Into<String>, remedy: impl Into<String>) -> Obstacle {
        Obstacle {
            finding: finding.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.finding, self.remedy)
    }
}

impl std::error::Error for Obstacle {}
