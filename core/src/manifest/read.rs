//! A parsed document → [`wire`](super::wire). Every fault of form is found, with its place. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeArray as Array, DeFloat, DeInteger, DeString, DeTable as Table, DeValue as Toml};

use super::MOST_FAULTS;
use super::wire::{Access, Cgroup, Entry, File, Map, Order, Task};
use crate::fault::{Fault, Place, Problem};

/// A key and a value with their places.
pub(super) type Key<'a> = Spanned<DeString<'a>>;
pub(super) type Item<'a> = Spanned<Toml<'a>>;

/// The state of reading a document, apart from its values.
pub(super) struct Reader {
    /// The number of the source.
    source: usize,
    /// All that could not be read.
    pub(super) faults: Vec<Fault>,
    /// The offsets of entries with a key that could not be read.
    pub(super) incomplete: BTreeSet<usize>,
    /// How deeply the value that is being read is nested.
    pub(super) depth: usize,
}

/// Something that can be read of a TOML value.
pub(super) trait Read: Sized {
    /// `None` if it cannot be read, which has been reported.
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self>;
}

/// Reads the value of a key and stores it. `None` if it cannot be read.
type Take<T> = fn(&mut T, &Item<'_>, &mut Reader) -> Option<()>;

/// A table with these keys, all of which are optional, and with no others.
trait Keys: Default + 'static {
    const KEYS: &'static [(&'static str, Take<Self>)];
}

/// A table with exactly one of these keys.
trait OneKey: Sized + 'static {
    const KEYS: &'static [(&'static str, Reads<Self>)];
}

/// Reads the value of a key.
type Reads<T> = fn(&Item<'_>, &mut Reader) -> Option<T>;

/// Keys with the same names as the fields that they are read into.
macro_rules! keys {
    ($($key:literal => $field:ident),* $(,)?) => {
        &[$(($key, |table, item, reader| put(&mut table.$field, item, reader))),*]
    };
}

fn put<T: Read>(field: &mut Option<T>, item: &Item<'_>, reader: &mut Reader) -> Option<()> {
    *field = Some(T::read(item, reader)?);
    Some(())
}

impl Keys for File {
    const KEYS: &'static [(&'static str, Take<Self>)] = &[
        ("set", |file, item, reader| put(&mut file.set, item, reader)),
        ("bpffs", |file, item, reader| put(&mut file.bpffs, item, reader)),
        // Whatever can be read of both is kept.
        ("defaults", |file, item, reader| {
            let table = reader.table(item)?;
            let (defaults, all) = reader.keys(table);
            file.defaults = defaults;
            all.then_some(())
        }),
        ("iter", |file, item, reader| {
            let array = reader.array(item)?;
            let (entries, all) = reader.entries(array);
            file.iter = entries;
            all.then_some(())
        }),
    ];
}

impl Keys for Access {
    const KEYS: &'static [(&'static str, Take<Self>)] = keys! {
        "mode" => mode,
        "owner" => owner,
        "group" => group,
        "dir-mode" => dir_mode,
        "dir-owner" => dir_owner,
        "dir-group" => dir_group,
    };
}

impl Keys for Entry {
    const KEYS: &'static [(&'static str, Take<Self>)] = keys! {
        "obj" => obj,
        "path" => path,
        "program" => program,
        "map" => map,
        "cgroup" => cgroup,
        "task" => task,
        "globals" => globals,
        "maps" => maps,
        "max-entries" => max_entries,
        "mode" => mode,
        "owner" => owner,
        "group" => group,
        "dir-mode" => dir_mode,
        "dir-owner" => dir_owner,
        "dir-group" => dir_group,
        "sha256" => sha256,
    };
}

impl Keys for Cgroup {
    const KEYS: &'static [(&'static str, Take<Self>)] = keys! {
        "path" => path,
        "id" => id,
        "order" => order,
    };
}

