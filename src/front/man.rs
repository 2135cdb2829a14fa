//! The command line and the schema of the manifest → man pages. Pure.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};
use serde_json::Value;

use crate::front::cli::Cli;
use crate::front::schema;

/// A man page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The name of its file: `iterctl-apply.1`.
    pub(crate) file: String,
    /// Its text, as roff.
    pub(crate) text: Vec<u8>,
}

/// Every page: iterctl(1), one for each command, and iterctl.toml(5).
///
/// # Errors
/// None in practice, because the pages are written to memory.
pub(crate) fn pages() -> io::Result<Vec<Page>> {
    let mut all = Cli::command();
    all.build();
    let mut pages = vec![page(&all, "iterctl".to_owned())?];
    for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
        pages.push(page(command, format!("iterctl-{}", command.get_name()))?);
    }
    pages.push(manifest_page()?);
    Ok(pages)
}

fn page(command: &Command, name: String) -> io::Result<Page> {
    let mut text = Vec::new();
    let man = Man::new(command.clone()).source(concat!("iterctl ", env!("CARGO_PKG_VERSION")));
    man.manual("iterctl").render(&mut text)?;
    Ok(Page { file: format!("{name}.1"), text })
}

/// The page iterctl.toml(5), generated from the types that read a manifest.
fn manifest_page() -> io::Result<Page> {
    let schema = schema::manifest().to_value();
    let mut roff = Roff::new();
    let source = concat!("iterctl ", env!("CARGO_PKG_VERSION"));
    roff.control("TH", ["iterctl.toml", "5", "", source, "iterctl"]);
    roff.control("SH", ["NAME"]);
    roff.text([roman("iterctl.toml - a manifest of BPF iterators")]);
    roff.control("SH", ["DESCRIPTION"]);
    roff.text(prose(text_of(&schema)));
    roff.control("SH", ["KEYS OF THE FILE"]);
    keys(&mut roff, &schema);
    let sections = [
        ("KEYS OF [DEFAULTS]", "Access"),
        ("KEYS OF [[ITER]]", "Entry"),
        ("A MAP", "Map"),
        ("A CGROUP", "Cgroup"),
        ("THE ORDER OF A CGROUP", "Order"),
        ("A TASK", "Task"),
        ("A VALUE", "Value"),
    ];
    for (title, name) in sections {
        let definition = &schema["$defs"][name];
        roff.control("SH", [title]);
        roff.text(prose(text_of(definition)));
        keys(&mut roff, definition);
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    roff.text([roman(EXAMPLE)]);
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("iterctl"), roman("(1), "), bold("iterctl-apply"), roman("(1)")]);
    Ok(Page { file: "iterctl.toml.5".to_owned(), text: roff.to_roff().into_bytes() })
}

const EXAMPLE: &str = "\
set = \"observe\"

[defaults]
mode = \"0440\"
group = \"observers\"

[[iter]]
obj = \"task.bpf.o\"
path = \"observe/tasks\"

[[iter]]
obj = \"conn.bpf.o\"
path = \"observe/conns\"
map = { pinned = \"conns\" }";

/// Writes the keys of a table, or the allowed values of an enumeration.
fn keys(roff: &mut Roff, table: &Value) {
    let required = table["required"].as_array().cloned().unwrap_or_default();
    for (key, value) in table["properties"].as_object().into_iter().flatten() {
        let is_required = required.iter().any(|required| required == key);
        let kind = kind(value);
        let mut head = vec![bold(key.as_str()), roman(" = "), italic(kind)];
        if is_required && table["properties"].as_object().is_some_and(|keys| keys.len() > 1) {
            head.push(roman("  (needed)"));
        }
        roff.control("TP", []);
        roff.text(head);
        // The schema of a table with exactly one key may describe the table instead of the key.
        let text = Some(text_of(value)).filter(|text| !text.is_empty());
        roff.text(prose(text.unwrap_or_else(|| text_of(table))));
    }
    for one in ["oneOf", "anyOf"].iter().filter_map(|of| table[of].as_array()).flatten() {
        if let Some(word) = one["const"].as_str() {
            roff.control("TP", []);
            roff.text([bold(word)]);
            roff.text(prose(text_of(one)));
        } else {
            keys(roff, one);
        }
    }
}

/// The kind of value that a key takes.
fn kind(value: &Value) -> &str {
    match value["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        Some("Access" | "Cgroup" | "Map" | "Task") => "table",
        Some("Order") => "order",
        Some(_) => "value",
        None => match value["type"].as_str() {
            Some("object") => "table",
            Some(kind) => kind,
            None => "value",
        },
    }
}

fn text_of(value: &Value) -> &str {
    value["description"].as_str().unwrap_or_default()
}

/// A description as roff: text between backquotes becomes bold.
fn prose(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate();
    let inline = |(number, part): (usize, &str)| {
        if number % 2 == 1 { bold(part) } else { roman(part) }
    };
    parts.map(inline).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &str) -> String {
        let pages = pages().expect("memory does not fail");
        let page = pages.into_iter().find(|page| page.file == file).expect("there is such a page");
        // roff writes a hyphen at which a line must not break with a backslash.
        String::from_utf8(page.text).expect("UTF-8").replace("\\-", "-")
    }

    #[test]
    fn every_command_has_a_page_with_every_flag() {
        let mut all = Cli::command();
        all.build();
        for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
            let page = text(&format!("iterctl-{}.1", command.get_name()));
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&format!("--{flag}")), "--{flag} in {page}");
            }
            assert!(page.contains("Example"), "{page}");
        }
        assert!(text("iterctl.1").contains("a foreign pin is in the way"), "the exit statuses");
    }

    #[test]
    fn every_key_of_a_manifest_is_explained() {
        let page = text("iterctl.toml.5");
        let schema = schema::manifest().to_value();
        let tables = [&schema, &schema["$defs"]["Access"], &schema["$defs"]["Entry"]];
        for table in tables {
            for (key, value) in table["properties"].as_object().expect("a table has keys") {
                assert!(page.contains(&format!("\\fB{key}\\fR = ")), "{key} in {page}");
                let first = text_of(value).split(['`', '.', '\n', '-']).next().unwrap_or_default();
                assert!(page.contains(first), "{first} in {page}");
            }
        }
        assert!(page.contains("descendants-pre") && page.contains("pinned"), "{page}");
    }

    #[test]
    fn every_key_is_followed_by_its_description() {
        let page = text("iterctl.toml.5");
        let lines: Vec<&str> = page.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].contains(" = \\fI")) {
            assert!(!pair[1].is_empty() && !pair[1].starts_with('.'), "{pair:?}");
        }
    }
}
