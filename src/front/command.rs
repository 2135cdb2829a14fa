//! The composition root: each subcommand is the line of values, stopped early or carried on.

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
use crate::front::exit::Exit;
use crate::front::report::{Diagnostic, Report};

/// What a command has to say, and how it ended.
pub struct Answer {
    /// What it found and did.
    pub report: Report,
    /// How it ended.
    pub exit: Exit,
    /// What failed, where something was done all the same.
    pub failed: Option<anyhow::Error>,
    /// `read` only: what the iterator prints, as it comes.
    pub output: Option<Box<dyn Read>>,
}

impl Answer {
    fn new(report: Report, exit: Exit) -> Self {
        Self { report, exit, failed: None, output: None }
    }
}

/// What is told before the end.
pub enum Progress<'a> {
    /// `watch`: what a round has found and done. The log has it, too.
    Round(&'a Report),
    /// `apply --wait`: what it waits for.
    Waits(Diagnostic),
}

/// Tells it.
pub type Say<'a> = &'a mut dyn FnMut(Progress<'_>) -> anyhow::Result<()>;

/// Runs a subcommand.
///
/// # Errors
/// Whatever it could not do; [`Exit::of`] gives its status.
pub fn run(command: &Command, say: Say<'_>) -> anyhow::Result<Answer> {
    match command {
        Command::Check(args) => check::check(args),
        Command::Plan(args) => plan::plan(args),
        Command::Apply(args) => apply::apply(args, say),
        Command::Watch(args) => watch::watch(args, say),
        Command::Unpin(args) => unpin::unpin(args),
        Command::List(args) => list::list(args),
        Command::Pin(args) => pin::pin(args),
        Command::Read(args) => read::read(args),
        Command::Export(args) => export::export(args),
        Command::Schema(args) => print::schema(args),
        Command::Completions(args) => Ok(print::completions(args)),
        Command::Man(args) => print::man(args),
    }
}
