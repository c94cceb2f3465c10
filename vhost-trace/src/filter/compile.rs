//! From an expression to a program of the guest's driver, for one kind of
//! event.

use host_sink::schema::{EventClass, FieldKind, IntType};
use vm_memory::ByteValued;

use super::{Expr, Filter, Literal, Op, Operand, Test};
use crate::wire::{self, op};

/// What the driver executes: terms, and the patterns that they compare with.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Program {
    terms: Vec<Term>,
    patterns: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Term {
    operand: u16,
    op: u8,
    signed: bool,
    yes: u8,
    no: u8,
    value: u64,
}

/// Which events of a kind are recorded, whether or not they are watched.
#[derive(Clone, Copy, Debug)]
pub enum Recorded<'a> {
    /// None.
    Nothing,
    /// All.
    All,
    /// Those that pass.
    Passing(&'a Filter),
}

/// A filter that an event cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum CompileError {
    #[error("event {event} has no field {field}")]
    NoField { event: String, field: String },
    #[error("field {field} of event {event} is {kind}, which a filter cannot look at")]
    Kind {
        event: String,
        field: String,
        kind: &'static str,
    },
    #[error("field {field} of event {event} is {is}, what it is compared with is {other}")]
    Type {
        event: String,
        field: String,
        is: &'static str,
        other: String,
    },
    #[error(
        "the filters of event {event}, those of its watches included, have more than {} \
         comparisons or {} bytes of text together",
        wire::MAX_TERMS,
        wire::MAX_PATTERNS
    )]
    Long { event: String },
}

impl Filter {
    /// The program for events of this class.
    pub fn compile(&self, class: &EventClass) -> Result<Program, CompileError> {
        let mut compiler = Compiler::new(class);
        compiler.expr(&self.expr, Target::Pass, Target::Drop)?;
        compiler.finish()
    }
}

impl Program {
    /// The program for events of this class that have the guest notify the
    /// device where one of `watches` passes, and are recorded then, or as
    /// `recorded` says. A watch without a filter passes always.
    pub fn watching(
        class: &EventClass,
        recorded: Recorded<'_>,
        watches: &[Option<&Filter>],
    ) -> Result<Program, CompileError> {
        let mut compiler = Compiler::new(class);
        let mut start = Target::Notify;
        if !watches.contains(&None) {
            start = match recorded {
                Recorded::Nothing => Target::Drop,
                Recorded::All => Target::Pass,
                Recorded::Passing(filter) => {
                    compiler.expr(&filter.expr, Target::Pass, Target::Drop)?
                }
            };
            for filter in watches.iter().flatten() {
                start = compiler.expr(&filter.expr, Target::Notify, start)?;
            }
        }
        if compiler.reversed.is_empty() {
            compiler.reversed.push((ANYTHING, start, start));
        }
        compiler.finish()
    }

    /// Ids that one command with it has room for.
    pub fn max_ids(&self) -> usize {
        let used = self.payload(&[]).len() + size_of::<wire::Cmd>();
        (wire::CMD_BYTES - used) / size_of::<u16>()
    }

    /// The payload of a command that gives it to these events.
    pub fn payload(&self, ids: &[u16]) -> Vec<u8> {
        let head = wire::Filter {
            num_terms: self.terms.len() as u16,
            pattern_bytes: self.patterns.len() as u16,
            num_ids: ids.len() as u16,
            reserved: 0,
        };
        let mut payload = head.as_slice().to_vec();
        for term in &self.terms {
            let term = wire::Term {
                operand: term.operand,
                op: term.op,
                flags: if term.signed { wire::TERM_SIGNED } else { 0 },
                yes: term.yes,
                no: term.no,
                reserved: 0,
                value: term.value,
            };
            payload.extend(term.as_slice());
        }
        payload.extend(&self.patterns);
        payload.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
        payload
    }
}

/// A term for a program whose end does not depend on the event.
const ANYTHING: Term = Term {
    operand: wire::context::TID,
    op: op::EQUAL,
    signed: false,
    yes: 0,
    no: 0,
    value: 0,
};

/// Where to go on.
#[derive(Clone, Copy)]
enum Target {
    Pass,
    Drop,
    Notify,
    /// A term, counted from the last one: only forward, whatever comes before.
    Term(usize),
}

/// The last term comes first, since the others have to know where it is.
struct Compiler<'a> {
    class: &'a EventClass,
    reversed: Vec<(Term, Target, Target)>,
    patterns: Vec<u8>,
}

impl<'a> Compiler<'a> {
    fn new(class: &'a EventClass) -> Self {
        Compiler {
            class,
            reversed: Vec::new(),
            patterns: Vec::new(),
        }
    }

