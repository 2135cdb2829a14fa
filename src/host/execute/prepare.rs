//! Loads, attaches and pins everything that a plan needs, in the staging directory.

use std::collections::BTreeMap;

use rustix::process::geteuid;

use super::error::{Context as _, Error};
use super::{Failed, Load, parameter};
use crate::host::bpffs::{Bpffs, Kept, Staged, Staging};
use crate::host::kernel::{IteratorLink, LoadError, Loaded, pin_map};
use crate::host::sys::signals::Signals;
use crate::host::sys::threads;
use iterctl_core::access::Meta;
use iterctl_core::desired::{DesiredPin, Program};
use iterctl_core::escaped::Escaped;
use iterctl_core::fault::Place;
use iterctl_core::ids::LinkId;
use iterctl_core::pin_path::PinPath;
use iterctl_core::plan::{Plan, Step, WantedParam};

/// The new pins and their links, by the paths at which they will be.
pub(super) type StagedPins = BTreeMap<PinPath, (Staged, LinkId)>;

/// Everything that a plan's new pins need.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) staged: StagedPins,
    /// Maps that are kept for them.
    pub(super) kept: Vec<Kept>,
}

/// A new pin that a step asks for, and its name in staging.
struct Wanted<'a> {
    path: &'a PinPath,
    pin: &'a DesiredPin,
    param: &'a WantedParam,
    name: Staged,
}

impl Wanted<'_> {
    /// The map of the object's own that it walks.
    fn own_map(&self) -> Option<&str> {
        match self.param {
            WantedParam::OwnMap(name) => Some(name),
            WantedParam::Link(_) => None,
        }
    }
}

/// A program, and the pins that are to be made of it.
type Work<'a> = (&'a Program, Vec<Wanted<'a>>);

/// Everything that was made from a program.
#[derive(Default)]
struct Made {
    kept: Vec<Kept>,
    pins: Vec<(PinPath, (Staged, LinkId))>,
    failed: Vec<Failed>,
}

/// Makes every new pin of the plan in `staging`, with its final mode and owner.
///
/// # Errors
/// Those of every program that does not load and every link that cannot be made, not only the first.
pub(super) fn prepare(
    plan: &Plan,
    load: Load<'_>,
    signals: &Signals,
    staging: &mut Staging<'_>,
) -> Result<Prepared, Vec<Failed>> {
    let mut by_program: BTreeMap<&Program, Vec<Wanted<'_>>> = BTreeMap::new();
    for wanted in plan.steps.iter().filter_map(|step| wanted(step, staging)) {
        by_program.entry(&wanted.pin.program).or_default().push(wanted);
    }
    let work: Vec<Work<'_>> = by_program.into_iter().collect();
    let make = |work: &Work<'_>| match signals.check() {
        Ok(()) => make(work, load, staging),
        // The whole transaction ends: nothing more is made.
        Err(_) => Made::default(),
    };
    // Each thread has one program open, so that descriptors do not grow with their number.
    let made = threads::map(&work, 1, make);
    let (mut prepared, mut errors) = (Prepared::default(), Vec::new());
    for Made { kept, pins, failed } in made {
        prepared.staged.extend(pins);
        prepared.kept.extend(kept);
        errors.extend(failed);
    }
    if errors.is_empty() {
        return Ok(prepared);
    }
    release(&prepared.kept, staging.bpffs());
    Err(errors)
}

/// Releases maps that were kept for pins which are not made. What cannot be released now, the next apply will
/// release.
pub(super) fn release(kept: &[Kept], bpffs: &Bpffs) {
    for kept in kept {
        let _ = bpffs.release(kept);
    }
}

