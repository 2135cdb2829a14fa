//! Parse, run, print the answer or the error once, exit.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use clap::Parser as _;
use iterctl::front::cli::{Cli, Command, Form};
use iterctl::front::command::{self, Answer, Progress};
use iterctl::front::errors::{Context as _, Error, Handled as _, Result};
use iterctl::front::exit::Exit;
use iterctl::front::report::{Diagnostic, error, text};
use iterctl::front::version::Versions;
use iterctl::host::reader::ReadError;
use iterctl::host::sys::output;
use iterctl::host::{kernel, log};
use serde::Serialize;

/// How long the end of `watch` waits for a reader of its output.
const LAST_WAIT: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
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
            print(Err(Error::Usage(usage.to_owned())), form)
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
/// everything was done: whoever sent the signal waits for it.
///
/// # Errors
/// If the answer cannot be printed.
fn run(command: &Command, form: Form) -> Result<Exit> {
    let signals = match command::signals(command) {
        Ok(signals) => signals,
        Err(error) => return print(Err(error), form),
    };
    let answer = command::run(command, &signals, &mut |progress| say(progress, form));
    let exit = print(answer, form)?;
    Ok(signals.noted().map_or(exit, Exit::from))
}

/// Prints what is told before the end. As JSON, only `watch` prints more than one document.
fn say(progress: Progress<'_>, form: Form) -> Result<()> {
    match (progress, form) {
        (Progress::Round(report), Form::Json | Form::PrettyJson) => {
            unless_closed(print_json(report, form))
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
        // Where the terminal has gone, there is nobody to tell.
        let _ = usage.print();
        return ExitCode::from(Exit::Done as u8);
    }
    match Form::from_invalid(std::env::args_os()) {
        // Where the terminal has gone, there is nobody to tell.
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

/// Prints the answer or the error.
///
/// # Errors
/// Where it cannot be printed, or an iterator cannot be read to its end.
fn print(answer: Result<Answer>, form: Form) -> Result<Exit> {
    match (answer, form) {
        (Ok(mut answer), Form::Text) => {
            match answer.output.take() {
                Some(mut output) => {
                    let mut out = io::stdout().lock();
                    let length = copy(&mut *output, &mut out)?;
                    answer.report.diagnostics.extend(silence(length, out.is_terminal()));
                }
                None => unless_closed(print_text(&text::render(&answer.report)))?,
            }
            for diagnostic in &answer.report.diagnostics {
                tell(&error::render_one(diagnostic));
            }
            if let Some(failed) = answer.failed() {
                tell(&error::render(failed));
            }
            Ok(answer.exit())
        }
        (Ok(mut answer), Form::Json | Form::PrettyJson) => {
            if let Some(mut output) = answer.output.take() {
                let mut bytes = Vec::new();
                if let Err(error) = copy(&mut *output, &mut bytes) {
                    return print(Err(error), form);
                }
                answer.report.output = Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            if let Some(failed) = answer.failed() {
                answer.report.diagnostics.extend(error::diagnostics(failed));
            }
            unless_closed(print_json(&answer.report, form))?;
            Ok(answer.exit())
        }
        (Err(error), Form::Text) => {
            tell(&error::render(&error));
            Ok(error.handling().exit)
        }
        (Err(error), Form::Json | Form::PrettyJson) => {
            unless_closed(print_json(&error::report(&error), form))?;
            Ok(error.handling().exit)
        }
    }
}

/// Whoever reads the answer may go before its end: what was done is done all the same.
fn unless_closed(printed: io::Result<()>) -> Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("failed to print the answer"),
    }
}

fn reading_failed(error: io::Error) -> Error {
    Error::from(ReadError::from(error)).context("failed to read the iterator to its end")
}

/// Copies what an iterator prints as it comes, and counts the bytes. The buffer is larger than the
/// kernel's: some iterators cannot go on where a read has ended.
fn copy(output: &mut dyn io::Read, out: &mut dyn io::Write) -> Result<usize> {
    let mut buffer = vec![0; 64 * 1024];
    let mut copied = 0;
    loop {
        let length = output.read(&mut buffer).map_err(reading_failed)?;
        if length == 0 {
            unless_closed(out.flush())?;
            return Ok(copied);
        }
        copied += length;
        match out.write_all(buffer.get(..length).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(copied),
            other => other.context("failed to print what the iterator prints")?,
        }
    }
}

/// The note for a person who sees no output and cannot know whether the iterator was run. A program that
/// reads a pipe has the exit status and expects nothing else.
fn silence(printed: usize, is_terminal: bool) -> Option<Diagnostic> {
    (printed == 0 && is_terminal).then(|| error::note("the iterator printed nothing"))
}

fn print_versions(form: Form) -> Result<()> {
    let versions = Versions::own();
    unless_closed(match form {
        Form::Text => print_text(&format!("{versions}\n")),
        Form::Json | Form::PrettyJson => print_json(&versions, form),
    })
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
