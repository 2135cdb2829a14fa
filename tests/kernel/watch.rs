//! `watch`, in the background of a test: its reports, round by round.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::sandbox::{ITERCTL, Sandbox};

mod good;
mod idle;
mod lacks;
mod lost;
mod quiet;
mod rivals;
mod service;
mod soak;
mod unread;
mod wakes;

/// If something has not happened by then, it never will.
const NEVER: Duration = Duration::from_secs(60);

/// The binary, running `watch`.
pub(super) struct Watching<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    log: PathBuf,
    rounds: Receiver<Value>,
}

impl<'a> Watching<'a> {
    /// Starts to watch iters.toml, and waits for the end of the first round.
    #[track_caller]
    pub(super) fn start(sandbox: &'a Sandbox, options: &str) -> (Self, Value) {
        let watching = Self::spawn(sandbox, ITERCTL, &format!("-f iters.toml {options}"), &[]);
        let first = watching.round();
        (watching, first)
    }

    /// Starts to watch, as a service with that environment.
    #[track_caller]
    fn spawn(
        sandbox: &'a Sandbox,
        program: &str,
        options: &str,
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = sandbox.command(program, &format!("-j watch {options}"));
        command.envs(environment.iter().copied());
        Self::run(sandbox, command)
    }

    /// Runs a script that replaces itself by the binary.
    #[track_caller]
    fn spawn_script(sandbox: &'a Sandbox, script: &str) -> Self {
        Self::run(sandbox, sandbox.command("sh", script))
    }

    #[track_caller]
    fn run(sandbox: &'a Sandbox, command: Command) -> Self {
        Self::run_beside_others(sandbox, command, "log")
    }

    /// The same, with a log file of that name.
    #[track_caller]
    fn run_beside_others(sandbox: &'a Sandbox, mut command: Command, log: &str) -> Self {
        let log = sandbox.file(log);
        command.stderr(Stdio::from(File::create(&log).expect("own folder")));
        Self::run_with_log(sandbox, command, log)
    }

    /// The same, for a command whose log goes somewhere already.
    #[track_caller]
    fn run_with_log(sandbox: &'a Sandbox, mut command: Command, log: PathBuf) -> Self {
        let mut child = command.spawn().expect("the binary is there");
        let answers = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (sender, rounds) = channel();
        thread::spawn(move || {
            for line in answers.lines() {
                let line = line.expect("UTF-8");
                let round =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
                if sender.send(round).is_err() {
                    return;
                }
            }
        });
        Self { sandbox, child, log, rounds }
    }

    /// Waits for the next round that is reported.
    #[track_caller]
    fn round(&self) -> Value {
        let round = self.rounds.recv_timeout(NEVER);
        round.unwrap_or_else(|error| panic!("{error}; the log:\n{}", self.log()))
    }

    /// Waits for the next round, which changes exactly this: `pin a`, `replace b`.
    #[track_caller]
    pub(super) fn changes(&self, expected: &[&str]) {
        let round = self.round();
        assert_eq!(changes(&round, self.sandbox), expected, "{round:#}\n{}", self.log());
        assert_eq!(round["changed"], true, "{round:#}");
    }

    /// Waits for the next round, which fails and changes nothing.
    #[track_caller]
    fn fails(&self, expected: &str) {
        let round = self.round();
        assert_eq!(round["changed"], false, "{round:#}");
        let comment = round["comment"].as_str().expect("there is one");
        let said = round["diagnostics"].to_string();
        assert!(comment.contains(expected) || said.contains(expected), "{round:#}");
    }

    /// Starts a round. Nothing was reported since the last one, and there is nothing to do.
    #[track_caller]
    pub(super) fn has_nothing_to_do(&self) {
        self.asks(self.pid());
    }

    /// The same, if the binary is a child of the process that was started.
    #[track_caller]
    fn asks(&self, pid: Pid) {
        kill_process(pid, Signal::HUP).expect("it runs");
        let round = self.round();
        let comment = round["comment"].as_str().expect("there is one");
        let is_quiet = round["changed"] == false && comment.starts_with("nothing to do: ");
        assert!(is_quiet, "{round:#}\n{}", self.log());
    }

    /// Waits until the log contains this.
    #[track_caller]
    fn logs(&self, text: &str) {
        let begin = Instant::now();
        while !self.log().contains(text) {
            assert!(begin.elapsed() < NEVER, "no {text:?} in:\n{}", self.log());
            thread::yield_now();
        }
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The file of that name in the process's `/proc` folder.
    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.child.id()))
    }

    /// The log so far.
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it, and returns its last report.
    #[track_caller]
    pub(super) fn stop(self, signal: Signal) -> Value {
        let pid = self.pid();
        self.end(pid, signal)
    }

    /// The same, if the binary is a child of the process that was started.
    #[track_caller]
    fn end(mut self, pid: Pid, signal: Signal) -> Value {
        kill_process(pid, signal).expect("it runs");
        let last = self.round();
        let status = self.child.wait().expect("it is a child of this process");
        assert_eq!(status.code(), Some(0), "{}", self.log());
        last
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        // It has already ended if the test got to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each change of a round: what is done, and the path below the bpffs.
fn changes(round: &Value, sandbox: &Sandbox) -> Vec<String> {
    let root = format!("{}/", sandbox.bpffs().display());
    let changes = round["changes"].as_array().expect("it is a list");
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    let line = |change: &Value| {
        format!("{} {}", text(&change["action"]), text(&change["path"]).replacen(&root, "", 1))
    };
    changes.iter().map(line).collect()
}
