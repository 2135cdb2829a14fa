//! TOML text → [`Manifest`]: every key read, every fault of form collected with its place. Pure.
//!
//! In: the [`Input`], texts that the caller has read. Out: what could be read from them, and the faults.
//! What the values mean is decided in [`desired`](crate::desired).

mod read;
mod syntax;
mod value;
pub mod wire;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use itertools::Itertools as _;
use serde_spanned::Spanned;
use toml::de::DeValue;

use self::read::{Read as _, Reader};
use crate::fault::Fault;
use crate::value::{Entries, Value};

/// Most faults of form that are listed for one file.
const MOST_FAULTS: usize = 50;

/// The texts and names given with `-f` and `--set`, not parsed yet.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Every file, in the order in which they are to be read. Shared with the code that shows places in
    /// them.
    pub sources: Arc<[Source]>,
    /// The `-f` arguments that led to them.
    pub arguments: Vec<Argument>,
    /// The name given with `--set`.
    pub set: Option<String>,
}

/// One file of a manifest.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in messages.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// The absolute folder that relative `obj` paths start from.
    pub base: PathBuf,
}

/// One `-f` argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A file, as an absolute path.
    File(PathBuf),
    /// A directory, as an absolute path.
    Directory(PathBuf),
    /// A pipe or a device, as an absolute path: its name does not identify its contents.
    Stream(PathBuf),
    /// Standard input.
    Stdin,
    /// The command line of `pin`.
    CommandLine,
}

/// The parsed sources, as far as they could be read.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// One for each source, in the same order.
    pub files: Vec<File>,
    /// The `-f` arguments.
    pub arguments: Vec<Argument>,
    /// The name given with `--set`.
    pub set: Option<String>,
    /// The faults of form.
    pub faults: Vec<Fault>,
}

/// One file of the manifest.
#[derive(Clone, Debug, Default)]
pub struct File {
    /// The absolute folder that relative `obj` paths start from.
    pub base: PathBuf,
    /// Its keys.
    pub keys: wire::File,
    /// Whether a key of the document itself, such as `set`, could not be read.
    pub document_is_incomplete: bool,
    /// The offsets of entries with a key that could not be read: a key that is missing there has been
    /// reported already.
    pub incomplete: BTreeSet<usize>,
}

/// Reads every source.
pub fn parse(input: &Input) -> Manifest {
    let mut manifest = Manifest {
        arguments: input.arguments.clone(),
        set: input.set.clone(),
        ..Manifest::default()
    };
    for (number, source) in input.sources.iter().enumerate() {
        let file = parse_file(number, source, &mut manifest.faults);
        manifest.files.push(file);
    }
    manifest
}

impl Manifest {
    /// The absolute paths of all objects that the entries name, each once.
    pub fn objects(&self) -> BTreeSet<PathBuf> {
        // Many entries share one object.
        let written: BTreeSet<(usize, &str)> = self
            .entries()
            .filter_map(|(number, _, entry)| Some((number, entry.obj.as_ref()?.get_ref().as_str())))
            .dedup()
            .collect();
        written
            .iter()
            .filter_map(|(number, object)| Some(self.files.get(*number)?.object(object)))
            .collect()
    }

    /// Every entry with the number of its source and its file.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &File, &wire::Entry)> {
        self.files.iter().enumerate().flat_map(|(number, file)| {
            file.keys.iter.iter().map(move |entry| (number, file, entry.get_ref()))
        })
    }

    /// Every user that the manifest names as an owner.
    pub fn users(&self) -> BTreeSet<&str> {
        self.files
            .iter()
            .flat_map(|file| {
                let entries = file.keys.iter.iter().map(Spanned::get_ref);
                let entries = entries.flat_map(|one| one.owner.iter().chain(&one.dir_owner));
                entries.chain(&file.keys.defaults.owner).chain(&file.keys.defaults.dir_owner)
            })
            .map(|name| name.get_ref().as_str())
            .collect()
    }

    /// Every group that the manifest names.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.files
            .iter()
            .flat_map(|file| {
                let entries = file.keys.iter.iter().map(Spanned::get_ref);
                let entries = entries.flat_map(|one| one.group.iter().chain(&one.dir_group));
                entries.chain(&file.keys.defaults.group).chain(&file.keys.defaults.dir_group)
            })
            .map(|name| name.get_ref().as_str())
            .collect()
    }
}

impl File {
    /// The absolute path of an object as written in this file.
    pub fn object(&self, written: &str) -> PathBuf {
        // Collecting the components drops `./`, so that one object has one path.
        self.base.join(written).components().collect()
    }
}

