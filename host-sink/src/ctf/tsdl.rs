//! A trace's metadata, in the language of CTF 1.8, as LTTng writes it for a
//! kernel: tools that know LTTng's traces look for its names and types.
//!
//! Nothing of a guest's gets in but validated identifiers, numbers and quoted
//! text ([`quote`]).

use std::fmt::Write;

use super::time;
use crate::schema::{Base, EventClass, Field, FieldKind, IntType, Label};
use crate::session::{EnvValue, Session};

/// A clock cannot be further from 1970 than this, in nanoseconds (the year
/// 2116): readers add offset and stamp in signed 64 bits, see
/// [`super::stream::MAX_STAMP`].
const MAX_CLOCK_OFFSET: u64 = 1 << 62;

/// Metadata before the first stream and event: types, trace, environment and
/// clock.
pub(super) fn preface(session: &Session, trace: [u8; 16], trace_name: &str) -> String {
    let mut out = String::from(TYPES);
    let uuid = uuid(trace);
    // Writing to a string cannot fail; the same holds below.
    let _ = write!(
        out,
        "trace {{
	major = 1;
	minor = 8;
	uuid = \"{uuid}\";
	byte_order = le;
	packet.header := struct {{
		uint32_t magic;
		uint8_t  uuid[16];
		uint32_t stream_id;
		uint64_t stream_instance_id;
	}};
}};

"
    );
    env(&mut out, session, trace_name);
    let boot_id = self::uuid(session.boot_id);
    let offset = session.clock_offset.min(MAX_CLOCK_OFFSET);
    let _ = write!(
        out,
        "clock {{
	name = \"monotonic\";
	uuid = \"{boot_id}\";
	description = \"Trace clock of the guest\";
	freq = 1000000000;
	offset = {offset};
}};

typealias integer {{
	size = 32; align = 8; signed = false;
	map = clock.monotonic.value;
}} := uint32_clock_monotonic_t;

typealias integer {{
	size = 64; align = 8; signed = false;
	map = clock.monotonic.value;
}} := uint64_clock_monotonic_t;

{CONTEXT_AND_HEADER}"
    );
    out
}

/// Declaration of a channel's streams, whose events have these contexts.
pub(super) fn stream(channel: u32, contexts: &[Field]) -> String {
    let mut out = format!(
        "stream {{
	id = {channel};
	event.header := struct event_header_large;
	packet.context := struct packet_context;
"
    );
    if !contexts.is_empty() {
        out.push_str("\tevent.context := struct {\n");
        members(&mut out, contexts, 2);
        out.push_str("\t};\n");
    }
    out.push_str("};\n\n");
    out
}

/// Declaration of an event.
pub(super) fn event(class: &EventClass) -> String {
    let EventClass {
        id,
        channel,
        name,
        fields,
    } = class;
    let mut out = format!(
        "event {{\n\tname = \"{name}\";\n\tid = {id};\n\tstream_id = {channel};\n\tfields := struct {{\n"
    );
    members(&mut out, fields, 2);
    out.push_str("\t};\n};\n\n");
    out
}

const TYPES: &str = "/* CTF 1.8 */

typealias integer { size = 8; align = 8; signed = false; } := uint8_t;
typealias integer { size = 16; align = 8; signed = false; } := uint16_t;
typealias integer { size = 32; align = 8; signed = false; } := uint32_t;
typealias integer { size = 64; align = 8; signed = false; } := uint64_t;
typealias integer { size = 64; align = 8; signed = false; } := unsigned long;

";

/// The guest's own preamble ends the context. Its stamp is mapped to the clock:
/// it is one, and Babeltrace does not repeat such a field with every event.
const CONTEXT_AND_HEADER: &str = "struct packet_context {
	uint64_clock_monotonic_t timestamp_begin;
	uint64_clock_monotonic_t timestamp_end;
	uint64_t content_size;
	uint64_t packet_size;
	uint64_t packet_seq_num;
	unsigned long events_discarded;
	uint32_t cpu_id;
	uint64_clock_monotonic_t guest_begin;
	uint64_t guest_lost;
	uint64_t guest_position;
};

struct event_header_large {
	enum : uint16_t { compact = 0 ... 65534, extended = 65535 } id;
	variant <id> {
		struct {
			uint32_clock_monotonic_t timestamp;
		} compact;
		struct {
			uint32_t id;
			uint64_clock_monotonic_t timestamp;
		} extended;
	} v;
} align(8);

";

