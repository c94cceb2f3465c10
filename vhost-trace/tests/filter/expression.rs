//! Random filters, with their meaning by other means than a program.

use std::fmt;

use proptest::prelude::*;

use crate::driver::{VALUES, Values};

/// A filter.
#[derive(Clone, Debug)]
pub enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Number(usize, &'static str, i128),
    Text(usize, bool, Vec<Piece>),
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    Any,
    This(char),
}

/// As in `Values`.
const NAMES: [&str; VALUES] = [
    "count",
    "prio",
    "comm",
    "path",
    "$tid",
    "$pid",
    "$ctx.vtid",
    "$vpid",
    "$procname",
    "$ctx.cpu_id",
    "$cgroup",
    "$steal",
    "$preemptible",
    "$need_reschedule",
    "$interruptible",
];

impl Expression {
    /// Whether these values pass.
    pub fn holds(&self, values: &Values) -> bool {
        match self {
            Expression::And(a, b) => a.holds(values) && b.holds(values),
            Expression::Or(a, b) => a.holds(values) || b.holds(values),
            Expression::Not(a) => !a.holds(values),
            Expression::Number(index, op, literal) => {
                let has = match index {
                    1 => i128::from(values.numbers[1] as i64),
                    index => i128::from(values.numbers[*index]),
                };
                match *op {
                    "==" => has == *literal,
                    "!=" => has != *literal,
                    "<" => has < *literal,
                    "<=" => has <= *literal,
                    ">" => has > *literal,
                    ">=" => has >= *literal,
                    _ => has & *literal != 0,
                }
            }
            Expression::Text(index, equal, pieces) => {
                let text = match index {
                    2 => &values.comm,
                    3 => &values.path,
                    _ => &values.procname,
                };
                matches(pieces, text) == *equal
            }
        }
    }
}

fn matches(pieces: &[Piece], text: &[u8]) -> bool {
    match pieces.split_first() {
        None => text.is_empty(),
        Some((Piece::Any, rest)) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
        Some((Piece::This(c), rest)) => {
            text.first() == Some(&(*c as u8)) && matches(rest, &text[1..])
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only where it is needed.
        let inner = |expression: &Expression| match expression {
            Expression::Or(..) => format!("({expression})"),
            _ => expression.to_string(),
        };
        match self {
            Expression::And(a, b) => write!(f, "{} && {}", inner(a), inner(b)),
            Expression::Or(a, b) => write!(f, "{a} || {b}"),
            Expression::Not(a) => write!(f, "!({a})"),
            Expression::Number(index, op, literal) => write!(f, "{}{op}{literal}", NAMES[*index]),
            Expression::Text(index, equal, pieces) => {
                let op = if *equal { "==" } else { "!=" };
                write!(f, "{} {op} \"", NAMES[*index])?;
                for piece in pieces {
                    match piece {
                        Piece::Any => write!(f, "*")?,
                        Piece::This(c @ ('*' | '\\' | '"')) => write!(f, "\\{c}")?,
                        Piece::This(c) => write!(f, "{c}")?,
                    }
                }
                write!(f, "\"")
            }
        }
    }
}

/// Any filter that fits the test's event.
pub fn expression() -> impl Strategy<Value = Expression> {
    let op = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">=", "&"]);
    let number = prop::sample::select(vec![0, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14usize]);
    let value = prop_oneof![0..4i128, any::<u64>().prop_map(i128::from)];
    let signed = prop_oneof![-4..4i128, any::<i64>().prop_map(i128::from)];
    let piece = prop::sample::select(vec![
        Piece::Any,
        Piece::This('a'),
        Piece::This('b'),
        Piece::This('*'),
        Piece::This('\\'),
        Piece::This('"'),
    ]);
    let test = prop_oneof![
        (number, op.clone(), value).prop_map(|(i, op, v)| Expression::Number(i, op, v)),
        (op, signed).prop_map(|(op, v)| Expression::Number(1, op, v)),
        (
            prop::sample::select(vec![2, 3, 8usize]),
            any::<bool>(),
            proptest::collection::vec(piece, 0..6)
        )
            .prop_map(|(i, equal, pieces)| Expression::Text(i, equal, pieces)),
    ];
    test.prop_recursive(4, 16, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            two.clone()
                .prop_map(|(a, b)| Expression::And(Box::new(a), Box::new(b))),
            two.prop_map(|(a, b)| Expression::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|a| Expression::Not(Box::new(a))),
        ]
    })
}
