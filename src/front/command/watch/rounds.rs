//! The rounds: the whole line of values, once each.
//!
//! In: the arguments, and what was watched. Out: what each round came to. The last good manifest is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::rivals::{Rivals, Theirs};
use crate::front::cli::WatchArgs;
use crate::front::command::observe::{look, named_by};
use crate::front::command::resolve::{Resolved, policy, read_input, resolve_manifest, trust};
use crate::front::command::transaction::{Aim, Mount, transaction};
use crate::front::errors::{Context as _, Error, Handled as _, Origin, Result};
use crate::front::exit::Exit;
use crate::front::report::words::iterators;
use crate::front::report::{self, Diagnostic, Report, Severity};
use crate::host::bpffs::{Bpffs, is_on_bpffs};
use crate::host::sources;
use crate::host::sys::signals::Signals;
use crate::host::trust::Trust;
use crate::host::wake::{Interest, Wake};
use iterctl_core::desired::Desired;
use iterctl_core::escaped::Escaped;
use iterctl_core::manifest;
use iterctl_core::observed::Observed;
use iterctl_core::plan::{self, Plan};

/// How long a round waits for another apply. Then it is tried again, and between the tries a signal is obeyed.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// How long `--unpin-on-exit` waits for it: there is no other try.
const LAST_LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// For so long, rounds in a row can be given up because files changed meanwhile. Then what was read is used: no single
/// file changed while it was being read.
const LONGEST_DISTURBANCE: Duration = Duration::from_secs(2);

/// The result of one round.
pub(super) enum Round {
    /// Everything is as desired, or is left as it is because of `--no-heal`.
    Well(Report),
    /// Something failed; and what was still done for the last good manifest.
    Badly(Error, Option<Report>),
}

/// The report of a round, and what it tells of another iterctl.
struct Carried {
    report: Report,
    /// The links of this set's pins that are now in place.
    links: BTreeSet<u32>,
    /// Pins that another iterctl has made since the last round.
    theirs: Option<Theirs>,
}

/// One round after the other, and what has to be known of earlier ones.
pub(super) struct Rounds<'a> {
    args: &'a WatchArgs,
    trust: Trust,
    /// The `-f` arguments, absolute.
    files: Vec<PathBuf>,
    /// The objects that the manifest names, as far as it could be read last time.
    objects: BTreeSet<PathBuf>,
    /// The same for pins, maps and cgroups.
    others: BTreeSet<PathBuf>,
    /// The last manifest that was carried out.
    good: Option<Resolved>,
    is_first: bool,
    /// When the first of the last rounds in a row was given up.
    disturbed: Option<Instant>,
    rivals: Rivals,
}

