//! `watch`: the whole line, round after round, until told to stop.

mod metrics;
mod news;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::news::News;
use super::observe::{look, named_by};
use super::resolve::{Resolved, policy, read_input, resolve_manifest, trust};
use super::transaction::{Aim, transaction};
use super::{Answer, Progress, Say};
use crate::front::cli::WatchArgs;
use crate::front::errors::{Context as _, Error, Handled as _, Origin, Result};
use crate::front::exit::Exit;
use crate::front::report::words::iterators;
use crate::front::report::{self, Report};
use crate::host::bpffs::{Bpffs, mount_if_missing};
use crate::host::sources;
use crate::host::trust::Trust;
use crate::host::watch::{Cause, Ended, Interest, Service, Waits, Watch, Woken};
use iterctl_core::desired::Desired;
use iterctl_core::escaped::Escaped;
use iterctl_core::manifest;
use iterctl_core::observed::Observed;
use iterctl_core::plan::{self, Plan};

/// How long a round waits for another apply. Then it is tried again, and in between a signal is
/// obeyed.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the end waits for it: nothing is tried again after that.
const LAST_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn watch(args: &WatchArgs, say: Say<'_>) -> Result<Answer> {
    if let Some(file) = args.manifest.file.iter().find(|file| !can_be_read_again(file)) {
        let file = Escaped::new(file);
        return Err(Error::Usage(format!("{file} cannot be read again, so it cannot be watched")));
    }
    let WatchArgs { debounce, max_delay, interval, .. } = *args;
    let mut watch = Watch::new(Waits { debounce, max_delay, interval })?;
    let mut service = Service::new();
    let mut rounds = Rounds::new(args)?;
    let mut news = News::new(args.metrics_file.as_deref(), &rounds.files);
    while let Woken::Round(cause) = watch.next(&mut service) {
        if cause == Cause::Reload {
            service.reloading();
        }
        let start = Instant::now();
        let Some(round) = rounds.go(&mut watch) else { continue };
        // Where directories were made, nobody has watched them yet.
        watch.look_at_places();
        watch.end(match round {
            Round::Well(_) => Ended::Well,
            Round::Badly(..) => Ended::Badly,
        });
        let told = news.tell(&round, cause, start.elapsed());
        service.status(&news.status(rounds.pins()));
        // Also where it failed: it goes on to try.
        service.ready();
        if let Some(report) = told {
            say(Progress::Round(&report))?;
        }
    }
    service.stopping();
    Ok(Answer::done(rounds.stop()?))
}

/// Standard input, a pipe or a terminal is at its end after the first time.
fn can_be_read_again(file: &Path) -> bool {
    file != Path::new("-") && (file.is_file() || file.is_dir() || !file.exists())
}

/// What one round came to.
enum Round {
    /// Everything is as it is to be, or as it was left on purpose.
    Well(Report),
    /// Something failed; and what was done all the same, for the last good manifest.
    Badly(Error, Option<Report>),
}

/// So long rounds can be disturbed, one after the other. Then what was read is used: no file changed
/// while it was being read.
const LONGEST_DISTURBANCE: Duration = Duration::from_secs(2);

/// One round after the other, and what has to be known of those before.
struct Rounds<'a> {
    args: &'a WatchArgs,
    trust: Trust,
    /// The `-f` arguments, absolute.
    files: Vec<PathBuf>,
    /// The objects that the manifest names, as far as it could be read last time.
    objects: BTreeSet<PathBuf>,
    /// Pins, maps and cgroups, likewise.
    others: BTreeSet<PathBuf>,
    /// What was carried out last.
    good: Option<Resolved>,
    is_first: bool,
    /// When the first of the last rounds was that were disturbed.
    disturbed: Option<Instant>,
}

impl<'a> Rounds<'a> {
    fn new(args: &'a WatchArgs) -> Result<Self> {
        let files = args.manifest.file.iter().map(std::path::absolute);
        let files = files.collect::<Result<_, _>>()?;
        Ok(Self {
            args,
            trust: trust(&args.policy.trust),
            files,
            objects: BTreeSet::new(),
            others: BTreeSet::new(),
            good: None,
            is_first: true,
            disturbed: None,
        })
    }

    /// The whole line, once. Everything is watched before it is looked at, so that nothing that
    /// changes is missed. `None` where somebody was writing what was read: nothing is done with that,
    /// and the next round is on its way.
    fn go(&mut self, watch: &mut Watch) -> Option<Round> {
        let resolved = self.resolve(watch);
        if watch.have_inputs_changed() {
            let first = *self.disturbed.get_or_insert_with(Instant::now);
            if first.elapsed() < LONGEST_DISTURBANCE {
                return None;
            }
        }
        self.disturbed = None;
        let round = match resolved {
            Ok(resolved) => match self.carry_out(&resolved) {
                Ok(report) => {
                    self.good = Some(resolved);
                    Round::Well(report)
                }
                Err(error) => self.keep_the_last_good(Some(&resolved), error),
            },
            Err(error) => self.keep_the_last_good(None, error),
        };
        self.is_first = false;
        Some(round)
    }

