//! What the service manager is told: sd_notify(3). Without a service manager, nothing.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::debug;

/// The talk with the service manager.
#[derive(Debug, Default)]
pub struct Service {
    /// How often it wants a sign of life, and when the next one is due.
    watchdog: Option<(Duration, Instant)>,
}

impl Service {
    /// As the environment says. The default has no watchdog.
    pub fn new() -> Self {
        // Twice as often as is asked for, as sd_watchdog_enabled(3) advises.
        let watchdog = sd_notify::watchdog_enabled().map(|period| (period / 2, Instant::now()));
        Self { watchdog }
    }

    /// Everything has been tried once.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// How things are, in a line.
    pub fn status(&self, status: &str) {
        tell(&[NotifyState::Status(status)]);
    }

    /// It goes round because it was asked to. `Type=notify-reload` waits for [`Self::ready`] then,
    /// and for ever without the time.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => debug!("no monotonic clock: {error}"),
        }
    }

    /// It ends.
    pub fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }

    /// When the next sign of life is due, if one is wanted.
    pub(super) fn ping_due(&self) -> Option<Instant> {
        self.watchdog.map(|(_, due)| due)
    }

    /// Gives a sign of life, if one is due.
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