/// Loads a program and makes its pins.
fn make((program, pins): &Work<'_>, load: Load<'_>, staging: &Staging<'_>) -> Made {
    let mut made = Made::default();
    let walked = pins.iter().filter_map(Wanted::own_map).collect();
    let loaded = match load(program, &walked) {
        Ok(loaded) => loaded,
        Err(error) => {
            made.failed.push(Failed {
                paths: pins.iter().map(|wanted| wanted.path.clone()).collect(),
                place: pins.first().map(|wanted| key_to_load(&error, wanted.pin).clone()),
                error: error.context(failed_to_load(program, pins)),
            });
            return made;
        }
    };
    for map in loaded.tail_call_maps() {
        match staging.bpffs().keep(*map, |path| pin_map(*map, path)) {
            Ok(kept) => made.kept.extend(kept),
            Err(error) => {
                let name = Escaped::new(&program.name);
                let what = format!("failed to keep the map {map} of `{name}`");
                made.failed.push(Failed {
                    paths: pins.iter().map(|wanted| wanted.path.clone()).collect(),
                    place: pins.first().map(|wanted| wanted.pin.keys.obj.clone()),
                    error: Error::from(error).context(what),
                });
                return made;
            }
        }
    }
    for wanted in pins {
        match attach_and_pin(&loaded, wanted, staging) {
            Ok(link) => made.pins.push((wanted.path.clone(), (wanted.name.clone(), link))),
            Err(failed) => made.failed.push(failed),
        }
    }
    made
}

fn wanted<'a>(step: &'a Step, staging: &mut Staging<'_>) -> Option<Wanted<'a>> {
    match step {
        Step::Pin { path, want, param } | Step::Replace { path, want, param, .. } => {
            Some(Wanted { path, pin: want, param, name: staging.fresh() })
        }
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetDirectoryMeta { .. }
        | Step::SetMeta { .. } => None,
    }
}

fn failed_to_load(program: &Program, pins: &[Wanted<'_>]) -> String {
    let paths: Vec<String> = pins.iter().take(1).map(|pin| format!("`{}`", pin.path)).collect();
    let others = match pins.len() {
        0 | 1 => String::new(),
        number => format!(" and {} more", number - 1),
    };
    let object = Escaped::new(&program.object);
    let name = Escaped::new(&program.name);
    format!("failed to load `{name}` of {object} for {}{others}", paths.join(""))
}

/// The key that an error of loading is about, if one is known: else it is the object.
fn key_to_load<'a>(error: &Error, pin: &'a DesiredPin) -> &'a Place {
    let obj = &pin.keys.obj;
    if let Error::Load(error) = error
        && let LoadError::MapDiffers { map, .. }
        | LoadError::GivenMap { map, .. }
        | LoadError::MapRefused { map, .. } = &**error
    {
        return pin.keys.maps.get(map).unwrap_or(obj);
    }
    obj
}

fn attach_and_pin(
    loaded: &Loaded,
    wanted: &Wanted<'_>,
    staging: &Staging<'_>,
) -> Result<LinkId, Failed> {
    let Wanted { path, pin, param, .. } = wanted;
    let failed = |what: &str, place: &Place, error: Error| Failed {
        paths: vec![(*path).clone()],
        place: Some(place.clone()),
        error: error.context(format!("failed to {what} `{path}`")),
    };
    let attached = parameter(param, loaded)
        .and_then(|param| IteratorLink::attach(loaded, &pin.program, &param));
    let (link, made) = attached.map_err(|error| {
        let key = pin.keys.param.as_ref().unwrap_or(&pin.keys.obj);
        failed("attach", key, error.into())
    })?;
    self::pin(&link, wanted, staging).map_err(|error| failed("pin", &pin.place, error))?;
    Ok(made.id)
}

fn pin(link: &IteratorLink, wanted: &Wanted<'_>, staging: &Staging<'_>) -> Result<(), Error> {
    let name = &wanted.name;
    link.pin(&staging.pin_path(name)).context("failed to pin it on bpffs")?;
    let Meta { mode, .. } = wanted.pin.meta;
    let is_open_to_its_maker = is_open_to_its_maker(wanted.pin.meta);
    if is_open_to_its_maker && staging.meta(name).is_ok_and(|meta| meta == wanted.pin.meta) {
        return Ok(());
    }
    let mut file = staging.file(name).context("failed to open its pin")?;
    file.set_meta(wanted.pin.meta).context("failed to set its mode and owner")?;
    // If this process could not open it again, it could neither verify it nor undo it.
    if !is_open_to_its_maker {
        IteratorLink::open(&file.proc_path())
            .with_context(|| format!("a pin of mode {mode} cannot be opened again"))?
            .map_err(|kind| {
                Error::Unexpected(format!("{kind} has come there since it was pinned"))
            })?;
    }
    Ok(())
}

/// Whether this process can open such a pin without any privilege: for that, bpffs wants it to be readable and
/// writable.
fn is_open_to_its_maker(meta: Meta) -> bool {
    meta.uid == geteuid().as_raw() && meta.mode.bits() & 0o600 == 0o600
}
