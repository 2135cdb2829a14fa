//! The log of `watch` on standard error: with priorities if the journal reads it, otherwise with the time.

use std::env;
use std::fmt;
use std::io;
use std::time::SystemTime;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::host::sys::output;
use iterctl_core::escaped::escape_lines;

/// How a line begins.
#[derive(Clone, Copy, Debug)]
enum Lines {
    /// With `<N>`, which the journal reads as the priority (sd-daemon(3)).
    Journal,
    /// With the time and the level.
    Plain,
}

/// Sends the log to standard error from now on, through a [thread](output::start); with `debug`, also what matters
/// only to developers.
pub fn start(debug: bool) {
    output::start(|text| Lines::of_stderr().format(Level::WARN, text));
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(|| Messages)
        .with_max_level(level)
        .event_format(Lines::of_stderr())
        .finish();
    // It fails if there is one already, which then does the same.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Takes each message as a whole: the formatter writes it in one call.
struct Messages;

impl io::Write for Messages {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        output::to_stderr(message);
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn of_stderr() -> Self {
        if is_journal() { Self::Journal } else { Self::Plain }
    }

    fn format(self, level: Level, text: &str) -> String {
        let begin = match self {
            Self::Journal => format!("<{}>", priority(level)),
            Self::Plain => {
                let now = humantime::format_rfc3339_millis(SystemTime::now());
                format!("{now} {level:>5} ")
            }
        };
        escape_lines(text).lines().fold(String::new(), |lines, line| lines + &begin + line + "\n")
    }
}

/// Whether standard error goes to the journal: systemd.exec(5), `JOURNAL_STREAM`.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        writer.write_str(&self.format(*event.metadata().level(), &text))
    }
}

/// The priorities of syslog(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
