//! Groups of users.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::ptr;

/// The most that a group's entry may have in the system's tables.
const MAX_ENTRY: usize = 1 << 20;

/// There is no such group.
#[derive(Debug, thiserror::Error)]
#[error("there is no group {0:?}: use the name or the number of one")]
pub struct NoGroup(String);

/// The number of the group with this name or number.
pub fn group_id(name: &str) -> Result<u32, NoGroup> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let none = || NoGroup(name.to_owned());
    let c_name = CString::new(name).map_err(|_| none())?;
    let mut room = vec![0; 4096];
    loop {
        let mut group = MaybeUninit::<libc::group>::uninit();
        let mut found = ptr::null_mut();
        // SAFETY: the name is a C string; group, room and found are writable,
        // and room has as many bytes as is said.
        let error = unsafe {
            libc::getgrnam_r(
                c_name.as_ptr(),
                group.as_mut_ptr(),
                room.as_mut_ptr(),
                room.len(),
                &mut found,
            )
        };
        if error == libc::ERANGE && room.len() < MAX_ENTRY {
            room.resize(room.len() * 2, 0);
            continue;
        }
        if error != 0 || found.is_null() {
            return Err(none());
        }
        // SAFETY: found says that the entry was filled in.
        return Ok(unsafe { group.assume_init() }.gr_gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_groups_are_found() {
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("4242").unwrap(), 4242);
        for bad in ["", "no such group", "a\0b", "-1"] {
            assert!(group_id(bad).is_err(), "{bad:?}");
        }
    }
}
