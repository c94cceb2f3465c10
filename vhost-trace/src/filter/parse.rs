//! From text to an expression. All that can be said without the guest's schema
//! is said here.

use super::token::{Token, tokens};
use super::{Expr, Literal, Op, Operand, Test};
use crate::context::{CONTEXTS, Context};
use crate::wire;

/// Bytes of a filter.
const MAX_TEXT: usize = 2048;

/// How deep parentheses and `!` may be.
const MAX_DEPTH: usize = 32;

/// A text that is no filter. `at` is a number of bytes from its begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum ParseError {
    #[error("the filter has {bytes} bytes, at most {MAX_TEXT} are possible")]
    Long { bytes: usize },
    #[error("the filter has a control character at {at}")]
    Control { at: usize },
    #[error("at {at} of the filter: {first:?} has no meaning outside quotes")]
    Character { at: usize, first: char },
    #[error("at {at} of the filter: {text:?} is no integer of 64 bits")]
    Number { at: usize, text: String },
    #[error("at {at} of the filter: a text begins that has no end")]
    Unterminated { at: usize },
    #[error("at {at} of the filter: {expected} is expected")]
    Expected { at: usize, expected: &'static str },
    #[error("at {at} of the filter: there is no context ${name}, only {}", names())]
    Context { at: usize, name: String },
    #[error("at {at} of the filter: == and != are all that compares with a text")]
    TextOp { at: usize },
    #[error("at {at} of the filter: ${name} is {is}, what it is compared with is {other}")]
    ContextType {
        at: usize,
        name: String,
        is: &'static str,
        other: &'static str,
    },
    #[error("the filter has more than {MAX_DEPTH} parentheses or ! around each other")]
    Deep,
    #[error("the filter has more than {} comparisons", wire::MAX_TERMS)]
    Comparisons,
    #[error("the texts of the filter have more than {} bytes", wire::MAX_PATTERNS)]
    Texts,
}

/// Of what follows the `$`; LTTng's has a prefix.
fn context_of(name: &str) -> Option<Context> {
    let name = name.strip_prefix("ctx.").unwrap_or(name);
    Context::named(name).filter(|context| context.is_for_filters())
}

fn names() -> String {
    let names: Vec<String> = CONTEXTS
        .iter()
        .filter(|context| context.is_for_filters())
        .map(|context| format!("${}", context.name))
        .collect();
    names.join(", ")
}

pub(super) fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > MAX_TEXT {
        return Err(ParseError::Long { bytes: text.len() });
    }
    // It goes to logs and terminals as it is.
    if let Some(at) = text.find(char::is_control) {
        return Err(ParseError::Control { at });
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        end: text.len(),
        tests: 0,
        pattern_bytes: 0,
    };
    let expr = parser.any(0)?;
    if parser.next < parser.tokens.len() {
        return Err(parser.expected("&&, || or the end"));
    }
    Ok(expr)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    end: usize,
    tests: usize,
    pattern_bytes: usize,
}

impl Parser {
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.end, |(at, _)| *at)
    }

    fn expected(&self, expected: &'static str) -> ParseError {
        let at = self.at();
        ParseError::Expected { at, expected }
    }

    fn take(&mut self) -> Option<Token> {
        let (_, token) = self.tokens.get(self.next)?;
        self.next += 1;
        Some(token.clone())
    }

    fn take_sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.tokens.get(self.next),
            Some((_, Token::Sign(sign))) if *sign == wanted);
        self.next += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expr, ParseError> {
        let mut expr = self.all(depth)?;
        while self.take_sign("||") {
            expr = Expr::Or(Box::new(expr), Box::new(self.all(depth)?));
        }
        Ok(expr)
    }

    fn all(&mut self, depth: usize) -> Result<Expr, ParseError> {
        let mut expr = self.one(depth)?;
        while self.take_sign("&&") {
            expr = Expr::And(Box::new(expr), Box::new(self.one(depth)?));
        }
        Ok(expr)
    }

    fn one(&mut self, depth: usize) -> Result<Expr, ParseError> {
        if depth > MAX_DEPTH {
            return Err(ParseError::Deep);
        }
        if self.take_sign("!") {
            return Ok(Expr::Not(Box::new(self.one(depth + 1)?)));
        }
        if self.take_sign("(") {
            let expr = self.any(depth + 1)?;
            if !self.take_sign(")") {
                return Err(self.expected("&&, || or )"));
            }
            return Ok(expr);
        }
        Ok(Expr::Test(self.test()?))
    }

    fn test(&mut self) -> Result<Test, ParseError> {
        let at = self.at();
        let refused = self.expected("a field, a $context, ! or (");
        let (operand, name) = match self.take().ok_or(refused.clone())? {
            Token::Name(name) => (Operand::Field(name), String::new()),
            Token::Context(name) => match context_of(&name) {
                Some(context) => (Operand::Context(context), name),
                None => return Err(ParseError::Context { at, name }),
            },
            _ => return Err(refused),
        };
        let op_at = self.at();
        let refused = self.expected("==, !=, <, <=, >, >= or &");
        let op = match self.take() {
            Some(Token::Sign(sign)) => op(sign).ok_or(refused)?,
            _ => return Err(refused),
        };
        let refused = self.expected("an integer or a text in quotes");
        let literal = match self.take() {
            Some(Token::Int(value)) => Literal::Int(value),
            Some(Token::Text(text)) => Literal::Text(text),
            _ => return Err(refused),
        };
        if let Literal::Text(text) = &literal {
            if !matches!(op, Op::Equal | Op::NotEqual) {
                return Err(ParseError::TextOp { at: op_at });
            }
            self.pattern_bytes += text.len() + 1;
        }
        if let Operand::Context(context) = operand {
            check_context(context, &literal).map_err(|(is, other)| ParseError::ContextType {
                at,
                name,
                is,
                other,
            })?;
        }
        self.tests += 1;
        if self.tests > wire::MAX_TERMS {
            return Err(ParseError::Comparisons);
        }
        // There may be one byte more, to make it even.
        if self.pattern_bytes >= wire::MAX_PATTERNS {
            return Err(ParseError::Texts);
        }
        Ok(Test {
            operand,
            op,
            literal,
        })
    }
}

fn op(sign: &str) -> Option<Op> {
    Some(match sign {
        "==" => Op::Equal,
        "!=" => Op::NotEqual,
        "<" => Op::Less,
        "<=" => Op::LessEqual,
        ">" => Op::Greater,
        ">=" => Op::GreaterEqual,
        "&" => Op::Bits,
        _ => return None,
    })
}

fn check_context(context: Context, literal: &Literal) -> Result<(), (&'static str, &'static str)> {
    match (context.is_text(), literal) {
        (true, Literal::Int(_)) => Err(("a text", "an integer")),
        (false, Literal::Text(_)) => Err(("an integer", "a text")),
        (false, Literal::Int(value)) if *value < 0 => Err(("never negative", "a negative integer")),
        _ => Ok(()),
    }
}
