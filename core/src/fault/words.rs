//! The messages and the hints of all problems. Pure.

use std::fmt;
use std::path::Path;

use super::{Candidate, Concern, Place, Problem};
use crate::anatomy::GPL_COMPATIBLE;
use crate::escaped::Escaped;
use crate::language::Language;
use crate::names::InvalidMapName;
use crate::pin_path::InvalidPinPath;
use crate::value::quote;

impl Problem {
    /// The message in that language.
    pub fn message(&self, language: Language) -> String {
        Message { problem: self, language }.to_string()
    }

    /// The hint in that language, if there is one.
    pub fn help(&self, language: Language) -> Option<String> {
        match language {
            Language::Manifest => self.help_in_manifest(),
            Language::CommandLine => self.help_on_command_line(),
        }
    }

    fn help_in_manifest(&self) -> Option<String> {
        match self {
            Self::SetName(_) => Some(
                "a set's name has 1 to 64 ASCII letters, digits and `_-.@+:`, \
                 and begins with a letter or a digit"
                    .to_owned(),
            ),
            Self::NoSetName(_) => {
                Some("write `set = \"…\"` at the top of the manifest, or give `--set`".to_owned())
            }
            Self::SetsDiffer { at: Some(_), .. } => {
                Some("one call is one set: apply the files apart, or give `--set`".to_owned())
            }
            Self::SetsDiffer { at: None, .. } => Some(
                "the names are taken from the files: write `set = \"…\"` in one of them, or give \
                 `--set`"
                    .to_owned(),
            ),
            Self::BpffsNotAbsolute => Some("write it like `/sys/fs/bpf`".to_owned()),
            Self::BpffsDiffers { .. } => {
                Some("one call has one bpffs: apply the files apart".to_owned())
            }
            Self::BpffsNotNamed { other, .. } => Some(format!(
                "write `bpffs = {}` at the top of this file too, or apply the files apart",
                quote(&other.to_string_lossy())
            )),
            Self::PinPath { text, why } => pin_path_help(text, why),
            Self::OutsideBpffs(bpffs) => Some(format!(
                "write a path below {}, or set `bpffs` at the top of the manifest",
                Escaped::new(bpffs)
            )),
            Self::Mode(_) => Some("write three octal digits, such as `0440`".to_owned()),
            Self::DirectoryMode(_) => {
                Some("write three or four octal digits, such as `0750` or `2750`".to_owned())
            }
            Self::DirectoriesDiffer { key, .. } => Some(format!(
                "write the same `{key}` for both, or only for a pin that is nearer to the directory"
            )),
            Self::UnknownUser(_) => Some("name a user of this machine, or give a uid".to_owned()),
            Self::UnknownGroup(_) => Some("name a group of this machine, or give a gid".to_owned()),
            Self::Sha256 => Some("`sha256sum FILE` prints it".to_owned()),
            Self::Sha256Differs { found } => {
                Some(format!("if this is the right object, write `sha256 = \"{found}\"`"))
            }
            Self::NoIterator => Some(
                "an iterator is a program with `SEC(\"iter/…\")` or `SEC(\"iter.s/…\")`".into(),
            ),
            Self::SeveralIterators(candidates) => Some(format!(
                "add one of {}",
                join(candidates.iter().map(|one| format!("`program = \"{}\"`", Escaped::new(&one.program))))
            )),
            Self::NoSuchProgram { candidates, .. } => Some(match candidates.as_slice() {
                [] => "the object holds no iterator at all".to_owned(),
                some => format!("it holds {}", list_candidates(some)),
            }),
            Self::MisspeltTarget { meant, .. } => {
                Some(format!("did you mean `{meant}`? The section of the program would be `SEC(\"iter/{meant}\")`"))
            }
            Self::SleepNotTaken(target) => {
                Some(format!("write `SEC(\"iter/{target}\")` instead of `SEC(\"iter.s/{target}\")`"))
            }
            Self::MapWithoutSize(map) => Some(format!(
                "the object leaves its size to the loader: add `max-entries = {{ {map} = N }}`, or use an existing \
                 map with `maps = {{ {map} = … }}`",
                map = Escaped::new(map)
            )),
            Self::MapNotTaken(_) => Some(
                "remove `map`: the kernel would take the map's descriptor for something else"
                    .to_owned(),
            ),
            Self::MapNeeded(_) => Some(
                "add `map = { pinned = \"/sys/fs/bpf/…\" }`, `{ id = … }`, `{ name = \"…\" }`, or \
                 `{ own = \"…\" }` for one that the object declares"
                    .to_owned(),
            ),
            Self::MapName(InvalidMapName::TooLong { kept }) => {
                Some(format!("write `name = \"{kept}\"`"))
            }
            Self::MapPath => Some("write the path of the pinned map below bpffs".to_owned()),
            Self::Object(fault) => fault.help(),
            Self::CgroupNotTaken(_) => Some("remove `cgroup`".to_owned()),
            Self::TaskNotTaken(_) => Some("remove `task`".to_owned()),
            Self::CgroupNeeded { mount, .. } => Some(below_cgroup2(mount.as_deref(), |directory| {
                format!("add `cgroup = {{ path = \"{directory}\", order = \"descendants-pre\" }}`")
            })),
            Self::OrderNeeded => Some(
                "add `order`: `self-only`, `descendants-pre`, `descendants-post`, `ancestors-up` or \
                 `children`"
                    .to_owned(),
            ),
            Self::CgroupName { mount } => Some(below_cgroup2(mount.as_deref(), |directory| {
                format!("write either `path = \"{directory}/…\"` or `id = …`")
            })),
            Self::Global(misfit) => misfit.help(Language::Manifest),
            Self::UnknownMap { known, .. } => Some(match known.as_slice() {
                [] => "it declares no map".to_owned(),
                some => format!("it declares {}", join(some.iter().map(|name| format!("`{}`", Escaped::new(name))))),
            }),
            Self::OwnMapHere => {
                Some("name a map that exists already: `id`, `pinned` or `name`".to_owned())
            }
            Self::SizeOfGivenMap { .. } => {
                Some("remove it from `max-entries`, or from `maps`".to_owned())
            }
            Self::SizeOfMapByName { .. } => Some("remove it from `max-entries`".to_owned()),
            Self::Syntax(_)
            | Self::Shape(_)
            | Self::TooManyShapes
            | Self::MissingKey(_)
            | Self::DuplicatePath { .. }
            | Self::ParentOfAnother { .. }
            | Self::TaskZero
            | Self::TwoParameters
            | Self::MapName(InvalidMapName::Empty)
            | Self::MapIdZero => None,
        }
    }

