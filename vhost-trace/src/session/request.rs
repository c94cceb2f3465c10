//! Requests of the control queue.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use host_sink::escape::escaped;
use host_sink::schema::Schema;
use host_sink::session::Session as Trace;

use crate::control::Policy;
use crate::drain::Message;
use crate::guest::ranges::Ranges;
use crate::session::commands::Outcome;
use crate::session::refusal::Refusal;
use crate::session::{Driver, Guest, Memory, Phase, Session, rings, root};
use crate::wire::{self, Status, req};

/// Schema bytes that a guest may send in one session: its 8192 events with half
/// a kilobyte each.
const MAX_SCHEMA_BYTES: usize = 4 << 20;

/// What the driver is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Now: a status and a value.
    Now(Status, u64),
    /// When the drain has let go of what has this ticket.
    WhenReleased {
        /// The ticket.
        ticket: u64,
    },
}

impl Guest {
    /// Whether commands make sense to it: everything is registered.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Live && self.began
    }
}

impl Session {
    /// Do one request.
    pub fn request(&mut self, request: &[u8], memory: &Memory<'_>) -> Answer {
        let kind = wire::parse::<wire::Req>(request).map(|head| head.kind);
        match self.dispatch(request, memory) {
            Ok(answer) => answer,
            Err(refusal) => {
                let what = kind.map_or("without a head", name);
                self.complaints
                    .push(format!("request {what} refused, {refusal}"));
                Answer::Now(refusal.status, 0)
            }
        }
    }

    fn dispatch(&mut self, request: &[u8], memory: &Memory<'_>) -> Result<Answer, Refusal> {
        let head: wire::Req = parse(request)?;
        let payload = &request[size_of::<wire::Req>()..];
        if payload.len() as u64 != u64::from(head.len) {
            return Err(Refusal::new(
                Status::BadRequest,
                format!(
                    "{} bytes of payload, its head says {}",
                    payload.len(),
                    head.len
                ),
            ));
        }
        let ok = |value| Ok(Answer::Now(Status::Ok, value));
        match head.kind {
            req::HELLO => ok(self.hello(&exactly(payload)?)?),
            req::CLOCK_SAMPLE => {
                exactly::<wire::ClockSample>(payload)?;
                ok(monotonic_ns())
            }
            req::ROOT => {
                let guest = live(&mut self.guest)?;
                root::register(guest, &exactly(payload)?, memory)?;
                ok(0)
            }
            req::SCHEMA => {
                self.schema(payload)?;
                ok(0)
            }
            req::RING_ADD => {
                self.ring_add(&exactly(payload)?, memory)?;
                ok(0)
            }
            req::RING_DEL => self.ring_del(&exactly(payload)?),
            req::EPOCH_ACK => {
                self.epoch_ack(&exactly(payload)?, memory)?;
                ok(0)
            }
            req::DONE => {
                self.done(payload)?;
                ok(0)
            }
            req::POLICY => {
                self.policy(&exactly(payload)?)?;
                ok(0)
            }
            req::BYE => {
                exactly_nothing(payload)?;
                log::info!("VM {}: the guest's driver has left", self.vm);
                self.forget();
                ok(0)
            }
            other => Err(Refusal::new(
                Status::BadRequest,
                format!("there is no request {other}"),
            )),
        }
    }

    fn hello(&mut self, hello: &wire::Hello) -> Result<u64, Refusal> {
        self.hellos.take(Instant::now())?;
        let driver = Driver::new(hello, self.features)?;
        self.forget();
        self.epoch += 1;
        log::info!(
            "VM {}: driver of kernel {} on {}, {} vCPUs, epoch {}",
            self.vm,
            escaped(driver.release.as_bytes()),
            escaped(driver.nodename.as_bytes()),
            driver.num_vcpus,
            self.epoch
        );
        self.guest = Some(Guest {
            driver,
            epoch: self.epoch,
            phase: Phase::Live,
            schema: Arc::new(Schema::new()),
            root: None,
            rings: Default::default(),
            ranges: Ranges::default(),
            schema_bytes: 0,
            enabled: Default::default(),
            lent: Default::default(),
            unfit: Vec::new(),
            probe_ids: Default::default(),
            began: false,
            unsettled: true,
            policy: None,
        });
        Ok(self.epoch)
    }

