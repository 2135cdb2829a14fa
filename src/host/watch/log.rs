//! What `watch` says on standard error, line by line: with a priority where the journal reads it, and
//! with the time elsewhere.

use std::env;
use std::fmt;
use std::io;
use std::time::SystemTime;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use iterctl_core::escaped::escape_lines;

/// How a line begins.
#[derive(Clone, Copy, Debug)]
enum Lines {
    /// With `<N>`, which the journal takes for the priority (sd-daemon(3)).
    Journal,
    /// With the time and the level.
    Plain,
}

/// Sends everything to standard error from now on; with `debug`, also what matters to developers.
pub fn start(debug: bool) {
    let lines = if is_journal() { Lines::Journal } else { Lines::Plain };
    let level = if debug { LevelFilter::DEBUG } else { LevelFilter::INFO };
    let subscriber = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(level)
        .event_format(lines)
        .finish();
    // It fails where there is one already, which then does the same.
    let _ = tracing::subscriber::set_global_default(subscriber);
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
        let level = *event.metadata().level();
        let begin = match self {
            Self::Journal => format!("<{}>", priority(level)),
            Self::Plain => {
                let now = humantime::format_rfc3339_millis(SystemTime::now());
                format!("{now} {level:>5} ")
            }
        };
        escape_lines(&text).lines().try_for_each(|line| writeln!(writer, "{begin}{line}"))
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