    /// Another place that belongs to the problem, and the note to show there.
    pub fn see_also(&self) -> Option<(&Place, &'static str)> {
        if let Self::SetsDiffer { at: Some(at), .. } | Self::BpffsDiffers { at, .. } = self {
            return Some((at, "first named here"));
        }
        if let Self::BpffsNotNamed { at, .. } = self {
            return Some((at, "the other bpffs"));
        }
        if let Self::DuplicatePath { at, .. } = self {
            return Some((at, "first used here"));
        }
        if let Self::DirectoriesDiffer { at, .. } = self {
            return Some((at, "this pin is below it, too"));
        }
        if let Self::SizeOfGivenMap { at, .. } = self {
            return Some((at, "the existing map"));
        }
        if let Self::ParentOfAnother { at, .. } = self {
            return Some((at, "this pin would be below it"));
        }
        None
    }
}

/// The hint for a machine without cgroup v2: no cgroup can be walked there.
pub(crate) const NO_CGROUP2: &str =
    "no cgroup v2 is mounted here: `mount -t cgroup2 cgroup2 DIR` mounts it on DIR";

/// A hint that names a directory of cgroup v2, or says to mount it first.
pub(super) fn below_cgroup2(mount: Option<&Path>, hint: impl Fn(Escaped<'_>) -> String) -> String {
    match mount {
        Some(mount) => hint(Escaped::new(mount)),
        None => format!("{NO_CGROUP2}; then {}", hint(Escaped::new("DIR"))),
    }
}

pub(super) fn pin_path_help(text: &str, why: &InvalidPinPath) -> Option<String> {
    match why {
        InvalidPinPath::Dot(_) => {
            Some(format!("write `{}`", Escaped::new(&text.replace('.', "_"))))
        }
        InvalidPinPath::EmptyComponent => {
            let plain: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
            (!plain.is_empty()).then(|| format!("write `{}`", Escaped::new(&plain.join("/"))))
        }
        InvalidPinPath::Reserved(prefix) => {
            Some(format!("choose a name that does not begin with `{prefix}`"))
        }
        InvalidPinPath::Empty
        | InvalidPinPath::NotNormal(_)
        | InvalidPinPath::ComponentTooLong(_)
        | InvalidPinPath::TooLong(_)
        | InvalidPinPath::TooDeep(_)
        | InvalidPinPath::Control => None,
    }
}

pub(super) fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

pub(super) fn list_candidates(candidates: &[Candidate]) -> String {
    join(candidates.iter().map(|one| format!("`{}` ({})", Escaped::new(&one.program), one.target)))
}

/// A problem's message in a language. Most messages name no key and are the same in all languages.
struct Message<'a> {
    problem: &'a Problem,
    language: Language,
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.write(self.language, f)
    }
}

