//! Schema records to event classes. The records are a guest's: each length is
//! checked against what is there, and each number against its bound.

use std::sync::Arc;

use super::abi::*;
use super::{Base, EventClass, Field, FieldKind, IntType, Known, Label, Schema, SchemaError};
use crate::escape::escaped;

/// Record bytes of one guest, which bounds what its schema takes in memory and
/// in metadata to a small multiple of it: 512 for each of [`MAX_EVENTS`], where
/// an event of Linux needs about 150.
const MAX_SCHEMA_BYTES: usize = 4 << 20;

/// Bytes of an event record before its name.
const EVENT_HEAD: usize = 8;

/// See [`Schema::add`].
pub(super) fn add(schema: &mut Schema, records: &[u8]) -> Result<Vec<u16>, SchemaError> {
    let mut fresh: Vec<Known> = Vec::new();
    let mut fresh_bytes = 0;
    let mut offset = 0;
    while offset < records.len() {
        let record = record_at(records, offset)?;
        offset += record.len();
        let (id, channel) = names(record);
        let before = schema.known(id, channel);
        let before = before.or_else(|| fresh.iter().find(|known| known.is(id, channel)));
        if let Some(known) = before {
            if *known.record == *record {
                continue;
            }
            let old = known.class.name.clone();
            return Err(SchemaError::Redefined {
                id,
                old,
                new: event(record)?.name,
            });
        }
        if id == ID_FULL && schema.contexts_are_fixed {
            return Err(SchemaError::Late { channel });
        }
        fresh.push(Known {
            class: Arc::new(event(record)?),
            record: record.into(),
        });
        fresh_bytes += record.len();
        let limits = [
            (
                "the number of events",
                schema.events.len() + fresh.len(),
                MAX_EVENTS,
            ),
            (
                "the bytes of schema",
                schema.record_bytes + fresh_bytes,
                MAX_SCHEMA_BYTES,
            ),
        ];
        for (what, value, limit) in limits {
            if value > limit {
                return Err(SchemaError::Limit {
                    id,
                    what,
                    value,
                    limit,
                });
            }
        }
    }
    schema.record_bytes += fresh_bytes;
    let mut ids = Vec::new();
    for known in fresh {
        let EventClass { id, channel, .. } = *known.class;
        if id == ID_FULL {
            schema.contexts.insert(channel, known);
        } else {
            ids.push(id);
            schema.events.insert(id, known);
        }
    }
    Ok(ids)
}

impl Schema {
    fn known(&self, id: u16, channel: u32) -> Option<&Known> {
        if id == ID_FULL {
            self.contexts.get(&channel)
        } else {
            self.events.get(&id)
        }
    }
}

impl Known {
    /// Whether it is of this event, or of this channel's contexts.
    fn is(&self, id: u16, channel: u32) -> bool {
        self.class.id == id && (id != ID_FULL || self.class.channel == channel)
    }
}

/// Id and channel of a record.
fn names(record: &[u8]) -> (u16, u32) {
    let at = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
    (at(2), at(4).into())
}

/// The record that begins at `offset`; at least its fixed part is there.
fn record_at(records: &[u8], offset: usize) -> Result<&[u8], SchemaError> {
    let rest = &records[offset..];
    let bytes = match rest {
        [low, high, ..] => usize::from(u16::from_le_bytes([*low, *high])),
        _ => 0,
    };
    match rest.get(..bytes) {
        Some(record) if bytes >= EVENT_HEAD => Ok(record),
        _ => Err(SchemaError::Length {
            offset,
            bytes,
            left: rest.len(),
        }),
    }
}

/// Decodes one record, of at least [`EVENT_HEAD`] bytes.
fn event(record: &[u8]) -> Result<EventClass, SchemaError> {
    let (id, channel) = names(record);
    let nfields = u16::from(record[6]);
    let name_len = usize::from(record[7]);
    let wrong = |what, value: &dyn ToString| SchemaError::Event {
        id,
        what,
        value: value.to_string(),
    };

    if channel >= MAX_CHANNELS {
        return Err(wrong("has no such channel:", &channel));
    }
    let Some(name) = record.get(EVENT_HEAD..EVENT_HEAD + name_len) else {
        return Err(wrong("ends inside its name, whose length is", &name_len));
    };
    let Some(name) = identifier(name) else {
        return Err(wrong(NOT_A_NAME, &escaped(name)));
    };
    let mut fields = FieldReader {
        id,
        event: name,
        rest: &record[EVENT_HEAD + name_len..],
        seen: 0,
    };
    let decoded = fields.list(nfields, 1)?;
    if !fields.rest.is_empty() {
        return Err(wrong(
            "has bytes behind its last field:",
            &fields.rest.len(),
        ));
    }
    Ok(EventClass {
        id,
        channel,
        name: name.to_owned(),
        fields: decoded,
    })
}

