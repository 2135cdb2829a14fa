//! It is a good service: it reports its state to the service manager, the journal and the monitoring.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

use super::super::sandbox::{ITERCTL, Sandbox, entry};
use super::{NEVER, Watching};

/// The messages to the service manager.
struct Manager(UnixDatagram);

impl Manager {
    fn new(sandbox: &Sandbox) -> Self {
        let socket = UnixDatagram::bind(sandbox.file("notify")).expect("own folder");
        socket.set_read_timeout(Some(NEVER)).expect("it is a timeout");
        Self(socket)
    }

    /// Waits for a message of that kind, and skips those of the kinds `past`.
    #[track_caller]
    fn expect(&self, kind: &str, past: &[&str]) -> String {
        loop {
            let mut buffer = [0; 4096];
            let length = self.0.recv(&mut buffer).expect("a message");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if text.starts_with(kind) {
                return text;
            }
            assert!(past.iter().any(|past| text.starts_with(past)), "{kind} expected, not {text}");
        }
    }
}

fn one(sandbox: &Sandbox) {
    sandbox.copy("tasks_v1.bpf.o", "tasks.bpf.o");
    sandbox.manifest("iters.toml", &entry("tasks.bpf.o", "a"));
}

fn start<'a>(sandbox: &'a Sandbox, options: &str, more: &[(&str, &str)]) -> Watching<'a> {
    let socket = sandbox.file("notify");
    let mut environment = vec![("NOTIFY_SOCKET", socket.to_str().expect("UTF-8"))];
    environment.extend(more);
    Watching::spawn(sandbox, ITERCTL, &format!("-f iters.toml {options}"), &environment)
}

#[kernel_test]
fn the_service_manager_is_notified() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let manager = Manager::new(&sandbox);
    let watching = start(&sandbox, "", &[]);
    let status = manager.expect("STATUS=", &[]);
    assert!(status.starts_with("STATUS=1 iterator; last change "), "{status}");
    assert!(status.ends_with(" (1 pinned)\n"), "{status}");
    assert!(sandbox.pin("a").exists());
    manager.expect("READY=1\n", &[]);

    let before = clock_gettime(ClockId::Monotonic);
    watching.signal(Signal::HUP);
    // The check after a change may come before.
    let reloading = manager.expect("RELOADING=1\n", &["STATUS=", "READY=1\n"]);
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    let time = Duration::from_micros(time.and_then(|time| time.parse().ok()).expect("a time"));
    let after = clock_gettime(ClockId::Monotonic);
    let seconds = |time: rustix::time::Timespec| time.tv_sec.cast_unsigned();
    assert!((seconds(before)..=seconds(after)).contains(&time.as_secs()), "{reloading}");
    manager.expect("STATUS=", &[]);
    manager.expect("READY=1\n", &[]);

    sandbox.write("iters.toml", "[[iter]\n");
    let status = manager.expect("STATUS=", &[]);
    assert!(status.contains("; iters.toml:1:8: not TOML"), "{status}");
    manager.expect("READY=1\n", &[]);
    watching.signal(Signal::TERM);
    manager.expect("STOPPING=1\n", &["STATUS=", "READY=1\n"]);
}

#[kernel_test]
fn it_is_ready_even_if_the_first_round_failed() {
    let sandbox = Sandbox::new();
    let manager = Manager::new(&sandbox);
    let _watching = start(&sandbox, "", &[]);
    let status = manager.expect("STATUS=", &[]);
    assert!(status.contains("nothing applied yet; failed to read the manifest"), "{status}");
    manager.expect("READY=1\n", &[]);
}

#[kernel_test]
fn the_watchdog_is_notified() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let manager = Manager::new(&sandbox);
    let _watching = start(&sandbox, "", &[("WATCHDOG_USEC", "100000")]);
    for _ in 0..5 {
        manager.expect("WATCHDOG=1\n", &["STATUS=", "READY=1\n"]);
    }
}

#[kernel_test]
fn the_watchdog_of_another_process_is_ignored() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let manager = Manager::new(&sandbox);
    let more = [("WATCHDOG_USEC", "10000"), ("WATCHDOG_PID", "1")];
    let watching = start(&sandbox, "", &more);
    manager.expect("READY=1\n", &["STATUS="]);
    watching.signal(Signal::TERM);
    manager.expect("STOPPING=1\n", &["STATUS=", "READY=1\n"]);
}

#[kernel_test]
fn the_journal_gets_priorities() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    // The shell opens the log, so that the test knows the file, which takes the place of the journal.
    let script = format!(
        "JOURNAL_STREAM=$(stat -L -c %d:%i /dev/fd/2) exec {ITERCTL} -j watch -f iters.toml"
    );
    sandbox.write("run", &script);
    let watching = Watching::spawn_script(&sandbox, "run");
    watching.changes(&["pin a"]);
    sandbox.write("iters.toml", "[[iter]\n");
    watching.fails("not TOML");
    let log = watching.log();
    assert!(log.starts_with("<6>+ a  task\n<6>1 pinned\n<3>error: not TOML"), "{log}");
    assert!(log.lines().all(|line| line.starts_with('<')), "every line has one: {log}");
}

#[kernel_test]
fn the_metrics_file_is_kept() {
    let sandbox = Sandbox::new();
    one(&sandbox);
    let (watching, _) = Watching::start(&sandbox, "--metrics-file iterctl.prom");
    let file = sandbox.file("iterctl.prom");
    let figure = |name: &str| -> f64 {
        let page = fs::read_to_string(&file).expect("it is never missing");
        let line = page.lines().find(|line| line.starts_with(name) && !line.starts_with('#'));
        let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        number.unwrap_or_else(|| panic!("no {name} in {page}"))
    };
    assert_eq!(figure("iterctl_applies_total"), 1.0);
    fs::remove_file(sandbox.pin("a")).expect("it is there");
    watching.changes(&["pin a"]);
    assert_eq!(figure("iterctl_applies_total"), 2.0);
    assert_eq!(figure("iterctl_failing"), 0.0);
    let success = figure("iterctl_last_success_timestamp_seconds");
    sandbox.write("iters.toml", "[[iter]\n");
    watching.fails("not TOML");
    assert_eq!(figure("iterctl_failing"), 1.0);
    assert!(figure("iterctl_failures_total") >= 1.0);
    assert_eq!(figure("iterctl_applies_total"), 2.0);
    assert!(figure("iterctl_last_success_timestamp_seconds") >= success);
    // A metrics page of its own, as for a collector.
    let check = sandbox.run("cat", "iterctl.prom").exits(0).stdout;
    assert!(check.ends_with("# EOF\n"), "{check}");
}
