//! One entry's command line → the manifest that says the same. Pure.
//!
//! In: the arguments of `pin` and `read`, in bpftool's grammar. Out: TOML text, which is parsed like any manifest and
//! can be saved as a file; and the argument that each part was made of, so that a fault names the argument.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::front::cli::{GivenArgs, PinArgs, ReadArgs};
use crate::front::errors::Words;
use iterctl_core::escaped::Escaped;
use iterctl_core::manifest::parse_value;
use iterctl_core::value::quote;

/// A manifest with a single entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// The text of the manifest.
    pub(super) toml: String,
    /// The arguments that parts of it were made of, except for those whose faults name the argument anyway.
    pub(super) words: Vec<Words>,
}

/// A mistake in the words of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InvalidEntry {
    /// The words after the path are not `map MAP`.
    Map(Vec<String>),
    /// A `--global` without `=`.
    Global(String),
    /// A `--reuse` that is not `NAME=KIND:MAP`.
    Reuse(String),
    /// A `--max-entries` that is not `NAME=N`.
    MaxEntries(String),
    /// A path that is not UTF-8. TOML must be UTF-8.
    NotUtf8(PathBuf),
}

/// The place where a command is run. Relative paths start there, as in bpftool.
#[derive(Debug)]
pub(super) struct Here {
    /// The current folder.
    pub(super) folder: PathBuf,
    /// Whether that folder is on a bpffs: only then, the path of a pin may be relative to it.
    pub(super) is_on_bpffs: bool,
    /// The bpffs, as an absolute path.
    pub(super) bpffs: PathBuf,
}

/// The manifest that does the same as `pin`.
///
/// # Errors
/// If the words make no entry.
pub(super) fn from_pin(args: &PinArgs, here: &Here) -> Result<Entry, InvalidEntry> {
    let pin = match here.is_on_bpffs {
        true => here.folder.join(&args.path),
        false => args.path.clone(),
    };
    let mut entry = Entry::default();
    entry.key("set", &quote(&args.set));
    entry.key("bpffs", &quote(text(&here.bpffs)?));
    entry.toml += "\n[[iter]]\n";
    entry.key("obj", &quote(text(&here.folder.join(&args.obj))?));
    entry.key("path", &quote(text(&pin)?));
    entry.given(&args.given, &args.map, here)?;
    if let Some(mode) = &args.mode {
        entry.argument("mode", &quote(mode), format!("--mode {mode}"));
    }
    let accounts = [
        ("owner", &args.owner),
        ("group", &args.group),
        ("dir-owner", &args.dir_owner),
        ("dir-group", &args.dir_group),
    ];
    for (key, name) in accounts {
        if let Some(name) = name {
            entry.key(key, &quote(name));
        }
    }
    if let Some(mode) = &args.dir_mode {
        entry.argument("dir-mode", &quote(mode), format!("--dir-mode {mode}"));
    }
    Ok(entry)
}

/// A manifest with the iterator that `read` is to run once. Its path is never used.
///
/// # Errors
/// If the words make no entry.
pub(super) fn from_read(args: &ReadArgs, here: &Here) -> Result<Entry, InvalidEntry> {
    let mut entry = Entry::default();
    entry.key("set", "\"read\"");
    entry.key("bpffs", &quote(text(&here.bpffs)?));
    entry.toml += "\n[[iter]]\n";
    entry.key("obj", &quote(text(&here.folder.join(&args.what))?));
    entry.key("path", "\"once\"");
    entry.given(&args.given, &args.map, here)?;
    Ok(entry)
}

fn text(path: &Path) -> Result<&str, InvalidEntry> {
    path.to_str().ok_or_else(|| InvalidEntry::NotUtf8(path.to_path_buf()))
}

