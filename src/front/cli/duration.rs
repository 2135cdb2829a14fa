//! Durations of the command line, each with its bounds. The help says the same bounds as the errors.

use std::time::Duration;

/// From which to which duration an option goes, in words as the user may write them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    least: (&'static str, Duration),
    most: (&'static str, Duration),
}

/// Longer than any machine waits, and far from where the clock overflows.
const YEAR: (&str, Duration) = ("365d", Duration::from_secs(365 * 24 * 60 * 60));

/// For a wait that may be none at all.
pub(super) const ANY: Bounds = Bounds { least: ("0s", Duration::ZERO), most: YEAR };

/// For something that is repeated. More often would only keep the machine busy.
pub(super) const PERIOD: Bounds =
    Bounds { least: ("100ms", Duration::from_millis(100)), most: YEAR };

/// For what delays the answer to each change.
pub(super) const DELAY: Bounds =
    Bounds { least: ("0s", Duration::ZERO), most: ("1h", Duration::from_secs(60 * 60)) };

impl Bounds {
    /// The option's help.
    pub(super) fn help(self, what: &str) -> String {
        format!("{what}; from {} to {}", self.least.0, self.most.0)
    }

    /// The parser of the option for clap.
    pub(super) fn parser(self) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync {
        move |text| self.parse(text)
    }

    fn parse(self, text: &str) -> Result<Duration, String> {
        // More seconds than fit into a duration are more than any bound.
        let number = text.parse::<f64>().ok().filter(|seconds| *seconds >= 0.0);
        let seconds =
            number.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        let duration = seconds
            .or_else(|| humantime::parse_duration(text).ok())
            .ok_or("expected seconds, or a duration such as `500ms`")?;
        let (least, most) = (self.least, self.most);
        if duration < least.1 {
            return Err(format!("expected at least {}", least.0));
        }
        if duration > most.1 {
            return Err(format!("expected at most {}", most.0));
        }
        Ok(duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bounds: Bounds, text: &str, expected: Result<u64, &str>) {
        let found = bounds.parse(text);
        assert_eq!(found, expected.map(Duration::from_millis).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn durations_are_seconds_or_have_a_unit() {
        let neither = Err("expected seconds, or a duration such as `500ms`");
        check(ANY, "30", Ok(30_000));
        check(ANY, "0.5", Ok(500));
        check(ANY, "500ms", Ok(500));
        check(ANY, "0", Ok(0));
        for text in ["-1", "soon", "nan", "-inf", ""] {
            check(ANY, text, neither);
        }
    }

    #[test]
    fn durations_have_bounds() {
        for text in ["1e19", "1e300", "inf", "366d", "31536000.1"] {
            check(ANY, text, Err("expected at most 365d"));
        }
        check(ANY, "365d", Ok(365 * 24 * 60 * 60 * 1_000));
        for text in ["1ns", "0", "99ms", "1e-300"] {
            check(PERIOD, text, Err("expected at least 100ms"));
        }
        check(PERIOD, "100ms", Ok(100));
        check(DELAY, "61min", Err("expected at most 1h"));
        check(DELAY, "1h", Ok(60 * 60 * 1_000));
    }

    #[test]
    fn bounds_are_what_their_words_say() {
        for (words, duration) in [ANY, PERIOD, DELAY].iter().flat_map(|one| [one.least, one.most]) {
            assert_eq!(humantime::parse_duration(words), Ok(duration));
        }
        assert_eq!(PERIOD.help("How often"), "How often; from 100ms to 365d");
    }
}
