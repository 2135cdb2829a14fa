//! When a round is due: after the last of many events, again after a failure, and after each interval. Pure.
//!
//! In: what happened, and when. Out: when the next round is due. Every time is the duration since one start, and the
//! caller has the clock.

use std::time::Duration;

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// How long it must have been quiet since the last event.
    pub debounce: Duration,
    /// The longest time that continuing events can delay a round.
    pub max_delay: Duration,
    /// How long after a round the next one is due if nothing happens.
    pub interval: Duration,
}

/// The longest time that a file that is being written can delay a round. It is long, because a part of a manifest may
/// be a valid one, with fewer entries.
const LONGEST_WRITE: Duration = Duration::from_secs(30);

/// After so long without a write, it is looked up whether a process still has the file open.
pub(super) const QUIET_WRITE: Duration = Duration::from_secs(2);

/// How long after the first failure the next try is due. Each further failure doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// When the next round is due.
#[derive(Clone, Debug)]
pub struct Timer {
    waits: Waits,
    /// The first and the last event since the last round.
    events: Option<(Duration, Duration)>,
    /// The number of failures since the last round that did not fail.
    failures: u32,
    /// When a round is due without an event.
    next: Duration,
    /// Events before this time do not make a round due.
    held_until: Duration,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything is as desired.
    Well,
    /// It failed, and has to be tried again.
    Badly,
    /// Everything is as desired, but another process undoes it each time: the next round is due after this time, and
    /// not earlier.
    Contested(Duration),
}

impl Timer {
    /// The first round is due at once.
    pub fn new(waits: Waits) -> Self {
        Self { waits, events: None, failures: 0, next: Duration::ZERO, held_until: Duration::ZERO }
    }

    /// Something happened.
    pub fn event(&mut self, now: Duration) {
        let first = self.events.map_or(now, |(first, _)| first);
        self.events = Some((first, now));
    }

    /// A round is wanted at that time.
    pub fn ask(&mut self, then: Duration) {
        self.next = then;
    }

    /// Events count at once again.
    pub fn release(&mut self) {
        self.held_until = Duration::ZERO;
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
            Ended::Contested(wait) => {
                self.failures = 0;
                self.held_until = now + wait;
                wait
            }
        };
        self.next = now + wait;
    }

    /// When the next round is due, if nothing else happens. If a manifest or an object is being written, `writing` is
    /// when that was seen last.
    pub fn due(&self, writing: Option<Duration>) -> Duration {
        let due = match (self.events, writing) {
            (None, _) => self.next,
            (Some((first, _)), Some(last)) => (last + QUIET_WRITE).min(first + LONGEST_WRITE),
            (Some((first, last)), None) => {
                (last + self.waits.debounce).min(first + self.waits.max_delay)
            }
        };
        due.max(self.held_until)
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
        assert_eq!(timer.due(None), ms(due), "after events at {events:?}");
    }

    #[test]
    fn the_first_round_is_due_at_once() {
        assert_eq!(Timer::new(WAITS).due(None), ms(0));
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
        assert_eq!(timer.due(None), ms(1_210), "what came during the round is not lost");
        timer.begin();
        timer.end(ms(1_300), Ended::Well);
        assert_eq!(timer.due(None), ms(61_300));
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for_and_not_for_ever() {
        let mut timer = quiet();
        assert_eq!(timer.due(Some(ms(0))), ms(60_000), "there was no event");
        timer.event(ms(1_000));
        timer.event(ms(9_000));
        assert_eq!(timer.due(Some(ms(9_000))), ms(11_000), "then the file is looked at");
        assert_eq!(timer.due(Some(ms(30_000))), ms(31_000));
        assert_eq!(timer.due(None), ms(3_000), "overdue: at once");
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let mut timer = quiet();
        let mut now = ms(0);
        let mut waits = Vec::new();
        for _ in 0..9 {
            timer.begin();
            timer.end(now, Ended::Badly);
            waits.push((timer.due(None) - now).as_secs());
            now = timer.due(None);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        timer.end(now, Ended::Well);
        timer.end(now, Ended::Badly);
        assert_eq!(timer.due(None), now + ms(1_000), "from the beginning");
    }

    #[test]
    fn events_after_a_contested_round_wait() {
        let mut timer = quiet();
        timer.begin();
        timer.end(ms(0), Ended::Contested(ms(4_000)));
        assert_eq!(timer.due(None), ms(4_000), "also without an event");
        timer.event(ms(1_000));
        assert_eq!(timer.due(None), ms(4_000));
        timer.release();
        assert_eq!(timer.due(None), ms(1_100));
    }

    #[test]
    fn a_request_is_not_delayed() {
        let mut timer = quiet();
        timer.ask(ms(500));
        assert_eq!(timer.due(None), ms(500));
    }

    #[test]
    fn nothing_is_read_before_it_is_quiet() {
        let mut timer = quiet();
        timer.end(ms(0), Ended::Badly);
        timer.event(ms(950));
        assert_eq!(timer.due(None), ms(1_050), "not the retry, either");
    }
}
