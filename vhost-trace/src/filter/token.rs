//! The words of a filter.

use super::parse::ParseError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A field's name.
    Name(String),
    /// A context's, without its `$`.
    Context(String),
    Int(i128),
    /// What is between quotes; a backslash stays, unless a quote follows it.
    Text(String),
    /// An operator or a parenthesis.
    Sign(&'static str),
}

/// Longer ones first.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "&", "!", "(", ")",
];

/// The words of `text`, each with the byte where it begins.
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            return Ok(found);
        };
        let (token, bytes) = match first {
            '"' => quoted(rest, at)?,
            '$' => {
                let name = word(&rest[1..], ".");
                (Token::Context(name.to_owned()), 1 + name.len())
            }
            '-' | '0'..='9' => {
                let digits = word(rest.strip_prefix('-').unwrap_or(rest), "");
                let bytes = digits.len() + usize::from(first == '-');
                let value = integer(digits).ok_or_else(|| ParseError::Number {
                    at,
                    text: rest[..bytes].to_owned(),
                })?;
                let value = if first == '-' { -value } else { value };
                (Token::Int(value), bytes)
            }
            _ => {
                let name = word(rest, "");
                if name.is_empty() {
                    let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
                    let sign = sign.ok_or(ParseError::Character { at, first })?;
                    (Token::Sign(sign), sign.len())
                } else {
                    (Token::Name(name.to_owned()), name.len())
                }
            }
        };
        found.push((at, token));
        rest = &rest[bytes..];
    }
}

/// What `text` begins with of letters, digits, `_`, and of `more`.
fn word<'a>(text: &'a str, more: &str) -> &'a str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || more.contains(c)));
    &text[..end.unwrap_or(text.len())]
}

/// As in C; of at most 64 bits.
fn integer(digits: &str) -> Option<i128> {
    let value = if let Some(hex) = digits.strip_prefix("0x") {
        u64::from_str_radix(hex, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        u64::from_str_radix(digits, 8)
    } else {
        digits.parse()
    };
    value.ok().map(i128::from)
}

fn quoted(text: &str, at: usize) -> Result<(Token, usize), ParseError> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(value), index + 1)),
            '\\' => match chars.next() {
                Some((_, '"')) => value.push('"'),
                Some((_, escaped)) => value.extend(['\\', escaped]),
                None => break,
            },
            c => value.push(c),
        }
    }
    Err(ParseError::Unterminated { at })
}
