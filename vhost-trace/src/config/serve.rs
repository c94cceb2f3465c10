//! What `serve` is told, by its arguments and by a file with the same keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::group::{NoGroup, group_id};
use super::{BadContext, BadGeometry, BadSink, ByteSize, ChannelGeometry, Contexts, Geometry};
use super::{Mode, RunDir, RunDirError, SinkSpec, VmName};

/// Virtio ids have 6 bits to spare in PCI's ids of modern devices.
const MAX_VIRTIO_ID: u32 = 63;

/// Reserved upstream, and without a driver in Linux.
pub const DEFAULT_VIRTIO_ID: u32 = 37;

/// The longest path that a socket's address has room for.
const MAX_SOCKET_PATH: usize = 107;

/// Arguments of `serve`, and keys of its configuration file.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct ServeArgs {
    /// Name of the VM.
    #[arg(long, value_name = "NAME")]
    #[serde(deserialize_with = "from_text")]
    pub vm: Option<VmName>,
    /// Socket that QEMU connects to [default: in the run directory].
    #[arg(short, long, value_name = "PATH")]
    pub socket_path: Option<PathBuf>,
    /// Group whose members may connect to that socket, too: QEMU's.
    #[arg(long, value_name = "GROUP")]
    pub socket_group: Option<String>,
    /// Where the trace goes: ctf:DIR[,max-size=SIZE[,rotate=N]]; may be repeated.
    #[arg(long, value_name = "SINK")]
    pub sink: Vec<String>,
    /// Bytes of a sub-buffer [default: 256K].
    #[arg(long, value_name = "SIZE")]
    pub sub_size: Option<ByteSize>,
    /// Sub-buffers of a vCPU [default: 8].
    #[arg(long, value_name = "N")]
    pub num_sub: Option<u32>,
    /// Bytes of a sub-buffer of the process state dump [default: 64K].
    #[arg(long, value_name = "SIZE")]
    pub state_sub_size: Option<ByteSize>,
    /// Sub-buffers of a vCPU for the process state dump [default: 4].
    #[arg(long, value_name = "N")]
    pub state_num_sub: Option<u32>,
    /// What a full ring loses [default: discard].
    #[arg(long)]
    pub mode: Option<Mode>,
    /// What each event carries besides its fields, such as tid,procname; may
    /// be repeated.
    #[arg(long, value_name = "CONTEXT", value_delimiter = ',')]
    pub context: Vec<String>,
    /// Write incomplete sub-buffers when they are so many seconds old
    /// [default: never].
    #[arg(long, value_name = "SECONDS")]
    pub max_age: Option<u64>,
    /// Virtio id of the device, the same as in QEMU's arguments [default: 37].
    #[arg(long, value_name = "ID")]
    pub virtio_id: Option<u32>,
    /// Folder of control sockets [default: $XDG_RUNTIME_DIR/vhost-trace].
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// TOML file with any of these keys; arguments go before it.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
}

/// What `serve` does.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Name of the VM.
    pub vm: VmName,
    /// Socket that QEMU connects to.
    pub socket_path: PathBuf,
    /// Group whose members may connect, too.
    pub socket_group: Option<u32>,
    /// Where the trace goes.
    pub sinks: Vec<SinkSpec>,
    /// The rings of each vCPU.
    pub geometry: Geometry,
    /// How old an incomplete sub-buffer may get.
    pub max_age: Option<Duration>,
    /// Virtio id of the device.
    pub virtio_id: u32,
    /// Folder of control sockets.
    pub run_dir: RunDir,
}

/// A configuration that is none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file makes no sense.
    #[error("configuration file {path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// No name.
    #[error("no VM name: use --vm NAME, or vm = \"NAME\" in the configuration file")]
    NoVm,
    /// Nowhere to go.
    #[error("no sink: use --sink ctf:DIR, or sink = [\"ctf:DIR\"] in the configuration file")]
    NoSink,
    /// A sink that is none.
    #[error(transparent)]
    Sink(#[from] BadSink),
    /// A context that is none.
    #[error("context: {0}")]
    Context(#[from] BadContext),
    /// Rings out of bounds.
    #[error(transparent)]
    Geometry(#[from] BadGeometry),
    /// No such id.
    #[error("virtio id {0}: use 1 to {MAX_VIRTIO_ID}, the same as in QEMU's arguments")]
    VirtioId(u32),
    /// Always too old.
    #[error("max-age is 0: use a number of seconds, or leave it out")]
    MaxAge,
    /// No folder for sockets.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No such group.
    #[error("socket-group: {0}")]
    Group(#[from] NoGroup),
    /// A socket's path that no address has room for.
    #[error("socket path {0} has more than {MAX_SOCKET_PATH} bytes")]
    SocketPath(PathBuf),
}

impl ServeArgs {
    /// These arguments, with the file's values where they say nothing.
    fn with_file(self) -> Result<ServeArgs, ConfigError> {
        let Some(path) = &self.config else {
            return Ok(self);
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.clone(),
            source,
        })?;
        let file: ServeArgs = toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.clone(),
            source: Box::new(source),
        })?;
        Ok(ServeArgs {
            vm: self.vm.or(file.vm),
            socket_path: self.socket_path.or(file.socket_path),
            socket_group: self.socket_group.or(file.socket_group),
            sink: or(self.sink, file.sink),
            context: or(self.context, file.context),
            sub_size: self.sub_size.or(file.sub_size),
            num_sub: self.num_sub.or(file.num_sub),
            state_sub_size: self.state_sub_size.or(file.state_sub_size),
            state_num_sub: self.state_num_sub.or(file.state_num_sub),
            mode: self.mode.or(file.mode),
            max_age: self.max_age.or(file.max_age),
            virtio_id: self.virtio_id.or(file.virtio_id),
            run_dir: self.run_dir.or(file.run_dir),
            config: None,
        })
    }
}

