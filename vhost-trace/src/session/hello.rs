//! The first request of a driver: who it is.

use std::time::Instant;

use crate::session::refusal::Refusal;
use crate::wire::{self, Status};

/// vCPUs that a guest may have: what Linux on x86 can be built for.
const MAX_VCPUS: u32 = 8192;

/// A driver starts rarely; each start makes a new trace on disk. So many may
/// come at once, and one more each second.
const BURST: u32 = 100;

/// Bit of VIRTIO_F_ACCESS_PLATFORM.
const ACCESS_PLATFORM: u32 = virtio_bindings::bindings::virtio_config::VIRTIO_F_ACCESS_PLATFORM;

/// A driver that this device serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Boot id of the guest's kernel.
    pub boot_id: [u8; 16],
    /// Version of the driver.
    pub version: u32,
    /// Frequency of the counter behind the trace clock.
    pub clock_hz: u64,
    /// CLOCK_REALTIME minus the trace clock, ns.
    pub clock_offset: u64,
    /// vCPUs that the guest may have.
    pub num_vcpus: u32,
    /// utsname's release, as the guest gave it.
    pub release: String,
    /// utsname's version, as the guest gave it.
    pub kernel: String,
    /// utsname's nodename, as the guest gave it.
    pub nodename: String,
}

impl Driver {
    /// Check a HELLO; `features` are those that the driver acknowledged.
    pub fn new(hello: &wire::Hello, features: u64) -> Result<Driver, Refusal> {
        let refused = |reason: String| Err(Refusal::new(Status::Refused, reason));
        if features & (1 << ACCESS_PLATFORM) != 0 {
            return refused(
                "the guest uses VIRTIO_F_ACCESS_PLATFORM (an IOMMU or encrypted memory), so that \
                 its addresses are not physical ones: start it without iommu_platform=on and \
                 without memory encryption"
                    .into(),
            );
        }
        if hello.driver_version != wire::VERSION {
            return refused(format!(
                "driver version {}, this device speaks {}: install the driver of the same release",
                hello.driver_version,
                wire::VERSION
            ));
        }
        if hello.arch != wire::ARCH_X86_64 || hello.page_size != 4096 {
            return refused(format!(
                "architecture {} with pages of {} bytes, only x86-64 with 4096 is served",
                hello.arch, hello.page_size
            ));
        }
        let bad = |what, value| Err(Refusal::new(Status::BadValue, format!("{what} is {value}")));
        if !(1..=MAX_VCPUS).contains(&hello.num_vcpus) {
            return bad("num_vcpus", u64::from(hello.num_vcpus));
        }
        if hello.clock_hz == 0 {
            return bad("clock_hz", 0);
        }
        Ok(Driver {
            boot_id: hello.boot_id,
            version: hello.driver_version,
            clock_hz: hello.clock_hz,
            clock_offset: hello.clock_offset,
            num_vcpus: hello.num_vcpus,
            release: text(&hello.release),
            kernel: text(&hello.version),
            nodename: text(&hello.nodename),
        })
    }
}

/// Bytes up to a NUL; what is not UTF-8 is replaced.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// How many more HELLOs may come now.
#[derive(Debug)]
pub struct Allowance {
    left: u32,
    since: Instant,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance {
            left: BURST,
            since: Instant::now(),
        }
    }
}

impl Allowance {
    /// Use one up, if there is one.
    pub fn take(&mut self, now: Instant) -> Result<(), Refusal> {
        let seconds = now.duration_since(self.since).as_secs();
        if seconds > 0 {
            self.left = BURST.min(
                self.left
                    .saturating_add(seconds.min(u64::from(BURST)) as u32),
            );
            self.since = now;
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            Refusal::new(Status::Limit, "drivers start faster than once in a second")
        })?;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::Duration;

    /// A HELLO that is served.
    pub(crate) fn good_hello() -> wire::Hello {
        let mut hello = wire::Hello {
            boot_id: [7; 16],
            clock_hz: 1_000_000_000,
            clock_offset: 42,
            driver_version: wire::VERSION,
            arch: wire::ARCH_X86_64,
            page_size: 4096,
            num_vcpus: 2,
            release: [0; 64],
            version: [0; 128],
            nodename: [b'n'; 64],
        };
        hello.release[..3].copy_from_slice(b"6.1");
        hello
    }

    #[test]
    fn serve_hello_is_checked() {
        let driver = Driver::new(&good_hello(), 0).unwrap();
        assert_eq!(driver.release, "6.1");
        assert_eq!(driver.kernel, "");
        assert_eq!(driver.nodename, "n".repeat(64));

        let status = |change: fn(&mut wire::Hello)| {
            let mut hello = good_hello();
            change(&mut hello);
            Driver::new(&hello, 0).unwrap_err().status
        };
        assert_eq!(status(|hello| hello.driver_version = 2), Status::Refused);
        assert_eq!(status(|hello| hello.arch = 2), Status::Refused);
        assert_eq!(status(|hello| hello.page_size = 65536), Status::Refused);
        assert_eq!(status(|hello| hello.num_vcpus = 0), Status::BadValue);
        assert_eq!(status(|hello| hello.num_vcpus = u32::MAX), Status::BadValue);
        assert_eq!(status(|hello| hello.clock_hz = 0), Status::BadValue);

        let refusal = Driver::new(&good_hello(), 1 << ACCESS_PLATFORM).unwrap_err();
        assert_eq!(refusal.status, Status::Refused);
        assert!(refusal.reason.contains("ACCESS_PLATFORM"));
    }

    #[test]
    fn serve_hellos_are_paced() {
        let mut allowance = Allowance::default();
        let start = allowance.since;
        for _ in 0..BURST {
            allowance.take(start).unwrap();
        }
        assert_eq!(allowance.take(start).unwrap_err().status, Status::Limit);
        let later = start + Duration::from_secs(2);
        allowance.take(later).unwrap();
        allowance.take(later).unwrap();
        assert!(allowance.take(later).is_err());
    }
}
