//! A value of any type, with the places of all its parts: what `globals` may hold. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_spanned::Spanned;
use toml_writer::{
    ToTomlKey as _, ToTomlValue as _, TomlKeyBuilder, TomlStringBuilder, TomlWrite as _,
};

use crate::escaped::is_shown;

/// A value of a manifest whose type only the object knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Spanned<Value>>),
    /// A table.
    Table(Entries<Value>),
}

/// The entries of a table in the order of their keys, each with the places of its key and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries<T>(pub Vec<(Spanned<String>, Spanned<T>)>);

impl Value {
    /// The name of this kind of value in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Entries_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BTreeMap::<String, T>::json_schema(generator)
    }
}

/// As TOML, on one line.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => f.value(value),
            Self::Integer(number) => f.value(number),
            Self::String(text) => f.write_str(&quote(text)),
            Self::Array(items) => {
                f.open_array()?;
                for (number, item) in items.iter().enumerate() {
                    if number > 0 {
                        f.val_sep()?;
                        f.space()?;
                    }
                    write!(f, "{}", item.get_ref())?;
                }
                f.close_array()
            }
            Self::Table(entries) => write!(f, "{entries}"),
        }
    }
}

/// As a TOML inline table.
impl<T: fmt::Display> fmt::Display for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.open_inline_table()?;
        for (number, (key, value)) in self.0.iter().enumerate() {
            if number > 0 {
                f.val_sep()?;
            }
            f.space()?;
            write!(f, "{} = {}", quote_key(key.get_ref()), value.get_ref())?;
        }
        if !self.0.is_empty() {
            f.space()?;
        }
        f.close_inline_table()
    }
}

/// A TOML key: bare if that is possible.
pub fn quote_key(key: &str) -> String {
    let bare = TomlKeyBuilder::new(key).as_unquoted();
    bare.map_or_else(|| quote(key), |bare| bare.to_toml_key())
}

/// A TOML basic string.
pub fn quote(text: &str) -> String {
    let quoted = TomlStringBuilder::new(text).as_basic().to_toml_value();
    // For TOML, U+0080 to U+009F and invisible characters are normal characters.
    if !quoted.contains(|character| !is_shown(character)) {
        return quoted;
    }
    let escape = |character: char| match (is_shown(character), u32::from(character)) {
        (true, _) => character.to_string(),
        (false, code @ 0..=0xffff) => format!("\\u{code:04X}"),
        (false, code) => format!("\\U{code:08X}"),
    };
    quoted.chars().map(escape).collect()
}

impl JsonSchema for Value {
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value of the variable's own type.",
            "type": ["boolean", "integer", "string", "array", "object"]
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::manifest::{parse_value, parse_values};

    #[track_caller]
    fn check(toml: &str) {
        assert_eq!(parse_value(toml).expect("this is TOML").to_string(), toml);
    }

    #[test]
    fn values_are_written_as_they_are_read() {
        check("{ a = 1, b = -2, c = true }");
        check(r#"{ "odd key" = "ü", s = "a\"b\\c\u0007" }"#);
        check("{ nested = { x = [1, 2, [3]], y = { z = false } } }");
        check(
            "{ big = 18446744073709551615, huge = 18446744073709551616, small = -9223372036854775809 }",
        );
        check(r#"{ a = { "" = { "x.y" = [[], {}] } } }"#);
        check("{}");
        check(r#"{ s = "\b\t\n\f\r\u0000\u007F\u0085\u009B[31m", "\u009B" = "'\\\"" }"#);
    }

    #[test]
    fn spellings_of_one_value_are_written_alike() {
        let alike = |toml: &str| parse_value(toml).expect("this is TOML").to_string();
        assert_eq!(alike("{ b = 0x10, a = 'x' }"), alike("{ \"a\" = \"\\u0078\", b = 1_6 }"));
        assert_eq!(alike("{ a.b.c = 1, a.d = 2 }"), alike("{ a = { d = 2, b = { c = 1 } } }"));
    }

    #[test]
    fn texts_that_are_no_value_are_refused() {
        for toml in ["{ x = 1.5 }", "{ x = [nan] }", "{ x = 1979-05-27 }", "{ x.y = [07:32:00] }"] {
            assert_eq!(parse_value(toml), None, "{toml}");
        }
    }

    #[test]
    fn parts_keep_their_places() {
        let text = "x = [10, { inner = 200 }]";
        let table = parse_values(text).expect("this is TOML");
        let (key, value) = table.0.first().expect("it has an entry");
        assert_eq!(&text[key.span()], "x");
        let Value::Array(items) = value.get_ref() else { panic!("this is an array") };
        assert_eq!(&text[items[0].span()], "10");
        let Value::Table(inner) = items[1].get_ref() else { panic!("this is a table") };
        let (key, value) = inner.0.first().expect("it has an entry");
        assert_eq!((&text[key.span()], &text[value.span()]), ("inner", "200"));
    }

    #[test]
    fn a_schema_says_which_values_there_are() {
        let schema = schemars::schema_for!(Vec<Entries<Value>>);
        let entry = serde_json::json!({
            "type": "object",
            "additionalProperties": { "$ref": "#/$defs/Value" }
        });
        let kinds = serde_json::json!(["boolean", "integer", "string", "array", "object"]);
        let found = |pointer: &str| schema.pointer(pointer);
        assert_eq!(found("/title"), Some(&"Array_of_Entries_of_Value".into()));
        assert_eq!(found("/items"), Some(&entry));
        assert_eq!(found("/$defs/Value/type"), Some(&kinds));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn written_values_are_read_back(value in values()) {
            let Value::Table(table) = entries(vec![("value".to_owned(), value)]) else {
                return Ok(());
            };
            let toml = table.to_string();
            let again = parse_value(&toml).expect("what is written is TOML").to_string();
            prop_assert_eq!(again, toml);
        }
    }

    /// Values of every kind; the keys of a table are in order, as they are when read.
    pub(crate) fn values() -> impl Strategy<Value = Value> {
        let edges = vec![i128::MIN, -129, -128, -1, 0, 1, 255, 256, 1 << 63, 1 << 64, i128::MAX];
        let leaves = prop_oneof![
            any::<bool>().prop_map(Value::Boolean),
            prop_oneof![any::<i128>(), select(edges)].prop_map(Value::Integer),
            prop_oneof![
                any::<String>(),
                select(vec!["", "a", "A", "\0", "\u{7f}\"\\"]).prop_map(str::to_owned)
            ]
            .prop_map(Value::String),
        ];
        leaves.prop_recursive(4, 24, 4, |inner| {
            let keys = prop_oneof![
                4 => select(vec!["", "a", "b", "c"]).prop_map(str::to_owned),
                1 => any::<String>(),
            ];
            let items = vec(inner.clone(), 0..4).prop_map(|items| {
                Value::Array(items.into_iter().map(|item| Spanned::new(0..0, item)).collect())
            });
            let table = proptest::collection::btree_map(keys, inner, 0..4);
            prop_oneof![items, table.prop_map(|table| entries(table.into_iter().collect()))]
        })
    }

    /// A table of these, without their places.
    pub(crate) fn entries(table: Vec<(String, Value)>) -> Value {
        let spanned = |(key, value)| (Spanned::new(0..0, key), Spanned::new(0..0, value));
        Value::Table(Entries(table.into_iter().map(spanned).collect()))
    }
}
