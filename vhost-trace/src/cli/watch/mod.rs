//! `watch`.

mod act;
mod inbox;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Target;
use crate::control::{Reply, Request};
use crate::signals::{self, Signals, Wait};
use act::{Actor, Done};
use inbox::{Inbox, News};

/// What the time-out ends with, as that of timeout(1) does.
const TIMED_OUT: u8 = 124;

/// Arguments of `watch`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The events are printed as JSON lines, as those of `live --json`; lines with a key `watch` say how \
it goes: waiting (the guest's driver is not there), armed, exec (a program has ended), missed, \
dropped.

Exit status: 0 after the event of --once, or its program's; 124 when the time is over; 128 + N \
after signal N; 1 if the events cannot be watched, or the serve has ended.")]
pub struct WatchArgs {
    #[command(flatten)]
    target: Target,
    /// Events to wait for: a pattern with * and ?, or `syscalls`; with
    /// ` if FILTER` behind it those that pass, as in
    /// 'sched_process_exit if comm == "httpd"'. May be given again.
    #[arg(long, value_name = "EVENT[ if FILTER]", required = true)]
    on: Vec<String>,
    /// End after the first event, and after its program.
    #[arg(long)]
    once: bool,
    /// End after so long without --once, or with it if no event has come.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Run this program for each event, one after the other, with the event as
    /// JSON on its standard input. What it prints goes to standard error. All
    /// arguments from here on are the program's.
    #[arg(long, value_name = "PROGRAM [ARG..]", num_args = 1.., allow_hyphen_values = true)]
    exec: Vec<OsString>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "no number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

impl WatchArgs {
    /// Watch until it is over.
    pub fn run(self) -> Result<ExitCode, Box<dyn std::error::Error>> {
        // Before any thread, so that all of them leave the signals alone.
        let [term, int, hup] = signals::ENDING;
        let signals = Signals::new(&[term, int, hup, libc::SIGCHLD], Wait::Yes)?;
        let mut client = self.target.connect()?;
        client.send(Request::Watch { on: self.on })?;
        let mut watch = Watch {
            once: self.once,
            deadline: self.timeout.map(|timeout| Instant::now() + timeout),
            actor: (!self.exec.is_empty()).then(|| Actor::new(self.exec)),
            seen: false,
            told: (0, 0),
        };
        let inbox = Inbox::open(client, signals)?;
        let ended = watch.run(&inbox);
        if let Some(actor) = &mut watch.actor {
            actor.stop();
        }
        match ended {
            Ok(status) => Ok(ExitCode::from(status)),
            // Nobody reads the lines any more.
            Err(error) if is_broken_pipe(error.as_ref()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error),
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// A watch under way.
struct Watch {
    once: bool,
    deadline: Option<Instant>,
    actor: Option<Actor>,
    seen: bool,
    told: (u64, u64),
}

impl Watch {
    /// Returns the exit status.
    fn run(&mut self, inbox: &Inbox) -> Result<u8, Box<dyn std::error::Error>> {
        loop {
            // With --once, what has begun in time ends by itself.
            let deadline = self.deadline.filter(|_| !(self.once && self.seen));
            let Some(news) = inbox.next(deadline) else {
                return Ok(TIMED_OUT);
            };
            match news {
                News::Reply(reply) => {
                    if let Some(status) = self.reply(reply)? {
                        return Ok(status);
                    }
                }
                News::Child => {
                    for done in self.actor.iter_mut().flat_map(Actor::proceed) {
                        say(&done.to_json())?;
                        if self.once {
                            return Ok(done.status());
                        }
                    }
                }
                News::Signal(number) => return Ok(128 + number),
                News::End if self.once && self.seen => {}
                News::End => return Err("the serve has ended".into()),
                News::Error(error) => return Err(error.into()),
            }
        }
    }

    fn reply(&mut self, reply: Reply) -> Result<Option<u8>, Box<dyn std::error::Error>> {
        match reply {
            Reply::Watch { events } if events.is_empty() => say(&json!({"watch": "waiting"}))?,
            Reply::Watch { events } => say(&json!({"watch": "armed", "events": events}))?,
            Reply::Lines {
                lines,
                missed,
                lost,
            } => {
                for line in &lines {
                    if self.once && self.seen {
                        break;
                    }
                    if let Some(status) = self.event(line)? {
                        return Ok(Some(status));
                    }
                }
                self.tell_missed(missed, lost)?;
            }
            _ => {
                return Err("the serve answers something unexpected; is it of another \
                             version?"
                    .into());
            }
        }
        Ok(None)
    }

    /// The program comes first: whoever reads the lines may take his time.
    fn event(&mut self, line: &str) -> Result<Option<u8>, Box<dyn std::error::Error>> {
        self.seen = true;
        let done: Vec<Done> = match &mut self.actor {
            Some(actor) => actor.act(line),
            None => Vec::new(),
        };
        print(line)?;
        for done in &done {
            say(&done.to_json())?;
        }
        Ok(match (self.once, &self.actor) {
            (true, None) => Some(0),
            (true, Some(_)) => done.first().map(Done::status),
            (false, _) => None,
        })
    }

    fn tell_missed(&mut self, missed: u64, lost: u64) -> io::Result<()> {
        let (more_missed, more_lost) = (missed - self.told.0, lost - self.told.1);
        self.told = (missed, lost);
        if (more_missed, more_lost) != (0, 0) {
            say(&json!({"watch": "missed", "unread": more_missed, "lost_in_guest": more_lost}))?;
        }
        Ok(())
    }
}

fn say(value: &Value) -> io::Result<()> {
    print(&value.to_string())
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
