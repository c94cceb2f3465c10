//! The root page: what a reader of a core file would begin with.

use vm_memory::{Bytes, GuestAddress};

use crate::guest::Area;
use crate::session::refusal::Refusal;
use crate::session::{Guest, Memory};
use crate::wire::{self, PAGE, Status};

/// The root page of a driver.
#[derive(Clone, Debug)]
pub struct Root {
    /// The page.
    pub page: Area,
    /// The clock page, if the driver has one.
    pub clock: Option<Area>,
}

impl Root {
    /// The page as the guest has it now.
    pub fn read(&self, memory: &Memory<'_>) -> Result<wire::Root, Refusal> {
        memory
            .mem
            .read_obj(GuestAddress(self.page.gpa()))
            .map_err(|error| Refusal::new(Status::BadAddress, error.to_string()))
    }

    /// Events of vCPUs without a ring, as the guest says now.
    pub fn lost_no_ring(&self) -> u64 {
        let at = std::mem::offset_of!(wire::Root, lost_no_ring);
        // SAFETY: the page is mapped as long as the area lives and larger than
        // the structure; it is aligned to pages and the field to 8 bytes. The
        // guest may write it at any time, so that it is read as volatile.
        unsafe { self.page.as_ptr().add(at).cast::<u64>().read_volatile() }
    }
}

/// Check the page that a driver names.
pub fn register(
    guest: &mut Guest,
    request: &wire::Addr,
    memory: &Memory<'_>,
) -> Result<Root, Refusal> {
    if guest.root.is_some() {
        return Err(Refusal::new(Status::Exists, "there is a root page already"));
    }
    let mut root = Root {
        page: memory.map.find(memory.mem, request.gpa, PAGE, PAGE)?,
        clock: None,
    };
    let now = root.read(memory)?;
    check(guest, &now)?;

    let mut ranges = vec![(request.gpa, PAGE)];
    if now.clock_gpa != 0 {
        let clock = memory.map.find(memory.mem, now.clock_gpa, PAGE, PAGE);
        root.clock = Some(clock.map_err(|bad| Refusal::from(bad).about("clock page"))?);
        ranges.push((now.clock_gpa, PAGE));
    }
    if now.schema_bytes != 0 {
        memory
            .map
            .find(memory.mem, now.schema_gpa, now.schema_bytes, 1)
            .map_err(|bad| Refusal::from(bad).about("schema"))?;
        ranges.push((now.schema_gpa, now.schema_bytes));
    }
    guest.ranges.take(&ranges)?;
    guest.root = Some(root.clone());
    Ok(root)
}

fn check(guest: &Guest, root: &wire::Root) -> Result<(), Refusal> {
    let bad = |what: &str, value: String| {
        Err(Refusal::new(
            Status::BadValue,
            format!("the root page has {what} {value}"),
        ))
    };
    if root.magic != wire::ROOT_MAGIC {
        return bad("magic", format!("{:#x}", root.magic));
    }
    if root.version != wire::VERSION {
        return bad("version", root.version.to_string());
    }
    if root.epoch != guest.epoch {
        return bad("epoch", root.epoch.to_string());
    }
    if root.boot_id != guest.driver.boot_id {
        return bad("boot_id", format!("{:02x?}", root.boot_id));
    }
    Ok(())
}

/// Whether the page still is the one of this driver: after a restart the guest
/// may be another one.
pub fn is_still(guest: &Guest, memory: &Memory<'_>) -> bool {
    let Some(root) = &guest.root else {
        return false;
    };
    memory.map.has(memory.mem, &root.page)
        && root
            .read(memory)
            .is_ok_and(|now| now.magic == wire::ROOT_MAGIC && now.boot_id == guest.driver.boot_id)
}
