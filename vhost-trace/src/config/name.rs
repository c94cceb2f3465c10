//! Names of virtual machines. A name becomes part of paths and of messages, so
//! that only harmless ones exist.

use std::fmt;
use std::str::FromStr;

/// Longest name of a VM, in bytes.
const MAX: usize = 64;

/// A VM's name: `[A-Za-z0-9][A-Za-z0-9_.-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VmName(String);

/// A name that is none.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no VM name: use 1 to {MAX} of A-Z a-z 0-9 _ . - and begin with a letter or a digit"
)]
pub struct BadName(String);

impl VmName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VmName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let first = text.bytes().next();
        let good = first.is_some_and(|byte| byte.is_ascii_alphanumeric())
            && text.len() <= MAX
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
        if good {
            Ok(VmName(text.to_owned()))
        } else {
            Err(BadName(text.chars().take(MAX + 1).collect()))
        }
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_vm_names_are_harmless() {
        for good in ["web1", "a", "0", "A.b-c_d", &"x".repeat(64)] {
            assert!(good.parse::<VmName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "../x",
            ".",
            ".a",
            "-a",
            "a/b",
            "a b",
            "ä",
            "a\n",
            &"x".repeat(65),
        ] {
            assert!(bad.parse::<VmName>().is_err(), "{bad:?}");
        }
    }
}
