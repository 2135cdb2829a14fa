//! The mode, owner and group that entries want for the directories above their pins. Pure.
//!
//! In: the pins, sorted by path. Out: one mode, owner and group for each directory, and the entries that contradict
//! each other. What an entry states counts before a default; among these, the pin that is nearest to the directory
//! counts, and among the nearest ones the first by path.

use std::collections::BTreeMap;

use crate::access::{Meta, Mode};
use crate::pin_path::PinPath;

/// A value that the manifest states, or a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted<T> {
    /// Stated: a directory that exists is changed, too.
    Stated(T),
    /// For directories that have to be made.
    Default(T),
}

/// Mode, owner and group of the directories above a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryAccess {
    /// `dir-mode`.
    pub mode: Wanted<Mode>,
    /// The uid behind `dir-owner`.
    pub uid: Wanted<u32>,
    /// The gid behind `dir-group`.
    pub gid: Wanted<u32>,
}

/// Two entries state different values for one directory, and no pin is nearer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contradiction {
    /// The directory.
    pub(super) directory: PinPath,
    /// The key that differs.
    pub(super) key: &'static str,
    /// The first entry, by its number in what was merged.
    pub(super) first: usize,
    /// The other one.
    pub(super) second: usize,
}

impl<T: Copy> Wanted<T> {
    /// The value.
    pub fn value(self) -> T {
        match self {
            Self::Stated(value) | Self::Default(value) => value,
        }
    }

    /// The value, if the manifest states it.
    pub fn stated(self) -> Option<T> {
        match self {
            Self::Stated(value) => Some(value),
            Self::Default(_) => None,
        }
    }
}

impl DirectoryAccess {
    /// The mode, owner and group of a new directory.
    pub fn meta(&self) -> Meta {
        Meta { mode: self.mode.value(), uid: self.uid.value(), gid: self.gid.value() }
    }
}

/// Merges what the pins, sorted by path, want of each directory above them.
pub(super) fn merge<'a>(
    pins: impl Iterator<Item = (&'a PinPath, &'a DirectoryAccess)>,
) -> (BTreeMap<PinPath, DirectoryAccess>, Vec<Contradiction>) {
    let mut merged: BTreeMap<PinPath, Merged> = BTreeMap::new();
    let mut last: Option<(&PinPath, &DirectoryAccess)> = None;
    for (number, (path, access)) in pins.enumerate() {
        // Most pins stand beside another one that wants the same.
        if last.is_some_and(|(other, same)| same == access && other.has_same_parent(path)) {
            continue;
        }
        last = Some((path, access));
        for (distance, directory) in path.ancestors().enumerate() {
            let source = Source { distance, number };
            merged
                .entry(directory)
                .and_modify(|merged| merged.offer(access, source))
                .or_insert_with(|| Merged::new(access, source));
        }
    }
    let contradictions =
        merged.iter().flat_map(|(path, merged)| merged.contradictions(path)).collect();
    let directories = merged.into_iter().map(|(path, merged)| (path, merged.access())).collect();
    (directories, contradictions)
}

/// The source of a value.
#[derive(Clone, Copy)]
struct Source {
    /// How many directories are between the pin and this one.
    distance: usize,
    /// The number of the pin.
    number: usize,
}

/// The values that count so far for one directory.
struct Merged {
    mode: Choice<Mode>,
    uid: Choice<u32>,
    gid: Choice<u32>,
}

struct Choice<T> {
    wanted: Wanted<T>,
    source: Source,
    /// The first pin that states another value, equally near.
    other: Option<usize>,
}

impl Merged {
    fn new(access: &DirectoryAccess, source: Source) -> Self {
        Self {
            mode: Choice::new(access.mode, source),
            uid: Choice::new(access.uid, source),
            gid: Choice::new(access.gid, source),
        }
    }

    fn offer(&mut self, access: &DirectoryAccess, source: Source) {
        self.mode.offer(access.mode, source);
        self.uid.offer(access.uid, source);
        self.gid.offer(access.gid, source);
    }