impl Problem {
    fn write(&self, language: Language, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(message) => match language {
                Language::Manifest => write!(f, "not TOML: {message}"),
                // Only the name in `--global` or `--reuse` is parsed as TOML in the form that the user wrote.
                Language::CommandLine => {
                    write!(f, "the name is given twice, or is not a valid name")
                }
            },
            Self::Shape(message) => f.write_str(message),
            Self::TooManyShapes => write!(f, "too many faults like these to list: fix them first"),
            Self::MissingKey(key) => match language {
                Language::Manifest => write!(f, "entry has no `{key}`"),
                Language::CommandLine => write!(f, "the {key} is missing"),
            },
            Self::SetName(why) => write!(f, "{why}"),
            Self::NoSetName(argument) => {
                write!(f, "no name for the set can be taken from {}", Escaped::new(argument))
            }
            Self::SetsDiffer { here, first, .. } => {
                write!(f, "two sets in one call: `{first}` and `{here}`")
            }
            Self::BpffsNotAbsolute => match language {
                Language::Manifest => {
                    write!(f, "`bpffs` is not an absolute path without `.` and `..`")
                }
                Language::CommandLine => write!(f, "`--bpffs` contains `..`"),
            },
            Self::BpffsDiffers { first, .. } => {
                write!(f, "another bpffs than {} in the same call", Escaped::new(first))
            }
            Self::BpffsNotNamed { other, .. } => write!(
                f,
                "another file of the same call names the bpffs {}, and this one names none",
                Escaped::new(other)
            ),
            Self::PinPath { why, .. } => write!(f, "{why}"),
            Self::OutsideBpffs(bpffs) => {
                write!(f, "pin path is not below the bpffs {}", Escaped::new(bpffs))
            }
            Self::DuplicatePath { path, .. } => write!(f, "two entries have the path `{path}`"),
            Self::ParentOfAnother { path, below, .. } => {
                write!(f, "`{path}` cannot be a pin and the parent directory of `{below}`")
            }
            Self::Mode(text) | Self::DirectoryMode(text) => {
                write!(f, "`{}` is not a mode", text.escape_debug())
            }
            Self::DirectoriesDiffer { directory, key, .. } => {
                write!(f, "two entries want a different `{key}` for the directory `{directory}`")
            }
            Self::UnknownUser(name) => write!(f, "no user `{}`", name.escape_debug()),
            Self::UnknownGroup(name) => write!(f, "no group `{}`", name.escape_debug()),
            Self::Sha256 => match language {
                Language::Manifest => write!(f, "not a SHA-256 in hex"),
                Language::CommandLine => write!(f, "`--sha256` is not a SHA-256 in hex"),
            },
            Self::Sha256Differs { .. } => match language {
                Language::Manifest => write!(f, "the object's SHA-256 does not match `sha256`"),
                Language::CommandLine => {
                    write!(f, "the object's SHA-256 does not match `--sha256`")
                }
            },
            Self::Object(fault) => write!(f, "{fault}"),
            Self::NoIterator => write!(f, "the object holds no iterator"),
            Self::SeveralIterators(candidates) => {
                let names_none = match language {
                    Language::Manifest => "the entry names none",
                    Language::CommandLine => "`--program` is not given",
                };
                let candidates = list_candidates(candidates);
                write!(f, "the object holds several iterators, and {names_none}: {candidates}")
            }
            Self::NoSuchProgram { wanted, .. } => {
                write!(f, "the object holds no iterator `{}`", wanted.escape_debug())
            }
            Self::MisspeltTarget { target, .. } => write!(f, "there is no target `{target}`"),
            Self::SleepNotTaken(target) => {
                write!(f, "target `{target}` takes no sleepable program (`iter.s/…`)")
            }
            Self::MapWithoutSize(map) => {
                write!(
                    f,
                    "the object's map `{}` has no size (`max_entries` is 0)",
                    map.escape_debug()
                )
            }
            Self::MapNotTaken(target) => write!(f, "target `{target}` takes no map"),
            Self::MapNeeded(target) => write!(f, "target `{target}` needs a map"),
            Self::CgroupNotTaken(target) => write!(f, "target `{target}` takes no cgroup"),
            Self::CgroupNeeded { target, .. } => write!(f, "target `{target}` needs a cgroup"),
            Self::OrderNeeded => write!(f, "cgroup without an order"),
            Self::CgroupName { .. } => match language {
                Language::Manifest => write!(f, "name the cgroup either by `path` or by `id`"),
                Language::CommandLine => {
                    write!(f, "name the cgroup either by its directory (without `..`) or by its id")
                }
            },
            Self::TaskNotTaken(target) => write!(f, "target `{target}` takes no task"),
            Self::TaskZero => write!(f, "no task has the number 0"),
            Self::TwoParameters => match language {
                Language::Manifest => {
                    write!(f, "an iterator takes only one of `map`, `cgroup` and `task`")
                }
                Language::CommandLine => {
                    write!(
                        f,
                        "an iterator takes only one of `map MAP`, `--cgroup`, `--pid` and `--tid`"
                    )
                }
            },
            Self::Global(misfit) => write!(f, "{misfit}"),
            Self::UnknownMap { wanted, .. } => {
                write!(f, "the object declares no map `{}`", wanted.escape_debug())
            }
            Self::OwnMapHere => {
                write!(f, "`own` is not an existing map, but one of the object's own maps")
            }
            Self::SizeOfGivenMap { map, .. } => {
                let key = match language {
                    Language::Manifest => "`maps`",
                    Language::CommandLine => "`--reuse`",
                };
                write!(
                    f,
                    "{key} uses an existing map for `{}`, which has a size",
                    map.escape_debug()
                )
            }
            Self::SizeOfMapByName { map, pin } => write!(
                f,
                "the object uses the map that is pinned at {} for `{}`, which has a size",
                Escaped::new(pin),
                map.escape_debug()
            ),
            Self::MapName(why) => write!(f, "{why}"),
            Self::MapIdZero => write!(f, "no map has the id 0"),
            Self::MapPath => write!(f, "not the path of a pinned map"),
        }
    }
}

