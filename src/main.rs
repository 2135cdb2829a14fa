//! Parse, run, print the answer or the error once, exit.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::Parser as _;
use iterctl::front::cli::{Cli, Command, Form};
use iterctl::front::command::{self, Answer, OnTerminal, Output, OutputOf, Progress};
use iterctl::front::errors::{Context as _, Error, Handled as _, Result, Unwritten};
use iterctl::front::exit::Exit;
use iterctl::front::report::terminal::Lines;
use iterctl::front::report::{Diagnostic, error, text};
use iterctl::front::version::Versions;
use iterctl::host::reader::ReadError;
use iterctl::host::sys::{output, signals};
use iterctl::host::{kernel, log};
use serde::Serialize;

/// How long the end of `watch` waits for a reader of its output.
const LAST_WAIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    // Without the handler, everything else works.
    let _ = signals::survive_file_size_limit();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => return usage_error(&usage),
    };
    let form = Form::from_cli(&cli);
    if cli.debug {
        kernel::show_all();
    }
    let printed = match (&cli.command, cli.version) {
        (Some(command), false) => {
            if let Command::Watch(_) = command {
                log::start(cli.debug);
            }
            run(command, form)
        }
        (Some(_) | None, true) => print_versions(form).map(|()| Exit::Done),
        (None, false) => {
            let usage = "a command is missing: `iterctl help` lists them";
            print(Err(Error::Usage(usage.to_owned())), form, Purpose::Report)
        }
    };
    let exit = printed.unwrap_or_else(|error| {
        tell(&error::render(&error));
        error.handling().exit
    });
    output::finish(LAST_WAIT);
    ExitCode::from(exit as u8)
}

/// Writes lines to standard error. If it cannot be written, the exit status still says how the call ended.
fn tell(lines: &str) {
    output::to_stderr(&in_colours_of(&io::stderr(), format!("{lines}\n")));
}

/// Runs a subcommand, and prints what it came to. If a signal came meanwhile, the exit status says so, even if
/// everything was done: the sender of the signal waits for it.
///
/// # Errors
/// If the answer cannot be printed.
fn run(command: &Command, form: Form) -> Result<Exit> {
    let signals = match command::signals(command) {
        Ok(signals) => signals,
        Err(error) => return print(Err(error), form, Purpose::Report),
    };
    let answer = command::run(command, &signals, &mut |progress| say(progress, form));
    let exit = print(answer, form, Purpose::of(command))?;
    Ok(signals.noted().map_or(exit, Exit::from))
}

/// Prints what is told before the end. As JSON, only `watch` prints more than one document.
fn say(progress: Progress<'_>, form: Form) -> Result<()> {
    match (progress, form) {
        (Progress::Round(report), Form::Json | Form::PrettyJson) => {
            written(print_json(report, form), Purpose::Report)
        }
        (Progress::Waits(note), Form::Text) => {
            tell(&error::render_one(&note));
            Ok(())
        }
        // A log has the rounds.
        (Progress::Round(_), Form::Text) | (Progress::Waits(_), Form::Json | Form::PrettyJson) => {
            Ok(())
        }
    }
}

/// Help and versions that were asked for are no errors. With `-j` standard output holds one JSON
/// document, even if the command line is wrong.
fn usage_error(usage: &clap::Error) -> ExitCode {
    if !usage.use_stderr() {
        // If standard error is closed, the message has no reader.
        let _ = usage.print();
        return ExitCode::from(Exit::Done as u8);
    }
    match Form::from_invalid(std::env::args_os()) {
        // If standard error is closed, the message has no reader.
        Form::Text => {
            let _ = usage.print();
        }
        form @ (Form::Json | Form::PrettyJson) => {
            let text = usage.render().to_string();
            let message = text.trim_start_matches("error: ").trim_end().to_owned();
            let report = error::report(&Error::Usage(message));
            let _ = print_json(&report, form);
        }
    }
    ExitCode::from(Exit::Usage as u8)
}

/// The purpose of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To change something.
    Work,
    /// To report.
    Report,
}

impl Purpose {
    fn of(command: &Command) -> Self {
        if command.changes() { Self::Work } else { Self::Report }
    }
}

