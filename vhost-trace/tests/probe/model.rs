//! What a definition means, once more: as text, and what it fetches.

use std::fmt;

use proptest::prelude::*;
use vhost_trace::wire::probe::REGISTERS;

use crate::driver::{BYTES, KERNEL, SYMBOL, USER, World};

/// A definition, with arguments of any kind that it may have.
#[derive(Clone, Debug)]
pub struct Model {
    pub kind: char,
    pub args: Vec<Arg>,
    pub stack: u8,
}

#[derive(Clone, Debug)]
pub struct Arg {
    base: Base,
    /// First the innermost.
    loads: Vec<(i64, bool)>,
    kind: Type,
}

#[derive(Clone, Debug)]
enum Base {
    Register(usize),
    Argument(usize),
    Retval,
    Stack(usize),
    StackPointer,
    Immediate(i64),
    Address(u64),
    Symbol(i64),
    Comm,
}

#[derive(Clone, Debug)]
enum Type {
    Int(u8, u32),
    Array(u8, u32, usize),
    Bits(u32, u32, u32),
    Text(bool),
}

impl Arg {
    fn is_text(&self) -> bool {
        matches!(self.kind, Type::Text(_))
    }

    fn fixed_bytes(&self) -> usize {
        match self.kind {
            Type::Int(_, bits) | Type::Bits(_, _, bits) => bits as usize / 8,
            Type::Array(_, bits, count) => bits as usize / 8 * count,
            Type::Text(_) => 0,
        }
    }

    /// Where its last load reads, or its value.
    fn run(&self, world: &World, all: bool) -> Option<u64> {
        let mut value = match self.base {
            Base::Register(code) => world.registers[code],
            Base::Argument(index) => world.args[index],
            Base::Retval => world.registers[0],
            Base::Stack(word) => world.stack.get(word).copied().unwrap_or(0),
            Base::StackPointer => world.registers[4],
            Base::Immediate(value) => value as u64,
            Base::Address(address) => address,
            Base::Symbol(offset) => SYMBOL.wrapping_add_signed(offset),
            Base::Comm => return None,
        };
        let loads = self.all_loads();
        for (index, (offset, user)) in loads.iter().enumerate() {
            value = value.wrapping_add_signed(*offset);
            let last = index + 1 == loads.len();
            if last && !all {
                break;
            }
            let bytes = if last { self.fixed_bytes() } else { 8 };
            let mut word = [0; 8];
            word[..bytes].copy_from_slice(world.read(value, bytes, *user)?);
            value = u64::from_le_bytes(word);
        }
        Some(value)
    }

    /// With the one of `@`, which is the innermost.
    fn all_loads(&self) -> Vec<(i64, bool)> {
        let at = matches!(self.base, Base::Address(_) | Base::Symbol(_));
        let mut loads = vec![(0, false); usize::from(at)];
        loads.extend(&self.loads);
        loads
    }

    fn value(&self, world: &World, text_bytes: usize) -> Option<Vec<u8>> {
        let user = self.all_loads().last().is_some_and(|(_, user)| *user);
        match self.kind {
            Type::Text(_) if matches!(self.base, Base::Comm) => {
                let end = world.comm[..15].iter().position(|byte| *byte == 0);
                let mut text = world.comm[..end.unwrap_or(15).min(text_bytes - 1)].to_vec();
                text.push(0);
                Some(text)
            }
            Type::Text(in_user) => {
                let from = self.run(world, false)?;
                let mut text = Vec::new();
                while text.len() < text_bytes {
                    let at = from.wrapping_add(text.len() as u64);
                    let byte = world.read(at, 1, user || in_user)?[0];
                    text.push(byte);
                    if byte == 0 {
                        return Some(text);
                    }
                }
                *text.last_mut()? = 0;
                Some(text)
            }
            Type::Array(..) => {
                let from = self.run(world, false)?;
                Some(world.read(from, self.fixed_bytes(), user)?.to_vec())
            }
            Type::Int(..) => {
                let value = self.run(world, true)?;
                Some(value.to_le_bytes()[..self.fixed_bytes()].to_vec())
            }
            Type::Bits(width, offset, _) => {
                let value = u128::from(self.run(world, true)?);
                let bits = (value >> offset) & ((1 << width) - 1);
                Some(bits.to_le_bytes()[..self.fixed_bytes()].to_vec())
            }
        }
    }
}

impl Model {
    /// Bytes that each text may have.
    fn text_bytes(&self) -> usize {
        let fixed: usize = self.args.iter().map(Arg::fixed_bytes).sum();
        let texts = self.args.iter().filter(|arg| arg.is_text()).count();
        let room = 3072 - 21 - 8 * usize::from(self.stack) - fixed;
        (room / texts.max(1)).min(1024)
    }