impl Concern {
    /// The hint.
    pub fn help(&self) -> String {
        match self {
            Self::NoCore => "compile it with `clang -g`, declare the structures with `preserve_access_index` (as \
                             vmlinux.h does); if you strip it, use only `llvm-strip -g`"
                .to_owned(),
            Self::NotGpl { .. } => format!(
                "declare a licence that the kernel accepts as GPL-compatible, such as \
                 `char LICENSE[] SEC(\"license\") = \"GPL\";`; accepted: {}",
                join(GPL_COMPATIBLE.iter().map(|licence| format!("`{licence}`")))
            ),
            Self::OtherContext { context, target } => format!(
                "check the program's section, `SEC(\"iter/{target}\")`, and its argument, \
                 `struct bpf_iter__{context} *`: both must name the same target"
            ),
        }
    }
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCore => write!(
                f,
                "the program has no CO-RE relocations: it uses the structure layouts from when it was compiled, \
                 and may print wrong values on this kernel"
            ),
            Self::NotGpl { licence: Some(licence) } => write!(
                f,
                "the program calls GPL-only functions, but the object's licence is `{}`: the kernel may reject it",
                licence.escape_debug()
            ),
            Self::NotGpl { licence: None } => write!(
                f,
                "the program calls GPL-only functions, but the object declares no licence: the kernel may reject it"
            ),
            Self::OtherContext { context, target } => write!(
                f,
                "the program is for target `{target}`, but its argument is the context of target `{}`: it may be \
                 rejected or print nonsense",
                context.escape_debug()
            ),
        }
    }
}