impl Entry {
    fn given(&mut self, args: &GivenArgs, map: &[String], here: &Here) -> Result<(), InvalidEntry> {
        if let Some(program) = &args.program {
            self.key("program", &quote(program));
        }
        if !map.is_empty() {
            self.argument("map", &map_of_words(map, here)?, map.join(" "));
        }
        if let (Some(cgroup), Some(order)) = (&args.cgroup, &args.order) {
            let name = match cgroup.parse::<u64>() {
                Ok(id) => format!("id = {id}"),
                Err(_) => format!("path = {}", quote(text(&here.folder.join(cgroup))?)),
            };
            let value = format!("{{ {name}, order = {} }}", quote(order));
            self.argument("cgroup", &value, format!("--cgroup {cgroup} --order {order}"));
        }
        if let Some(pid) = args.pid {
            self.argument("task", &format!("{{ pid = {pid} }}"), format!("--pid {pid}"));
        }
        if let Some(tid) = args.tid {
            self.argument("task", &format!("{{ tid = {tid} }}"), format!("--tid {tid}"));
        }
        let globals = args.globals.iter().map(|one| Ok((global(one)?, format!("--global {one}"))));
        self.table("globals", &globals.collect::<Result<Vec<_>, _>>()?);
        let reused = args.reuse.iter().map(|one| Ok((reuse(one, here)?, format!("--reuse {one}"))));
        self.table("maps", &reused.collect::<Result<Vec<_>, _>>()?);
        let sizes = args
            .max_entries
            .iter()
            .map(|one| Ok((max_entries(one)?, format!("--max-entries {one}"))));
        self.table("max-entries", &sizes.collect::<Result<Vec<_>, _>>()?);
        if let Some(sha256) = &args.sha256 {
            self.key("sha256", &quote(sha256));
        }
        Ok(())
    }

    fn key(&mut self, key: &str, value: &str) {
        self.toml += &format!("{key} = {value}\n");
    }

    /// Adds a key that was made of this argument.
    fn argument(&mut self, key: &str, value: &str, words: String) {
        self.part(&format!("{key} = {value}"), words);
        self.toml += "\n";
    }

    /// Adds a table in which each entry was made of an argument, if there are any.
    fn table(&mut self, key: &str, entries: &[(String, String)]) {
        for (number, (entry, words)) in entries.iter().enumerate() {
            self.toml += &if number == 0 { format!("{key} = {{ ") } else { ", ".to_owned() };
            self.part(entry, words.clone());
        }
        if !entries.is_empty() {
            self.toml += " }\n";
        }
    }

    fn part(&mut self, toml: &str, words: String) {
        let start = self.toml.len();
        self.toml += toml;
        self.words.push(Words { span: start..self.toml.len(), text: words });
    }
}

/// bpftool's `map MAP`, where MAP is `id N`, `pinned FILE` or `name NAME`; and `own NAME`.
fn map_of_words(words: &[String], here: &Here) -> Result<String, InvalidEntry> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["map", kind, name] => map_of(kind, name, here),
        _ => None,
    }
    .ok_or_else(|| InvalidEntry::Map(words.iter().map(|word| (*word).to_owned()).collect()))
}

fn map_of(kind: &str, name: &str, here: &Here) -> Option<String> {
    match kind {
        "id" => Some(format!("{{ id = {} }}", name.parse::<u32>().ok()?)),
        "pinned" => {
            let path = here.folder.join(name);
            Some(format!("{{ pinned = {} }}", quote(path.to_str()?)))
        }
        "name" | "own" => Some(format!("{{ {kind} = {} }}", quote(name))),
        _ => None,
    }
}

/// `NAME=VALUE`. The name may be dotted; the value is TOML, or else a string.
fn global(written: &str) -> Result<String, InvalidEntry> {
    let invalid = || InvalidEntry::Global(written.to_owned());
    let (name, value) = written.split_once('=').ok_or_else(invalid)?;
    let (name, value) = (name.trim(), value.trim());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(invalid());
    }
    Ok(match parse_value(value) {
        Some(value) => format!("{name} = {value}"),
        None => format!("{name} = {}", quote(value)),
    })
}