    fn schema(&mut self, records: &[u8]) -> Result<(), Refusal> {
        let guest = live(&mut self.guest)?;
        let bytes = guest.schema_bytes + records.len();
        if bytes > MAX_SCHEMA_BYTES {
            return Err(Refusal::new(
                Status::Limit,
                format!("more than {MAX_SCHEMA_BYTES} bytes of schema"),
            ));
        }
        let new = Arc::make_mut(&mut guest.schema)
            .add(records)
            .map_err(|error| Refusal::new(Status::BadValue, error.to_string()))?;
        if new.is_empty() {
            return Ok(());
        }
        guest.schema_bytes = bytes;
        guest.unsettled = true;
        if guest.began {
            self.messages.push(Message::Schema(guest.schema.clone()));
        }
        Ok(())
    }

    fn ring_add(&mut self, request: &wire::RingRef, memory: &Memory<'_>) -> Result<(), Refusal> {
        let guest = live(&mut self.guest)?;
        of_epoch(guest, request.epoch)?;
        if guest.root.is_none() {
            return Err(Refusal::new(
                Status::BadRequest,
                "no root page comes before this ring",
            ));
        }
        let channels = &self.config.channel[..self.config.num_channels as usize];
        let ring = rings::register(guest, request, channels, memory)
            .map_err(|refusal| refusal.about(format_args!("ring {}", request.ring)))?;
        if !guest.began {
            guest.began = true;
            Arc::make_mut(&mut guest.schema).fix_contexts();
            let trace = Arc::new(trace_of(&self.vm, guest));
            let schema = guest.schema.clone();
            self.messages.push(Message::Begin { trace, schema });
        }
        self.messages.push(Message::Add(Box::new(ring)));
        Ok(())
    }

    fn ring_del(&mut self, request: &wire::RingRef) -> Result<Answer, Refusal> {
        let guest = live(&mut self.guest)?;
        of_epoch(guest, request.epoch)?;
        if !guest.rings.contains_key(&request.ring) {
            return Err(Refusal::new(
                Status::NoEntry,
                format!("there is no ring {}", request.ring),
            ));
        }
        rings::forget(guest, request.ring);
        self.last_ticket += 1;
        self.messages.push(Message::Remove {
            ring: request.ring,
            ticket: Some(self.last_ticket),
        });
        Ok(Answer::WhenReleased {
            ticket: self.last_ticket,
        })
    }

    fn epoch_ack(&mut self, request: &wire::Epoch, memory: &Memory<'_>) -> Result<(), Refusal> {
        let guest = self.guest.as_mut().ok_or_else(no_hello)?;
        if guest.phase != Phase::Asked(request.epoch) {
            return Err(Refusal::new(
                Status::Stale,
                format!("epoch {} was not asked for", request.epoch),
            ));
        }
        if !root::is_still(guest, memory) {
            return Err(Refusal::new(
                Status::Stale,
                "the root page is not this driver's any more",
            ));
        }
        guest.phase = Phase::Live;
        guest.epoch = request.epoch;
        log::info!("VM {}: the guest goes on in epoch {}", self.vm, guest.epoch);
        self.messages.push(Message::Resume { epoch: guest.epoch });
        Ok(())
    }

