//! The schemas in `schemas/`: they match the types, work in editors, and are true.
//!
//! `SNAPSHOTS=overwrite cargo test --test schemas` writes them; review the diff.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use iterctl::front::report::Report;
use iterctl::front::schema;
use iterctl_core::anatomy::Anatomy;
use iterctl_core::desired::{self, Facts, ObjectFacts, ObjectMap};
use iterctl_core::fault::Candidate;
use iterctl_core::manifest::{self, Input, Source};
use iterctl_core::names::Sha256;
use iterctl_core::target::{Sleep, Target};
use regex::Regex;
use schemars::Schema;
use serde_json::Value;
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::{Assert, Data};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const MANIFEST: &str = "schemas/manifest.json";

#[test]
fn schemas_match_the_types() {
    check_written("schemas/report.json", &schema::report());
    check_written(MANIFEST, &schema::manifest());
}

#[test]
fn the_program_prints_them() {
    for what in ["manifest", "report"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_iterctl"));
        let printed = program.args(["schema", what]).output().expect("the binary is there");
        let written = fs::read(Path::new(ROOT).join(format!("schemas/{what}.json")));
        assert_eq!(printed.stdout, written.expect("it is there"), "{what}");
    }
}

#[track_caller]
fn check_written(file: &str, schema: &Schema) {
    let text = serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n";
    let written = Data::read_from(&Path::new(ROOT).join(file), None).raw();
    Assert::new().action_env(DEFAULT_ACTION_ENV).eq(text, written);
}

#[test]
fn every_key_has_a_description_for_editors() {
    let schema = schema::manifest().to_value();
    let definitions = schema["$defs"].as_object().expect("the schema has definitions");
    let names: Vec<&String> = definitions.keys().collect();
    assert_eq!(
        names,
        ["Access", "Cgroup", "Entry", "Map", "Order", "Task", "Value"],
        "and nothing of how the types are built"
    );

    let kinds = schema["$defs"]["Map"]["oneOf"].as_array().expect("a map is one of several");
    let mut tables: Vec<&Value> = kinds.iter().collect();
    for kind in kinds {
        let keys = kind["properties"].as_object().expect("each a table").keys();
        assert_eq!(kind["required"], Value::from_iter(keys.cloned()));
        assert_eq!(kind["required"].as_array().map(Vec::len), Some(1), "with exactly one key");
    }
    tables.extend([&schema, &definitions["Access"], &definitions["Entry"]]);
    for table in tables {
        assert_eq!(table["additionalProperties"], false, "{table:#}");
        assert!(table["description"].is_string(), "{table:#}");
    }
    for table in [&schema, &definitions["Access"], &definitions["Entry"]] {
        for (key, value) in table["properties"].as_object().expect("a table has keys") {
            assert!(value["description"].is_string(), "`{key}` has no description");
        }
    }
    assert_eq!(definitions["Entry"]["required"], Value::from_iter(["obj", "path"]));
    assert!(!schema.to_string().contains("null"), "TOML has no null");
}

#[test]
fn every_example_is_valid_and_points_to_the_schema() {
    let schema = schema::manifest().to_value();
    let examples = files(&Path::new(ROOT).join("examples"), "toml");
    assert!(!examples.is_empty(), "no examples");
    for example in examples {
        let name = example.display();
        let text = fs::read_to_string(&example).expect("an example can be read");
        let line = text.lines().next().expect("an example has a line");
        let target = line.strip_prefix("#:schema ").expect("the first line names the schema");
        let target = example.with_file_name(target).canonicalize();
        assert_eq!(target.ok(), Path::new(ROOT).join(MANIFEST).canonicalize().ok(), "{name}");
        assert_eq!(parse(&text).faults, [], "{name}");
        assert!(accepts(&schema, &toml(&text)), "{name}: the schema refuses it");
    }
}

