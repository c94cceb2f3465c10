//! `--sink ctf:DIR[,max-size=SIZE[,rotate=N]]`.

use std::path::PathBuf;
use std::str::FromStr;

use host_sink::ctf::{AtLimit, Limit};

use super::ByteSize;

/// Where a trace goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkSpec {
    /// Files that any CTF tool reads.
    Ctf {
        /// The folder of the trace.
        dir: PathBuf,
        /// How large it may get.
        limit: Option<Limit>,
    },
}

/// A sink that is none.
#[derive(Debug, thiserror::Error)]
pub enum BadSink {
    /// Not of the form.
    #[error("sink {0:?}: use ctf:DIR, ctf:DIR,max-size=SIZE or ctf:DIR,max-size=SIZE,rotate=N")]
    Form(String),
    /// No such option.
    #[error("sink option {0:?}: use max-size=SIZE and rotate=N")]
    Option(String),
    /// No number of chunks, or nothing that makes them.
    #[error("sink option rotate={0}: use a number of chunks to keep, and max-size before it")]
    Rotate(String),
    /// No such size.
    #[error("sink option max-size: {0}")]
    Size(#[from] super::BadSize),
}

impl FromStr for SinkSpec {
    type Err = BadSink;

    fn from_str(text: &str) -> Result<Self, BadSink> {
        let form = || BadSink::Form(text.to_owned());
        let mut parts = text.strip_prefix("ctf:").ok_or_else(form)?.split(',');
        let dir = parts
            .next()
            .filter(|dir| !dir.is_empty())
            .ok_or_else(form)?;
        let mut limit: Option<Limit> = None;
        for option in parts {
            match (option.split_once('='), &mut limit) {
                (Some(("max-size", size)), None) => {
                    limit = Some(Limit {
                        bytes: size.parse::<ByteSize>()?.bytes(),
                        then: AtLimit::Stop,
                    });
                }
                (Some(("rotate", keep)), limit) => match (keep.parse(), limit) {
                    (Ok(keep), Some(limit)) => limit.then = AtLimit::Rotate { keep },
                    _ => return Err(BadSink::Rotate(keep.to_owned())),
                },
                _ => return Err(BadSink::Option(option.to_owned())),
            }
        }
        Ok(SinkSpec::Ctf {
            dir: dir.into(),
            limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cli_sinks_parse() {
        assert_eq!(
            "ctf:/a,max-size=1M".parse::<SinkSpec>().unwrap(),
            SinkSpec::Ctf {
                dir: "/a".into(),
                limit: Some(Limit {
                    bytes: 1 << 20,
                    then: AtLimit::Stop,
                }),
            }
        );
        assert_eq!(
            "ctf:a/b,max-size=1G,rotate=3".parse::<SinkSpec>().unwrap(),
            SinkSpec::Ctf {
                dir: "a/b".into(),
                limit: Some(Limit {
                    bytes: 1 << 30,
                    then: AtLimit::Rotate { keep: 3 },
                }),
            }
        );
        for bad in [
            "",
            "ctf",
            "ctf:",
            "ctf:,max-size=1",
            "file:/a",
            "ctf:/a,x=1",
            "ctf:/a,max-size",
            "ctf:/a,rotate=3",
            "ctf:/a,max-size=1G,rotate=x",
        ] {
            assert!(bad.parse::<SinkSpec>().is_err(), "{bad}");
        }
    }
}
