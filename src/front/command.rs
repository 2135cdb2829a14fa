//! The composition root: each subcommand is the line of values, up to some stage.

mod apply;
mod check;
mod entry;
mod export;
mod list;
mod load;
mod observe;
mod pin;
mod plan;
mod print;
mod read;
mod resolve;
mod transaction;
mod unpin;
mod watch;

use std::io::Read;

use crate::front::cli::Command;
use crate::front::errors::{Context as _, Error, Handled as _, Result};
use crate::front::exit::Exit;
use crate::front::report::{Diagnostic, Report};
use crate::host::sys::signals::Signals;
use iterctl_core::plan::Obstacle;

/// The report of a command, and how it ended.
pub struct Answer {
    /// The results of the command.
    pub report: Report,
    ending: Ending,
    /// Text that is printed as it comes, instead of the report.
    pub output: Option<Output>,
}

/// Text that a command prints as it comes.
pub struct Output {
    /// The text, read as it is produced.
    pub text: Box<dyn Read>,
    /// The source of the text.
    pub of: OutputOf,
}

/// The source of a text that a command prints.
pub enum OutputOf {
    /// iterctl's own: a schema, completions, a man page.
    Own,
    /// That of an iterator.
    Iterator {
        /// The name of the source in an error: `the pin /sys/fs/bpf/tasks`.
        what: String,
        /// The form of the text on a terminal.
        on_terminal: OnTerminal,
    },
}

/// The form of an iterator's output on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTerminal {
    /// Lines in which everything is escaped that could control the terminal.
    Escaped,
    /// Its bytes (`read --raw`).
    Raw,
}

/// How a command with a report ended.
enum Ending {
    /// Done, or nothing to do.
    Done,
    /// `plan --detailed-exitcode`: there is something to do.
    Changes,
    /// `plan`: these are in the way, and the rows of the report say so.
    InTheWay(Vec<Obstacle>),
    /// Something was done or found, but this failed.
    Failed(Error),
}

impl Answer {
    fn new(report: Report, ending: Ending) -> Self {
        Self { report, ending, output: None }
    }

    fn done(report: Report) -> Self {
        Self::new(report, Ending::Done)
    }

    /// The exit status.
    pub fn exit(&self) -> Exit {
        match &self.ending {
            Ending::Done => Exit::Done,
            Ending::Changes => Exit::Changes,
            Ending::InTheWay(obstacles) => Exit::from_obstacles(obstacles),
            Ending::Failed(error) => error.handling().exit,
        }
    }

    /// The error of a command that failed although there is a report.
    pub fn failed(&self) -> Option<&Error> {
        match &self.ending {
            Ending::Failed(error) => Some(error),
            Ending::Done | Ending::Changes | Ending::InTheWay(_) => None,
        }
    }
}

/// A message of a command before its end.
pub enum Progress<'a> {
    /// `watch`: what a round found and did. The log has it, too.
    Round(&'a Report),
    /// `apply --wait`: what it waits for.
    Waits(Diagnostic),
}

/// Receives what a command tells before its end.
pub type Say<'a> = &'a mut dyn FnMut(Progress<'_>) -> Result<()>;

/// The signals that a subcommand holds back while it changes something. `watch` has its own, and the others
/// change nothing.
///
/// # Errors
/// If they cannot be caught.
pub fn signals(command: &Command) -> Result<Signals> {
    match command {
        Command::Apply(_) | Command::Unpin(_) | Command::Pin(_) => {
            Signals::catch().context("failed to catch signals")
        }
        Command::Check(_)
        | Command::Plan(_)
        | Command::Watch(_)
        | Command::List(_)
        | Command::Read(_)
        | Command::Export(_)
        | Command::Schema(_)
        | Command::Completions(_)
        | Command::Man(_) => Ok(Signals::default()),
    }
}

/// Runs a subcommand.
///
/// # Errors
/// Everything that it could not do; how that is [handled](crate::front::errors::Handling) has the exit status.
pub fn run(command: &Command, signals: &Signals, say: Say<'_>) -> Result<Answer> {
    match command {
        Command::Check(args) => check::check(args),
        Command::Plan(args) => plan::plan(args),
        Command::Apply(args) => apply::apply(args, signals, say),
        Command::Watch(args) => watch::watch(args, say),
        Command::Unpin(args) => unpin::unpin(args, signals),
        Command::List(args) => list::list(args),
        Command::Pin(args) => pin::pin(args, signals),
        Command::Read(args) => read::read(args),
        Command::Export(args) => export::export(args),
        Command::Schema(args) => print::schema(args),
        Command::Completions(args) => Ok(print::completions(args)),
        Command::Man(args) => print::man(args),
    }
}
