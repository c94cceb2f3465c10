//! Registration of a ring: everything that it says is checked here, so that
//! what the drain gets needs no further look at guest memory.

use ringbuf::layout::RingDesc;
use ringbuf::{DescError, Geometry};
use vm_memory::{Bytes, GuestAddress};

use crate::guest::Area;
use crate::session::refusal::Refusal;
use crate::session::{Guest, Memory};
use crate::wire::{self, PAGE, Status};

/// Rings that a guest may have: both channels of 512 vCPUs. Each costs the
/// device memory and a look at every wake-up.
const MAX_RINGS: usize = 1024;

/// A ring as it was registered.
#[derive(Clone, Debug)]
pub struct Ring {
    /// The driver's number of it.
    pub id: u32,
    /// The vCPU that writes it.
    pub vcpu: u32,
    /// Its channel.
    pub channel: u32,
    /// Its mode, size and number of sub-buffers.
    pub geometry: Geometry,
    /// The epoch of its registration.
    pub epoch: u64,
    /// Its control area.
    pub control: Area,
    /// Its sub-buffers.
    pub subs: Vec<Area>,
}

impl Ring {
    /// Everything in guest memory that belongs to it.
    fn areas(&self) -> impl Iterator<Item = &Area> {
        std::iter::once(&self.control).chain(&self.subs)
    }

    /// The same as addresses and lengths.
    fn ranges(&self) -> Vec<(u64, u64)> {
        self.areas()
            .map(|area| (area.gpa(), area.len() as u64))
            .collect()
    }

    /// Whether the guest still has the same memory there.
    pub fn is_in(&self, memory: &Memory<'_>) -> bool {
        self.areas().all(|area| memory.map.has(memory.mem, area))
    }
}

/// Check a registration and find the ring's memory; `channels` is what the
/// configuration space says of them.
pub fn register(
    guest: &mut Guest,
    request: &wire::RingRef,
    channels: &[wire::ConfigChannel],
    memory: &Memory<'_>,
) -> Result<Ring, Refusal> {
    if guest.rings.contains_key(&request.ring) {
        return Err(Refusal::new(
            Status::Exists,
            "a ring of this number is registered already",
        ));
    }
    if guest.rings.len() >= MAX_RINGS {
        return Err(Refusal::new(
            Status::Limit,
            format!("there are {MAX_RINGS} rings already"),
        ));
    }
    let head = memory.map.find(memory.mem, request.gpa, PAGE, PAGE)?;
    let mut bytes = [0; RingDesc::BYTES];
    memory
        .mem
        .read_slice(&mut bytes, GuestAddress(head.gpa()))
        .map_err(|error| Refusal::new(Status::BadAddress, error.to_string()))?;
    let desc = RingDesc::from_bytes(&bytes);
    let ring = check(guest, request, &desc, channels)
        .and_then(|geometry| find(&desc, geometry, request, memory))
        .and_then(|ring| {
            guest.ranges.take(&ring.ranges())?;
            Ok(ring)
        })
        .map_err(|refusal| refusal.about(format_args!("vCPU {}", desc.vcpu)))?;
    guest.rings.insert(ring.id, ring.clone());
    Ok(ring)
}

/// The memory of a ring whose descriptor has been believed.
fn find(
    desc: &RingDesc,
    geometry: Geometry,
    request: &wire::RingRef,
    memory: &Memory<'_>,
) -> Result<Ring, Refusal> {
    let area = |gpa, len| memory.map.find(memory.mem, gpa, len, PAGE);
    Ok(Ring {
        id: request.ring,
        vcpu: desc.vcpu,
        channel: desc.channel,
        geometry,
        epoch: desc.epoch,
        control: area(request.gpa, geometry.control_bytes())?,
        subs: desc.sub_gpa[..geometry.nsub()]
            .iter()
            .map(|gpa| area(*gpa, geometry.sub_size()))
            .collect::<Result<_, _>>()?,
    })
}

/// Forget a ring, so that its memory may be registered again.
pub fn forget(guest: &mut Guest, id: u32) {
    if let Some(ring) = guest.rings.remove(&id) {
        guest.ranges.give_back(&ring.ranges());
    }
}

fn check(
    guest: &Guest,
    request: &wire::RingRef,
    desc: &RingDesc,
    channels: &[wire::ConfigChannel],
) -> Result<Geometry, Refusal> {
    let bad = |what: &str, value: u64| {
        Err(Refusal::new(
            Status::BadValue,
            format!("the ring's descriptor has {what} {value:#x}"),
        ))
    };
    let geometry = Geometry::validate(desc, request.gpa).map_err(|error| {
        let status = match error {
            DescError::Address { .. } => Status::BadAddress,
            DescError::Overlap { .. } => Status::Exists,
            _ => Status::BadValue,
        };
        Refusal::new(status, format!("the ring's descriptor: {error}"))
    })?;
    if desc.ring != request.ring {
        return bad("ring", desc.ring.into());
    }
    if desc.epoch != request.epoch {
        return bad("epoch", desc.epoch);
    }
    if desc.vcpu >= guest.driver.num_vcpus {
        return bad("vcpu", desc.vcpu.into());
    }
    let Some(channel) = channels.get(desc.channel as usize) else {
        return bad("channel", desc.channel.into());
    };
    // The host sets the geometry.
    if desc.mode != channel.mode {
        return bad("mode", desc.mode.into());
    }
    if desc.sub_size != channel.sub_size {
        return bad("sub_size", desc.sub_size.into());
    }
    if desc.nsub != channel.nsub {
        return bad("nsub", desc.nsub.into());
    }
    let taken = guest
        .rings
        .values()
        .find(|ring| ring.vcpu == desc.vcpu && ring.channel == desc.channel);
    if let Some(other) = taken {
        return Err(Refusal::new(
            Status::Exists,
            format!("channel {} has ring {} already", desc.channel, other.id),
        ));
    }
    Ok(geometry)
}
