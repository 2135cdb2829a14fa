//! Metrics for a monitoring system: a file in the OpenMetrics text format, as node_exporter's textfile collector
//! reads it.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
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

use crate::front::errors::{Error, Result};
use crate::front::report::Summary;
use iterctl_core::escaped::Escaped;

/// The label of a family with one.
type Label = [(&'static str, &'static str); 1];

/// The bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// The number of symbolic links that the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// All metrics, and the file that shows them.
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

/// The measures of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// The numbers of changes and of pins in sync; `None` if they are unknown.
    pub(super) summary: Option<Summary>,
    /// Whether the changes were made.
    pub(super) changed: bool,
    pub(super) failed: bool,
    pub(super) took: Duration,
}

impl Metrics {
    /// Shows everything in `file`, with the label `manifest`.
    ///
    /// # Errors
    /// If something else than a regular file is there: it would be replaced.
    pub(super) fn new(file: &Path, manifest: &str) -> Result<Self> {
        if let Err(error) = target(file) {
            let file = Escaped::new(file);
            return Err(Error::Usage(format!("--metrics-file {file} cannot be used: {error}")));
        }
        let labels = [("manifest".into(), manifest.to_owned().into())];
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
        Ok(Self { registry, ..new })
    }

    /// Counts a round, and writes the file again.
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

    /// Writes a file beside it and renames that, so that no reader finds half of it.
    fn write(&self) -> io::Result<()> {
        // The file may have changed since the last time.
        let file = target(&self.file)?;
        let mut page = String::new();
        text::encode(&mut page, &self.registry).map_err(io::Error::other)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut beside = tempfile::Builder::new()
            .prefix(".iterctl-metrics-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        beside.write_all(page.as_bytes())?;
        beside.persist(&file)?;
        Ok(())
    }
}

/// The file behind all symbolic links, which may be missing.
///
/// # Errors
/// If something else than a regular file is there, or a symbolic link of another user.
fn target(file: &Path) -> io::Result<PathBuf> {
    let mut file = file.to_path_buf();
    for _ in 0..=MOST_LINKS {
        let metadata = match fs::symlink_metadata(&file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(file),
            Err(error) => return Err(error),
        };
        if metadata.is_file() {
            return Ok(file);
        }
        if !metadata.is_symlink() {
            return Err(io::Error::other(format!("{} is not a regular file", Escaped::new(&file))));
        }
        // Another user's link could lead to any file, and this process may write to all of them.
        let own = rustix::process::geteuid().as_raw();
        if metadata.uid() != 0 && metadata.uid() != own {
            let (uid, file) = (metadata.uid(), Escaped::new(&file));
            return Err(io::Error::other(format!("the user {uid} owns the symbolic link {file}")));
        }
        let link = fs::read_link(&file)?;
        file = file.parent().map_or_else(|| link.clone(), |folder| folder.join(&link));
    }
    Err(rustix::io::Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_every_figure() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("iterctl.prom");
        let mut metrics = Metrics::new(&file, "/etc/iterctl.d").expect("a new file");
        let summary = Some(Summary { pin: 2, unpin: 1, unchanged: 3, ..Summary::default() });
        let took = Duration::from_millis(4);
        metrics
            .round(&Measured { summary, changed: true, failed: false, took })
            .expect("own folder");
        metrics
            .round(&Measured { summary, changed: false, failed: true, took })
            .expect("own folder");
        let page = fs::read_to_string(&file).expect("it is there");
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
        let names = fs::read_dir(folder.path()).expect("own folder").count();
        assert_eq!(names, 1, "nothing is left beside it");
    }

    #[test]
    fn links_are_followed_and_special_files_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("b", path("a")).expect("own folder");
        std::os::unix::fs::symlink(path("c"), path("b")).expect("own folder");
        assert_eq!(target(&path("a")).expect("it is missing"), path("c"));
        fs::write(path("c"), "").expect("own folder");
        assert_eq!(target(&path("a")).expect("it is a file"), path("c"));
        fs::remove_file(path("c")).expect("it is there");
        std::os::unix::fs::symlink("/dev/null", path("c")).expect("own folder");
        let error = target(&path("a")).expect_err("it is a device");
        assert_eq!(error.to_string(), "/dev/null is not a regular file");
        std::os::unix::fs::symlink("d", path("d")).expect("own folder");
        assert!(target(&path("d")).is_err(), "it ends nowhere");
        assert!(target(folder.path()).is_err(), "it is a folder");
    }
}
