//! Which events the user wants, whether or not a guest is there to be asked.

use std::fmt;
use std::str::FromStr;

/// Most rules that are kept, and bytes of a pattern: a client of the control
/// socket may send any number.
const MAX_RULES: usize = 1024;
const MAX_PATTERN: usize = 128;

/// A glob over event names: `*` is any text, `?` any character, `syscalls`
/// all system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// A pattern that is none.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no event pattern: use up to {MAX_PATTERN} of A-Z a-z 0-9 _ : . - * ?")]
pub struct BadPattern(String);

/// More rules than are kept.
#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_RULES} rules of enabled and disabled events: disable '*' to begin anew")]
pub struct TooManyRules;

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let good = (1..=MAX_PATTERN).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_:.-*?".contains(&byte));
        if good {
            Ok(Pattern(text.to_owned()))
        } else {
            Err(BadPattern(text.chars().take(MAX_PATTERN).collect()))
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Whether `name` is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.0 == "syscalls" {
            return name.starts_with("syscall_");
        }
        glob(self.0.as_bytes(), name.as_bytes())
    }
}

/// Match without recursion: on a mismatch, let the last `*` take one more.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((after, from)) = star else {
                    return false;
                };
                star = Some((after, from + 1));
                p = after;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// What was enabled and disabled, in order: the last rule that matches counts.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    rules: Vec<(bool, Pattern)>,
}

impl Desired {
    /// Add a rule.
    pub fn set(&mut self, enable: bool, pattern: Pattern) -> Result<(), TooManyRules> {
        if pattern.0 == "*" {
            // No earlier rule matters any more.
            self.rules.clear();
        }
        self.rules.retain(|(_, old)| *old != pattern);
        if !enable && self.rules.is_empty() {
            return Ok(());
        }
        if self.rules.len() == MAX_RULES {
            return Err(TooManyRules);
        }
        self.rules.push((enable, pattern));
        Ok(())
    }

    /// Whether the event `name` is wanted.
    pub fn wants(&self, name: &str) -> bool {
        self.rules
            .iter()
            .rev()
            .find(|(_, pattern)| pattern.matches(name))
            .is_some_and(|(enable, _)| *enable)
    }

    /// The rules as text, `+pattern` or `-pattern`.
    pub fn rules(&self) -> Vec<String> {
        self.rules
            .iter()
            .map(|(enable, pattern)| format!("{}{pattern}", if *enable { '+' } else { '-' }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn cli_globs_match() {
        let matches = |glob: &str, name: &str| pattern(glob).matches(name);
        assert!(matches("sched_*", "sched_switch"));
        assert!(matches("*", ""));
        assert!(matches("*_switch", "sched_switch"));
        assert!(matches("s*_s*h", "sched_switch"));
        assert!(matches("sched_switc?", "sched_switch"));
        assert!(!matches("sched_switch?", "sched_switch"));
        assert!(!matches("sched", "sched_switch"));
        assert!(!matches("*x", "sched_switch"));
        assert!(matches("syscalls", "syscall_entry_openat"));
        assert!(!matches("syscalls", "syscalls"));
        // Would be exponential with recursion.
        assert!(!matches(&format!("{}x", "a*".repeat(60)), &"a".repeat(127)));
    }

    #[test]
    fn cli_patterns_are_bounded() {
        for bad in ["", "a b", "a\n", "a/b", "{x}", &"x".repeat(129)] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn cli_last_rule_counts() {
        let mut desired = Desired::default();
        desired.set(true, pattern("sched_*")).unwrap();
        desired.set(false, pattern("sched_switch")).unwrap();
        assert!(desired.wants("sched_waking"));
        assert!(!desired.wants("sched_switch"));
        assert!(!desired.wants("irq"));
        desired.set(true, pattern("sched_*")).unwrap();
        assert!(desired.wants("sched_switch"));
        assert_eq!(desired.rules(), ["-sched_switch", "+sched_*"]);
        desired.set(false, pattern("*")).unwrap();
        assert!(desired.rules().is_empty());
        for number in 0..MAX_RULES {
            desired.set(true, pattern(&format!("e{number}"))).unwrap();
        }
        assert!(desired.set(true, pattern("one_more")).is_err());
    }
}