const NOT_A_NAME: &str = "is not named by an identifier of at most 128 bytes:";

/// `name`, if it can stand in metadata without quotes.
fn identifier(name: &[u8]) -> Option<&str> {
    let (first, rest) = name.split_first()?;
    let good = name.len() <= MAX_NAME
        && (first.is_ascii_alphabetic() || *first == b'_')
        && rest.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    if good {
        std::str::from_utf8(name).ok()
    } else {
        None
    }
}

/// Reads the fields of one event.
struct FieldReader<'a> {
    id: u16,
    event: &'a str,
    rest: &'a [u8],
    seen: usize,
}

impl<'a> FieldReader<'a> {
    /// `count` fields at `depth`, which is 1 for those of the event itself.
    fn list(&mut self, count: u16, depth: usize) -> Result<Vec<Field>, SchemaError> {
        let mut fields: Vec<Field> = Vec::new();
        for number in 0..count {
            let field = self.field(number, depth, fields.last())?;
            if fields.iter().any(|other| other.name == field.name) {
                return Err(self.wrong(&field.name, "is there twice, as field", number));
            }
            fields.push(field);
        }
        Ok(fields)
    }

    fn field(
        &mut self,
        number: u16,
        depth: usize,
        before: Option<&Field>,
    ) -> Result<Field, SchemaError> {
        let nameless = format!("#{number}");
        self.seen += 1;
        if self.seen > MAX_FIELDS {
            return Err(self.wrong(&nameless, "is beyond the limit of fields:", MAX_FIELDS));
        }
        let [kind, size, flags, name_len] = self.take(&nameless)?;
        let count = u16::from_le_bytes(self.take(&nameless)?);
        let name = self.bytes(&nameless, usize::from(name_len))?;
        let Some(name) = identifier(name) else {
            return Err(self.wrong(&nameless, NOT_A_NAME, escaped(name)));
        };
        let name = name.to_owned();
        let kind = Kind {
            kind,
            size,
            flags,
            count,
            depth,
        };
        let kind = self.kind(&name, kind, before)?;
        Ok(Field { name, kind })
    }

    fn kind(
        &mut self,
        name: &str,
        raw: Kind,
        before: Option<&Field>,
    ) -> Result<FieldKind, SchemaError> {
        let allowed = match raw.kind {
            FIELD_INT => INT_FLAGS | FIELD_ARRAY | FIELD_SEQ,
            FIELD_ENUM => INT_FLAGS,
            FIELD_STRUCT => FIELD_SEQ,
            FIELD_STRING | FIELD_TEXT => 0,
            other => return Err(self.wrong(name, "is of an unknown kind:", other)),
        };
        let both = |pair: u8| raw.flags & pair == pair;
        if raw.flags & !allowed != 0 || both(FIELD_HEX | FIELD_OCT) || both(FIELD_ARRAY | FIELD_SEQ)
        {
            let flags = format!("{:#04x} (kind {})", raw.flags, raw.kind);
            return Err(self.wrong(name, "has flags that do not go together:", flags));
        }
        let is_seq = raw.flags & FIELD_SEQ != 0;
        if is_seq && !before.is_some_and(|field| is_length(&field.kind)) {
            let before = before.map_or("nothing", |field| &field.name);
            return Err(self.wrong(
                name,
                "needs an unsigned integer before it, there is",
                before,
            ));
        }
        let counts = matches!(raw.kind, FIELD_TEXT | FIELD_STRUCT | FIELD_ENUM)
            || raw.flags & FIELD_ARRAY != 0;
        if counts && raw.count == 0 {
            return Err(self.wrong(name, "has a count of", raw.count));
        }
        match raw.kind {
            FIELD_STRING => Ok(FieldKind::String),
            FIELD_TEXT => Ok(FieldKind::Text(raw.count)),
            FIELD_STRUCT if raw.depth >= MAX_DEPTH => {
                Err(self.wrong(name, "is nested too deeply, its depth is", raw.depth))
            }
            FIELD_STRUCT => {
                let fields = self.list(raw.count, raw.depth + 1)?;
                Ok(if is_seq {
                    FieldKind::StructSeq(fields)
                } else {
                    FieldKind::Struct(fields)
                })
            }
            FIELD_ENUM => {
                let int = self.int_type(name, raw)?;
                Ok(FieldKind::Enum(int, self.labels(name, int, raw.count)?))
            }
            _ => {
                let int = self.int_type(name, raw)?;
                Ok(match () {
                    () if is_seq => FieldKind::Seq(int),
                    () if raw.flags & FIELD_ARRAY != 0 => FieldKind::Array(int, raw.count),
                    () => FieldKind::Int(int),
                })
            }
        }
    }