#[test]
fn the_schema_accepts_what_check_accepts() {
    check("", true);
    check(r#"set = "a.b-c_d@e+f:9""#, true);
    check(r#"bpffs = "/run/bpf""#, true);
    check(r#"defaults = { mode = "440", dir-mode = "0755", owner = "root", group = "7" }"#, true);
    check_entry("task.o", "", true);
    check_entry("task.o", r#"program = "dump""#, true);
    check_entry("task.o", "mode = '0600'\ndir-mode = '700'\nowner = '7'\ngroup = '7'", true);
    check_entry("task.o", &format!("sha256 = '{}'", "0A".repeat(32)), true);
    check_entry("elem.o", "map = { id = 20 }", true);
    check_entry("elem.o", r#"map = { pinned = "/sys/fs/bpf/conns" }"#, true);
    check_entry("elem.o", r#"map.name = "conns""#, true);
    check_entry("task.o", "max-entries = { seen = 1, counts = 4294967295 }", true);
}

#[test]
fn the_schema_refuses_what_check_refuses() {
    check(r#"colour = "red""#, false);
    check("set = 5", false);
    check(r#"set = "two words""#, false);
    check(r#"set = ".hidden""#, false);
    check(&format!("set = '{}'", "x".repeat(65)), false);
    check(r#"bpffs = "sys/fs/bpf""#, false);
    check(r#"defaults = "0440""#, false);
    check("defaults = { mode = 440 }", false);
    check(r#"defaults = { mode = "0999" }"#, false);
    check(r#"defaults = { mode = "1777" }"#, false);
    check(r#"defaults = { obj = "task.o" }"#, false);
    check("iter = 5", false);
    check(r#"iter = { obj = "task.o", path = "a" }"#, false);
    check(r#"iter = [{ path = "a" }]"#, false);
    check(r#"iter = [{ obj = "task.o" }]"#, false);
    check(r#"iter = [{ obj = ["task.o"], path = "a" }]"#, false);
    check_entry("task.o", r#"colour = "red""#, false);
    check_entry("task.o", r#"sha256 = "9f86d0""#, false);
    check_entry("task.o", r#"dir-mode = "rwx""#, false);
    check_entry("elem.o", r#"map = "conns""#, false);
    check_entry("elem.o", "map = {}", false);
    check_entry("task.o", "max-entries = 4096", false);
    check_entry("task.o", "max-entries.seen = 0", false);
    check_entry("task.o", "max-entries.seen = '4096'", false);
    check_entry("elem.o", "map = { id = -1 }", false);
    check_entry("elem.o", r#"map = { id = "20" }"#, false);
    check_entry("elem.o", r#"map = { path = "conns" }"#, false);
    check_entry("elem.o", r#"map = { id = 20, name = "conns" }"#, false);
}

#[track_caller]
fn check_entry(obj: &str, keys: &str, good: bool) {
    check(&format!("[[iter]]\nobj = '{obj}'\npath = 'a'\n{keys}"), good);
}

#[track_caller]
fn check(text: &str, good: bool) {
    let object = |target| {
        let target = Target::new(target);
        let program =
            Candidate { program: "dump".to_owned(), target, sleep: Sleep::Never, context: None };
        let sha256 = Sha256::from([0x0a; 32]);
        let map = |name: &str| ObjectMap { name: name.to_owned(), ..ObjectMap::default() };
        Ok(ObjectFacts {
            sha256,
            iterators: vec![program],
            maps: ["seen", "counts"].map(map).to_vec(),
            globals: Vec::new(),
            externs: Vec::new(),
            anatomy: Anatomy::default(),
        })
    };
    let facts = Facts {
        objects: BTreeMap::from([
            (PathBuf::from("/m/task.o"), object("task")),
            (PathBuf::from("/m/elem.o"), object("bpf_map_elem")),
        ]),
        users: BTreeMap::from([("root".to_owned(), Some(0))]),
        ..Facts::default()
    };
    let checked = desired::resolve(&parse(text), &facts);
    assert_eq!(checked.is_ok(), good, "check says {checked:?} to\n{text}");
    let schema = schema::manifest().to_value();
    assert_eq!(accepts(&schema, &toml(text)), good, "the schema is of another mind than check");
}

#[test]
fn an_editor_marks_nothing_that_check_accepts() {
    let schema = schema::manifest().to_value();
    let mut number = 0;
    for manifest in files(&Path::new(ROOT).join("tests/cases"), "toml") {
        let text = fs::read(&manifest).expect("a manifest can be read");
        let Ok(text) = String::from_utf8(text) else { continue };
        let Ok(value) = toml::from_str::<Value>(&text) else { continue };
        let case = manifest.ancestors().find(|folder| folder.join("cmd").exists());
        let status = case.and_then(|case| fs::read_to_string(case.join("status")).ok());
        if status.as_deref() == Some("0\n") {
            assert!(accepts(&schema, &value), "{}: the schema refuses it", manifest.display());
            number += 1;
        }
    }
    assert!(number > 0, "no case is accepted");
}

#[test]
fn json_output_is_a_report() {
    let schema = schema::report().to_value();
    let mut number = 0;
    for file in files(&Path::new(ROOT).join("tests/cases"), "stdout") {
        let text = fs::read_to_string(&file).expect("an answer can be read");
        // Versions have another document.
        if text.starts_with('{') && !text.starts_with("{\"version\"") {
            let report = serde_json::from_str(&text).expect("what begins as JSON is JSON");
            assert!(accepts(&schema, &report), "{}: the schema refuses it", file.display());
            number += 1;
        }
    }
    assert!(number > 0, "no case prints JSON");
}

#[test]
fn other_json_is_not_accepted_as_a_report() {
    let schema = schema::report().to_value();
    let good = serde_json::to_value(Report::new("done")).expect("a report is JSON");
    assert!(accepts(&schema, &good));
    let mut bad = good.clone();
    bad["changed"] = Value::from("yes");
    assert!(!accepts(&schema, &bad), "a text is no boolean");
    let mut bad = good;
    bad.as_object_mut().expect("a report is an object").remove("summary");
    assert!(!accepts(&schema, &bad), "the summary is missing");
}

fn parse(text: &str) -> manifest::Manifest {
    let name = "iters.toml".to_owned();
    let source = Source { name, text: text.to_owned(), base: PathBuf::from("/m") };
    // If a set is written, it must be read.
    let set = (!text.starts_with("set")).then(|| "observe".to_owned());
    manifest::parse(&Input { sources: Arc::new([source]), set, ..Input::default() })
}

fn toml(text: &str) -> Value {
    toml::from_str(text).expect("it is TOML")
}

/// All files below a folder that have this name or extension.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files(&path, name));
        } else if path.extension().or(path.file_name()).is_some_and(|end| end == name) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Whether `value` matches a complete schema.
///
/// Only the parts of JSON Schema that schemars generates for this project's types are supported, and
/// anything else is a panic: a crate that supports all of it is not small (`jsonschema` 0.61 brings 54
/// others).
fn accepts(schema: &Value, value: &Value) -> bool {
    Validator { root: schema }.accepts(schema, value)
}

struct Validator<'a> {
    root: &'a Value,
}

impl Validator<'_> {
    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let Value::Object(keywords) = schema else { return *schema == true };
        keywords.iter().all(|(keyword, wanted)| match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" => true,
            "$ref" => self.accepts(self.definition(wanted), value),
            "const" => wanted == value,
            "type" => is_of_type(wanted, value),
            "minimum" => value.as_f64().is_none_or(|number| Some(number) >= wanted.as_f64()),
            "minLength" => length(value).is_none_or(|length| Some(length) >= wanted.as_u64()),
            "maxLength" => length(value).is_none_or(|length| Some(length) <= wanted.as_u64()),
            "pattern" => value.as_str().is_none_or(|text| pattern(wanted).is_match(text)),
            "anyOf" => items(wanted).any(|schema| self.accepts(schema, value)),
            "oneOf" => items(wanted).filter(|schema| self.accepts(schema, value)).count() == 1,
            "items" => items(value).all(|item| self.accepts(wanted, item)),
            "required" => items(wanted).all(|key| value.get(text(key)).is_some()),
            "properties" => fields(value)
                .all(|(key, value)| wanted.get(key).is_none_or(|one| self.accepts(one, value))),
            "additionalProperties" => fields(value)
                .filter(|(key, _)| {
                    keywords.get("properties").is_none_or(|all| all.get(key).is_none())
                })
                .all(|(_, value)| self.accepts(wanted, value)),
            unknown => unreachable!("`{unknown}` is not understood here yet"),
        })
    }

    fn definition(&self, reference: &Value) -> &Value {
        let pointer = text(reference).trim_start_matches('#');
        self.root.pointer(pointer).expect("references lead somewhere")
    }
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let name = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    wanted == name || items(wanted).any(|one| one == name)
}

fn length(value: &Value) -> Option<u64> {
    value.as_str().map(|text| text.chars().count() as u64)
}

fn pattern(wanted: &Value) -> Regex {
    Regex::new(text(wanted)).expect("patterns are valid")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("it is a text in every schema")
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
