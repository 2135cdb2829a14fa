//! One entry's command line → the manifest that says the same. Pure.
//!
//! In: the arguments of `pin` and `read`, in bpftool's grammar. Out: TOML text. It goes the same way
//! as any manifest, so its faults are shown with carets, and it can be kept as a file.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use crate::cli::{GivenArgs, PinArgs, ReadArgs};
use crate::manifest::parse_value;
use crate::value::quote;

/// What is wrong with the words of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InvalidEntry {
    /// The words behind the path are not `map MAP`.
    Map(Vec<String>),
    /// A `--global` without `=`.
    Global(String),
    /// A `--reuse` that is not `NAME=KIND:MAP`.
    Reuse(String),
    /// A `--max-entries` that is not `NAME=N`.
    MaxEntries(String),
    /// A path that is not UTF-8, as TOML has to be.
    NotUtf8(PathBuf),
}

/// Where a command is run: relative paths start from there, as they do for bpftool.
#[derive(Debug)]
pub(super) struct Here {
    /// The current folder.
    pub(super) folder: PathBuf,
    /// Whether that is on a bpffs: only then a relative pin is looked for there.
    pub(super) is_on_bpffs: bool,
    /// The bpffs, as an absolute path.
    pub(super) bpffs: PathBuf,
}

/// The manifest that does the same as `pin`.
///
/// # Errors
/// Where the words make no entry.
pub(super) fn of_pin(args: &PinArgs, here: &Here) -> Result<String, InvalidEntry> {
    let pin = match here.is_on_bpffs {
        true => here.folder.join(&args.path),
        false => args.path.clone(),
    };
    let mut toml = format!("set = {}\n", quote(&args.set));
    toml += &format!("bpffs = {}\n\n[[iter]]\n", quote(text(&here.bpffs)?));
    toml += &format!("obj = {}\n", quote(text(&here.folder.join(&args.obj))?));
    toml += &format!("path = {}\n", quote(text(&pin)?));
    toml += &given(&args.given, &args.map, here)?;
    let access = [
        ("mode", &args.mode),
        ("owner", &args.owner),
        ("group", &args.group),
        ("dir-mode", &args.dir_mode),
    ];
    for (key, value) in access {
        if let Some(value) = value {
            toml += &format!("{key} = {}\n", quote(value));
        }
    }
    Ok(toml)
}

/// A manifest with the iterator that `read` is to run once. Its path is never used.
///
/// # Errors
/// Where the words make no entry.
pub(super) fn of_read(args: &ReadArgs, here: &Here) -> Result<String, InvalidEntry> {
    let mut toml = format!("set = \"read\"\nbpffs = {}\n\n", quote(text(&here.bpffs)?));
    toml += &format!("[[iter]]\nobj = {}\n", quote(text(&here.folder.join(&args.what))?));
    toml += "path = \"once\"\n";
    toml += &given(&args.given, &args.map, here)?;
    Ok(toml)
}

fn text(path: &Path) -> Result<&str, InvalidEntry> {
    path.to_str().ok_or_else(|| InvalidEntry::NotUtf8(path.to_path_buf()))
}

fn given(args: &GivenArgs, map: &[String], here: &Here) -> Result<String, InvalidEntry> {
    let mut toml = String::new();
    if let Some(program) = &args.program {
        toml += &format!("program = {}\n", quote(program));
    }
    if !map.is_empty() {
        toml += &format!("map = {}\n", map_of_words(map, here)?);
    }
    if let (Some(cgroup), Some(order)) = (&args.cgroup, &args.order) {
        let name = match cgroup.parse::<u64>() {
            Ok(id) => format!("id = {id}"),
            Err(_) => format!("path = {}", quote(text(&here.folder.join(cgroup))?)),
        };
        toml += &format!("cgroup = {{ {name}, order = {} }}\n", quote(order));
    }
    if let Some(pid) = args.pid {
        toml += &format!("task = {{ pid = {pid} }}\n");
    }
    if let Some(tid) = args.tid {
        toml += &format!("task = {{ tid = {tid} }}\n");
    }
    let globals: Vec<String> =
        args.globals.iter().map(|one| global(one)).collect::<Result<_, _>>()?;
    if !globals.is_empty() {
        toml += &format!("globals = {{ {} }}\n", globals.join(", "));
    }
    let reused: Vec<String> =
        args.reuse.iter().map(|one| reuse(one, here)).collect::<Result<_, _>>()?;
    if !reused.is_empty() {
        toml += &format!("maps = {{ {} }}\n", reused.join(", "));
    }
    let sizes: Vec<String> =
        args.max_entries.iter().map(|one| max_entries(one)).collect::<Result<_, _>>()?;
    if !sizes.is_empty() {
        toml += &format!("max-entries = {{ {} }}\n", sizes.join(", "));
    }
    if let Some(sha256) = &args.sha256 {
        toml += &format!("sha256 = {}\n", quote(sha256));
    }
    Ok(toml)
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
            Self::NotUtf8(path) => write!(f, "{} is not UTF-8", path.display()),
        }
    }
}

impl std::error::Error for InvalidEntry {}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn here(is_on_bpffs: bool) -> Here {
        let (folder, bpffs) = (PathBuf::from("/here"), PathBuf::from("/sys/fs/bpf"));
        Here { folder, is_on_bpffs, bpffs }
    }

    #[track_caller]
    fn check(words: &str, expected: Result<&str, &str>) {
        let words = std::iter::once("iterctl").chain(words.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("clap takes the words");
        let Some(Command::Pin(args)) = cli.command else { panic!("this is `pin`") };
        let entry = of_pin(&args, &here(false)).map_err(|error| error.to_string());
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
        let toml = |on_bpffs| of_pin(&args, &here(on_bpffs)).expect("it is an entry");
        assert!(toml(false).contains("path = \"p\""), "{}", toml(false));
        assert!(toml(true).contains("path = \"/here/p\""), "{}", toml(true));
    }

    #[test]
    fn no_value_gets_out_of_its_place() {
        let args =
            |value: &str| GivenArgs { globals: vec![value.to_owned()], ..GivenArgs::default() };
        let toml =
            given(&args("x=1 }\nset = \"evil\""), &[], &here(false)).expect("it is a string");
        assert_eq!(toml, "globals = { x = \"1 }\\u000Aset = \\\"evil\\\"\" }\n");
    }
}
