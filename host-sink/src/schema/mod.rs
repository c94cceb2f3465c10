//! What a guest's events look like: its schema records, decoded and validated.

mod decode;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::SchemaError;

/// Bounds and codes of schema records; `vtrace_abi.h` is their authority.
pub mod abi {
    /// `VTRACE_MAX_CHANNELS`.
    pub const MAX_CHANNELS: u32 = 4;
    /// `VTRACE_MAX_EVENTS`.
    pub const MAX_EVENTS: usize = 8192;
    /// `VTRACE_MAX_FIELDS`: of one event, nested ones included.
    pub const MAX_FIELDS: usize = 64;
    /// `VTRACE_MAX_NAME`, bytes.
    pub const MAX_NAME: usize = 128;
    /// `VTRACE_MAX_DEPTH`: a field of an event has depth 1.
    pub const MAX_DEPTH: usize = 4;
    /// `VTRACE_MAX_LABELS`: of one enumeration.
    pub const MAX_LABELS: usize = 256;
    /// `VTRACE_ID_FULL`: not an id but the mark of a full event header, and in a
    /// schema record that of a channel's contexts.
    pub const ID_FULL: u16 = 0xffff;
    /// `VTRACE_HEADER`, bytes.
    pub const HEADER: usize = 6;
    /// `VTRACE_HEADER_FULL`, bytes.
    pub const HEADER_FULL: usize = 14;

    /// `VTRACE_FIELD_INT`.
    pub const FIELD_INT: u8 = 1;
    /// `VTRACE_FIELD_STRING`.
    pub const FIELD_STRING: u8 = 2;
    /// `VTRACE_FIELD_TEXT`.
    pub const FIELD_TEXT: u8 = 3;
    /// `VTRACE_FIELD_STRUCT`.
    pub const FIELD_STRUCT: u8 = 4;
    /// `VTRACE_FIELD_ENUM`.
    pub const FIELD_ENUM: u8 = 5;

    /// `VTRACE_FIELD_SIGNED`.
    pub const FIELD_SIGNED: u8 = 0x01;
    /// `VTRACE_FIELD_HEX`.
    pub const FIELD_HEX: u8 = 0x02;
    /// `VTRACE_FIELD_OCT`.
    pub const FIELD_OCT: u8 = 0x04;
    /// `VTRACE_FIELD_BE`.
    pub const FIELD_BE: u8 = 0x08;
    /// `VTRACE_FIELD_ARRAY`.
    pub const FIELD_ARRAY: u8 = 0x10;
    /// `VTRACE_FIELD_SEQ`.
    pub const FIELD_SEQ: u8 = 0x20;
}

/// The events of a guest, by id, and the contexts that each channel's events
/// have. It only ever grows: an id keeps its definition for as long as the
/// schema lives, and so does a channel.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    events: BTreeMap<u16, Known>,
    contexts: BTreeMap<u32, Known>,
    contexts_are_fixed: bool,
    record_bytes: usize,
}

#[derive(Clone, Debug)]
struct Known {
    class: Arc<EventClass>,
    record: Box<[u8]>,
}

impl Schema {
    /// A schema without events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `records` as a guest sent them: event records, one behind the
    /// other, nothing else. A record that is known already, byte by byte, is
    /// accepted and changes nothing.
    ///
    /// Returns the ids that are new, in the order of the records. All or
    /// nothing: after an error the schema is as it was.
    pub fn add(&mut self, records: &[u8]) -> Result<Vec<u16>, SchemaError> {
        decode::add(self, records)
    }

    /// The event with this id.
    pub fn get(&self, id: u16) -> Option<&Arc<EventClass>> {
        self.events.get(&id).map(|known| &known.class)
    }

    /// All events in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<EventClass>> {
        self.events.values().map(|known| &known.class)
    }

    /// What each event of this channel has between its header and its own
    /// fields.
    pub fn contexts(&self, channel: u32) -> &[Field] {
        let known = self.contexts.get(&channel);
        known.map_or(&[], |known| &known.class.fields)
    }

    /// The contexts of all channels that have some, as if each were an event.
    pub fn contexts_of_channels(&self) -> impl Iterator<Item = &Arc<EventClass>> {
        self.contexts.values().map(|known| &known.class)
    }

    /// From now on there are streams, so that no channel gets contexts any
    /// more: [`Schema::add`] refuses them.
    pub fn fix_contexts(&mut self) {
        self.contexts_are_fixed = true;
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

/// One kind of event, or the contexts of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventClass {
    /// Its id in event headers; [`abi::ID_FULL`] of contexts only.
    pub id: u16,
    /// The channel whose rings carry it, below [`abi::MAX_CHANNELS`].
    pub channel: u32,
    /// Its name, an identifier.
    pub name: String,
    /// Its fields in order.
    pub fields: Vec<Field>,
}

/// One field of an event or of a structure in it. Fields are byte-packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, an identifier, unique among its neighbours.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// One integer.
    Int(IntType),
    /// A fixed number of integers, at least 1.
    Array(IntType, u16),
    /// As many integers as the field before says.
    Seq(IntType),
    /// Bytes up to and including a NUL.
    String,
    /// A fixed number of bytes, NUL-padded text, at least 1.
    Text(u16),
    /// A structure, of at least one field.
    Struct(Vec<Field>),
    /// As many structures as the field before says.
    StructSeq(Vec<Field>),
    /// An integer whose values have names, at least one.
    Enum(IntType, Vec<Label>),
}

/// How an integer is stored and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntType {
    /// Bytes: 1, 2, 4 or 8.
    pub size: u8,
    /// Two's complement, or unsigned.
    pub signed: bool,
    /// Most significant byte first, or last.
    pub big_endian: bool,
    /// How people read it.
    pub base: Base,
}

/// Base that an integer is shown in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// 10.
    Decimal,
    /// 16, with `0x` before it.
    Hexadecimal,
    /// 8, with `0` before it.
    Octal,
}

/// A range of values with a name. The bounds are inclusive and, in an
/// enumeration of signed integers, two's complement of 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Lowest value.
    pub first: u64,
    /// Highest value.
    pub last: u64,
    /// Its name: any bytes of the guest's, at most [`abi::MAX_NAME`].
    pub text: Vec<u8>,
}
