//! Filters on the host: what the guest's driver does with a program, done with
//! the expression and an event that was decoded.

use host_sink::schema::Field;
use host_sink::value::{Event, Value};

use super::{Expr, Filter, Literal, Op, Operand, Test};
use crate::context::Context;
use crate::wire::context;

impl Filter {
    /// Whether an event of this vCPU passes. `None`: it does not say.
    pub fn passes(&self, vcpu: u32, event: &Event<'_>) -> Option<bool> {
        holds(&self.expr, vcpu, event)
    }

    /// A context that this looks at, and that events which carry `carried` do
    /// not say.
    pub fn missing_context(&self, carried: &[Field]) -> Option<Context> {
        missing(&self.expr, carried)
    }
}

fn missing(expr: &Expr, carried: &[Field]) -> Option<Context> {
    match expr {
        Expr::And(a, b) | Expr::Or(a, b) => missing(a, carried).or_else(|| missing(b, carried)),
        Expr::Not(expr) => missing(expr, carried),
        Expr::Test(test) => match test.operand {
            Operand::Context(context) if context.is_for_events() => {
                let is_there = carried.iter().any(|field| field.name == context.name);
                (!is_there).then_some(context)
            }
            _ => None,
        },
    }
}

fn holds(expr: &Expr, vcpu: u32, event: &Event<'_>) -> Option<bool> {
    match expr {
        Expr::And(a, b) => Some(holds(a, vcpu, event)? && holds(b, vcpu, event)?),
        Expr::Or(a, b) => Some(holds(a, vcpu, event)? || holds(b, vcpu, event)?),
        Expr::Not(expr) => holds(expr, vcpu, event).map(|holds| !holds),
        Expr::Test(test) => test_holds(test, vcpu, event),
    }
}

fn test_holds(test: &Test, vcpu: u32, event: &Event<'_>) -> Option<bool> {
    let (fields, name) = match &test.operand {
        Operand::Field(name) => (&event.fields, name.as_str()),
        Operand::Context(context) if context.code == context::CPU => {
            return number_holds(test, u64::from(vcpu), false);
        }
        Operand::Context(context) => (&event.contexts, context.name),
    };
    let (_, value) = fields.0.iter().find(|(field, _)| *field == name)?;
    match value {
        Value::Int(value) | Value::Enum(value, _) => {
            // A context is never negative, however its field is stored.
            let signed = matches!(test.operand, Operand::Field(_)) && value.int.signed;
            number_holds(test, value.bits, signed)
        }
        Value::Text(text) => text_holds(test, text),
        Value::Ints(_) | Value::Struct(_) | Value::Structs(_) => None,
    }
}

/// `number` is extended to 64 bits by its sign.
fn number_holds(test: &Test, number: u64, signed: bool) -> Option<bool> {
    let Literal::Int(literal) = test.literal else {
        return None;
    };
    // Two's complement, as in a program.
    let literal = literal as u64;
    let order = if signed {
        (number as i64).cmp(&(literal as i64))
    } else {
        number.cmp(&literal)
    };
    Some(match test.op {
        Op::Equal => order.is_eq(),
        Op::NotEqual => order.is_ne(),
        Op::Less => order.is_lt(),
        Op::LessEqual => order.is_le(),
        Op::Greater => order.is_gt(),
        Op::GreaterEqual => order.is_ge(),
        Op::Bits => number & literal != 0,
    })
}

fn text_holds(test: &Test, text: &[u8]) -> Option<bool> {
    let Literal::Text(pattern) = &test.literal else {
        return None;
    };
    let matches = matches(pattern.as_bytes(), text);
    match test.op {
        Op::Equal => Some(matches),
        Op::NotEqual => Some(!matches),
        _ => None,
    }
}

/// `*` is any text, a backslash takes its meaning from the byte behind it.
/// Without recursion: on a mismatch the last `*` takes one more.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, t));
            continue;
        }
        let escapes = pattern.get(p) == Some(&b'\\') && p + 1 < pattern.len();
        let at = p + usize::from(escapes);
        if pattern.get(at) == Some(&text[t]) {
            p = at + 1;
            t += 1;
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            p = after;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}
