//! A parsed document − the key that could not be read, so that the rest of it can be. Pure.

use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Removes the key, of the document or of a table in it, whose name or value covers `span` most
/// narrowly, itself or with one of its parts. Gives the start of the table that it stood in.
///
/// A value is removed whole: what is left of `map = { id = "x" }` without `id` would be a new fault.
pub(super) fn remove_at(root: &mut Spanned<DeTable<'_>>, span: &Range<usize>) -> Option<usize> {
    let start = root.span().start;
    let mut narrowest: Option<(usize, Spot)> = None;
    let mut consider = |width: Option<usize>, spot: Spot| {
        if let Some(width) = width
            && narrowest.as_ref().is_none_or(|(least, _)| width <= *least)
        {
            narrowest = Some((width, spot));
        }
    };
    for (key, value) in root.get_ref() {
        let top = key.get_ref().to_string();
        consider(cover(key, value, span), Spot { start, table: None, key: top.clone() });
        let tables: &[Spanned<DeValue<'_>>] = match value.get_ref() {
            DeValue::Array(items) => items,
            DeValue::Table(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => std::slice::from_ref(value),
        };
        for (index, table) in tables.iter().enumerate() {
            let start = table.span().start;
            for (key, value) in table.get_ref().as_table().into_iter().flatten() {
                let within = Some((top.clone(), index));
                let key_name = key.get_ref().to_string();
                consider(cover(key, value, span), Spot { start, table: within, key: key_name });
            }
        }
    }
    let (_, spot) = narrowest?;
    spot.remove_from(root.get_mut())?;
    Some(spot.start)
}

/// The width of the key or the value, or of the narrowest part of the value, that covers `span`.
fn cover(
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    span: &Range<usize>,
) -> Option<usize> {
    let of_key = covering(key.span(), span);
    of_key.into_iter().chain(cover_value(value, span)).min()
}

// The span of a table below a header, such as `[iter.map]`, is the header's: its keys are outside.
fn cover_value(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<usize> {
    let of_parts = match value.get_ref() {
        DeValue::Table(table) => {
            table.iter().filter_map(|(key, value)| cover(key, value, span)).min()
        }
        DeValue::Array(items) => items.iter().filter_map(|item| cover_value(item, span)).min(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => None,
    };
    of_parts.or_else(|| covering(value.span(), span))
}

fn covering(outer: Range<usize>, span: &Range<usize>) -> Option<usize> {
    (outer.start <= span.start && span.end <= outer.end).then(|| outer.len())
}

/// Where a key stands.
struct Spot {
    /// The first byte of its table.
    start: usize,
    /// Its table, by the table's own key and, in an array of tables, its number; `None` for the
    /// document.
    table: Option<(String, usize)>,
    /// The key.
    key: String,
}

impl Spot {
    fn remove_from(&self, root: &mut DeTable<'_>) -> Option<()> {
        let table = match &self.table {
            None => root,
            Some((name, index)) => {
                let mut value = root.get_mut(name.as_str())?.get_mut();
                if let DeValue::Array(items) = value {
                    value = items.get_mut(*index)?.get_mut();
                }
                let DeValue::Table(table) = value else { return None };
                table
            }
        };
        table.remove(self.key.as_str()).map(|_| ())
    }
}
