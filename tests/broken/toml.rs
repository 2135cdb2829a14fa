//! The parser of manifests and the one that cargo uses agree on every text.
//! Shared by tests/broken_manifests.rs and the fuzz target `toml`.

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml_spanner::{Arena, Item, Table, Value};

/// Parses the text with both.
#[track_caller]
pub(crate) fn compare(text: &str) {
    let arena = Arena::new();
    let ours = toml_spanner::parse(text, &arena);
    // Cargo's looks into numbers when they are asked for.
    let cargos = DeTable::parse(text).map(Spanned::into_inner);
    let cargos = cargos.ok().filter(|table| table.values().all(|value| is_sound(value.get_ref())));
    let reason = ours.as_ref().map_err(ToString::to_string).err();
    assert_eq!(ours.is_ok(), cargos.is_some(), "one parser takes it: {reason:?}");
    if let (Ok(ours), Some(cargos)) = (&ours, &cargos) {
        assert!(tables_agree(ours.table(), cargos), "they differ");
    }
}

fn is_sound(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix()).is_ok(),
        // What is too large for a float is infinite for this one.
        DeValue::Float(number) => {
            let is_written = number.as_str().ends_with("inf") || number.as_str().ends_with("nan");
            is_written || number.as_str().parse().is_ok_and(f64::is_finite)
        }
        DeValue::Array(items) => items.iter().all(|item| is_sound(item.get_ref())),
        DeValue::Table(table) => table.values().all(|value| is_sound(value.get_ref())),
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => true,
    }
}

fn tables_agree(ours: &Table<'_>, cargos: &DeTable<'_>) -> bool {
    let value = |name: &str| cargos.iter().find(|(key, _)| key.get_ref() == name);
    ours.len() == cargos.len()
        && ours.iter().all(|(key, item)| {
            value(key.name).is_some_and(|(_, value)| values_agree(item, value.get_ref()))
        })
}

fn values_agree(ours: &Item<'_>, cargos: &DeValue<'_>) -> bool {
    match (ours.value(), cargos) {
        (Value::String(ours), DeValue::String(cargos)) => **ours == **cargos,
        (Value::Integer(ours), DeValue::Integer(cargos)) => {
            i128::from_str_radix(cargos.as_str(), cargos.radix()) == Ok(ours.as_i128())
        }
        (Value::Float(ours), DeValue::Float(cargos)) => {
            let cargos: f64 = cargos.as_str().parse().expect("a float can be read");
            *ours == cargos || ours.is_nan() && cargos.is_nan()
        }
        (Value::Boolean(ours), DeValue::Boolean(cargos)) => ours == cargos,
        (Value::DateTime(_), DeValue::Datetime(_)) => true,
        (Value::Array(ours), DeValue::Array(cargos)) => {
            ours.len() == cargos.len()
                && ours.iter().zip(cargos.iter()).all(|(o, c)| values_agree(o, c.get_ref()))
        }
        (Value::Table(ours), DeValue::Table(cargos)) => tables_agree(ours, cargos),
        _ => false,
    }
}