    fn access(&self) -> DirectoryAccess {
        DirectoryAccess { mode: self.mode.wanted, uid: self.uid.wanted, gid: self.gid.wanted }
    }

    fn contradictions(&self, directory: &PinPath) -> impl Iterator<Item = Contradiction> {
        let of = |key, pair: Option<(usize, usize)>| {
            let (first, second) = pair?;
            Some(Contradiction { directory: directory.clone(), key, first, second })
        };
        [
            of("dir-mode", self.mode.contradiction()),
            of("dir-owner", self.uid.contradiction()),
            of("dir-group", self.gid.contradiction()),
        ]
        .into_iter()
        .flatten()
    }
}

impl<T: Copy + PartialEq> Choice<T> {
    fn new(wanted: Wanted<T>, source: Source) -> Self {
        Self { wanted, source, other: None }
    }

    fn offer(&mut self, wanted: Wanted<T>, source: Source) {
        let rank = |wanted: Wanted<T>, source: Source| (wanted.stated().is_none(), source.distance);
        let (best, offered) = (rank(self.wanted, self.source), rank(wanted, source));
        if offered < best {
            *self = Self::new(wanted, source);
        } else if offered == best && wanted.stated() != self.wanted.stated() {
            self.other.get_or_insert(source.number);
        }
    }

    fn contradiction(&self) -> Option<(usize, usize)> {
        Some((self.source.number, self.other?))
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted::{Default, Stated};
    use super::*;

    fn access(mode: Wanted<u32>) -> DirectoryAccess {
        let mode = match mode {
            Stated(mode) => Stated(Mode::from_stat(mode)),
            Default(mode) => Default(Mode::from_stat(mode)),
        };
        DirectoryAccess { mode, uid: Default(0), gid: Default(0) }
    }

    /// Each directory with its mode; then which pins contradict each other, by number.
    #[track_caller]
    fn check(pins: &[(&str, Wanted<u32>)], expected: &[&str]) {
        let pins: Vec<(PinPath, DirectoryAccess)> = pins
            .iter()
            .map(|(path, mode)| (path.parse().expect("a pin path"), access(*mode)))
            .collect();
        let (directories, contradictions) = merge(pins.iter().map(|(path, access)| (path, access)));
        let directories = directories.iter().map(|(path, access)| match access.mode {
            Stated(mode) => format!("{path} {mode}"),
            Default(mode) => format!("{path} {mode} if it is made"),
        });
        let contradictions = contradictions.iter().map(|one| {
            let Contradiction { directory, key, first, second } = one;
            format!("{key} of {directory}: {first} and {second}")
        });
        let found: Vec<String> = directories.chain(contradictions).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_directory_gets_what_the_pins_below_it_want() {
        check(&[("x", Stated(0o711))], &[]);
        check(&[("a/b/x", Stated(0o750))], &["a 0750", "a/b 0750"]);
        check(
            &[("a/x", Default(0o700)), ("b/x", Stated(0o2750))],
            &["a 0700 if it is made", "b 2750"],
        );
    }

    #[test]
    fn nearest_pin_decides() {
        let pins = [("a/b/x", Stated(0o750)), ("a/y", Stated(0o711))];
        check(&pins, &["a 0711", "a/b 0750"]);
    }

    #[test]
    fn stated_value_counts_before_a_default() {
        check(&[("a/b/x", Stated(0o750)), ("a/y", Default(0o700))], &["a 0750", "a/b 0750"]);
    }

    #[test]
    fn equally_near_pins_must_not_contradict_each_other() {
        let pins = [("a/x", Stated(0o750)), ("a/y", Stated(0o750)), ("a/z", Stated(0o711))];
        check(&pins, &["a 0750", "dir-mode of a: 0 and 2"]);
        check(&[("a/x", Default(0o750)), ("a/y", Default(0o711))], &["a 0750 if it is made"]);
        let pins = [("a/b/x", Stated(0o750)), ("a/c/x", Stated(0o711)), ("a/d", Stated(0o755))];
        check(&pins, &["a 0755", "a/b 0750", "a/c 0711"]);
    }
}
