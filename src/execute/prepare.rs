//! Loads, attaches and pins everything that a plan needs, where nobody sees it.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context as _;

use super::{Failed, Load};
use crate::bpffs::{Staged, Staging};
use crate::desired::{DesiredPin, Program};
use crate::kernel::{IteratorLink, Loaded};
use crate::meta::LinkId;
use crate::path::PinPath;
use crate::plan::{Plan, Step, WantedParam};

/// The new pins and their links, each under the path where it is to be.
pub(super) type StagedPins = HashMap<PinPath, (Staged, LinkId)>;

/// A new pin that a step asks for.
struct Wanted<'a> {
    path: &'a PinPath,
    pin: &'a DesiredPin,
    param: &'a WantedParam,
}

/// Makes every new pin of the plan in `staging`, with its final mode and owner.
///
/// # Errors
/// Of every program that does not load and every link that cannot be made, not only the first.
pub(super) fn prepare(
    plan: &Plan,
    load: Load<'_>,
    staging: &mut Staging<'_>,
) -> Result<StagedPins, Vec<Failed>> {
    let mut by_program: BTreeMap<&Program, Vec<Wanted<'_>>> = BTreeMap::new();
    for wanted in plan.steps.iter().filter_map(wanted) {
        by_program.entry(&wanted.pin.program).or_default().push(wanted);
    }
    let mut staged = StagedPins::new();
    let mut errors = Vec::new();
    // One program after the other, so that descriptors do not grow with the number of programs.
    for (program, pins) in by_program {
        let loaded = match load(program) {
            Ok(loaded) => loaded,
            Err(error) => {
                errors.push(Failed {
                    error: error.context(failed_to_load(program, &pins)),
                    paths: pins.iter().map(|wanted| wanted.path.clone()).collect(),
                });
                continue;
            }
        };
        for wanted in pins {
            let name = staging.fresh();
            match pin(&loaded, &wanted, staging, &name) {
                Ok(link) => {
                    staged.insert(wanted.path.clone(), (name, link));
                }
                Err(error) => {
                    errors.push(Failed {
                        error: error.context(format!("failed to pin `{}`", wanted.path)),
                        paths: vec![wanted.path.clone()],
                    });
                }
            }
        }
    }
    if errors.is_empty() { Ok(staged) } else { Err(errors) }
}

fn wanted(step: &Step) -> Option<Wanted<'_>> {
    match step {
        Step::Pin { path, want, param } | Step::Replace { path, want, param, .. } => {
            Some(Wanted { path, pin: want, param })
        }
        Step::Unpin { .. }
        | Step::RemoveDirectory { .. }
        | Step::MakeDirectory { .. }
        | Step::SetMeta { .. } => None,
    }
}

fn failed_to_load(program: &Program, pins: &[Wanted<'_>]) -> String {
    let paths: Vec<String> = pins.iter().take(1).map(|pin| format!("`{}`", pin.path)).collect();
    let others = match pins.len() {
        0 | 1 => String::new(),
        number => format!(" and {} more", number - 1),
    };
    let object = program.object.display();
    format!("failed to load `{}` of {object} for {}{others}", program.name, paths.join(""))
}

fn pin(
    loaded: &Loaded,
    wanted: &Wanted<'_>,
    staging: &Staging<'_>,
    name: &Staged,
) -> anyhow::Result<LinkId> {
    let (link, made) = IteratorLink::attach(loaded, &wanted.pin.program.target, wanted.param)?;
    link.pin(&staging.pin_path(name)).context("failed to pin it on bpffs")?;
    let file = staging.file(name).context("failed to open its pin")?;
    file.set_meta(wanted.pin.meta).context("failed to set its mode and owner")?;
    Ok(made.id)
}