    /// Returns where the evaluation of `expr` begins.
    fn expr(&mut self, expr: &Expr, yes: Target, no: Target) -> Result<Target, CompileError> {
        match expr {
            Expr::And(first, second) => {
                let second = self.expr(second, yes, no)?;
                self.expr(first, second, no)
            }
            Expr::Or(first, second) => {
                let second = self.expr(second, yes, no)?;
                self.expr(first, yes, second)
            }
            Expr::Not(expr) => self.expr(expr, no, yes),
            Expr::Test(test) => self.test(test, yes, no),
        }
    }

    fn test(&mut self, test: &Test, yes: Target, no: Target) -> Result<Target, CompileError> {
        let (operand, signed, value) = self.operand(test)?;
        let text = matches!(test.literal, Literal::Text(_));
        let (op, inverse) = match test.op {
            Op::Equal | Op::NotEqual if text => (op::MATCH, test.op == Op::NotEqual),
            Op::Equal | Op::NotEqual => (op::EQUAL, test.op == Op::NotEqual),
            Op::Less => (op::LESS, false),
            Op::GreaterEqual => (op::LESS, true),
            Op::Greater => (op::GREATER, false),
            Op::LessEqual => (op::GREATER, true),
            Op::Bits => (op::BITS, false),
        };
        let (yes, no) = if inverse { (no, yes) } else { (yes, no) };
        let term = Term {
            operand,
            op,
            signed,
            yes: 0,
            no: 0,
            value,
        };
        self.reversed.push((term, yes, no));
        Ok(Target::Term(self.reversed.len() - 1))
    }

    /// What a test looks at, whether that is signed, and the value, or where
    /// the pattern begins.
    fn operand(&mut self, test: &Test) -> Result<(u16, bool, u64), CompileError> {
        let (operand, signed) = match &test.operand {
            Operand::Context(context) => (context.code, false),
            Operand::Field(name) => self.field(name, &test.literal)?,
        };
        let value = match &test.literal {
            // Checked to fit; a negative one is two's complement.
            Literal::Int(value) => *value as u64,
            Literal::Text(text) => {
                let begin = self.patterns.len() as u64;
                self.patterns.extend(text.as_bytes());
                self.patterns.push(0);
                begin
            }
        };
        Ok((operand, signed, value))
    }

    fn field(&self, name: &str, literal: &Literal) -> Result<(u16, bool), CompileError> {
        let event = || self.class.name.clone();
        let field = || name.to_owned();
        let fields = &self.class.fields;
        let Some(index) = fields.iter().position(|field| field.name == name) else {
            return Err(CompileError::NoField {
                event: event(),
                field: field(),
            });
        };
        let refused = |is, other| CompileError::Type {
            event: event(),
            field: field(),
            is,
            other,
        };
        let kind = |kind| CompileError::Kind {
            event: event(),
            field: field(),
            kind,
        };
        let int = match &fields[index].kind {
            FieldKind::Int(int) | FieldKind::Enum(int, _) => Some(int),
            FieldKind::String | FieldKind::Text(_) => None,
            FieldKind::Array(..) => return Err(kind("an array")),
            FieldKind::Seq(_) | FieldKind::StructSeq(_) => return Err(kind("a sequence")),
            FieldKind::Struct(_) => return Err(kind("a structure")),
        };
        match (int, literal) {
            (Some(int), Literal::Int(value)) if fits(int, *value) => {}
            (None, Literal::Text(_)) => {}
            (Some(int), Literal::Int(value)) => {
                let is = if int.signed {
                    "a signed integer of at most 64 bits"
                } else {
                    "an unsigned integer"
                };
                return Err(refused(is, value.to_string()));
            }
            (Some(_), Literal::Text(_)) => return Err(refused("an integer", "a text".into())),
            (None, Literal::Int(_)) => return Err(refused("a text", "an integer".into())),
        }
        Ok((index as u16, int.is_some_and(|int| int.signed)))
    }

    fn finish(mut self) -> Result<Program, CompileError> {
        let last = self.reversed.len() - 1;
        let code = |target| match target {
            Target::Pass => wire::PASS,
            Target::Drop => wire::DROP,
            Target::Notify => wire::NOTIFY,
            Target::Term(term) => (last - term) as u8,
        };
        let terms = self.reversed.iter().rev();
        let terms = terms.map(|(term, yes, no)| Term {
            yes: code(*yes),
            no: code(*no),
            ..*term
        });
        // The ids behind them are aligned.
        if !self.patterns.len().is_multiple_of(2) {
            self.patterns.push(0);
        }
        let program = Program {
            terms: terms.collect(),
            patterns: self.patterns,
        };
        if program.terms.len() > wire::MAX_TERMS || program.patterns.len() > wire::MAX_PATTERNS {
            let event = self.class.name.clone();
            return Err(CompileError::Long { event });
        }
        Ok(program)
    }
}

/// Whether the driver can compare with it: in 64 bits, of the field's sign.
fn fits(int: &IntType, value: i128) -> bool {
    if int.signed {
        i64::try_from(value).is_ok()
    } else {
        u64::try_from(value).is_ok()
    }
}