impl<'a> Rounds<'a> {
    pub(super) fn new(args: &'a WatchArgs) -> Result<Self> {
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
            rivals: Rivals::default(),
        })
    }

    /// The `-f` arguments, as the metrics show them.
    pub(super) fn label(&self) -> String {
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        files.join(" ")
    }

    /// Everything is watched before it is looked at, so that no change is missed. `None` if a process was writing what
    /// was read: then nothing is done, and the next round will come soon.
    pub(super) fn go(&mut self, wake: &mut Wake) -> Option<Round> {
        let resolved = self.resolve(wake);
        if wake.have_inputs_changed() {
            let first = *self.disturbed.get_or_insert_with(Instant::now);
            if first.elapsed() < LONGEST_DISTURBANCE {
                return None;
            }
        }
        self.disturbed = None;
        let round = match resolved {
            Ok(resolved) => match self.carry_out(&resolved) {
                Ok(carried) => {
                    let mut report = self.take(carried, &resolved.desired);
                    report.diagnostics.extend(self.left_behind(&resolved.desired));
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
    fn resolve(&mut self, wake: &mut Wake) -> Result<Resolved> {
        wake.set_interest(self.interest());
        let input = read_input(&self.args.manifest, self.trust)?;
        let manifest = manifest::parse(&input);
        self.objects = manifest.objects();
        wake.set_interest(self.interest());
        let origin = Origin::Manifest(input.sources);
        let resolved = resolve_manifest(origin, &manifest, self.trust)?;
        self.others = named_by(&resolved.desired);
        wake.set_interest(self.interest());
        Ok(resolved)
    }

    /// The pins of the last good manifest are restored even if the manifest has become bad.
    fn keep_the_last_good(&mut self, bad: Option<&Resolved>, error: Error) -> Round {
        let is_another = |good: &&Resolved| bad.is_none_or(|bad| bad.desired != good.desired);
        // An obstacle to one is an obstacle to the other.
        let is_of_no_use = matches!(error.handling().exit, Exit::Locked | Exit::Unavailable);
        let good = self.good.take();
        let kept = match good.as_ref().filter(is_another) {
            Some(good) if !is_of_no_use => {
                // Without the last good one, nothing of the manifest would be known.
                self.carry_out_again(good)
            }
            Some(_) | None => None,
        };
        self.good = good;
        Round::Badly(error, kept)
    }

    fn carry_out_again(&mut self, good: &Resolved) -> Option<Report> {
        let carried = self.carry_out(good).ok()?;
        Some(self.take(carried, &good.desired))
    }

    /// Desired → bpffs, if there is anything to do.
    fn carry_out(&self, resolved: &Resolved) -> Result<Carried> {
        let desired = &resolved.desired;
        let mut links = BTreeSet::new();
        let mut theirs = None;
        let is_to_mount = self.args.mount && !is_on_bpffs(&desired.bpffs);
        if !self.is_first && !is_to_mount {
            let bpffs = Bpffs::open(&desired.bpffs)?;
            let observed = look(&bpffs, Some(desired))?;
            let (plan, repairs) = self.plan(desired, &observed);
            links.extend(plan.unchanged.values().map(|pin| pin.link.id.0));
            theirs = self.rivals.theirs(&plan, &desired.set);
            if plan.is_done() {
                let report = self.nothing_done(resolved, &plan, &repairs);
                return Ok(Carried { report, links, theirs });
            }
        }
        let plan = |desired: &Desired, observed: &Observed| self.plan(desired, observed).0;
        let mount = Mount::asked_for(self.args.mount, Mount::ForGood);
        let aim = Aim::Pinned { resolved, plan: &plan, mount };
        // `watch` has signals of its own, and obeys them between rounds.
        let report = transaction(&aim, LOCK_TIMEOUT, &Signals::default())?;
        let made = report.changes.iter().filter_map(|change| change.after.as_ref());
        links.extend(made.filter_map(|pin| pin.link_id));
        Ok(Carried { report, links, theirs })
    }

    /// The report, with what it tells of another iterctl.
    fn take(&mut self, carried: Carried, desired: &Desired) -> Report {
        let Carried { mut report, links, theirs } = carried;
        let theirs = theirs.filter(|_| report.changed);
        report.diagnostics.extend(self.rivals.round(Instant::now(), links, theirs, &desired.set));
        report
    }

    /// How long the next round must wait, because another iterctl would undo it.
    pub(super) fn holds_for(&self) -> Option<Duration> {
        self.rivals.holds_for()
    }

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

    /// Pins of the last set, if the manifest has given its set another name or its pins another bpffs: they are not
    /// this set's any more.
    fn left_behind(&self, desired: &Desired) -> Option<Diagnostic> {
        let before = &self.good.as_ref()?.desired;
        let (set, bpffs) = (&before.set.name, &before.bpffs);
        if *set == desired.set.name && *bpffs == desired.bpffs {
            return None;
        }
        // If it cannot be opened or looked at, there is nothing to remove.
        let observed = look(&Bpffs::open(bpffs).ok()?, None).ok()?;
        let pins = observed.iterators().filter(|(_, pin)| pin.provenance.set() == Some(set));
        let number = pins.count();
        if number == 0 {
            return None;
        }
        let (new, now_on) = (&desired.set.name, Escaped::new(&desired.bpffs));
        let bpffs = Escaped::new(bpffs);
        Some(Diagnostic {
            severity: Severity::Warning,
            message: format!(
                "the manifest is now the set `{new}` on {now_on}; {} of the set `{set}` on {bpffs}, \
                 which it was before, are left",
                pins_of(number)
            ),
            causes: Vec::new(),
            hint: Some(format!("`iterctl unpin --set {set} --bpffs {bpffs}` removes them")),
            place: None,
            also: None,
        })
    }

    /// All paths that matter.
    fn interest(&self) -> Interest {
        let mut interest = Interest::default();
        for file in &self.files {
            if file.is_dir() {
                interest.directories.insert(file.clone());
            }
            // If one cannot be listed, the round reports it.
            interest.inputs.extend(sources::files(file).unwrap_or_default());
            interest.inputs.insert(file.clone());
        }
        interest.inputs.extend(self.objects.iter().cloned());
        interest.others = self.others.clone();
        interest.others.extend(self.good.iter().flat_map(|good| named_by(&good.desired)));
        interest
    }

    /// The number of desired pins, once a manifest has been carried out.
    pub(super) fn pins(&self) -> Option<usize> {
        self.good.as_ref().map(|good| good.desired.pins.len())
    }

    /// The end.
    pub(super) fn stop(self) -> Result<Report> {
        let Some(good) = self.good.filter(|_| self.args.unpin_on_exit) else {
            return Ok(Report::new("stopped; the pins stay"));
        };
        let Desired { set, bpffs, .. } = &good.desired;
        let plan = |observed: &Observed| plan::unpin_set(set, observed);
        let aim = Aim::Unpinned { bpffs, plan: &plan };
        transaction(&aim, LAST_LOCK_TIMEOUT, &Signals::default()).context("failed to unpin the set")
    }
}

fn pins_of(number: usize) -> String {
    if number == 1 { "1 pin".to_owned() } else { format!("{number} pins") }
}
