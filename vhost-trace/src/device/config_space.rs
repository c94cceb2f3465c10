//! The configuration space: constant, small, read at any offset.

use vm_memory::ByteValued;

use crate::wire;

/// The most that QEMU's generic device can have of it.
pub const MAX_BYTES: u32 = 256;

/// What the guest reads at `offset`; zeros behind the structure's end. A read
/// out of bounds gets nothing, which fails the front end's request.
pub fn read(config: &wire::Config, offset: u32, size: u32) -> Vec<u8> {
    let in_bounds = offset.checked_add(size).is_some_and(|end| end <= MAX_BYTES);
    if !in_bounds {
        return Vec::new();
    }
    let mut space = [0; MAX_BYTES as usize];
    let bytes = config.as_slice();
    space[..bytes.len()].copy_from_slice(bytes);
    space[offset as usize..(offset + size) as usize].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serve_config_space_is_bounded() {
        let config = wire::Config {
            magic: wire::CONFIG_MAGIC,
            ..Default::default()
        };
        assert_eq!(read(&config, 0, 4), b"VTRC");
        assert_eq!(read(&config, 0, 256).len(), 256);
        assert_eq!(read(&config, 255, 1), [0]);
        assert!(read(&config, 0, 257).is_empty());
        assert!(read(&config, 256, 1).is_empty());
        assert!(read(&config, u32::MAX, 1).is_empty());
        assert!(read(&config, 1, u32::MAX).is_empty());
    }
}
