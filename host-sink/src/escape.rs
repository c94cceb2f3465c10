//! Guest text made safe: for a terminal, a log line and a quoted string.
//!
//! One rule for all of them: what remains is printable and cannot end a quoted
//! string. Control bytes (ESC, newline, C1), bytes that are not UTF-8, quotes,
//! backslashes and the characters that reorder or hide text (bidirectional
//! controls, zero-width and other format characters) become `\n`-like or
//! `\xNN` / `\u{NNNN}` escapes.

use std::fmt::{self, Write};

/// Appends `bytes` to `out`, escaped; other printable UTF-8 stays as it is.
///
/// Fails only when `out` does.
pub fn escape(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    write_safe(out, bytes, true)
}

/// `bytes` escaped, as a new string.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    escape(&mut out, bytes).expect("a String takes everything");
    out
}

/// `bytes` with everything escaped but quotes and backslashes, for a form that
/// has its own way with those, such as JSON.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    write_safe(&mut out, bytes, false).expect("a String takes everything");
    out
}

fn write_safe(out: &mut impl Write, bytes: &[u8], quoted: bool) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' if quoted => write!(out, "\\{c}")?,
                '\n' => out.write_str("\\n")?,
                '\r' => out.write_str("\\r")?,
                '\t' => out.write_str("\\t")?,
                c if c.is_ascii_control() => write!(out, "\\x{:02x}", c as u32)?,
                c if is_deceptive(c) => write!(out, "\\u{{{:x}}}", c as u32)?,
                c => out.write_char(c)?,
            }
        }
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Whether a terminal or reader would show `c` as something else, or nowhere:
/// C1 controls and Unicode's format characters (general category Cf), line and
/// paragraph separators, variation selectors and private use.
fn is_deceptive(c: char) -> bool {
    matches!(
        u32::from(c),
        0x80..=0x9f
            | 0xad
            | 0x34f
            | 0x600..=0x605
            | 0x61c
            | 0x6dd
            | 0x70f
            | 0x890..=0x891
            | 0x8e2
            | 0x115f..=0x1160
            | 0x17b4..=0x17b5
            | 0x180b..=0x180f
            | 0x200b..=0x200f
            | 0x2028..=0x202e
            | 0x2060..=0x206f
            | 0x3164
            | 0xe000..=0xf8ff
            | 0xfe00..=0xfe0f
            | 0xfeff
            | 0xffa0
            | 0xfff0..=0xfffb
            | 0x110bd
            | 0x110cd
            | 0x13430..=0x1343f
            | 0x1bca0..=0x1bca3
            | 0x1d173..=0x1d17a
            | 0xe0000..=0xe0fff
            | 0xf0000..=0x10ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_printable() {
        assert_eq!(
            escaped("bash größe 日本 🙂".as_bytes()),
            "bash größe 日本 🙂"
        );
    }

    #[test]
    fn escapes_what_a_terminal_obeys() {
        assert_eq!(
            escaped(b"\x1b[2J\x07\x7f\n\r\t"),
            "\\x1b[2J\\x07\\x7f\\n\\r\\t"
        );
        assert_eq!(escaped("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(escaped(b"\x9b31m"), "\\x9b31m");
    }

    #[test]
    fn escapes_what_ends_a_quoted_string() {
        assert_eq!(escaped(b"\"; };\\"), "\\\"; };\\\\");
    }

    #[test]
    fn leaves_quotes_to_a_form_that_has_its_own() {
        assert_eq!(printable(b"\"\\\x1b"), "\"\\\\x1b");
    }

    #[test]
    fn escapes_what_reorders_or_hides() {
        assert_eq!(
            escaped("a\u{202e}b\u{200b}c\u{2066}".as_bytes()),
            "a\\u{202e}b\\u{200b}c\\u{2066}"
        );
        assert_eq!(
            escaped("\u{feff}\u{e0041}".as_bytes()),
            "\\u{feff}\\u{e0041}"
        );
    }

    #[test]
    fn escapes_bytes_that_are_not_utf8() {
        assert_eq!(escaped(b"ok\xff\xc3("), "ok\\xff\\xc3(");
    }
}
