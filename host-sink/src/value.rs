//! Values of an event's fields, borrowed from a private copy of its packet.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use crate::escape::printable;
use crate::schema::{EventClass, IntType, Label};

/// An event and what is in it.
///
/// Serializes to `{"time": ns, "name": .., "contexts": {..}, "fields": {..}}`,
/// without contexts if it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What kind of event it is.
    pub class: &'a EventClass,
    /// When it happened; trace clock, nanoseconds. The guest's word: it may be
    /// earlier than that of the event before.
    pub stamp: u64,
    /// Names and values of its channel's contexts, in order.
    pub contexts: Fields<'a>,
    /// Names and values of its fields, in order.
    pub fields: Fields<'a>,
}

/// Named values, in order. Serialize to a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a>(pub Vec<(&'a str, Value<'a>)>);

/// The value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// An integer. Serializes to a number.
    Int(Integer),
    /// An array or sequence of integers. Serializes to a list.
    Ints(Ints<'a>),
    /// Text before its NUL, any bytes. Serializes to a string with unprintable
    /// characters escaped.
    Text(&'a [u8]),
    /// An integer that may have names. Serializes to
    /// `{"value": number, "labels": [..]}`.
    Enum(Integer, &'a [Label]),
    /// A structure.
    Struct(Fields<'a>),
    /// A sequence of structures. Serializes to a list.
    Structs(Vec<Fields<'a>>),
}

/// An integer and how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// Its value, extended to 64 bits by its sign if it has one.
    pub bits: u64,
    /// Its type.
    pub int: IntType,
}

/// Integers one behind the other, as they are in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ints<'a> {
    int: IntType,
    bytes: &'a [u8],
}

impl Integer {
    /// Reads one from its bytes, of which there are as many as it has.
    pub(crate) fn read(int: IntType, bytes: &[u8]) -> Self {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        let value = match int.big_endian {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        };
        let spare = 64 - 8 * bytes.len().clamp(1, 8) as u32;
        let bits = match int.signed {
            true => ((value << spare) as i64 >> spare) as u64,
            false => value,
        };
        Self { bits, int }
    }

    /// Its value as a number of its own sign.
    pub fn value(self) -> i128 {
        if self.int.signed {
            i128::from(self.bits as i64)
        } else {
            i128::from(self.bits)
        }
    }
}

impl<'a> Ints<'a> {
    pub(crate) fn new(int: IntType, bytes: &'a [u8]) -> Self {
        Self { int, bytes }
    }

    /// The integers in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Integer> + use<'a> {
        let int = self.int;
        self.bytes
            .chunks_exact(usize::from(int.size))
            .map(move |bytes| Integer::read(int, bytes))
    }
}

/// Names that `labels` has for a value.
pub fn labels_of(value: Integer, labels: &[Label]) -> impl Iterator<Item = &[u8]> {
    let has = move |label: &&Label| {
        if value.int.signed {
            (label.first as i64..=label.last as i64).contains(&(value.bits as i64))
        } else {
            (label.first..=label.last).contains(&value.bits)
        }
    };
    labels.iter().filter(has).map(|label| label.text.as_slice())
}

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bare = self.contexts.0.is_empty();
        let mut event = serializer.serialize_struct("Event", if bare { 3 } else { 4 })?;
        event.serialize_field("time", &self.stamp)?;
        event.serialize_field("name", &self.class.name)?;
        if !bare {
            event.serialize_field("contexts", &self.contexts)?;
        }
        event.serialize_field("fields", &self.fields)?;
        event.end()
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.int.signed {
            true => serializer.serialize_i64(self.bits as i64),
            false => serializer.serialize_u64(self.bits),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Int(value) => value.serialize(serializer),
            Value::Ints(values) => {
                let values = values.iter();
                let mut list = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    list.serialize_element(&value)?;
                }
                list.end()
            }
            Value::Text(bytes) => serializer.serialize_str(&printable(bytes)),
            Value::Enum(value, labels) => {
                let names: Vec<String> = labels_of(*value, labels).map(printable).collect();
                let mut map = serializer.serialize_struct("Enum", 2)?;
                map.serialize_field("value", value)?;
                map.serialize_field("labels", &names)?;
                map.end()
            }
            Value::Struct(fields) => fields.serialize(serializer),
            Value::Structs(list) => list.serialize(serializer),
        }
    }
}
