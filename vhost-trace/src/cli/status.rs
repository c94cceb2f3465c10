//! `status`.

use std::io::Write;

use super::Target;
use crate::control::{DEAD_SERVE, Reply, Request, Status};
use crate::drain::{SinkNumbers, StreamStatus};

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    target: Target,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    /// Print it.
    pub fn run(self) -> Result<(), Box<dyn std::error::Error>> {
        let mut client = self.target.connect()?;
        let Reply::Status(status) = client.ask(Request::Status)? else {
            return Err(client.unexpected().into());
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &status)?;
            writeln!(out)?;
        } else {
            print(&mut out, &status)?;
        }
        Ok(())
    }
}

fn print(out: &mut impl Write, status: &Status) -> std::io::Result<()> {
    writeln!(
        out,
        "VM {}: served by process {} for {} s, virtio id {}, socket {}",
        status.vm, status.pid, status.uptime, status.virtio_id, status.socket
    )?;
    match (&status.driver, status.front_end) {
        (Some(driver), _) => writeln!(
            out,
            "driver: {}, epoch {}, kernel {}, {} vCPUs, {} of {} events enabled",
            driver.phase, driver.epoch, driver.kernel, driver.vcpus, driver.enabled, driver.events
        )?,
        (None, true) => writeln!(
            out,
            "driver: none yet (in the guest: modprobe virtio_trace)"
        )?,
        (None, false) => writeln!(out, "no front end is connected")?,
    }
    if let Some(driver) = &status.driver
        && driver.lost_no_ring > 0
    {
        writeln!(
            out,
            "lost: {} events of vCPUs without a ring (the guest's log says why)",
            driver.lost_no_ring
        )?;
    }
    if let Some(policy) = status.driver.as_ref().and_then(|it| it.policy.as_ref()) {
        writeln!(
            out,
            "allowed by the guest (virtio_trace allow=): {}; uploads of up to {} bytes",
            policy.allow.join(","),
            policy.upload_limit
        )?;
    }
    if !status.rules.is_empty() {
        writeln!(out, "events: {}", status.rules.join(", "))?;
    }
    for why in status.driver.iter().flat_map(|driver| &driver.unfit) {
        writeln!(out, "     stays off: {why}")?;
    }
    let missing = status.driver.iter().flat_map(|d| &d.contexts_missing);
    for name in missing {
        writeln!(
            out,
            "     without context {name}: this guest, or its driver, does not have it"
        )?;
    }
    writeln!(
        out,
        "kicks: {}, wake-ups of the drain: {}, complaints about the driver: {}",
        status.kicks, status.drain.wakeups, status.complaints
    )?;
    if !status.drain.streams.is_empty() {
        writeln!(
            out,
            "vcpu channel       events        bytes  packets     lost overwritten  fill"
        )?;
    }
    for stream in &status.drain.streams {
        print_stream(out, stream)?;
    }
    for sink in &status.drain.sinks {
        print_sink(out, sink)?;
    }
    writeln!(out, "note: {DEAD_SERVE}")
}

fn print_stream(out: &mut impl Write, stream: &StreamStatus) -> std::io::Result<()> {
    let lost = stream.lost;
    let sum = lost.full + lost.too_big + lost.nested + lost.wrapped;
    let fill = match &stream.ring {
        Some(ring) if ring.capacity > 0 => format!("{}%", ring.fill * 100 / ring.capacity),
        _ => "-".into(),
    };
    writeln!(
        out,
        "{:4} {:7} {:12} {:12} {:8} {:8} {:11} {:>5}",
        stream.vcpu,
        stream.channel,
        stream.events,
        stream.bytes,
        stream.packets,
        sum,
        stream.overwritten,
        fill
    )?;
    if sum > 0 {
        writeln!(
            out,
            "     lost: ring full {}, too big {}, nested too deep {}, wrapped {}",
            lost.full, lost.too_big, lost.nested, lost.wrapped
        )?;
    }
    match stream
        .ring
        .as_ref()
        .and_then(|ring| ring.quarantine.as_ref())
    {
        Some(why) => writeln!(out, "     quarantined: {why}"),
        None => Ok(()),
    }
}

fn print_sink(out: &mut impl Write, sink: &SinkNumbers) -> std::io::Result<()> {
    writeln!(
        out,
        "sink {}: {} events in {} packets, {} bytes in place, {} copied, {} packets skipped, {} \
         events lost, {} errors",
        sink.name,
        sink.events,
        sink.packets,
        sink.bytes_in_place,
        sink.bytes_copied,
        sink.skipped,
        sink.lost,
        sink.errors
    )?;
    match &sink.last_error {
        Some(error) => writeln!(out, "     last error: {error}"),
        None => Ok(()),
    }
}
