//! Which events the user wants, whether or not a guest is there to be asked.

use std::fmt;
use std::str::FromStr;

use crate::filter::{Filter, ParseError};

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

/// Events that are wanted: `PATTERN`, or `PATTERN if FILTER` for some of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Of which names.
    pub pattern: Pattern,
    /// Which of them.
    pub filter: Option<Filter>,
}

/// A rule that is none.
#[derive(Debug, thiserror::Error)]
pub enum BadRule {
    /// Its pattern is none.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// Its filter is none.
    #[error("{pattern} if ..: {error}")]
    Filter {
        /// Whose filter.
        pattern: Pattern,
        /// What is wrong.
        error: ParseError,
    },
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let Some((pattern, filter)) = text.split_once(" if ") else {
            return Ok(Rule {
                pattern: text.parse()?,
                filter: None,
            });
        };
        let pattern: Pattern = pattern.trim().parse()?;
        match filter.trim().parse() {
            Ok(filter) => Ok(Rule {
                pattern,
                filter: Some(filter),
            }),
            Err(error) => Err(BadRule::Filter { pattern, error }),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.filter {
            Some(filter) => write!(f, "{} if {filter}", self.pattern),
            None => self.pattern.fmt(f),
        }
    }
}

/// What was enabled and disabled, in order: the last rule that matches counts.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    rules: Vec<(bool, Rule)>,
}

impl Desired {
    /// Add a rule.
    pub fn enable(&mut self, rule: Rule) -> Result<(), TooManyRules> {
        self.add(true, rule)
    }

    /// Add a rule of what is not wanted.
    pub fn disable(&mut self, pattern: Pattern) -> Result<(), TooManyRules> {
        let filter = None;
        self.add(false, Rule { pattern, filter })
    }

    fn add(&mut self, enable: bool, rule: Rule) -> Result<(), TooManyRules> {
        if rule.pattern.0 == "*" {
            // No earlier rule matters any more.
            self.rules.clear();
        }
        self.rules.retain(|(_, old)| old.pattern != rule.pattern);
        if !enable && self.rules.is_empty() {
            return Ok(());
        }
        if self.rules.len() == MAX_RULES {
            return Err(TooManyRules);
        }
        self.rules.push((enable, rule));
        Ok(())
    }

    /// The rule, and which one it is, that the event `name` is wanted by.
    pub fn rule_of(&self, name: &str) -> Option<(usize, &Rule)> {
        let mut rules = self.rules.iter().enumerate().rev();
        rules
            .find(|(_, (_, rule))| rule.pattern.matches(name))
            .filter(|(_, (enable, _))| *enable)
            .map(|(index, (_, rule))| (index, rule))
    }

    /// The rules as text, `+rule` or `-pattern`.
    pub fn rules(&self) -> Vec<String> {
        self.rules
            .iter()
            .map(|(enable, rule)| format!("{}{rule}", if *enable { '+' } else { '-' }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    fn rule(text: &str) -> Rule {
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
        desired.enable(rule("sched_*")).unwrap();
        desired.disable(pattern("sched_switch")).unwrap();
        assert!(desired.rule_of("sched_waking").is_some());
        assert!(desired.rule_of("sched_switch").is_none());
        assert!(desired.rule_of("irq").is_none());
        desired.enable(rule("sched_*")).unwrap();
        assert!(desired.rule_of("sched_switch").is_some());
        assert_eq!(desired.rules(), ["-sched_switch", "+sched_*"]);
        desired.disable(pattern("*")).unwrap();
        assert!(desired.rules().is_empty());
        for number in 0..MAX_RULES {
            desired.enable(rule(&format!("e{number}"))).unwrap();
        }
        assert!(desired.enable(rule("one_more")).is_err());
    }

    #[test]
    fn filter_rules_are_text_and_replace_each_other() {
        let mut desired = Desired::default();
        desired.enable(rule("sched_* if $tid == 1")).unwrap();
        assert_eq!(desired.rules(), ["+sched_* if $tid == 1"]);
        let (_, found) = desired.rule_of("sched_switch").unwrap();
        assert_eq!(found.to_string(), "sched_* if $tid == 1");
        // Without a filter: it is gone.
        desired.enable(rule("sched_*")).unwrap();
        assert_eq!(desired.rules(), ["+sched_*"]);
        for bad in ["a b if $tid == 1", "a if ", "a if", "a if $tid"] {
            assert!(bad.parse::<Rule>().is_err(), "{bad:?}");
        }
    }
}
