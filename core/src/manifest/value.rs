//! A parsed value, of whatever type → [`Value`]. Pure.

use serde_spanned::Spanned;
use toml::de::DeValue as Toml;

use super::read::{Item, Read, Reader, as_written, integer};
use crate::value::{Entries, Value};

/// The parser accepts 80 nested brackets, and keys of 80 parts within each: that may need more stack than
/// there is.
const DEEPEST: usize = 80;

impl Read for Value {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        match item.get_ref() {
            Toml::Boolean(value) => Some(Self::Boolean(*value)),
            Toml::Integer(written) => integer(written)
                .map(Self::Integer)
                .or_else(|| reader.wrong_number(item, written, "a number of at most 128 bits")),
            Toml::String(text) => Some(Self::String(text.clone().into_owned())),
            Toml::Array(items) => {
                let read: Vec<Option<_>> = parts(item, reader, |reader| {
                    items.iter().map(|item| Read::read(item, reader)).collect()
                })?;
                read.into_iter().collect::<Option<_>>().map(Self::Array)
            }
            Toml::Table(_) => {
                parts(item, reader, |reader| Read::read(item, reader))?.map(Self::Table)
            }
            Toml::Float(_) | Toml::Datetime(_) => {
                reader.wrong_type(item, "a boolean, an integer, a string, an array or a table")
            }
        }
    }
}

/// Reads the parts of a value, if it is not nested too deeply.
fn parts<T>(
    item: &Item<'_>,
    reader: &mut Reader,
    read: impl FnOnce(&mut Reader) -> T,
) -> Option<T> {
    if reader.depth == DEEPEST {
        return reader.fault(item, &format!("nested more than {DEEPEST} levels deep"));
    }
    reader.depth += 1;
    let parts = read(reader);
    reader.depth -= 1;
    Some(parts)
}

/// Sorted by key, however they are written: the order in a table has no meaning.
impl<T: Read> Read for Entries<T> {
    fn read(item: &Item<'_>, reader: &mut Reader) -> Option<Self> {
        let table = reader.table(item)?;
        let read: Vec<Option<_>> = as_written(table)
            .into_iter()
            .map(|(key, item)| {
                let key = Spanned::new(key.span(), key.get_ref().clone().into_owned());
                Some((key, Read::read(item, reader)?))
            })
            .collect();
        let mut entries: Vec<(Spanned<String>, Spanned<T>)> =
            read.into_iter().collect::<Option<_>>()?;
        entries.sort_by(|(one, _), (other, _)| one.get_ref().cmp(other.get_ref()));
        Some(Self(entries))
    }
}