fn parse_file(number: usize, source: &Source, faults: &mut Vec<Fault>) -> File {
    let mut file = File { base: source.base.clone(), ..File::default() };
    let document = match syntax::parse(number, &source.text) {
        Ok(document) => document,
        Err(broken) => {
            faults.extend(broken);
            file.document_is_incomplete = true;
            return file;
        }
    };
    let mut reader = Reader::new(number);
    let (keys, is_complete) = reader.document(&document);
    let Reader { faults: found, incomplete, .. } = reader;
    faults.extend(found);
    File { keys, document_is_incomplete: !is_complete, incomplete, ..file }
}

/// Parses a text that is only a value, such as the part after `=`.
pub fn parse_value(text: &str) -> Option<Value> {
    const KEY: &str = "value = ";
    let document = format!("{KEY}{text}");
    let mut keys = parse_values(&document)?.0.into_iter();
    let (Some((_, value)), None) = (keys.next(), keys.next()) else { return None };
    (value.span() == (KEY.len()..document.len())).then(|| value.into_inner())
}

/// Parses a document that may have any keys.
pub(crate) fn parse_values(document: &str) -> Option<Entries<Value>> {
    let table = syntax::parse(0, document).ok()?;
    let item = Spanned::new(0..document.len(), DeValue::Table(table));
    Entries::read(&item, &mut Reader::new(0))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::fault::Problem;
    use crate::language::Language;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) -> File {
        let input = Input {
            sources: Arc::new([Source {
                name: "iters.toml".to_owned(),
                text: text.to_owned(),
                base: PathBuf::from("/etc/iterctl"),
            }]),
            ..Input::default()
        };
        let mut manifest = parse(&input);
        let found: Vec<(String, String)> = manifest
            .faults
            .iter()
            .map(|fault| {
                let place = fault.place.clone().map(|place| text[place.span()].to_owned());
                (place.unwrap_or_default(), fault.problem.message(Language::Manifest))
            })
            .collect();
        let expected: Vec<(String, String)> =
            expected.iter().map(|(at, what)| ((*at).to_owned(), (*what).to_owned())).collect();
        assert_eq!(found, expected);
        manifest.files.remove(0)
    }

    #[test]
    fn entries_keep_their_places() {
        let text = "set = \"observe\"\n[[iter]]\nobj = \"task.bpf.o\"\npath = \"a/b\"\n";
        let file = check(text, &[]);
        let entry = file.keys.iter[0].get_ref();
        let path = entry.path.as_ref().expect("the entry has a path");
        assert_eq!(&text[path.span()], "\"a/b\"");
        assert_eq!(
            file.object(entry.obj.as_ref().expect("and an object").get_ref()),
            PathBuf::from("/etc/iterctl/task.bpf.o")
        );
    }

    #[test]
    fn a_map_has_exactly_one_name() {
        let file = check("[[iter]]\nmap = { id = 20 }\n", &[]);
        let map = file.keys.iter[0].get_ref().map.as_ref().expect("the entry has a map");
        assert!(matches!(map.get_ref(), wire::Map::Id(20)));
        check(
            "[[iter]]\nmap = { id = 1, name = \"x\" }\n",
            &[("{ id = 1, name = \"x\" }", "one key belongs here, and there are more")],
        );
    }

    #[test]
    fn every_fault_of_form_is_found() {
        let text = "colour = 1\n[[iter]]\nobj = 5\npath = \"a\"\n[defaults]\nmode = 440\n\
                    [[iter]]\nobject = \"x\"\nmap = { id = -1 }\n";
        let file = check(
            text,
            &[
                (
                    "colour",
                    "unknown key `colour`, expected one of `set`, `bpffs`, `defaults`, `iter`",
                ),
                ("5", "invalid type: integer `5`, expected a string"),
                (
                    "object",
                    "unknown key `object`, expected one of `obj`, `path`, `program`, `map`, \
                     `cgroup`, `task`, `globals`, `maps`, `max-entries`, `mode`, `owner`, `group`, `dir-mode`, `dir-owner`, `dir-group`, \
                     `sha256`",
                ),
                ("-1", "invalid value: integer `-1`, expected a number from 0 to 4294967295"),
                ("440", "invalid type: integer `440`, expected a string"),
            ],
        );
        assert_eq!(file.keys.iter.len(), 2, "what could be read is kept");
        assert_eq!(file.incomplete.len(), 2, "both entries");
        assert!(file.document_is_incomplete, "and the file");
    }

    #[test]
    fn every_fault_of_one_value_is_found() {
        let text = "[[iter]]\ncgroup = { path = 5, order = 'up', depth = 1 }\nglobals = { a = 1.5, b = [nan] }\n";
        let any = "expected a boolean, an integer, a string, an array or a table";
        check(
            text,
            &[
                ("5", "invalid type: integer `5`, expected a string"),
                (
                    "'up'",
                    "unknown order `up`, expected one of `self-only`, `descendants-pre`, \
                     `descendants-post`, `ancestors-up`, `children`",
                ),
                ("depth", "unknown key `depth`, expected one of `path`, `id`, `order`"),
                ("1.5", &format!("invalid type: floating point `1.5`, {any}")),
                ("nan", &format!("invalid type: floating point `NaN`, {any}")),
            ],
        );
    }

    #[test]
    fn broken_toml_is_reported_without_guesses() {
        check("[[iter]\nobj = 5\n", &[("", "not TOML: unclosed array table, expected `]`")]);
    }

    #[test]
    fn large_numbers_keep_their_value() {
        let file = check("[[iter]]\ncgroup.id = 0xffff_ffff_ffff_ffff\n", &[]);
        let cgroup = file.keys.iter[0].get_ref().cgroup.as_ref().expect("the entry has a cgroup");
        let id = cgroup.get_ref().id.as_ref().expect("and the cgroup an id");
        assert_eq!(*id, u64::MAX);
        let (large, larger) = ("1".repeat(38), "1".repeat(40));
        check(&format!("[[iter]]\nglobals.x = {large}\n"), &[]);
        let what = format!("invalid value: integer `{larger}`, expected a number");
        let text = format!("[[iter]]\nglobals.x = {larger}\ncgroup.id = {larger}\n");
        check(
            &text,
            &[
                (&larger, &format!("{what} of at most 128 bits")),
                (&larger, &format!("{what} from 0 to 18446744073709551615")),
            ],
        );
    }

    #[test]
    fn the_depth_of_nesting_is_limited() {
        let brackets = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        check(&format!("[[iter]]\nglobals.x = {}\n", brackets(80)), &[]);
        let nested = || {
            // Keys of many parts, nested in values of such keys: each part is a level.
            let parts = ["a"; 79].join(".");
            let value = (0..78).fold("1".to_owned(), |inner, _| format!("{{ {parts} = {inner} }}"));
            let what = [("a", "nested more than 80 levels deep")];
            check(&format!("[[iter]]\nglobals.x = {value}\n"), &what);
            assert_eq!(parse_value(&value), None);
            let what = "unknown key `a`, expected one of `set`, `bpffs`, `defaults`, `iter`";
            check(&format!("[{parts}]\n{parts} = {value}\n"), &[("a", what)]);
        };
        // The stack of a main thread; the thread of a test has a quarter of that.
        let thread = thread::Builder::new().stack_size(8 << 20).spawn(nested);
        thread.expect("a thread can be started").join().expect("the stack is large enough");
    }

    #[test]
    fn the_number_of_listed_faults_is_limited() {
        let text: String = (0..200).map(|number| format!("key{number} = 1\n")).collect();
        let input = Input {
            sources: Arc::new([Source { name: "x".to_owned(), text, base: PathBuf::new() }]),
            ..Input::default()
        };
        let manifest = parse(&input);
        assert_eq!(manifest.faults.len(), 51);
        assert_eq!(
            manifest.faults.last().map(|fault| &fault.problem),
            Some(&Problem::TooManyShapes)
        );
    }

    #[test]
    fn values_side_by_side_are_not_nested() {
        check(&format!("[[iter]]\nglobals.x = [{}]\n", "[[{}]], ".repeat(100)), &[]);
    }

    #[test]
    fn what_the_entries_name_is_known() {
        let source = |text: &str| Source {
            name: "x.toml".to_owned(),
            text: text.to_owned(),
            base: PathBuf::from("/x"),
        };
        let one = "[defaults]\nowner = 'root'\ngroup = 'wheel'\n\
                   [[iter]]\nobj = './a.bpf.o'\nowner = 'alice'\n[[iter]]\nobj = 'a.bpf.o'\ngroup = 'staff'\n";
        let other = "[[iter]]\nobj = '/y/a.bpf.o'\nowner = 'alice'\ngroup = 'wheel'\n[[iter]]\npath = 'b'\n";
        let input = Input { sources: Arc::new([source(one), source(other)]), ..Input::default() };
        let manifest = parse(&input);
        assert_eq!(manifest.faults, []);
        let objects = ["/x/a.bpf.o", "/y/a.bpf.o"].map(PathBuf::from);
        assert_eq!(manifest.objects(), objects.into());
        assert_eq!(manifest.users(), ["alice", "root"].into());
        assert_eq!(manifest.groups(), ["staff", "wheel"].into());
        let numbers: Vec<usize> = manifest.entries().map(|(number, ..)| number).collect();
        assert_eq!(numbers, [0, 0, 1, 1]);
    }
}