    fn int_type(&self, name: &str, raw: Kind) -> Result<IntType, SchemaError> {
        if !matches!(raw.size, 1 | 2 | 4 | 8) {
            return Err(self.wrong(name, "is an integer of bytes:", raw.size));
        }
        let base = match raw.flags & (FIELD_HEX | FIELD_OCT) {
            FIELD_HEX => Base::Hexadecimal,
            FIELD_OCT => Base::Octal,
            _ => Base::Decimal,
        };
        Ok(IntType {
            size: raw.size,
            signed: raw.flags & FIELD_SIGNED != 0,
            big_endian: raw.flags & FIELD_BE != 0,
            base,
        })
    }

    fn labels(&mut self, name: &str, int: IntType, count: u16) -> Result<Vec<Label>, SchemaError> {
        let count = usize::from(count);
        if count > MAX_LABELS {
            return Err(self.wrong(name, "has too many labels:", count));
        }
        let mut labels = Vec::new();
        for _ in 0..count {
            let first = u64::from_le_bytes(self.take(name)?);
            let last = u64::from_le_bytes(self.take(name)?);
            let [len] = self.take(name)?;
            let text = self.bytes(name, usize::from(len))?;
            if text.is_empty() || text.len() > MAX_NAME {
                return Err(self.wrong(name, "has a label whose length is", len));
            }
            let ordered = if int.signed {
                first as i64 <= last as i64
            } else {
                first <= last
            };
            if !ordered || !fits(first, int) || !fits(last, int) {
                let range = format!("{first:#x} to {last:#x} (of {} bytes)", int.size);
                return Err(self.wrong(name, "has a label for an impossible range:", range));
            }
            labels.push(Label {
                first,
                last,
                text: text.to_vec(),
            });
        }
        Ok(labels)
    }

    fn bytes(&mut self, field: &str, len: usize) -> Result<&'a [u8], SchemaError> {
        match self.rest.split_at_checked(len) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => {
                let value = format!("{len} more, {} are left", self.rest.len());
                Err(self.wrong(field, "goes beyond its record, it needs bytes:", value))
            }
        }
    }

    fn take<const N: usize>(&mut self, field: &str) -> Result<[u8; N], SchemaError> {
        self.bytes(field, N)
            .map(|bytes| bytes.try_into().expect("N bytes were taken"))
    }

    fn wrong(&self, field: &str, what: &'static str, value: impl ToString) -> SchemaError {
        SchemaError::Field {
            id: self.id,
            event: self.event.to_owned(),
            field: field.to_owned(),
            what,
            value: value.to_string(),
        }
    }
}

/// The fixed part of a field, and where it stands.
#[derive(Clone, Copy)]
struct Kind {
    kind: u8,
    size: u8,
    flags: u8,
    count: u16,
    depth: usize,
}

const INT_FLAGS: u8 = FIELD_SIGNED | FIELD_HEX | FIELD_OCT | FIELD_BE;

/// Whether a sequence may take its length from such a field.
fn is_length(kind: &FieldKind) -> bool {
    matches!(kind, FieldKind::Int(int) if !int.signed)
}

/// Whether an integer of this type can have `value`, given in 64 bits.
fn fits(value: u64, int: IntType) -> bool {
    let spare = 64 - 8 * u32::from(int.size);
    if int.signed {
        ((value << spare) as i64 >> spare) as u64 == value
    } else {
        value << spare >> spare == value
    }
}
