//! The front end, one after the other: QEMU connects, is served until it
//! leaves, and may come again.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use vhost::vhost_user::{Error as VhostUserError, Listener};
use vhost_user_backend::{Error as DaemonError, ShutdownHandle, VhostUserDaemon};
use vm_memory::{GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::eventfd::EventFd;

use crate::device::{Device, WAKE_EVENT};
use crate::serve::listen::OwnSocket;
use crate::vm::Vm;

/// The thread that waits for front ends.
#[derive(Debug)]
pub struct FrontEnd {
    stop: Arc<Stop>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Stop {
    asked: EventFd,
    connection: Mutex<Connection>,
}

#[derive(Default)]
struct Connection {
    handle: Option<ShutdownHandle>,
    refused: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.handle.is_some() {
            "open"
        } else {
            "none"
        };
        f.write_str(state)
    }
}

impl FrontEnd {
    /// Serve whoever connects to `socket`.
    pub fn start(vm: Arc<Vm>, socket: &OwnSocket) -> io::Result<FrontEnd> {
        let stop = Arc::new(Stop {
            asked: EventFd::new(libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)?,
            connection: Mutex::default(),
        });
        let mut server = Server {
            vm,
            listener: Listener::from(socket.listener().try_clone()?),
            stop: stop.clone(),
        };
        let thread = Builder::new().name("front-end".into()).spawn(move || {
            if let Err(error) = server.run() {
                log::error!(
                    "VM {}: no front end can connect any more: {error}",
                    server.vm.name()
                );
            }
        })?;
        Ok(FrontEnd { stop, thread })
    }

    /// Disconnect, and wait for no other.
    pub fn stop(self) {
        if let Err(error) = self.stop.asked.write(1) {
            log::error!("cannot stop the front end's thread: {error}");
            return;
        }
        self.stop.disconnect();
        if self.thread.join().is_err() {
            log::error!("the front end's thread has panicked");
        }
    }
}

impl Stop {
    fn connection(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn disconnect(&self) {
        let mut connection = self.connection();
        connection.refused = true;
        if let Some(handle) = connection.handle.take() {
            handle.shutdown();
        }
    }

    fn connected(&self, handle: Option<ShutdownHandle>) {
        let mut connection = self.connection();
        if connection.refused {
            if let Some(handle) = handle {
                handle.shutdown();
            }
        } else {
            connection.handle = handle;
        }
    }
}

/// The thread's own.
struct Server {
    vm: Arc<Vm>,
    listener: Listener,
    stop: Arc<Stop>,
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        while self.wait_for_one()? {
            self.serve_one()?;
        }
        Ok(())
    }

    /// Sleep until a front end connects. `false`: until nobody is wanted.
    fn wait_for_one(&self) -> io::Result<bool> {
        let mut fds =
            [self.listener.as_raw_fd(), self.stop.asked.as_raw_fd()].map(|fd| libc::pollfd {
                fd,
                events: libc::POLLIN,
                revents: 0,
            });
        loop {
            // SAFETY: fds is an array of that many pollfds.
            if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, -1) } >= 0 {
                return Ok(fds[1].revents == 0);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }

    fn serve_one(&mut self) -> io::Result<()> {
        let mem = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let device = Device::new(self.vm.clone(), mem.clone())?;
        let exit = device.exit_fd();
        let mut daemon = VhostUserDaemon::new("vhost-user".into(), device.clone(), mem)
            .map_err(|error| io::Error::other(error.to_string()))?;
        for queues in daemon.get_epoll_handlers() {
            let wake = device.wake_fd().as_raw_fd();
            queues.register_listener(wake, EventSet::IN, u64::from(WAKE_EVENT))?;
        }
        self.vm.queues().set(Some(device.waker()?));

        daemon
            .start(&mut self.listener)
            .map_err(|error| io::Error::other(error.to_string()))?;
        log::info!("VM {}: a front end has connected", self.vm.name());
        self.vm.front_end_came();
        self.stop.connected(daemon.shutdown_handle());
        let end = daemon.wait();
        self.stop.connected(None);

        self.vm.queues().set(None);
        device.left();
        self.vm.front_end_gone();
        match end {
            Ok(()) | Err(DaemonError::HandleRequest(VhostUserError::Disconnected)) => {
                log::info!("VM {}: the front end has left", self.vm.name());
            }
            Err(error) => log::error!("VM {}: the front end was left: {error}", self.vm.name()),
        }
        drop(daemon);
        // SAFETY: the crate's epoll thread, which has ended with the daemon,
        // was given this descriptor and has let go of it without closing it.
        drop(unsafe { OwnedFd::from_raw_fd(exit) });
        Ok(())
    }
}