impl OneKey for Map {
    const KEYS: &'static [(&'static str, Reads<Self>)] = &[
        ("id", |item, reader| Read::read(item, reader).map(Self::Id)),
        ("pinned", |item, reader| Read::read(item, reader).map(Self::Pinned)),
        ("name", |item, reader| Read::read(item, reader).map(Self::Name)),
        ("own", |item, reader| Read::read(item, reader).map(Self::Own)),
    ];
}

impl OneKey for Task {
    const KEYS: &'static [(&'static str, Reads<Self>)] = &[
        ("pid", |item, reader| Read::read(item, reader).map(Self::Pid)),
        ("tid", |item, reader| Read::read(item, reader).map(Self::Tid)),
    ];
}

fn one_of<T: fmt::Display>(names: impl Iterator<Item = T>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [one, other] => format!("{one} or {other}"),
        all => format!("one of {}", all.join(", ")),
    }
}

impl Reader {
    pub(super) fn new(source: usize) -> Self {
        Self { source, faults: Vec::new(), incomplete: BTreeSet::new(), depth: 0 }
    }

    /// Reads as much of a document as possible, and returns whether that is everything.
    pub(super) fn document(&mut self, document: &Table<'_>) -> (File, bool) {
        self.keys(document)
    }

    fn entries(&mut self, items: &Array<'_>) -> (Vec<Spanned<Entry>>, bool) {
        let mut entries = Vec::with_capacity(items.len());
        let mut all = true;
        for item in items {
            let Some(table) = self.table(item) else {
                all = false;
                continue;
            };
            let (entry, is_complete) = self.keys(table);
            let span = item.span();
            if !is_complete {
                self.incomplete.insert(span.start);
            }
            entries.push(Spanned::new(span, entry));
        }
        (entries, all)
    }

    /// Reads every key that can be read, and returns whether that is everything.
    fn keys<T: Keys>(&mut self, table: &Table<'_>) -> (T, bool) {
        let mut read = T::default();
        let mut all = true;
        for (key, item) in as_written(table) {
            let taken = self.known(key, T::KEYS).and_then(|take| take(&mut read, item, self));
            all &= taken.is_some();
        }
        (read, all)
    }

    fn one_key<T: OneKey>(&mut self, item: &Item<'_>) -> Option<T> {
        let table = self.table(item)?;
        let mut one = None;
        for (key, item) in as_written(table) {
            one = Some(self.known(key, T::KEYS)?(item, self)?);
        }
        match table.len() {
            1 => one,
            0 => self.fault(item, "one key belongs here, and there is none"),
            _ => self.fault(item, "one key belongs here, and there are more"),
        }
    }

