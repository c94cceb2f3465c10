//! What the driver gets of a definition, and what its events look like.

use host_sink::schema::{Base, EventClass, Field, FieldKind, IntType, abi};
use vm_memory::ByteValued;

use super::{Arg, Definition, DefinitionError, Kind, What};
use crate::filter::Program;
use crate::wire::{self, probe};

/// Room that the driver needs for a text that faults, with its NUL.
const MIN_TEXT: usize = 8;

/// Of a field that the driver adds.
const fn integer(size: u8, base: Base) -> IntType {
    IntType {
        size,
        signed: false,
        big_endian: false,
        base,
    }
}

impl Definition {
    /// The event as the driver will describe it; its id is not known yet.
    pub fn class(&self) -> EventClass {
        let hex = |size| integer(size, Base::Hexadecimal);
        let mut fields = Vec::new();
        let mut add = |name: &str, kind| {
            fields.push(Field {
                name: name.to_owned(),
                kind,
            });
        };
        if self.kind != Kind::Tracepoint {
            add("ip", FieldKind::Int(hex(8)));
        }
        if self.kind == Kind::Return {
            add("parent_ip", FieldKind::Int(hex(8)));
        }
        let loads = |arg: &Arg| {
            let mut steps = arg.steps.iter();
            steps.any(|step| [probe::LOAD, probe::LOAD_USER].contains(&step.op))
        };
        if self.args.iter().any(loads) {
            add("fault", FieldKind::Int(hex(4)));
        }
        for arg in &self.args {
            add(&arg.name, arg.what.field());
        }
        if self.stack > 0 {
            add("stack_length", FieldKind::Int(integer(1, Base::Decimal)));
            add("stack", FieldKind::Seq(hex(8)));
        }
        EventClass {
            id: 0,
            channel: wire::CHANNEL_EVENTS,
            name: self.name.clone(),
            fields,
        }
    }

    /// The payload of the command that adds it.
    pub fn payload(&self) -> Vec<u8> {
        // It was made before, when there was an error to return.
        payload(self).unwrap_or_default()
    }

    /// Bytes that each text may have: what all share fits an event.
    fn text_bytes(&self) -> Option<usize> {
        // ip, parent_ip, fault, and the stack with its length.
        let mut room = probe::MAX_BYTES - (8 + 8 + 4 + 1 + 8 * usize::from(self.stack));
        let mut texts = 0;
        for arg in &self.args {
            match arg.what {
                What::Int { size, count, .. } => {
                    let bytes = usize::from(size) * usize::from(count.unwrap_or(1));
                    room = room.checked_sub(bytes)?;
                }
                What::Text => texts += 1,
            }
        }
        let each = (room / texts.max(1)).min(probe::MAX_STRING);
        (each >= MIN_TEXT).then_some(each)
    }
}

impl What {
    fn field(self) -> FieldKind {
        let What::Int {
            size,
            signed,
            hex,
            count,
        } = self
        else {
            return FieldKind::String;
        };
        let int = IntType {
            signed,
            ..integer(
                size,
                if hex {
                    Base::Hexadecimal
                } else {
                    Base::Decimal
                },
            )
        };
        match count {
            Some(count) => FieldKind::Array(int, count),
            None => FieldKind::Int(int),
        }
    }

    fn head(self, text_bytes: usize) -> wire::ProbeArg {
        let flag = |is, flag| if is { flag } else { 0 };
        match self {
            What::Int {
                size,
                signed,
                hex,
                count,
            } => wire::ProbeArg {
                count: count.unwrap_or(0),
                kind: abi::FIELD_INT,
                size,
                flags: flag(signed, abi::FIELD_SIGNED)
                    | flag(hex, abi::FIELD_HEX)
                    | flag(count.is_some(), abi::FIELD_ARRAY),
                ..Default::default()
            },
            What::Text => wire::ProbeArg {
                count: text_bytes as u16,
                kind: abi::FIELD_STRING,
                ..Default::default()
            },
        }
    }
}

pub(super) fn payload(definition: &Definition) -> Result<Vec<u8>, DefinitionError> {
    let name = || definition.name.clone();
    let text_bytes = definition
        .text_bytes()
        .ok_or_else(|| DefinitionError::Large { name: name() })?;
    let filter = match &definition.filter {
        Some(filter) => {
            let program = filter.compile(&definition.class());
            let program: Program = program.map_err(|error| DefinitionError::FilterFields {
                name: name(),
                error,
            })?;
            program.payload(&[])
        }
        None => Vec::new(),
    };
    let head = wire::ProbeDef {
        offset: definition.offset,
        rate: definition.rate,
        maxactive: definition.max_active,
        filter_bytes: filter.len() as u16,
        kind: match definition.kind {
            Kind::Entry => probe::ENTRY,
            Kind::Return => probe::RETURN,
            Kind::Tracepoint => probe::TRACEPOINT,
        },
        stack_depth: definition.stack,
        num_args: definition.args.len() as u8,
        name_len: definition.name.len() as u8,
        symbol_len: definition.symbol.len() as u8,
        reserved: [0; 3],
    };
    let mut payload = head.as_slice().to_vec();
    payload.extend(definition.name.as_bytes());
    payload.extend(definition.symbol.as_bytes());
    for arg in &definition.args {
        let head = wire::ProbeArg {
            name_len: arg.name.len() as u8,
            symbol_len: arg.symbol.len() as u8,
            num_steps: arg.steps.len() as u8,
            ..arg.what.head(text_bytes)
        };
        payload.extend(head.as_slice());
        payload.extend(arg.name.as_bytes());
        payload.extend(arg.symbol.as_bytes());
        for step in &arg.steps {
            payload.extend(step.as_slice());
        }
    }
    payload.extend(filter);
    if payload.len() > wire::CMD_BYTES - size_of::<wire::Cmd>() {
        return Err(DefinitionError::Command { name: name() });
    }
    Ok(payload)
}
