//! Hints for problems with the arguments of `pin` and `read`, in the words of the command line. Pure.

use super::words::{below_cgroup2, join, list_candidates, pin_path_help};
use super::{ObjectFault, Problem};
use crate::escaped::Escaped;
use crate::language::Language;
use crate::names::InvalidMapName;

impl Problem {
    /// Like the hint for a manifest, but with arguments and flags instead of keys.
    pub(super) fn help_on_command_line(&self) -> Option<String> {
        match self {
            Self::SetName(_) => self.help(Language::Manifest),
            Self::NoSetName(_) | Self::SetsDiffer { .. } => {
                Some("give one set with `--set NAME`".to_owned())
            }
            Self::BpffsNotAbsolute => Some("write the path without `..`, such as `--bpffs /sys/fs/bpf`".to_owned()),
            Self::BpffsDiffers { .. } | Self::BpffsNotNamed { .. } => Some("give one bpffs with `--bpffs DIR`".to_owned()),
            Self::PinPath { text, why } => pin_path_help(text, why),
            Self::OutsideBpffs(bpffs) => Some(format!(
                "give a path below {}, or another bpffs with `--bpffs DIR`",
                Escaped::new(bpffs)
            )),
            Self::Mode(_) => Some("give three octal digits, such as `--mode 0440`".to_owned()),
            Self::DirectoryMode(_) => Some(
                "give three or four octal digits, such as `--dir-mode 0750` or `--dir-mode 2750`"
                    .to_owned(),
            ),
            Self::UnknownUser(_) => {
                Some("`--owner` takes a user name of this machine, or a uid".to_owned())
            }
            Self::UnknownGroup(_) => {
                Some("`--group` takes a group name of this machine, or a gid".to_owned())
            }
            Self::Sha256 => Some("`sha256sum FILE` prints it".to_owned()),
            Self::Sha256Differs { found } => {
                Some(format!("if this is the right object, give `--sha256 {found}`"))
            }
            Self::NoIterator => self.help(Language::Manifest),
            Self::SeveralIterators(candidates) => Some(format!(
                "add one of {}",
                join(candidates.iter().map(|one| format!("`--program {}`", Escaped::new(&one.program))))
            )),
            Self::NoSuchProgram { candidates, .. } => Some(match candidates.as_slice() {
                [] => "the object holds no iterator at all".to_owned(),
                some => format!("it holds {}", list_candidates(some)),
            }),
            Self::Object(ObjectFault::Missing(_)) => {
                Some("a relative OBJ is looked for in the current directory".to_owned())
            }
            Self::Object(fault) => fault.help(),
            Self::MisspeltTarget { .. } | Self::SleepNotTaken(_) => {
                self.help(Language::Manifest)
            }
            Self::MapWithoutSize(map) => Some(format!(
                "the object leaves its size to the loader: add `--max-entries {map}=N`, or use an existing map with \
                 `--reuse {map}=id:N` or `--reuse {map}=pinned:FILE`",
                map = Escaped::new(map)
            )),
            Self::SizeOfGivenMap { .. } => {
                Some("leave out its `--max-entries`, or its `--reuse`".to_owned())
            }
            Self::SizeOfMapByName { .. } => Some("leave out its `--max-entries`".to_owned()),
            Self::MapNotTaken(_) => Some(
                "leave `map MAP` out: the kernel would take the map's descriptor for something else"
                    .to_owned(),
            ),
            Self::MapNeeded(_) => Some(
                "add `map pinned FILE`, `map id N`, `map name NAME`, or `map own NAME` for one that \
                 the object declares"
                    .to_owned(),
            ),
            Self::MapName(InvalidMapName::TooLong { kept }) => {
                Some(format!("write `{kept}`: the kernel keeps only the first 15 bytes"))
            }
            Self::MapPath => Some("give the path of the pinned map, without `..`".to_owned()),
            Self::CgroupNotTaken(_) => Some("leave `--cgroup` and `--order` out".to_owned()),
            Self::TaskNotTaken(_) => Some("leave `--pid` and `--tid` out".to_owned()),
            Self::CgroupNeeded { mount, .. } => Some(below_cgroup2(mount.as_deref(), |directory| {
                format!("add `--cgroup {directory} --order descendants-pre`")
            })),
            Self::OrderNeeded => Some(
                "add `--order` with `self-only`, `descendants-pre`, `descendants-post`, \
                 `ancestors-up` or `children`"
                    .to_owned(),
            ),
            Self::CgroupName { mount } => Some(below_cgroup2(mount.as_deref(), |directory| {
                format!("give either `--cgroup {directory}/…` or `--cgroup ID`")
            })),
            Self::Global(misfit) => misfit.help(Language::CommandLine),
            Self::UnknownMap { .. } => self.help(Language::Manifest),
            Self::OwnMapHere => Some(
                "name a map that exists already: `--reuse NAME=id:N`, `NAME=pinned:FILE` or \
                 `NAME=name:NAME`"
                    .to_owned(),
            ),
            Self::Syntax(_)
            | Self::Shape(_)
            | Self::TooManyShapes
            | Self::MissingKey(_)
            | Self::DuplicatePath { .. }
            | Self::ParentOfAnother { .. }
            | Self::DirectoriesDiffer { .. }
            | Self::TaskZero
            | Self::TwoParameters
            | Self::MapName(InvalidMapName::Empty)
            | Self::MapIdZero => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::InvalidSetName;
    use crate::target::Target;

    #[track_caller]
    fn check(problem: &Problem, message: &str, help: Option<&str>) {
        assert_eq!(problem.message(Language::CommandLine), message);
        assert_eq!(problem.help(Language::CommandLine).as_deref(), help);
    }

    #[test]
    fn hints_name_flags_instead_of_keys() {
        let message = "the object's SHA-256 does not match `--sha256`";
        let help = "if this is the right object, give `--sha256 00`";
        check(&Problem::Sha256Differs { found: "00".to_owned() }, message, Some(help));
        let message = "an iterator takes only one of `map MAP`, `--cgroup`, `--pid` and `--tid`";
        check(&Problem::TwoParameters, message, None);
        check(
            &Problem::TaskNotTaken(Target::new("tcp")),
            "target `tcp` takes no task",
            Some("leave `--pid` and `--tid` out"),
        );
        check(
            &Problem::OrderNeeded,
            "cgroup without an order",
            Some(
                "add `--order` with `self-only`, `descendants-pre`, `descendants-post`, \
                 `ancestors-up` or `children`",
            ),
        );
        check(
            &Problem::NoSetName("-".to_owned()),
            "no name for the set can be taken from -",
            Some("give one set with `--set NAME`"),
        );
    }

    #[test]
    fn hints_without_keys_are_the_same_in_both_languages() {
        for problem in [
            Problem::SetName(InvalidSetName("a/b".to_owned())),
            Problem::NoIterator,
            Problem::TaskZero,
            Problem::UnknownMap { wanted: "a".to_owned(), known: vec!["b".to_owned()] },
        ] {
            let message = problem.message(Language::Manifest);
            check(&problem, &message, problem.help(Language::Manifest).as_deref());
        }
    }

    #[test]
    fn the_hint_starts_with_mounting_cgroup_v2_if_needed() {
        let needed = |mount: Option<&str>| Problem::CgroupNeeded {
            target: Target::new("cgroup"),
            mount: mount.map(Into::into),
        };
        let message = "target `cgroup` needs a cgroup";
        let help = "add `--cgroup /cg --order descendants-pre`";
        check(&needed(Some("/cg")), message, Some(help));
        let none = "no cgroup v2 is mounted here: `mount -t cgroup2 cgroup2 DIR` mounts it on DIR";
        let help = format!("{none}; then add `--cgroup DIR --order descendants-pre`");
        check(&needed(None), message, Some(&help));
        let help = needed(None).help(Language::Manifest);
        let key = "cgroup = { path = \"DIR\", order = \"descendants-pre\" }";
        assert_eq!(help, Some(format!("{none}; then add `{key}`")));
    }
}
