//! The driver put into the image of a VM that is off, by libguestfs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DriverError, MODULE, package_name, run};

const PROGRAM: &str = "virt-customize";

/// What goes into an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inject {
    /// A module that was built for the image's kernel.
    Module(PathBuf),
    /// The DKMS package, with what it needs from the image's distribution.
    Package(PathBuf),
}

/// Put it into the image. Without libguestfs: the command that does it, for a
/// machine that has it.
pub fn inject(image: &Path, what: &Inject) -> Result<Option<String>, DriverError> {
    let words = arguments(image, what)?;
    let mut command = Command::new(PROGRAM);
    command.args(&words);
    match run(&mut command, "libguestfs-tools") {
        Ok(()) => Ok(None),
        Err(DriverError::Run { source, .. }) if source.kind() == ErrorKind::NotFound => {
            let words = words.iter().map(|word| quoted(word));
            let words: Vec<_> = std::iter::once(PROGRAM.to_owned()).chain(words).collect();
            Ok(Some(words.join(" ")))
        }
        Err(error) => Err(error),
    }
}

/// The arguments of virt-customize.
fn arguments(image: &Path, what: &Inject) -> Result<Vec<String>, DriverError> {
    let path = |path: &Path| path.display().to_string();
    let mut words = vec!["-a".to_owned(), path(image)];
    let mut add = |option: &str, value: String| words.extend([option.to_owned(), value]);
    match what {
        Inject::Module(module) => {
            let release = release(module)?;
            let dir = format!("/lib/modules/{release}/updates");
            add("--mkdir", dir.clone());
            add("--upload", format!("{}:{dir}/{MODULE}.ko", path(module)));
            add("--run-command", format!("depmod {release}"));
        }
        Inject::Package(package) => {
            let place = format!("/var/tmp/{}", package_name());
            add("--upload", format!("{}:{place}", path(package)));
            // Headers of the image's own kernels, so that DKMS builds for them.
            add("--install", "dkms,linux-headers-amd64".into());
            add("--run-command", format!("apt-get install -y {place}"));
            add("--delete", place);
        }
    }
    Ok(words)
}

/// The kernel that a module was built for: the first word of its `vermagic`.
fn release(module: &Path) -> Result<String, DriverError> {
    let bytes = std::fs::read(module).map_err(|source| DriverError::Io {
        path: module.to_owned(),
        source,
    })?;
    let bad = |why| DriverError::NoModule {
        path: module.to_owned(),
        why,
    };
    let named = format!("\0name={MODULE}\0");
    find(&bytes, named.as_bytes()).ok_or(bad("its .modinfo has another name, or none"))?;
    let from = find(&bytes, b"\0vermagic=").ok_or(bad("it has no vermagic"))?;
    let text = &bytes[from..];
    let end = text.iter().position(|&byte| byte == b' ' || byte == 0);
    let release = std::str::from_utf8(&text[..end.unwrap_or(0)]).unwrap_or_default();
    // It becomes part of a path and of a shell's command line in the image.
    let good = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    if release.is_empty()
        || !release.starts_with(char::is_alphanumeric)
        || !release.chars().all(good)
    {
        return Err(bad("its vermagic has no kernel release"));
    }
    Ok(release.to_owned())
}

/// Where a text ends that a file has.
fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(text.len());
    Some(windows.position(|window| window == text)? + text.len())
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-/:,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attach_driver_is_injected_by_a_command_that_a_shell_takes() {
        let dir = tempfile::tempdir().unwrap();
        let module = dir.path().join("it's.ko");
        let words = |content: &[u8]| {
            std::fs::write(&module, content).unwrap();
            arguments(Path::new("a b.qcow2"), &Inject::Module(module.clone()))
        };
        let good = b"\x7fELF\0name=virtio_trace\0vermagic=6.1.0-1-amd64 SMP\0";
        let good = words(good).unwrap();
        assert!(
            good.contains(&"depmod 6.1.0-1-amd64".to_owned()),
            "{good:?}"
        );
        for bad in [
            &b"\x7fELF"[..],
            b"\0name=other\0vermagic=6.1 SMP\0",
            b"\0name=virtio_trace\0",
            b"\0name=virtio_trace\0vermagic=../x SMP\0",
            b"\0name=virtio_trace\0vermagic=6.1;reboot SMP\0",
        ] {
            let error = words(bad).unwrap_err().to_string();
            assert!(error.contains("no virtio_trace.ko"), "{error}");
        }
        // What a shell makes of the printed words is what they were.
        let line: Vec<_> = good.iter().map(|word| quoted(word)).collect();
        let script = format!("printf '%s\\n' {}", line.join(" "));
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().collect::<Vec<_>>(), good);
    }
}