/// Prints the answer or the error.
///
/// # Errors
/// If it cannot be printed, or an iterator cannot be read to its end.
fn print(answer: Result<Answer>, form: Form, purpose: Purpose) -> Result<Exit> {
    match (answer, form) {
        (Ok(mut answer), Form::Text) => {
            let printed = match answer.output.take() {
                Some(output) => {
                    let is_terminal = io::stdout().is_terminal();
                    let length = print_output(output, is_terminal)?;
                    answer.report.diagnostics.extend(silence(length, is_terminal));
                    Ok(())
                }
                None => written(print_text(&text::render(&answer.report)), purpose),
            };
            for diagnostic in &answer.report.diagnostics {
                tell(&error::render_one(diagnostic));
            }
            if let Some(failed) = answer.failed() {
                tell(&error::render(failed));
            }
            printed.map(|()| answer.exit())
        }
        (Ok(mut answer), Form::Json | Form::PrettyJson) => {
            let mut exit = answer.exit();
            if let Some(output) = answer.output.take() {
                let (bytes, end) = collect(output);
                if let Err(error) = end {
                    // The output up to here is kept.
                    exit = error.handling().exit;
                    answer.report = error::report(&error);
                }
                answer.report.output = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            if let Some(failed) = answer.failed() {
                answer.report.diagnostics.extend(error::diagnostics(failed));
            }
            written(print_json(&answer.report, form), purpose)?;
            Ok(exit)
        }
        (Err(error), Form::Text) => {
            tell(&error::render(&error));
            Ok(error.handling().exit)
        }
        (Err(error), Form::Json | Form::PrettyJson) => {
            if let Err(unwritten) = print_json(&error::report(&error), form) {
                tell(&error::render(&error));
                written(Err(unwritten), Purpose::Report)?;
            }
            Ok(error.handling().exit)
        }
    }
}

/// The error of a report that could not be printed. If a command only reports, its reader may go away before
/// the end, as `head` does.
fn written(printed: io::Result<()>, purpose: Purpose) -> Result<()> {
    match (printed, purpose) {
        (Ok(()), _) => Ok(()),
        (Err(error), Purpose::Report) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        (Err(error), Purpose::Report) => Err(Unwritten::Report(error).into()),
        (Err(error), Purpose::Work) => Err(Unwritten::AfterWork(error).into()),
    }
}

fn reading_failed(error: io::Error, of: &OutputOf) -> Error {
    let what = match of {
        OutputOf::Own => "it",
        OutputOf::Iterator { what, .. } => what,
    };
    Error::from(ReadError::from(error)).context(format!("failed to read {what} to its end"))
}

/// The buffer is larger than the kernel's: some iterators cannot go on where a read has ended.
const BUFFER: usize = 64 * 1024;

/// Reads to the end. Returns also what was read before an error.
fn collect(mut output: Output) -> (Vec<u8>, Result<()>) {
    let (mut buffer, mut bytes) = (vec![0; BUFFER], Vec::new());
    loop {
        match output.text.read(&mut buffer) {
            Ok(0) => return (bytes, Ok(())),
            Ok(length) => bytes.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(error) => return (bytes, Err(reading_failed(error, &output.of))),
        }
    }
}

/// Prints output as it comes, and counts its bytes. On a terminal, that of an iterator is escaped.
fn print_output(mut output: Output, is_terminal: bool) -> Result<usize> {
    let mut out = io::stdout().lock();
    let mut lines = match &output.of {
        OutputOf::Iterator { on_terminal: OnTerminal::Escaped, .. } if is_terminal => {
            Some(Lines::default())
        }
        OutputOf::Iterator { .. } | OutputOf::Own => None,
    };
    let mut buffer = vec![0; BUFFER];
    let mut copied = 0;
    let read = loop {
        let length = match output.text.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(length) => length,
            Err(error) => break Err(reading_failed(error, &output.of)),
        };
        copied += length;
        let bytes = buffer.get(..length).unwrap_or_default();
        let printed = match &mut lines {
            Some(lines) => out.write_all(lines.push(bytes).as_bytes()),
            None => out.write_all(bytes),
        };
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(copied),
            other => other.context("failed to print what the iterator prints")?,
        }
    };
    let last = lines.map(Lines::end).unwrap_or_default();
    written(out.write_all(last.as_bytes()).and_then(|()| out.flush()), Purpose::Report)?;
    read.map(|()| copied)
}

/// The note for a person who sees no output and cannot know whether the iterator was run. A program that
/// reads a pipe has the exit status and expects nothing else.
fn silence(printed: usize, is_terminal: bool) -> Option<Diagnostic> {
    (printed == 0 && is_terminal).then(|| error::note("the iterator printed nothing"))
}

fn print_versions(form: Form) -> Result<()> {
    let versions = Versions::own();
    let printed = match form {
        Form::Text => print_text(&format!("{versions}\n")),
        Form::Json | Form::PrettyJson => print_json(&versions, form),
    };
    written(printed, Purpose::Report)
}

fn print_text(text: &str) -> io::Result<()> {
    output::to_stdout(&in_colours_of(&io::stdout(), text.to_owned()))
}

/// Without the colours if the stream takes none. All of it is written at once: anstream's own stream would write each
/// line by itself.
fn in_colours_of(stream: &impl RawStream, text: String) -> Vec<u8> {
    match AutoStream::choice(stream) {
        ColorChoice::Never => strip_str(&text).to_string().into_bytes(),
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => text.into_bytes(),
    }
}

fn print_json(value: &impl Serialize, form: Form) -> io::Result<()> {
    let mut text = match form {
        Form::PrettyJson => serde_json::to_vec_pretty(value)?,
        Form::Text | Form::Json => serde_json::to_vec(value)?,
    };
    text.push(b'\n');
    output::to_stdout(&text)
}
