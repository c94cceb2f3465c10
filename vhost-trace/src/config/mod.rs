//! What the user said, checked.

mod contexts;
mod geometry;
mod group;
mod name;
mod run_dir;
mod serve;
mod sink;
mod size;

pub use contexts::{BadContext, Contexts};
pub use geometry::{BadGeometry, ChannelGeometry, Geometry, Mode};
pub use group::NoGroup;
pub use name::{BadName, VmName};
pub use run_dir::{RunDir, RunDirError};
pub use serve::{ConfigError, DEFAULT_VIRTIO_ID, ServeArgs, ServeConfig};
pub use sink::{BadSink, SinkSpec};
pub use size::{BadSize, ByteSize};
