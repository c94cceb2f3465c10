//! Packet content to events. The content is a guest's and may be anything; it
//! must be a private copy ([`crate::packet::Payload::to_private`]), since what
//! is checked here is used here.

use thiserror::Error;

use crate::packet::PREAMBLE_BYTES;
use crate::schema::abi::{HEADER, HEADER_FULL, ID_FULL};
use crate::schema::{EventClass, Field, FieldKind, IntType, Schema};
use crate::value::{Event, Fields, Integer, Ints, Value};

/// Structures in the sequences of one event, together. It bounds what a guest
/// can make a decoder allocate for one event: a byte of a packet may stand for
/// a structure of [`crate::schema::abi::MAX_FIELDS`] fields. Linux passes at
/// most some hundred (`poll`'s descriptors).
const MAX_STRUCTS: usize = 4096;

/// Why the rest of a packet cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("at byte {offset} of the packet{}: {what}", in_event(event.as_deref()))]
pub struct DecodeError {
    /// Where, in bytes from the packet's preamble on.
    pub offset: usize,
    /// In which event, if that is known.
    pub event: Option<String>,
    /// What is wrong, with the value.
    pub what: String,
}

fn in_event(event: Option<&str>) -> String {
    event.map_or_else(String::new, |event| format!(", in {event}"))
}

/// The events of a packet, in order. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Events<'a> {
    schema: &'a Schema,
    channel: u32,
    content: &'a [u8],
    at: usize,
    clock: u64,
}

impl<'a> Events<'a> {
    /// The events in `content`, a packet's first `content_len` bytes, of a
    /// stream of `channel`, that begins at the stamp `begin`.
    pub fn new(schema: &'a Schema, channel: u32, content: &'a [u8], begin: u64) -> Self {
        // Content without a whole preamble has no events either.
        let at = PREAMBLE_BYTES.min(content.len());
        Self {
            schema,
            channel,
            content,
            at,
            clock: begin,
        }
    }

    fn event(&mut self) -> Result<Event<'a>, DecodeError> {
        let mut cursor = Cursor {
            content: self.content,
            at: self.at,
            event: None,
            structs: 0,
        };
        let (id, stamp) = cursor.header(self.clock)?;
        let known = u16::try_from(id).ok().and_then(|id| self.schema.get(id));
        let Some(class) = known.filter(|class| class.channel == self.channel) else {
            let what = format!("channel {} has no event with id {id}", self.channel);
            return Err(DecodeError {
                offset: self.at,
                event: None,
                what,
            });
        };
        cursor.event = Some(class);
        let contexts = cursor.fields(self.schema.contexts(self.channel))?;
        let fields = cursor.fields(&class.fields)?;
        self.clock = stamp;
        self.at = cursor.at;
        Ok(Event {
            class,
            stamp,
            contexts,
            fields,
        })
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Result<Event<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.content.len() {
            return None;
        }
        let event = self.event();
        if event.is_err() {
            self.at = self.content.len();
        }
        Some(event)
    }
}

impl std::iter::FusedIterator for Events<'_> {}

/// A place in a packet's content.
struct Cursor<'a> {
    content: &'a [u8],
    at: usize,
    event: Option<&'a EventClass>,
    structs: usize,
}

impl<'a> Cursor<'a> {
    /// Id and stamp; `clock` is the stamp of the event before.
    fn header(&mut self, clock: u64) -> Result<(u32, u64), DecodeError> {
        let head: [u8; HEADER] = self.array("an event header")?;
        let id = u16::from_le_bytes([head[0], head[1]]);
        let word = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        if id != ID_FULL {
            // The low 32 bits of a stamp that is not before the last one.
            let ahead = word.wrapping_sub(clock as u32);
            return Ok((u32::from(id), clock.wrapping_add(u64::from(ahead))));
        }
        let rest: [u8; HEADER_FULL - HEADER] = self.array("a full event header")?;
        Ok((word, u64::from_le_bytes(rest)))
    }

    fn fields(&mut self, fields: &'a [Field]) -> Result<Fields<'a>, DecodeError> {
        let mut values = Fields(Vec::with_capacity(fields.len()));
        for field in fields {
            let before = values.0.last().map(|(_, value)| value);
            let value = self.value(field, before)?;
            values.0.push((&field.name, value));
        }
        Ok(values)
    }

    fn value(
        &mut self,
        field: &'a Field,
        before: Option<&Value<'a>>,
    ) -> Result<Value<'a>, DecodeError> {
        let name = &field.name;
        match &field.kind {
            FieldKind::Int(int) => self.integer(*int, name).map(Value::Int),
            FieldKind::Enum(int, labels) => Ok(Value::Enum(self.integer(*int, name)?, labels)),
            FieldKind::Array(int, count) => self.integers(*int, u64::from(*count), name),
            FieldKind::Seq(int) => self.integers(*int, length(before), name),
            FieldKind::Text(count) => {
                let bytes = self.bytes(u64::from(*count), name)?;
                Ok(Value::Text(
                    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes),
                ))
            }
            FieldKind::String => {
                let rest = &self.content[self.at..];
                let Some(len) = rest.iter().position(|byte| *byte == 0) else {
                    return Err(self.wrong(format!("the string {name} has no end")));
                };
                self.at += len + 1;
                Ok(Value::Text(&rest[..len]))
            }
            FieldKind::Struct(fields) => self.fields(fields).map(Value::Struct),
            FieldKind::StructSeq(fields) => self.structs(fields, length(before), name),
        }
    }

    fn integer(&mut self, int: IntType, name: &str) -> Result<Integer, DecodeError> {
        Ok(Integer::read(int, self.bytes(u64::from(int.size), name)?))
    }

    fn integers(&mut self, int: IntType, count: u64, name: &str) -> Result<Value<'a>, DecodeError> {
        let bytes = self.bytes(count.saturating_mul(u64::from(int.size)), name)?;
        Ok(Value::Ints(Ints::new(int, bytes)))
    }

    fn structs(
        &mut self,
        fields: &'a [Field],
        count: u64,
        name: &str,
    ) -> Result<Value<'a>, DecodeError> {
        let room = MAX_STRUCTS - self.structs;
        let Some(count) = usize::try_from(count).ok().filter(|count| *count <= room) else {
            return Err(self.wrong(format!("the sequence {name} has {count} structures")));
        };
        self.structs += count;
        let list: Result<_, _> = (0..count).map(|_| self.fields(fields)).collect();
        list.map(Value::Structs)
    }

    fn bytes(&mut self, len: u64, what: &str) -> Result<&'a [u8], DecodeError> {
        let rest = &self.content[self.at..];
        match usize::try_from(len).ok().and_then(|len| rest.get(..len)) {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(bytes)
            }
            None => Err(self.wrong(format!("{what} needs {len} bytes, {} are left", rest.len()))),
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], DecodeError> {
        self.bytes(N as u64, what)
            .map(|bytes| bytes.try_into().expect("N bytes were taken"))
    }

    fn wrong(&self, what: String) -> DecodeError {
        let event = self.event.map(|class| class.name.clone());
        DecodeError {
            offset: self.at,
            event,
            what,
        }
    }
}

/// Number of elements of a sequence: the field before it, an unsigned integer
/// in every validated schema.
fn length(before: Option<&Value<'_>>) -> u64 {
    match before {
        Some(Value::Int(value)) => value.bits,
        _ => 0,
    }
}
