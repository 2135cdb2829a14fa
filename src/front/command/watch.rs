//! `watch`: one round after the other, until a signal ends it.

mod metrics;
mod news;
mod rivals;
mod rounds;

use std::path::Path;
use std::time::Instant;

use tracing::{info, warn};

use self::metrics::Metrics;
use self::news::News;
use self::rounds::{Round, Rounds};
use super::{Answer, Progress, Say};
use crate::front::cli::WatchArgs;
use crate::front::errors::{Error, Result};
use crate::host::wake::{Cause, Ended, Notice, Service, Waits, Wake, Woken};
use iterctl_core::escaped::Escaped;

pub(super) fn watch(args: &WatchArgs, say: Say<'_>) -> Result<Answer> {
    if let Some(file) = args.manifest.file.iter().find(|file| !can_be_read_again(file)) {
        let file = Escaped::new(file);
        return Err(Error::Usage(format!("{file} cannot be read again, so it cannot be watched")));
    }
    let WatchArgs { debounce, max_delay, interval, .. } = *args;
    let mut rounds = Rounds::new(args)?;
    let metrics = args.metrics_file.as_deref().map(|file| Metrics::new(file, &rounds.label()));
    let mut news = News::new(metrics.transpose()?);
    let mut wake = Wake::new(Waits { debounce, max_delay, interval });
    wake.catch_signals()?;
    let mut service = Service::new();
    while let Woken::Round(cause) = wake.next(&mut service) {
        if cause == Cause::Reload {
            service.reloading();
        }
        let start = Instant::now();
        let round = rounds.go(&mut wake);
        for notice in wake.notices() {
            tell(&notice, args);
        }
        let Some(round) = round else { continue };
        // Directories that the round made are not watched yet.
        wake.look_at_places();
        wake.end(match (&round, rounds.holds_for()) {
            (Round::Well(_), Some(time)) => Ended::Contested(time.min(interval)),
            (Round::Well(_), None) => Ended::Well,
            (Round::Badly(..), _) => Ended::Badly,
        });
        let told = news.tell(&round, cause, start.elapsed());
        service.status(&news.status(rounds.pins()));
        // Also if the round failed: the next ones try again.
        service.ready();
        if let Some(report) = told {
            say(Progress::Round(&report))?;
        }
    }
    service.stopping();
    Ok(Answer::done(rounds.stop()?))
}

/// Standard input, a pipe or a terminal has no more to read after the first time.
fn can_be_read_again(file: &Path) -> bool {
    file != Path::new("-") && (file.is_file() || file.is_dir() || !file.exists())
}

fn tell(notice: &Notice, args: &WatchArgs) {
    let every = humantime::format_duration(args.interval);
    match notice {
        Notice::Slower(lack) => warn!(
            "changes may be found, and pins restored, only every {every} and not at once: {lack}"
        ),
        Notice::AsUsual => info!("inotify works again: changes are found at once"),
    }
}
