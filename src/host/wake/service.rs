//! The messages to the service manager, if there is one: sd_notify(3).

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// The connection to the service manager.
#[derive(Debug, Default)]
pub struct Service {
    /// The period of its signs of life, and when the next one is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Service {
    /// As the environment says. [`Service::default()`] has no watchdog.
    pub fn new() -> Self {
        // Twice as often as required, as sd_watchdog_enabled(3) advises.
        let watchdog = sd_notify::watchdog_enabled().map(|period| (period / 2, Instant::now()));
        Self { watchdog }
    }

    /// A round has ended.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The state, in one line.
    pub fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// A round begins because SIGHUP asked for it. `Type=notify-reload` then waits for [`Self::ready`], and without the
    /// time it would wait for ever.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => debug!("no monotonic clock: {error}"),
        }
    }

    /// `watch` ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// When the next sign of life is due, if the service manager wants any.
    pub(super) fn ping_due(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// Sends a sign of life, if one is due.
    pub(super) fn ping(&mut self) {
        let now = Instant::now();
        if let Some((period, due)) = &mut self.watchdog
            && *due <= now
        {
            *due = now + *period;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("the service manager cannot be told: {error}");
    }
}
