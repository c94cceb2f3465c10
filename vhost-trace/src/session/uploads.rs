//! Files on their way into the guest: one at a time, since the driver keeps no
//! more.

use crate::session::Session;
use crate::session::commands::Command;
use crate::wire;

/// Which file is on its way.
#[derive(Debug, Default)]
pub struct Uploads {
    last: u32,
    current: Option<u32>,
}

/// A file that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum NoUpload {
    /// Another one is.
    #[error("busy: another module is on its way into the guest; try again")]
    Busy,
    /// There is nobody to take it.
    #[error(transparent)]
    NoDriver(#[from] NoDriver),
    /// The guest takes less.
    #[error(
        "a file of {bytes} bytes: the guest takes at most {limit}; parameter upload_limit of its \
         virtio_trace says how many"
    )]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// What the guest takes.
        limit: u64,
    },
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
}

/// No driver that knows of modules.
#[derive(Debug, thiserror::Error)]
pub enum NoDriver {
    /// There is none.
    #[error("the guest's driver is not there (in the guest: modprobe virtio_trace)")]
    None,
    /// It is of an older release.
    #[error(
        "the guest's driver is too old for modules from the host: install the driver of this \
         vhost-trace in the guest"
    )]
    Old,
}

impl Session {
    /// Whether the driver, if it is there, knows of modules.
    pub fn can_load_modules(&self) -> Result<(), NoDriver> {
        if self.guest.is_none() {
            return Err(NoDriver::None);
        }
        if self.features & 1 << wire::F_MODULE == 0 {
            return Err(NoDriver::Old);
        }
        Ok(())
    }

    /// Begin to send a file of so many bytes; returns its number.
    pub fn begin_upload(&mut self, bytes: u64) -> Result<u32, NoUpload> {
        self.can_load_modules()?;
        if self.uploads.current.is_some() {
            return Err(NoUpload::Busy);
        }
        let policy = self.guest.as_ref().and_then(|guest| guest.policy.as_ref());
        let limit = policy.map_or(0, |policy| policy.upload_limit);
        let limit = limit.min(u64::from(wire::MAX_UPLOAD));
        if bytes > limit {
            return Err(NoUpload::TooLarge { bytes, limit });
        }
        if bytes == 0 {
            return Err(NoUpload::Empty);
        }
        self.uploads.last = self.uploads.last.wrapping_add(1);
        self.uploads.current = Some(self.uploads.last);
        Ok(self.uploads.last)
    }

    /// The file is where it belongs, or given up; in that case the driver is
    /// told.
    pub fn end_upload(&mut self, blob: u32, give_up: bool) {
        if self.uploads.current == Some(blob) {
            self.uploads.current = None;
        }
        if give_up && self.guest.is_some() {
            self.command(Command::UploadCancel(blob));
        }
    }
}