    /// `-f` → desired.
    fn resolve(&mut self, watch: &mut Watch) -> Result<Resolved> {
        watch.set_interest(self.interest());
        let input = read_input(&self.args.manifest, self.trust)?;
        let manifest = manifest::parse(&input);
        self.objects = manifest.objects();
        watch.set_interest(self.interest());
        let origin = Origin::Manifest(input.sources);
        let resolved = resolve_manifest(origin, &manifest, self.trust)?;
        self.others = named_by(&resolved.desired);
        watch.set_interest(self.interest());
        Ok(resolved)
    }

    /// What the last good manifest asks for is put right, even while there is a bad one.
    fn keep_the_last_good(&self, bad: Option<&Resolved>, error: Error) -> Round {
        let is_another = |good: &&Resolved| bad.is_none_or(|bad| bad.desired != good.desired);
        // What stands in the way of one stands in the way of the other.
        let is_of_no_use = matches!(error.handling().exit, Exit::Locked | Exit::Unavailable);
        let kept = match self.good.as_ref().filter(is_another) {
            Some(good) if !is_of_no_use => self.carry_out(good).ok(),
            Some(_) | None => None,
        };
        Round::Badly(error, kept)
    }

    /// Desired → bpffs, if there is anything to do.
    fn carry_out(&self, resolved: &Resolved) -> Result<Report> {
        let desired = &resolved.desired;
        if !self.is_first {
            let is_mounted = self.args.mount && mount_if_missing(&desired.bpffs)?;
            let bpffs = Bpffs::open(&desired.bpffs)?;
            let observed = look(&bpffs, Some(desired))?;
            let (plan, repairs) = self.plan(desired, &observed);
            if plan.is_done() && !is_mounted {
                return Ok(self.nothing_done(resolved, &plan, &repairs));
            }
        }
        let plan = |desired: &Desired, observed: &Observed| self.plan(desired, observed).0;
        let aim = Aim::Pinned { resolved, plan: &plan, mount: self.args.mount };
        transaction(&aim, LOCK_TIMEOUT)
    }

    /// What to do, and what is only to be said.
    fn plan(&self, desired: &Desired, observed: &Observed) -> (Plan, Plan) {
        let plan = plan::plan(desired, observed, policy(&self.args.policy));
        let is_known = self.good.as_ref().is_some_and(|good| good.desired == *desired);
        if self.args.no_heal && is_known { plan.part_repairs() } else { (plan, Plan::default()) }
    }

    fn nothing_done(&self, resolved: &Resolved, plan: &Plan, repairs: &Plan) -> Report {
        let Resolved { origin, desired, .. } = resolved;
        let sources = origin.sources();
        let in_sync = iterators(plan.unchanged.len());
        let left = Plan { unchanged: plan.unchanged.clone(), ..repairs.clone() };
        let set = Some(&desired.set.name);
        let (changes, summary) =
            report::changes(&left, set, &desired.bpffs, sources, &BTreeMap::new());
        let comment = match summary.changes() {
            0 => format!("nothing to do: {in_sync} in sync"),
            number => {
                let number = iterators(number);
                format!("another process has changed {number}, left as found; {in_sync} in sync")
            }
        };
        Report { changes, summary, ..Report::new(comment) }
    }

    /// Everything that matters.
    fn interest(&self) -> Interest {
        let mut interest = Interest::default();
        for file in &self.files {
            if file.is_dir() {
                interest.directories.insert(file.clone());
            }
            // Where one cannot be listed, the round says so.
            interest.inputs.extend(sources::files(file).unwrap_or_default());
            interest.inputs.insert(file.clone());
        }
        interest.inputs.extend(self.objects.iter().cloned());
        interest.others = self.others.clone();
        interest.others.extend(self.good.iter().flat_map(|good| named_by(&good.desired)));
        interest
    }

    /// How many pins there are to be, once that is known.
    fn pins(&self) -> Option<usize> {
        self.good.as_ref().map(|good| good.desired.pins.len())
    }

    /// The end.
    fn stop(self) -> Result<Report> {
        let Some(good) = self.good.filter(|_| self.args.unpin_on_exit) else {
            return Ok(Report::new("stopped; the pins stay"));
        };
        let Desired { set, bpffs, .. } = &good.desired;
        let plan = |observed: &Observed| plan::unpin_set(set, observed);
        let aim = Aim::Unpinned { bpffs, plan: &plan };
        transaction(&aim, LAST_LOCK_TIMEOUT).context("failed to unpin the set")
    }
}