    pub(super) fn table<'i>(&mut self, item: &'i Item<'i>) -> Option<&'i Table<'i>> {
        item.get_ref().as_table().or_else(|| self.wrong_type(item, "a table"))
    }

    fn array<'i>(&mut self, item: &'i Item<'i>) -> Option<&'i Array<'i>> {
        let array = item.get_ref().as_array();
        array.or_else(|| self.wrong_type(item, "an array: write `[[iter]]`"))
    }

    /// A number of that type, from `least` to `most`.
    fn number<T>(&mut self, item: &Item<'_>, least: T, most: T) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + fmt::Display,
    {
        let expected = format!("a number from {least} to {most}");
        let Toml::Integer(written) = item.get_ref() else {
            return self.wrong_type(item, &expected);
        };
        let fits = |number: &T| (&least..=&most).contains(&number);
        let number = integer(written).and_then(|number| T::try_from(number).ok()).filter(fits);
        number.or_else(|| self.wrong_number(item, written, &expected))
    }

    pub(super) fn wrong_number<T>(
        &mut self,
        item: &Item<'_>,
        written: &DeInteger<'_>,
        expected: &str,
    ) -> Option<T> {
        let message = format!("invalid value: integer `{}`, expected {expected}", decimal(written));
        self.fault(item, &message)
    }

    /// Finds a key by its name. Returns what is listed with it.
    fn known<T>(
        &mut self,
        key: &Key<'_>,
        keys: &'static [(&'static str, T)],
    ) -> Option<&'static T> {
        let known = keys.iter().find(|(name, _)| *name == key.get_ref());
        known.map(|(_, what)| what).or_else(|| {
            let (name, expected) =
                (key.get_ref().escape_debug(), one_of(keys.iter().map(|(name, _)| name)));
            self.fault_at(key.span(), format!("unknown key `{name}`, expected {expected}"))
        })
    }

    pub(super) fn wrong_type<T>(&mut self, item: &Item<'_>, expected: &str) -> Option<T> {
        let found = match item.get_ref() {
            Toml::String(text) => format!("string {text:?}"),
            Toml::Integer(number) => format!("integer `{}`", decimal(number)),
            Toml::Float(number) => format!("floating point `{}`", float(number)),
            Toml::Boolean(value) => format!("boolean `{value}`"),
            Toml::Array(_) => "array".to_owned(),
            Toml::Table(_) => "table".to_owned(),
            Toml::Datetime(_) => "date or time".to_owned(),
        };
        self.fault(item, &format!("invalid type: {found}, expected {expected}"))
    }

    pub(super) fn fault<T>(&mut self, item: &Item<'_>, message: &str) -> Option<T> {
        self.fault_at(item.span(), message.to_owned())
    }

    fn fault_at<T>(&mut self, span: Range<usize>, message: String) -> Option<T> {
        let place = Some(Place::new(self.source, span));
        match self.faults.len() {
            ..MOST_FAULTS => self.faults.push(Fault { place, problem: Problem::Shape(message) }),
            MOST_FAULTS => {
                self.faults.push(Fault { place: None, problem: Problem::TooManyShapes });
            }
            _ => {}
        }
        None
    }
}

/// In the order in which they are written: the parser sorts them by name.
pub(super) fn as_written<'t, 'a>(table: &'t Table<'a>) -> Vec<(&'t Key<'a>, &'t Item<'a>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| key.span().start);
    entries
}

/// TOML asks for 64 bits; the parser keeps the text of a number, so that larger numbers can be read.
pub(super) fn integer(written: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(written.as_str(), written.radix()).ok()
}

/// A number for people.
fn decimal(written: &DeInteger<'_>) -> String {
    integer(written).map_or_else(|| written.to_string(), |number| number.to_string())
}

/// A floating-point number for people.
fn float(written: &DeFloat<'_>) -> String {
    let number = written.as_str().parse().ok();
    number.map_or_else(|| written.to_string(), |number: f64| number.to_string())
}

impl<T: Read> Read for Spanned<T> {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        Some(Self::new(item.span(), T::read(item, reader)?))
    }
}

impl<T: Read> Read for Box<T> {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        T::read(item, reader).map(Self::new)
    }
}

impl Read for String {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        let text = item.get_ref().as_str().map(str::to_owned);
        text.or_else(|| reader.wrong_type(item, "a string"))
    }
}

impl Read for u32 {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        reader.number(item, 0, Self::MAX)
    }
}

impl Read for NonZeroU32 {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        reader.number(item, 1, u32::MAX).and_then(Self::new)
    }
}

impl Read for u64 {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        reader.number(item, 0, Self::MAX)
    }
}

impl Read for Map {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        reader.one_key(item)
    }
}

impl Read for Task {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        reader.one_key(item)
    }
}

impl Read for Cgroup {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        let table = reader.table(item)?;
        let (cgroup, all) = reader.keys(table);
        all.then_some(cgroup)
    }
}

impl Read for Order {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        let written = String::read(item, reader)?;
        let known = Self::ALL.into_iter().find(|order| order.to_string() == written);
        known.or_else(|| {
            let (written, expected) = (written.escape_debug(), one_of(Self::ALL.iter()));
            reader.fault(item, &format!("unknown order `{written}`, expected {expected}"))
        })
    }
}