/// `NAME=KIND:MAP`.
fn reuse(written: &str, here: &Here) -> Result<String, InvalidEntry> {
    let invalid = || InvalidEntry::Reuse(written.to_owned());
    let (name, map) = written.split_once('=').ok_or_else(invalid)?;
    let (kind, map) = map.split_once(':').ok_or_else(invalid)?;
    let map = map_of(kind, map, here).ok_or_else(invalid)?;
    Ok(format!("{} = {map}", quote(name)))
}

/// `NAME=N`.
fn max_entries(written: &str) -> Result<String, InvalidEntry> {
    let invalid = || InvalidEntry::MaxEntries(written.to_owned());
    let (name, size) = written.split_once('=').ok_or_else(invalid)?;
    let size: NonZeroU32 = size.parse().map_err(|_| invalid())?;
    Ok(format!("{} = {size}", quote(name)))
}

impl fmt::Display for InvalidEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(words) => write!(
                f,
                "`{}` is not `map id N`, `map pinned FILE`, `map name NAME` or `map own NAME`",
                words.join(" ").escape_debug()
            ),
            Self::Global(text) => {
                write!(f, "`--global {}` is not `--global NAME=VALUE`", text.escape_debug())
            }
            Self::Reuse(text) => write!(
                f,
                "`--reuse {}` is not `--reuse NAME=id:N`, `NAME=pinned:FILE` or `NAME=name:NAME`",
                text.escape_debug()
            ),
            Self::MaxEntries(text) => write!(
                f,
                "`--max-entries {}` is not `--max-entries NAME=N` with N from 1 to {}",
                text.escape_debug(),
                u32::MAX
            ),
            Self::NotUtf8(path) => write!(f, "{} is not UTF-8", Escaped::new(path)),
        }
    }
}

