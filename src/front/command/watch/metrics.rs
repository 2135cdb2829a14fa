//! Figures for a monitoring system: a file in the OpenMetrics text format, as node_exporter's textfile
//! collector reads it.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::front::report::Summary;

/// The label of a family with one.
type Label = [(&'static str, &'static str); 1];

/// The bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// Everything that is counted and measured, and the file that shows it.
#[derive(Debug)]
pub(super) struct Metrics {
    file: PathBuf,
    registry: Registry,
    pins: Family<Label, Gauge>,
    changes: Family<Label, Counter>,
    applies: Counter,
    failures: Counter,
    last_success: Gauge<f64, AtomicU64>,
    failing: Gauge,
    duration: Histogram,
}

/// What a round did, as far as it is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// What there was to change, and what was in sync; none where that is not known.
    pub(super) summary: Option<Summary>,
    /// Whether the changes were made.
    pub(super) changed: bool,
    /// Whether it failed.
    pub(super) failed: bool,
    /// How long it took.
    pub(super) took: Duration,
}

impl Metrics {
    /// Shows everything in `file`, with the label `manifest`.
    pub(super) fn new(file: &Path, manifest: String) -> Self {
        let labels = [("manifest".into(), manifest.into())];
        let mut registry = Registry::with_prefix_and_labels("iterctl", labels.into_iter());
        let new = Self {
            file: file.to_path_buf(),
            pins: Family::default(),
            changes: Family::default(),
            applies: Counter::default(),
            failures: Counter::default(),
            last_success: Gauge::default(),
            failing: Gauge::default(),
            duration: Histogram::new(BUCKETS),
            registry: Registry::default(),
        };
        registry.register("pins", "Pins of the manifest by state", new.pins.clone());
        registry.register("changes", "Pins that were changed", new.changes.clone());
        registry.register("applies", "Rounds that changed something", new.applies.clone());
        registry.register("failures", "Rounds that failed", new.failures.clone());
        registry.register("failing", "Whether the last round failed", new.failing.clone());
        registry.register_with_unit(
            "last_success_timestamp",
            "When the last round ended that did not fail",
            Unit::Seconds,
            new.last_success.clone(),
        );
        registry.register_with_unit(
            "round_duration",
            "How long a round took",
            Unit::Seconds,
            new.duration.clone(),
        );
        Self { registry, ..new }
    }

    /// Counts a round, and writes the file anew.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn round(&mut self, measured: &Measured) -> io::Result<()> {
        let Measured { summary, changed, failed, took } = *measured;
        if let Some(summary) = summary {
            self.pins(&summary, changed);
        }
        self.applies.inc_by(u64::from(changed));
        self.failures.inc_by(u64::from(failed));
        self.failing.set(i64::from(failed));
        if !failed {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_success.set(now.as_secs_f64());
        }
        self.duration.observe(took.as_secs_f64());
        self.write()
    }

    fn pins(&self, summary: &Summary, changed: bool) {
        let made = if changed { summary.changes() } else { 0 };
        let states = [
            ("in-sync", summary.unchanged + made.saturating_sub(summary.unpin)),
            ("drifted", summary.changes() - made),
            ("blocked", summary.blocked),
        ];
        for (state, number) in states {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            self.pins.get_or_create(&[("state", state)]).set(number);
        }
        let actions = [
            ("pin", summary.pin),
            ("replace", summary.replace),
            ("update", summary.update),
            ("unpin", summary.unpin),
        ];
        for (action, number) in actions {
            let counter = self.changes.get_or_create(&[("action", action)]);
            counter.inc_by(if changed { number as u64 } else { 0 });
        }
    }

    /// Writes a file beside it, and renames that: nobody reads the half of it.
    fn write(&self) -> io::Result<()> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).map_err(io::Error::other)?;
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut beside = tempfile::Builder::new()
            .prefix(".iterctl-metrics-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        beside.write_all(page.as_bytes())?;
        beside.persist(&self.file)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_every_figure() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("iterctl.prom");
        let mut metrics = Metrics::new(&file, "/etc/iterctl.d".to_owned());
        let summary = Some(Summary { pin: 2, unpin: 1, unchanged: 3, ..Summary::default() });
        let took = Duration::from_millis(4);
        metrics
            .round(&Measured { summary, changed: true, failed: false, took })
            .expect("own folder");
        metrics
            .round(&Measured { summary, changed: false, failed: true, took })
            .expect("own folder");
        let page = std::fs::read_to_string(&file).expect("it is there");
        let manifest = "manifest=\"/etc/iterctl.d\"";
        for line in [
            format!("iterctl_pins{{{manifest},state=\"in-sync\"}} 3"),
            format!("iterctl_pins{{{manifest},state=\"drifted\"}} 3"),
            format!("iterctl_changes_total{{{manifest},action=\"pin\"}} 2"),
            format!("iterctl_applies_total{{{manifest}}} 1"),
            format!("iterctl_failures_total{{{manifest}}} 1"),
            format!("iterctl_failing{{{manifest}}} 1"),
            format!("iterctl_round_duration_seconds_count{{{manifest}}} 2"),
            format!("iterctl_round_duration_seconds_bucket{{{manifest},le=\"0.0025\"}} 0"),
            format!("iterctl_round_duration_seconds_bucket{{{manifest},le=\"0.005\"}} 2"),
            "# TYPE iterctl_pins gauge".to_owned(),
        ] {
            assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
        }
        assert!(page.contains("iterctl_last_success_timestamp_seconds{"), "{page}");
        assert!(page.ends_with("# EOF\n"), "{page}");
        let names = std::fs::read_dir(folder.path()).expect("own folder").count();
        assert_eq!(names, 1, "nothing is left beside it");
    }
}