    /// The fields of its event, but for the stack.
    pub fn fetch(&self, world: &World) -> Vec<u8> {
        let mut event = Vec::new();
        if self.kind != 't' {
            event.extend(world.ip.to_le_bytes());
        }
        if self.kind == 'r' {
            event.extend(world.parent_ip.to_le_bytes());
        }
        let mut fault = 0u32;
        let mut values = Vec::new();
        for (index, arg) in self.args.iter().enumerate() {
            match arg.value(world, self.text_bytes()) {
                Some(value) => values.extend(value),
                None => {
                    fault |= 1 << index;
                    match arg.is_text() {
                        true => values.extend(b"(fault)\0"),
                        false => values.extend(vec![0; arg.fixed_bytes()]),
                    }
                }
            }
        }
        if self.args.iter().any(|arg| !arg.all_loads().is_empty()) {
            event.extend(fault.to_le_bytes());
        }
        event.extend(values);
        event
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:event some_place", self.kind)?;
        for (index, arg) in self.args.iter().enumerate() {
            write!(f, " a{index}={arg}")?;
        }
        match self.stack {
            0 => Ok(()),
            depth => write!(f, " stack[{depth}]"),
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (offset, user) in self.loads.iter().rev() {
            let sign = if *offset < 0 { '-' } else { '+' };
            let user = if *user { "u" } else { "" };
            write!(f, "{sign}{user}{}(", offset.unsigned_abs())?;
        }
        match self.base {
            Base::Register(code) => write!(f, "%{}", REGISTERS[code])?,
            Base::Argument(index) => write!(f, "$arg{}", index + 1)?,
            Base::Retval => write!(f, "$retval")?,
            Base::Stack(word) => write!(f, "$stack{word}")?,
            Base::StackPointer => write!(f, "$stack")?,
            Base::Immediate(value) => write!(f, "\\{value}")?,
            Base::Address(address) => write!(f, "@{address:#x}")?,
            Base::Symbol(0) => write!(f, "@some_symbol")?,
            Base::Symbol(offset) => write!(f, "@some_symbol{offset:+}")?,
            Base::Comm => write!(f, "$comm")?,
        }
        write!(f, "{}", ")".repeat(self.loads.len()))?;
        let letter = |letter: u8| ["u", "s", "x"][usize::from(letter)];
        match self.kind {
            Type::Int(sign, bits) => write!(f, ":{}{bits}", letter(sign)),
            Type::Array(sign, bits, count) => write!(f, ":{}{bits}[{count}]", letter(sign)),
            Type::Bits(width, offset, bits) => write!(f, ":b{width}@{offset}/{bits}"),
            Type::Text(true) => write!(f, ":ustring"),
            Type::Text(false) => write!(f, ":string"),
        }
    }
}

/// An address in one of the memories, or near it, or anything.
pub fn address() -> impl Strategy<Value = u64> {
    let near = |begin: u64| (0..BYTES as u64 + 16).prop_map(move |at| begin - 8 + at);
    prop_oneof![4 => near(KERNEL), 4 => near(USER), 1 => any::<u64>(), 1 => 0..64u64]
}

fn base(kind: char) -> impl Strategy<Value = Base> {
    let of_registers = prop_oneof![
        (0..REGISTERS.len()).prop_map(Base::Register),
        (0..20usize).prop_map(Base::Stack),
        Just(Base::StackPointer),
    ];
    let argument = (0..12usize).prop_map(Base::Argument);
    let own = match kind {
        'p' => prop_oneof![of_registers, argument].boxed(),
        'r' => prop_oneof![of_registers, Just(Base::Retval)].boxed(),
        _ => argument.boxed(),
    };
    prop_oneof![
        4 => own,
        1 => any::<i64>().prop_map(Base::Immediate),
        1 => address().prop_map(Base::Address),
        1 => (-70..200i64).prop_map(Base::Symbol),
        1 => Just(Base::Comm),
    ]
}

fn type_of() -> impl Strategy<Value = Type> {
    let bits = || prop::sample::select(vec![8u32, 16, 32, 64]);
    let field = bits().prop_flat_map(|size| {
        (1..=size).prop_flat_map(move |width| {
            (0..=size - width).prop_map(move |offset| Type::Bits(width, offset, size))
        })
    });
    prop_oneof![
        3 => (0..3u8, bits()).prop_map(|(sign, bits)| Type::Int(sign, bits)),
        1 => (0..3u8, bits(), 1..8usize).prop_map(|(sign, bits, n)| Type::Array(sign, bits, n)),
        1 => field,
        2 => any::<bool>().prop_map(Type::Text),
    ]
}

fn arg(kind: char) -> impl Strategy<Value = Arg> {
    let load = (prop_oneof![-16..16i64, Just(0)], prop::bool::weighted(0.2));
    (base(kind), proptest::collection::vec(load, 0..4), type_of()).prop_map(
        |(base, mut loads, mut kind)| {
            if matches!(base, Base::Comm) {
                loads.clear();
                kind = Type::Text(false);
            }
            let arg = Arg { base, loads, kind };
            let in_memory = !matches!(arg.base, Base::Comm) && arg.all_loads().is_empty();
            if in_memory && matches!(arg.kind, Type::Text(_) | Type::Array(..)) {
                return Arg {
                    kind: Type::Int(2, 64),
                    ..arg
                };
            }
            arg
        },
    )
}

/// Any definition.
pub fn model() -> impl Strategy<Value = Model> {
    let kind = prop::sample::select(vec!['p', 'r', 't']);
    kind.prop_flat_map(|kind| {
        let args = proptest::collection::vec(arg(kind), 0..8);
        (args, 0..=64u8).prop_map(move |(args, stack)| Model { kind, args, stack })
    })
}

/// Any world, whose words lead to others.
pub fn world() -> impl Strategy<Value = World> {
    let words = |count| proptest::collection::vec(address(), count);
    let memory = || {
        let word = prop_oneof![address().prop_map(u64::to_le_bytes), any::<[u8; 8]>()];
        proptest::collection::vec(word, BYTES / 8).prop_map(|words| words.concat())
    };
    let comm = proptest::collection::vec(prop_oneof![Just(0u8), 97..123u8], 16);
    (words(18), words(16), words(12), memory(), memory(), comm).prop_map(
        |(registers, stack, args, kernel, user, comm)| World {
            ip: registers[16],
            parent_ip: stack[0],
            registers,
            stack,
            args,
            comm,
            kernel,
            user,
        },
    )
}
