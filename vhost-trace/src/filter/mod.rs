//! Filters: which events of a kind the user wants, by what is in them or by
//! who makes them. The text is parsed once; what the guest's driver gets is
//! compiled of it for each kind of event, against the guest's schema. Events
//! that are decoded on the host can be judged there, too.

mod compile;
mod evaluate;
mod parse;
mod token;

use std::fmt;
use std::str::FromStr;

use crate::context::Context;

pub use compile::{CompileError, Program, Recorded};
pub use parse::ParseError;

/// A filter: comparisons of a field or a context with a number or a text, with
/// `&&`, `||`, `!` and parentheses between them.
#[derive(Clone, Debug)]
pub struct Filter {
    text: String,
    expr: Expr,
}

impl FromStr for Filter {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Filter, ParseError> {
        Ok(Filter {
            text: text.to_owned(),
            expr: parse::parse(text)?,
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.text == other.text
    }
}

impl Eq for Filter {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Test(Test),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    operand: Operand,
    op: Op,
    literal: Literal,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Field(String),
    Context(Context),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Bits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Literal {
    Int(i128),
    /// A pattern, as the driver takes it: `*` and backslashes.
    Text(String),
}
