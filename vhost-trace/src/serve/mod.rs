//! `serve`: the process of one VM.

mod front_end;
mod listen;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use event_manager::{EventManager, SubscriberOps};
use host_sink::ctf::{CtfOptions, CtfSink};
use host_sink::queue::{Budget, SinkQueue};
use host_sink::sink::SinkError;

use crate::config::{RunDirError, ServeConfig, SinkSpec, VmName};
use crate::control::{Facts, Server};
use crate::device::MAX_REQUEST;
use crate::drain::{Drain, Sinks};
use crate::guest::sigbus;
use crate::live::Live;
use crate::outbox::Outbox;
use crate::signals::{self, Signals};
use crate::vm::{Vm, Waker};
use front_end::FrontEnd;
use listen::listen;

pub use listen::{ListenError, OwnSocket};

/// Why a VM cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No run directory.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// No socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No sink.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The system says no.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system says.
        source: io::Error,
    },
}

/// Serve a VM until a signal or a client of the control socket ends it.
pub fn serve(config: &ServeConfig) -> Result<(), ServeError> {
    let io = |what| move |source| ServeError::Io { what, source };
    // Before any thread, so that all of them leave the signals alone.
    // SIGTERM and others end us after everything is read and written.
    let signals = Signals::new(&signals::ENDING, signals::Wait::No).map_err(io("take signals"))?;
    sigbus::install().map_err(io("take SIGBUS"))?;
    config.run_dir.prepare()?;
    let control = listen(&config.run_dir.control(&config.vm), None)?;
    let socket = listen(&config.socket_path, config.socket_group)?;
    let sinks = config
        .sinks
        .iter()
        .enumerate()
        .map(|(index, spec)| open(index, spec, &config.vm))
        .collect::<Result<_, _>>()?;

    let queues = Arc::new(Waker::default());
    let (name, sinks) = (config.vm.as_str(), Sinks::new(sinks));
    let drain =
        Drain::start(name, sinks, queues.clone(), config.max_age).map_err(io("start a thread"))?;
    let space = config.geometry.to_wire(MAX_REQUEST);
    let outbox = Outbox::new().map_err(io("make an event"))?;
    let vm = Arc::new(Vm::new(config.vm.clone(), space, drain, queues, outbox));
    let live = Live::start(vm.clone()).map_err(io("start a thread"))?;
    let front_end = FrontEnd::start(vm.clone(), &socket).map_err(io("serve front ends"))?;

    let ending = Arc::new(AtomicBool::new(false));
    // For clients in other folders, and for QEMU.
    let socket_path = std::path::absolute(&config.socket_path).map_err(io("find the socket"))?;
    let facts = Facts {
        socket: socket_path.display().to_string(),
        virtio_id: config.virtio_id,
        started: Instant::now(),
    };
    let server = Server::new(vm.clone(), facts, control, signals, live, ending.clone())
        .map_err(io("serve the control socket"))?;
    let mut events = EventManager::new()
        .map_err(|error| io("make an event loop")(io::Error::other(error.to_string())))?;
    events.add_subscriber(server);
    log::info!(
        "VM {}: ready for a front end at {}",
        vm.name(),
        config.socket_path.display()
    );
    while !ending.load(Ordering::Relaxed) {
        if let Err(error) = events.run() {
            log::error!("VM {}: event loop: {error}", vm.name());
            break;
        }
    }

    vm.drain().close();
    front_end.stop();
    // The control socket goes last: who waits for our end waits for its.
    drop(events);
    Ok(())
}

/// Open a sink, on a thread of its own.
fn open(index: usize, spec: &SinkSpec, vm: &VmName) -> Result<SinkQueue, ServeError> {
    let SinkSpec::Ctf { dir, limit } = spec;
    let sink = CtfSink::create(CtfOptions {
        dir: dir.clone(),
        vm: vm.to_string(),
        limit: *limit,
    })?;
    let name = format!("ctf-{index}");
    SinkQueue::spawn(&name, Box::new(sink), Budget::default()).map_err(|source| ServeError::Io {
        what: "start a sink's thread",
        source,
    })
}
