//! Parse, run, print the answer or the error once, exit.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anstream::{eprintln, stdout};
use clap::Parser as _;
use iterctl::cli::Cli;
use iterctl::command::{self, Answer};
use iterctl::exit::Exit;
use iterctl::kernel;
use iterctl::report::{Report, error, text};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(usage) => {
            // Where the terminal has gone, there is nobody to tell.
            let _ = usage.print();
            let asked_for = !usage.use_stderr();
            return ExitCode::from(if asked_for { Exit::Done } else { Exit::Usage } as u8);
        }
    };
    if cli.debug {
        kernel::show_all();
    }
    let answer = command::run(&cli.command);
    let printed =
        if cli.json || cli.pretty { print_json(&answer, cli.pretty) } else { print_text(&answer) };
    let exit = match &answer {
        Ok(answer) => answer.exit,
        Err(error) => Exit::of(error),
    };
    match printed {
        Ok(()) => ExitCode::from(exit as u8),
        // Whoever reads the answer has gone: what was done is done all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(exit as u8),
        Err(error) => {
            eprintln!("error: failed to print the answer: {error}");
            ExitCode::from(Exit::Failed as u8)
        }
    }
}

fn print_json(answer: &anyhow::Result<Answer>, pretty: bool) -> io::Result<()> {
    let failed: Report;
    let report = match answer {
        Ok(answer) => &answer.report,
        Err(error) => {
            failed = error::report(error);
            &failed
        }
    };
    let mut out = stdout().lock();
    if pretty {
        serde_json::to_writer_pretty(&mut out, report)?;
    } else {
        serde_json::to_writer(&mut out, report)?;
    }
    writeln!(out)?;
    out.flush()
}

fn print_text(answer: &anyhow::Result<Answer>) -> io::Result<()> {
    match answer {
        Ok(answer) => {
            let mut out = stdout().lock();
            out.write_all(text::render(&answer.report).as_bytes())?;
            out.flush()?;
            for diagnostic in &answer.report.diagnostics {
                eprintln!("{}", error::render_one(diagnostic));
            }
        }
        Err(error) => eprintln!("{}", error::render(error)),
    }
    Ok(())
}
