//! Which user a process is, and what that user may do to a file.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

use crate::monitor::Peer;

/// CAP_DAC_OVERRIDE: file permissions do not count.
const DAC_OVERRIDE: u64 = 1 << 1;

const WRITE: u32 = 0o2;
const EXECUTE: u32 = 0o1;

/// A process's user, groups and power over files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    gid: u32,
    groups: Vec<u32>,
    all_files: bool,
}

impl Identity {
    /// Of the process behind a socket, as it is now if that can be seen: QEMU
    /// may have become another user since it began to listen.
    pub(super) fn of(peer: Peer) -> Identity {
        fs::read_to_string(format!("/proc/{}/status", peer.pid))
            .ok()
            .and_then(|status| Identity::parse(&status))
            .unwrap_or(Identity {
                uid: peer.uid,
                gid: peer.gid,
                groups: Vec::new(),
                all_files: peer.uid == 0,
            })
    }

    /// From `/proc/PID/status`.
    fn parse(status: &str) -> Option<Identity> {
        let field = |name: &str| -> Option<Vec<&str>> {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.split_whitespace().collect())
        };
        // Real, effective, saved, and the one for files.
        let for_files = |name| field(name)?.get(3)?.parse().ok();
        let capabilities = u64::from_str_radix(field("CapEff")?.first()?, 16).ok()?;
        Some(Identity {
            uid: for_files("Uid")?,
            gid: for_files("Gid")?,
            groups: field("Groups")?
                .iter()
                .filter_map(|group| group.parse().ok())
                .collect(),
            all_files: capabilities & DAC_OVERRIDE != 0,
        })
    }

    /// Whether it may connect to this socket.
    pub(super) fn may_write(&self, meta: &Metadata) -> bool {
        self.may(meta.uid(), meta.gid(), meta.mode(), WRITE)
    }

    /// Whether it may look for names in this folder.
    pub(super) fn may_enter(&self, meta: &Metadata) -> bool {
        self.may(meta.uid(), meta.gid(), meta.mode(), EXECUTE)
    }

    fn may(&self, owner: u32, group: u32, mode: u32, wanted: u32) -> bool {
        let shift = if self.uid == owner {
            6
        } else if self.gid == group || self.groups.contains(&group) {
            3
        } else {
            0
        };
        self.all_files || mode >> shift & wanted != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attach_check_identities_are_judged_as_the_kernel_does() {
        let status = "Name:\tqemu\nUid:\t64055\t64055\t64055\t64055\nGid:\t64055\t64055\t64055\t\
                      103\nGroups:\t103 104 \nCapEff:\t0000000000000000\n";
        let qemu = Identity::parse(status).unwrap();
        assert_eq!((qemu.uid, qemu.gid, qemu.all_files), (64055, 103, false));
        assert!(qemu.may(0, 104, 0o660, WRITE));
        assert!(!qemu.may(0, 105, 0o660, WRITE));
        assert!(qemu.may(0, 105, 0o662, WRITE));
        // The first class that fits counts, even if another would allow more.
        assert!(!qemu.may(64055, 0, 0o077, WRITE));
        assert!(!qemu.may(0, 103, 0o707, EXECUTE));

        let root = status.replace("0000000000000000", "000001ffffffffff");
        assert!(Identity::parse(&root).unwrap().may(1, 1, 0o600, WRITE));
        assert_eq!(Identity::parse("Name:\tqemu\n"), None);
    }
}