impl std::error::Error for InvalidEntry {}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::front::cli::{Cli, Command};

    fn here(is_on_bpffs: bool) -> Here {
        let (folder, bpffs) = (PathBuf::from("/here"), PathBuf::from("/sys/fs/bpf"));
        Here { folder, is_on_bpffs, bpffs }
    }

    #[track_caller]
    fn check(words: &str, expected: Result<&str, &str>) {
        let words = std::iter::once("iterctl").chain(words.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("clap takes the words");
        let Some(Command::Pin(args)) = cli.command else { panic!("this is `pin`") };
        let entry = from_pin(&args, &here(false));
        let entry = entry.map(|entry| entry.toml).map_err(|error| error.to_string());
        let head = "set = \"adhoc\"\nbpffs = \"/sys/fs/bpf\"\n\n[[iter]]\n";
        let expected = expected.map(|entry| format!("{head}{entry}")).map_err(str::to_owned);
        assert_eq!(entry, expected);
    }

    #[test]
    fn bpftools_grammar_is_understood() {
        check("pin a.o x/y", Ok("obj = \"/here/a.o\"\npath = \"x/y\"\n"));
        let head = "obj = \"/here/a.o\"\npath = \"p\"\n";
        check("pin a.o p map id 20", Ok(&format!("{head}map = {{ id = 20 }}\n")));
        check("pin a.o p map pinned /m", Ok(&format!("{head}map = {{ pinned = \"/m\" }}\n")));
        check("pin a.o p map pinned m", Ok(&format!("{head}map = {{ pinned = \"/here/m\" }}\n")));
        check("pin a.o p map name m", Ok(&format!("{head}map = {{ name = \"m\" }}\n")));
        check("pin a.o p map own m", Ok(&format!("{head}map = {{ own = \"m\" }}\n")));
        let is_not = "is not `map id N`, `map pinned FILE`, `map name NAME` or `map own NAME`";
        check("pin a.o p map id x", Err(&format!("`map id x` {is_not}")));
        check("pin a.o p map id", Err(&format!("`map id` {is_not}")));
        check("pin a.o p mop id 1", Err(&format!("`mop id 1` {is_not}")));
    }

    #[test]
    fn flags_say_what_an_entry_can() {
        let head = "obj = \"/here/a.o\"\npath = \"p\"\n";
        check("pin a.o p --pid 1", Ok(&format!("{head}task = {{ pid = 1 }}\n")));
        check(
            "pin a.o p --cgroup /c --order self-only",
            Ok(&format!("{head}cgroup = {{ path = \"/c\", order = \"self-only\" }}\n")),
        );
        check(
            "pin a.o p --cgroup c --order self-only",
            Ok(&format!("{head}cgroup = {{ path = \"/here/c\", order = \"self-only\" }}\n")),
        );
        check(
            "pin a.o p --global a.b=5 --global s=text --global on=true",
            Ok(&format!("{head}globals = {{ a.b = 5, s = \"text\", on = true }}\n")),
        );
        check(
            "pin a.o p --reuse seen=pinned:/m",
            Ok(&format!("{head}maps = {{ \"seen\" = {{ pinned = \"/m\" }} }}\n")),
        );
        check(
            "pin a.o p --max-entries seen=4096 --max-entries counts=1",
            Ok(&format!("{head}max-entries = {{ \"seen\" = 4096, \"counts\" = 1 }}\n")),
        );
        let is_not = "is not `--max-entries NAME=N` with N from 1 to 4294967295";
        for words in ["seen", "seen=", "seen=0", "seen=-1", "seen=4294967296", "seen=1.5"] {
            let expected = format!("`--max-entries {words}` {is_not}");
            check(&format!("pin a.o p --max-entries {words}"), Err(&expected));
        }
        check("pin a.o p --global x", Err("`--global x` is not `--global NAME=VALUE`"));
        check("pin a.o p --mode 0440", Ok(&format!("{head}mode = \"0440\"\n")));
    }

    #[test]
    fn a_relative_pin_is_below_the_bpffs_wherever_that_is() {
        let words = ["iterctl", "pin", "a.o", "p"];
        let cli = Cli::try_parse_from(words).expect("clap takes the words");
        let Some(Command::Pin(args)) = cli.command else { panic!("this is `pin`") };
        let toml = |on_bpffs| from_pin(&args, &here(on_bpffs)).expect("it is an entry").toml;
        assert!(toml(false).contains("path = \"p\""), "{}", toml(false));
        assert!(toml(true).contains("path = \"/here/p\""), "{}", toml(true));
    }

    #[test]
    fn no_value_gets_out_of_its_place() {
        let globals = vec!["x=1 }\nset = \"evil\"".to_owned()];
        let args = GivenArgs { globals, ..GivenArgs::default() };
        let mut entry = Entry::default();
        entry.given(&args, &[], &here(false)).expect("it is a string");
        assert_eq!(entry.toml, "globals = { x = \"1 }\\nset = \\\"evil\\\"\" }\n");
    }

    #[test]
    fn parts_of_an_entry_know_which_arguments_they_were() {
        let words = "pin a.o p map id 20 --mode 0440 --global a.b=5 --global s=text --reuse m=id:1";
        let cli = Cli::try_parse_from(["iterctl"].into_iter().chain(words.split(' ')));
        let Some(Command::Pin(args)) = cli.expect("clap takes the words").command else {
            panic!("this is `pin`")
        };
        let Entry { toml, words } = from_pin(&args, &here(false)).expect("it is an entry");
        let parts: Vec<_> =
            words.iter().map(|words| (&toml[words.span.clone()], words.text.as_str())).collect();
        let expected = [
            ("map = { id = 20 }", "map id 20"),
            ("a.b = 5", "--global a.b=5"),
            ("s = \"text\"", "--global s=text"),
            ("\"m\" = { id = 1 }", "--reuse m=id:1"),
            ("mode = \"0440\"", "--mode 0440"),
        ];
        assert_eq!(parts, expected);
    }
}
