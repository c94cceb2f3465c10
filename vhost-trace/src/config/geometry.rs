//! The geometry of rings: what the configuration space tells the driver.

use ringbuf::layout;
use serde::Deserialize;

use super::contexts::Contexts;
use super::size::ByteSize;
use crate::wire;

/// What a full ring loses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// New events.
    #[default]
    Discard,
    /// Old events: a flight recorder.
    Overwrite,
}

/// The rings of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelGeometry {
    /// What a full ring loses.
    pub mode: Mode,
    /// Bytes of a sub-buffer.
    pub sub_size: u32,
    /// Sub-buffers of a ring.
    pub nsub: u32,
    /// What its events carry besides their fields.
    pub contexts: Contexts,
}

/// A geometry out of bounds.
#[derive(Debug, thiserror::Error)]
pub enum BadGeometry {
    /// Wrong bytes of a sub-buffer.
    #[error("{0} has {1} bytes: use a power of two from {min} to {max}", min = layout::MIN_SUB, max = layout::MAX_SUB)]
    SubSize(&'static str, u64),
    /// Wrong number of sub-buffers.
    #[error("{0} is {1}: use a power of two from {min} to {max}", min = layout::MIN_NSUB, max = layout::MAX_NSUB)]
    NumSub(&'static str, u32),
}

impl ChannelGeometry {
    /// Check the bounds, of a channel without contexts; `size_key` and `num_key` name the values in errors.
    pub fn new(
        mode: Mode,
        sub_size: ByteSize,
        nsub: u32,
        size_key: &'static str,
        num_key: &'static str,
    ) -> Result<Self, BadGeometry> {
        let bytes = sub_size.bytes();
        let in_bounds = u32::try_from(bytes).ok().filter(|size| {
            size.is_power_of_two() && (layout::MIN_SUB..=layout::MAX_SUB).contains(size)
        });
        let Some(sub_size) = in_bounds else {
            return Err(BadGeometry::SubSize(size_key, bytes));
        };
        if !nsub.is_power_of_two() || !(layout::MIN_NSUB..=layout::MAX_NSUB).contains(&nsub) {
            return Err(BadGeometry::NumSub(num_key, nsub));
        }
        Ok(ChannelGeometry {
            mode,
            sub_size,
            nsub,
            contexts: Contexts::default(),
        })
    }

    /// The same with contexts.
    pub fn with_contexts(self, contexts: Contexts) -> Self {
        ChannelGeometry { contexts, ..self }
    }

    fn to_wire(self) -> wire::ConfigChannel {
        wire::ConfigChannel {
            mode: match self.mode {
                Mode::Discard => wire::MODE_DISCARD,
                Mode::Overwrite => wire::MODE_OVERWRITE,
            },
            sub_size: self.sub_size,
            nsub: self.nsub,
            contexts: self.contexts.bits(),
        }
    }
}

/// The rings of each vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Of events.
    pub events: ChannelGeometry,
    /// Of the process state dump: always discard mode.
    pub state: ChannelGeometry,
}

impl Geometry {
    /// The channels in the order of their numbers.
    pub fn channels(&self) -> [ChannelGeometry; 2] {
        [self.events, self.state]
    }

    /// The configuration space that says so.
    pub fn to_wire(&self, max_request: u32) -> wire::Config {
        let channels = self.channels();
        let mut config = wire::Config {
            magic: wire::CONFIG_MAGIC,
            version: wire::VERSION,
            max_request,
            num_channels: channels.len() as u32,
            ..Default::default()
        };
        for (slot, channel) in config.channel.iter_mut().zip(channels) {
            *slot = channel.to_wire();
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_geometry_is_bounded() {
        let new = |size: &str, nsub| {
            ChannelGeometry::new(Mode::Discard, size.parse().unwrap(), nsub, "size", "num")
        };
        assert!(new("4K", 2).is_ok());
        assert!(new("4M", 256).is_ok());
        for (size, nsub) in [
            ("2K", 8),
            ("8M", 8),
            ("12K", 8),
            ("4K", 1),
            ("4K", 3),
            ("4K", 512),
        ] {
            assert!(new(size, nsub).is_err(), "{size} {nsub}");
        }
    }
}
