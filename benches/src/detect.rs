//! How soon the host acts on the end of a service in the guest.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{Guest, Lab, Serve, driver_module, prebuild_vhost_trace, static_program};

use crate::heartbeat::poll;
use crate::report::Times;
use crate::service::{End, Service, prepare};
use crate::stamp;

const VM: &str = "detect";
/// The longest is the one that the moments of the kills are spread over.
const PERIODS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(1)];

/// Reports times of so many runs of each kind.
pub fn detect(runs: u32) -> Result<()> {
    prebuild_vhost_trace()?;
    let lab = Lab::prepare()?;
    let serve = Serve::start(VM, &[])?;
    let guest = lab
        .guest(VM)
        .smp(2)
        .module(driver_module(&lab.kernel)?)
        .program(static_program("workload")?)
        .device_args(serve.device_args(lab)?)
        .boot()?;
    guest.sh("insmod /modules/virtio_trace.ko")?;
    prepare(&guest)?;
    println!(
        "guest: Linux {}, {}",
        lab.kernel.release,
        lab.accel.qemu_arg()
    );
    let mut rows = Vec::new();
    for end in [End::Signal, End::Memory] {
        rows.extend(measure(&serve, &guest, end, runs)?);
    }
    println!("\n| from, to | runs | median, ms | maximum, ms |\n|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    Ok(())
}

/// A watch that runs our program, armed.
struct Watch(Child);

impl Watch {
    fn start(serve: &Serve, end: End, fifo: &str) -> Result<Watch> {
        let this = std::env::current_exe()?;
        let this = this.to_str().context("a path that is no text")?;
        let words = [
            "watch",
            VM,
            "--on",
            end.event(),
            "--exec",
            this,
            "stamp",
            fifo,
        ];
        let mut watch = Watch(serve.command(&words)?.stdout(Stdio::piped()).spawn()?);
        let stdout = watch.0.stdout.take().context("no stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().context("the watch has ended")??;
        ensure!(first.contains("armed"), "{first}");
        // It would wait for us otherwise.
        thread::spawn(move || lines.for_each(drop));
        Ok(watch)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn measure(serve: &Serve, guest: &Guest, end: End, runs: u32) -> Result<Vec<String>> {
    let fifo = serve.dir().join(format!("{end:?}"));
    stamp::make(&fifo)?;
    let _watch = Watch::start(serve, end, fifo.to_str().context("no text")?)?;
    let mut watched = Times::default();
    let mut polled = [Times::default(), Times::default()];
    let mut answered = Times::default();
    for run in 0..runs {
        // The polls begin now; the kills come at all moments between two.
        let wait = PERIODS[0] * (2 * run + 1) / (2 * runs);
        let service = Service::start(guest)?;
        let pid = service.pid;
        let before = Instant::now();
        guest.run("true")?;
        answered.add(before.elapsed());
        let (acted, heartbeats, asked) = thread::scope(|threads| {
            let polls = PERIODS.map(|period| threads.spawn(move || poll(guest, pid, period)));
            let acts = threads.spawn(|| stamp::take(&fifo));
            thread::sleep(wait);
            let asked = service.end(end)?;
            let acted = acts.join().expect("no panic")?;
            let known = polls.map(|poll| poll.join().expect("no panic"));
            anyhow::Ok((acted, known, asked))
        })?;
        service.wait()?;
        watched.add(acted - asked);
        for (times, known) in polled.iter_mut().zip(heartbeats) {
            times.add(known? - asked);
        }
        println!(
            "{}: run {} of {runs}: {:?}",
            end.name(),
            run + 1,
            acted - asked
        );
    }
    let name = end.name();
    Ok(vec![
        watched.row(&format!("{name}, the program of `watch` runs")),
        polled[1].row(&format!("{name}, a heartbeat of 1 s fails")),
        polled[0].row(&format!("{name}, a heartbeat of 10 s fails")),
        // Of how busy machine and guest are.
        answered.row(&format!("{name}, the guest runs `true` and says so")),
    ])
}
