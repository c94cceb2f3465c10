//! Watches what another process writes, as the kernel is asked to: with the
//! addresses, which strace does not show.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, ensure};

/// Calls that write, or could make the kernel write without one of them.
const WRITING: [i64; 10] = [
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_vmsplice,
    libc::SYS_copy_file_range,
    libc::SYS_io_uring_enter,
];

/// One call.
#[derive(Debug, Clone)]
pub struct Write {
    /// The system call.
    pub call: i64,
    /// What the descriptor is of.
    pub path: PathBuf,
    pub fd: u64,
    /// Address and bytes of each piece.
    pub pieces: Vec<(u64, u64)>,
    /// Where, of calls that say so.
    pub offset: u64,
    /// What the call returned.
    pub result: i64,
}

impl Write {
    /// Bytes of all pieces.
    pub fn bytes(&self) -> u64 {
        self.pieces.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Watches all threads that a process has, until it ends.
#[derive(Debug)]
pub struct Watch {
    pid: u32,
    threads: Vec<u32>,
    writes: Arc<Mutex<Vec<Write>>>,
    tracers: Vec<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Begins; when this returns, no call goes by unseen.
    pub fn start(pid: u32) -> Result<Self> {
        let threads = threads(pid)?;
        let writes = Arc::new(Mutex::new(Vec::new()));
        let (ready, when_ready) = mpsc::channel();
        let tracers = threads
            .iter()
            .map(|&tid| {
                let (ready, writes) = (ready.clone(), writes.clone());
                // A tracer is a thread; this way each waits for its own tracee.
                thread::spawn(move || Tracer::new(pid, tid, writes)?.run(&ready))
            })
            .collect();
        drop(ready);
        for _ in &threads {
            when_ready.recv().context("a tracer has ended")?;
        }
        Ok(Self {
            pid,
            threads,
            writes,
            tracers,
        })
    }

    /// What was written since this was last asked.
    pub fn take(&self) -> Vec<Write> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut writes)
    }

    /// The process has the threads that it had at the start: nothing was
    /// written unseen.
    pub fn ensure_complete(&self) -> Result<()> {
        ensure!(threads(self.pid)? == self.threads, "other threads");
        Ok(())
    }

    /// Waits until the process has ended.
    pub fn join(self) -> Result<()> {
        for tracer in self.tracers {
            tracer.join().expect("a tracer does not panic")?;
        }
        Ok(())
    }
}

fn threads(pid: u32) -> Result<Vec<u32>> {
    let mut threads = fs::read_dir(format!("/proc/{pid}/task"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().parse()?))
        .collect::<Result<Vec<u32>>>()?;
    threads.sort_unstable();
    Ok(threads)
}

/// Follows one thread.
struct Tracer {
    pid: u32,
    tid: u32,
    memory: File,
    writes: Arc<Mutex<Vec<Write>>>,
    current: Option<Write>,
}

impl Tracer {
    fn new(pid: u32, tid: u32, writes: Arc<Mutex<Vec<Write>>>) -> Result<Self> {
        Ok(Self {
            pid,
            tid,
            memory: File::open(format!("/proc/{pid}/mem"))?,
            writes,
            current: None,
        })
    }

    fn run(mut self, ready: &mpsc::Sender<()>) -> Result<()> {
        self.ptrace(libc::PTRACE_SEIZE, 0, libc::PTRACE_O_TRACESYSGOOD as usize)?;
        self.ptrace(libc::PTRACE_INTERRUPT, 0, 0)?;
        let mut started = false;
        while let Some(status) = self.wait() {
            let (signal, event) = (status & 0xff, status >> 8);
            let forward = if signal == libc::SIGTRAP | 0x80 {
                self.system_call()?;
                0
            } else if event != 0 {
                0
            } else {
                signal
            };
            if self
                .ptrace(libc::PTRACE_SYSCALL, 0, forward as usize)
                .is_err()
            {
                // It was killed meanwhile.
                break;
            }
            if !started {
                started = true;
                let _ = ready.send(());
            }
        }
        Ok(())
    }

    /// Waits for its next stop. None: it has ended; it is not ours to reap.
    fn wait(&self) -> Option<i32> {
        let options = libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT | libc::__WALL;
        loop {
            // SAFETY: an all-zero siginfo_t is a valid value for waitid to fill.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            // SAFETY: info outlives the call.
            if unsafe { libc::waitid(libc::P_PID, self.tid, &mut info, options) } != 0 {
                let error = std::io::Error::last_os_error();
                if error.raw_os_error() == Some(libc::EINTR) {
                    continue;
                }
                return None;
            }
            // SAFETY: waitid has filled in a child's siginfo.
            let status = unsafe { info.si_status() };
            return (info.si_code == libc::CLD_TRAPPED).then_some(status);
        }
    }

    /// At the beginning or the end of a system call.
    fn system_call(&mut self) -> Result<()> {
        // struct ptrace_syscall_info: op; arch, ip, sp; then nr and arguments,
        // or the result.
        const ENTRY: u64 = 1;
        const EXIT: u64 = 2;
        let mut info = [0_u64; 11];
        let bytes = size_of_val(&info);
        self.ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            bytes,
            info.as_mut_ptr() as usize,
        )?;
        match info[0] & 0xff {
            ENTRY if WRITING.contains(&(info[3] as i64)) => {
                self.current = Some(self.write(info[3] as i64, &info[4..10])?);
            }
            EXIT => {
                if let Some(mut write) = self.current.take() {
                    write.result = info[3] as i64;
                    let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
                    writes.push(write);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&self, call: i64, arguments: &[u64]) -> Result<Write> {
        let fd = arguments[0];
        let pieces = match call {
            libc::SYS_write | libc::SYS_pwrite64 => vec![(arguments[1], arguments[2])],
            libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => {
                let mut bytes = vec![0; 16 * arguments[2] as usize];
                self.memory.read_exact_at(&mut bytes, arguments[1])?;
                let word = |at: &[u8]| u64::from_le_bytes(at.try_into().expect("8 bytes"));
                bytes
                    .chunks_exact(16)
                    .map(|iovec| (word(&iovec[..8]), word(&iovec[8..])))
                    .collect()
            }
            _ => Vec::new(),
        };
        Ok(Write {
            call,
            path: fs::read_link(format!("/proc/{}/fd/{fd}", self.pid)).unwrap_or_default(),
            fd,
            pieces,
            offset: arguments[3],
            result: 0,
        })
    }

    fn ptrace(&self, request: libc::c_uint, address: usize, data: usize) -> Result<()> {
        // SAFETY: the requests made here take numbers, but for
        // PTRACE_GET_SYSCALL_INFO, whose caller gives a buffer and its size.
        let done = unsafe { libc::ptrace(request, self.tid, address, data) };
        if done < 0 {
            let error = std::io::Error::last_os_error();
            return Err(error).with_context(|| format!("ptrace {request:#x} of {}", self.tid));
        }
        Ok(())
    }
}