fn env(out: &mut String, session: &Session, trace_name: &str) {
    out.push_str("env {\n");
    let mut text = |name: &str, value: &str| {
        let _ = writeln!(out, "\t{name} = \"{}\";", quote(value.as_bytes()));
    };
    text("hostname", &session.nodename);
    text("domain", "kernel");
    text("sysname", "Linux");
    text("kernel_release", &session.release);
    text("kernel_version", &session.version);
    text("tracer_name", "lttng-modules");
    text("trace_buffering_scheme", "global");
    text("trace_name", trace_name);
    text("trace_creation_datetime", &time::iso8601(session.started));
    text("vm_name", &session.vm);
    text("vhost_trace_version", env!("CARGO_PKG_VERSION"));
    // The layout of events is that of LTTng 2.13.
    out.push_str("\ttracer_major = 2;\n\ttracer_minor = 13;\n\ttracer_patchlevel = 9;\n");
    let _ = writeln!(out, "\tring_epoch = {};", session.epoch);
    for (name, value) in &session.env {
        let _ = match value {
            EnvValue::Integer(value) => writeln!(out, "\t{name} = {value};"),
            EnvValue::Text(value) => writeln!(out, "\t{name} = \"{}\";", quote(value.as_bytes())),
        };
    }
    out.push_str("};\n\n");
}

fn members(out: &mut String, fields: &[Field], depth: usize) {
    for Field { name, kind } in fields {
        out.extend(std::iter::repeat_n('\t', depth));
        // LTTng's names begin with an underscore, which readers take off:
        // so none can be a keyword.
        let _ = match kind {
            FieldKind::Int(int) => writeln!(out, "{} _{name};", integer(*int)),
            FieldKind::Array(int, count) => writeln!(out, "{} _{name}[{count}];", integer(*int)),
            FieldKind::Seq(int) => {
                writeln!(
                    out,
                    "{} _{name}[ _{} ];",
                    integer(*int),
                    length_of(fields, name)
                )
            }
            FieldKind::String => writeln!(out, "string _{name};"),
            FieldKind::Text(count) => writeln!(out, "{CHARACTER} _{name}[{count}];"),
            FieldKind::Struct(inner) => {
                structure(out, inner, depth);
                writeln!(out, " _{name};")
            }
            FieldKind::StructSeq(inner) => {
                structure(out, inner, depth);
                writeln!(out, " _{name}[ _{} ];", length_of(fields, name))
            }
            FieldKind::Enum(int, labels) => {
                let _ = write!(out, "enum : {} {{ ", integer(*int));
                for (number, label) in labels.iter().enumerate() {
                    let comma = if number == 0 { "" } else { ", " };
                    let _ = write!(out, "{comma}{}", enumerator(*int, label));
                }
                writeln!(out, " }} _{name};")
            }
        };
    }
}

const CHARACTER: &str = "integer { size = 8; align = 8; signed = 1; encoding = UTF8; base = 10; }";

fn structure(out: &mut String, fields: &[Field], depth: usize) {
    out.push_str("struct {\n");
    members(out, fields, depth + 1);
    out.extend(std::iter::repeat_n('\t', depth));
    out.push('}');
}

/// Name of the field just before the sequence `name`; a validated schema has
/// one.
fn length_of<'a>(fields: &'a [Field], name: &str) -> &'a str {
    let at = fields
        .iter()
        .position(|field| field.name == name)
        .unwrap_or(0);
    &fields[at.saturating_sub(1)].name
}

fn integer(int: IntType) -> String {
    let IntType {
        size,
        signed,
        big_endian,
        base,
    } = int;
    let base = match base {
        Base::Decimal => 10,
        Base::Hexadecimal => 16,
        Base::Octal => 8,
    };
    let order = if big_endian { " byte_order = be;" } else { "" };
    format!(
        "integer {{ size = {}; align = 8; signed = {};{order} encoding = none; base = {base}; }}",
        u32::from(size) * 8,
        u8::from(signed),
    )
}

fn enumerator(int: IntType, label: &Label) -> String {
    let value = |v: u64| {
        if int.signed {
            (v as i64).to_string()
        } else {
            v.to_string()
        }
    };
    let name = quote(&label.text);
    match (value(label.first), value(label.last)) {
        (first, last) if first == last => format!("\"{name}\" = {first}"),
        (first, last) => format!("\"{name}\" = {first} ... {last}"),
    }
}

/// `text` as it can stand between quotes: printable ASCII. What is not becomes
/// a visible `\xNN` or `\u{NNNN}` in what readers show.
pub(super) fn quote(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            let _ = match c {
                '"' | '\\' => write!(out, "\\{c}"),
                ' '..='~' => write!(out, "{c}"),
                c if c.is_ascii() => write!(out, "\\\\x{:02x}", c as u32),
                c => write!(out, "\\\\u{{{:x}}}", c as u32),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\\\x{byte:02x}");
        }
    }
    out
}

fn uuid(bytes: [u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (number, byte) in bytes.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}
