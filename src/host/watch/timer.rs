//! When to go round: after the last of many events, again after a failure, and now and then. Pure.
//!
//! In: what happened, and when. Out: when the next round is due. Every time is the duration since
//! one start, so that the clock is the caller's.

use std::time::Duration;

/// How long what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How long it must have been quiet since the last event.
    pub debounce: Duration,
    /// How long events that never end can hold a round back.
    pub max_delay: Duration,
    /// How long after a round the next one comes, where nothing happens at all.
    pub interval: Duration,
}

/// How long a file that somebody has open for writing can hold a round back. It is long, since a
/// part of a manifest may well be a whole one, with fewer entries.
const LONGEST_WRITE: Duration = Duration::from_secs(30);

/// How long after the first failure it is tried again. Each further one doubles that.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When the next round is due.
#[derive(Clone, Debug)]
pub struct Timer {
    waits: Waits,
    /// The first and the last event since the last round.
    events: Option<(Duration, Duration)>,
    /// The number of failures since the last round that did not fail.
    failures: u32,
    /// When something is tried again or looked at again.
    next: Duration,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is as it is to be.
    Well,
    /// It is to be tried again.
    Badly,
}

impl Timer {
    /// The first round is due at once.
    pub fn new(waits: Waits) -> Self {
        Self { waits, events: None, failures: 0, next: Duration::ZERO }
    }

    /// Something happened.
    pub fn event(&mut self, now: Duration) {
        let first = self.events.map_or(now, |(first, _)| first);
        self.events = Some((first, now));
    }

    /// Somebody wants a round then.
    pub fn ask(&mut self, then: Duration) {
        self.next = then;
    }

    /// A round begins: it sees everything that has happened so far.
    pub fn begin(&mut self) {
        self.events = None;
    }

    /// A round ended.
    pub fn end(&mut self, now: Duration, how: Ended) {
        let wait = match how {
            Ended::Well => {
                self.failures = 0;
                self.waits.interval
            }
            Ended::Badly => {
                let doublings = self.failures.min(16);
                self.failures = self.failures.saturating_add(1);
                (FIRST_RETRY * 2_u32.pow(doublings)).min(self.waits.interval)
            }
        };
        self.next = now + wait;
    }

    /// When the next round is due, if nothing else happens. `writing` says whether a file that
    /// matters is being written.
    pub fn due(&self, writing: bool) -> Duration {
        match self.events {
            None => self.next,
            Some((first, _)) if writing => first + LONGEST_WRITE,
            Some((first, last)) => (last + self.waits.debounce).min(first + self.waits.max_delay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAITS: Waits = Waits {
        debounce: Duration::from_millis(100),
        max_delay: Duration::from_secs(2),
        interval: Duration::from_secs(60),
    };

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    /// A timer whose first round has ended well, at 0.
    fn quiet() -> Timer {
        let mut timer = Timer::new(WAITS);
        timer.begin();
        timer.end(ms(0), Ended::Well);
        timer
    }

    #[track_caller]
    fn check(events: &[u64], due: u64) {
        let mut timer = quiet();
        for event in events {
            timer.event(ms(*event));
        }
        assert_eq!(timer.due(false), ms(due), "after events at {events:?}");
    }

    #[test]
    fn the_first_round_is_due_at_once() {
        assert_eq!(Timer::new(WAITS).due(false), ms(0));
    }

    #[test]
    fn it_waits_until_it_is_quiet() {
        check(&[], 60_000);
        check(&[1_000], 1_100);
        check(&[1_000, 1_050, 1_149], 1_249);
    }

    #[test]
    fn a_steady_stream_does_not_hold_it_back_for_ever() {
        let steady: Vec<u64> = (0..100).map(|number| 1_000 + 50 * number).collect();
        check(&steady, 3_000);
    }

    #[test]
    fn a_round_sees_all_events_before_it() {
        let mut timer = quiet();
        timer.event(ms(1_000));
        timer.begin();
        timer.event(ms(1_110));
        timer.end(ms(1_120), Ended::Well);
        assert_eq!(timer.due(false), ms(1_210), "what came during the round is not lost");
        timer.begin();
        timer.end(ms(1_300), Ended::Well);
        assert_eq!(timer.due(false), ms(61_300));
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for_and_not_for_ever() {
        let mut timer = quiet();
        assert_eq!(timer.due(true), ms(60_000), "nobody has written yet");
        timer.event(ms(1_000));
        timer.event(ms(9_000));
        assert_eq!(timer.due(true), ms(31_000));
        assert_eq!(timer.due(false), ms(3_000), "overdue: at once");
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let mut timer = quiet();
        let mut now = ms(0);
        let mut waits = Vec::new();
        for _ in 0..9 {
            timer.begin();
            timer.end(now, Ended::Badly);
            waits.push((timer.due(false) - now).as_secs());
            now = timer.due(false);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        timer.end(now, Ended::Well);
        timer.end(now, Ended::Badly);
        assert_eq!(timer.due(false), now + ms(1_000), "it begins anew");
    }

    #[test]
    fn somebody_who_asks_is_not_kept_waiting() {
        let mut timer = quiet();
        timer.ask(ms(500));
        assert_eq!(timer.due(false), ms(500));
    }

    #[test]
    fn nothing_is_read_before_it_is_quiet() {
        let mut timer = quiet();
        timer.end(ms(0), Ended::Badly);
        timer.event(ms(950));
        assert_eq!(timer.due(false), ms(1_050), "not the retry, either");
    }
}