impl TryFrom<ServeArgs> for ServeConfig {
    type Error = ConfigError;

    fn try_from(args: ServeArgs) -> Result<Self, ConfigError> {
        let args = args.with_file()?;
        let vm = args.vm.ok_or(ConfigError::NoVm)?;
        let run_dir = RunDir::find(args.run_dir.as_deref())?;
        let socket_path = args.socket_path.unwrap_or_else(|| run_dir.vhost_user(&vm));
        for path in [&socket_path, &run_dir.control(&vm)] {
            check_length(path)?;
        }
        if args.sink.is_empty() {
            return Err(ConfigError::NoSink);
        }
        let sinks = args.sink.iter().map(|sink| sink.parse());
        let geometry = Geometry {
            events: ChannelGeometry::new(
                args.mode.unwrap_or_default(),
                args.sub_size.unwrap_or(ByteSize::from(256 << 10)),
                args.num_sub.unwrap_or(8),
                "sub-size",
                "num-sub",
            )?
            .with_contexts(Contexts::named(&args.context)?),
            state: ChannelGeometry::new(
                Mode::Discard,
                args.state_sub_size.unwrap_or(ByteSize::from(64 << 10)),
                args.state_num_sub.unwrap_or(4),
                "state-sub-size",
                "state-num-sub",
            )?,
        };
        let virtio_id = args.virtio_id.unwrap_or(DEFAULT_VIRTIO_ID);
        if !(1..=MAX_VIRTIO_ID).contains(&virtio_id) {
            return Err(ConfigError::VirtioId(virtio_id));
        }
        if args.max_age == Some(0) {
            return Err(ConfigError::MaxAge);
        }
        let socket_group = args.socket_group.map(|name| group_id(&name));
        Ok(ServeConfig {
            socket_group: socket_group.transpose()?,
            max_age: args.max_age.map(Duration::from_secs),
            sinks: sinks.collect::<Result<_, _>>()?,
            vm,
            socket_path,
            geometry,
            virtio_id,
            run_dir,
        })
    }
}

fn or(list: Vec<String>, otherwise: Vec<String>) -> Vec<String> {
    if list.is_empty() { otherwise } else { list }
}

fn check_length(path: &Path) -> Result<(), ConfigError> {
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(ConfigError::SocketPath(path.to_owned()));
    }
    Ok(())
}

fn from_text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(toml: &str, args: ServeArgs) -> Result<ServeConfig, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm.toml");
        std::fs::write(&path, toml).unwrap();
        ServeConfig::try_from(ServeArgs {
            config: Some(path),
            run_dir: Some("/run/x".into()),
            ..args
        })
    }

    #[test]
    fn cli_file_and_arguments_make_a_config() {
        let toml =
            "vm = 'web1'\nsink = ['ctf:/t']\nsub-size = '1M'\nnum-sub = 16\nmode = 'overwrite'
             context = ['vtid']";
        let made = config(
            toml,
            ServeArgs {
                num_sub: Some(4),
                ..Default::default()
            },
        )
        .unwrap();
        assert_eq!(made.vm.as_str(), "web1");
        assert_eq!(made.socket_path, Path::new("/run/x/web1.sock"));
        assert_eq!(made.geometry.events.sub_size, 1 << 20);
        assert_eq!(made.geometry.events.nsub, 4);
        assert_eq!(made.geometry.events.mode, Mode::Overwrite);
        assert_eq!(made.geometry.events.contexts.bits(), 4);
        assert_eq!(made.geometry.state.contexts.bits(), 0);
        assert_eq!(made.geometry.state.mode, Mode::Discard);
        assert_eq!(made.virtio_id, DEFAULT_VIRTIO_ID);
    }

    #[test]
    fn cli_bad_configs_say_why() {
        let why = |toml: &str| config(toml, ServeArgs::default()).unwrap_err().to_string();
        assert!(why("").contains("--vm"));
        assert!(why("vm = '../x'").contains("../x"));
        assert!(why("vm = 'a'").contains("--sink"));
        assert!(why("vm = 'a'\nsink = ['x']").contains("ctf:DIR"));
        assert!(why("vm = 'a'\nsink = ['ctf:/t']\nsub-size = 5000").contains("5000"));
        assert!(why("vm = 'a'\nsink = ['ctf:/t']\nvirtio-id = 64").contains("64"));
        assert!(why("vm = 'a'\nsink = ['ctf:/t']\ncontext = ['color']").contains("color"));
        assert!(why("speed = 1").contains("speed"));
        let group = "vm = 'a'\nsink = ['ctf:/t']\nsocket-group = 'no such'";
        assert!(why(group).contains("no such"));
        let long = format!(
            "vm = 'a'\nsink = ['ctf:/t']\nsocket-path = '/{}'",
            "x".repeat(107)
        );
        assert!(why(&long).contains("107 bytes"));
    }
}