    fn done(&mut self, payload: &[u8]) -> Result<(), Refusal> {
        let done: wire::Done = parse(payload)?;
        let text = &payload[size_of::<wire::Done>()..];
        if text.len() > wire::MAX_REASON {
            return Err(Refusal::new(
                Status::BadRequest,
                format!("{} bytes of text", text.len()),
            ));
        }
        if !self.commands.done(done.seq) {
            return Err(Refusal::new(
                Status::NoEntry,
                format!("there is no command {}", done.seq),
            ));
        }
        let (mut outcome, mut said) = (Outcome::Done, Vec::new());
        if done.error != 0 {
            let text = escaped(text);
            self.complaints.push(format!(
                "command {} failed in the guest with errno {}: {text}",
                done.seq, done.error
            ));
            outcome = Outcome::Failed(done.error, text);
        } else if !text.is_empty() {
            said = text.split(|&byte| byte == b'\n').map(escaped).collect();
        }
        self.finish_with(done.seq, outcome, said);
        Ok(())
    }

    fn policy(&mut self, policy: &wire::Policy) -> Result<(), Refusal> {
        let guest = live(&mut self.guest)?;
        if policy.reserved != 0 {
            return Err(Refusal::new(Status::BadValue, "reserved is not 0"));
        }
        guest.policy = Some(Policy::new(policy));
        Ok(())
    }
}

/// What the trace says about its guest.
fn trace_of(vm: &str, guest: &Guest) -> Trace {
    Trace {
        vm: vm.to_owned(),
        boot_id: guest.driver.boot_id,
        epoch: guest.epoch,
        release: guest.driver.release.clone(),
        version: guest.driver.kernel.clone(),
        nodename: guest.driver.nodename.clone(),
        clock_offset: guest.driver.clock_offset,
        started: SystemTime::now(),
        env: Vec::new(),
    }
}

fn no_hello() -> Refusal {
    Refusal::new(Status::Stale, "no HELLO came before")
}

fn live(guest: &mut Option<Guest>) -> Result<&mut Guest, Refusal> {
    let guest = guest.as_mut().ok_or_else(no_hello)?;
    if guest.phase != Phase::Live {
        return Err(Refusal::new(
            Status::Stale,
            format!("epoch {} has ended", guest.epoch),
        ));
    }
    Ok(guest)
}

fn of_epoch(guest: &Guest, epoch: u64) -> Result<(), Refusal> {
    if epoch != guest.epoch {
        return Err(Refusal::new(
            Status::Stale,
            format!("epoch {epoch}, it is {}", guest.epoch),
        ));
    }
    Ok(())
}

fn parse<T: vm_memory::ByteValued>(bytes: &[u8]) -> Result<T, Refusal> {
    wire::parse(bytes).ok_or_else(|| {
        Refusal::new(
            Status::BadRequest,
            format!("{} bytes are too few", bytes.len()),
        )
    })
}

fn exactly<T: vm_memory::ByteValued>(bytes: &[u8]) -> Result<T, Refusal> {
    if bytes.len() != size_of::<T>() {
        return Err(Refusal::new(
            Status::BadRequest,
            format!(
                "{} bytes of payload, {} are needed",
                bytes.len(),
                size_of::<T>()
            ),
        ));
    }
    parse(bytes)
}

fn exactly_nothing(bytes: &[u8]) -> Result<(), Refusal> {
    if !bytes.is_empty() {
        return Err(Refusal::new(
            Status::BadRequest,
            format!("{} bytes of payload, none are needed", bytes.len()),
        ));
    }
    Ok(())
}

fn name(kind: u32) -> &'static str {
    match kind {
        req::HELLO => "HELLO",
        req::CLOCK_SAMPLE => "CLOCK_SAMPLE",
        req::ROOT => "ROOT",
        req::SCHEMA => "SCHEMA",
        req::RING_ADD => "RING_ADD",
        req::RING_DEL => "RING_DEL",
        req::EPOCH_ACK => "EPOCH_ACK",
        req::DONE => "DONE",
        req::BYE => "BYE",
        req::POLICY => "POLICY",
        _ => "of unknown type",
    }
}

/// This host's CLOCK_MONOTONIC.
fn monotonic_ns() -> u64 {
    // SAFETY: all zeros are a valid timespec.
    let mut now: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: now is writable; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
