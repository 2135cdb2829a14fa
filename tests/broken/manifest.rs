//! Any text can be read as a manifest, or has faults, each of which can be shown at its place. Shared by
//! tests/broken_manifests.rs and the fuzz target `manifest`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::Renderer;
use iterctl::front::errors::{Error, Faulty, Origin};
use iterctl::front::report::{error, faults};
use iterctl_core::anatomy::Anatomy;
use iterctl_core::desired::{self, Facts, ObjectFacts, ObjectMap};
use iterctl_core::fault::Candidate;
use iterctl_core::globals::{Global, Type};
use iterctl_core::language::Language;
use iterctl_core::manifest::{self, Argument, Input, Source};
use iterctl_core::names::Sha256;
use iterctl_core::target::{Sleep, Target};

/// A known object and an unknown one.
pub(crate) fn facts() -> Facts {
    let number = Global {
        name: "x".to_owned(),
        section: ".rodata".to_owned(),
        offset: 0,
        kind: Type::Int { size: 1, signed: false },
    };
    let iterator = |name: &str| Candidate {
        program: name.to_owned(),
        target: Target::new("bpf_map_elem"),
        sleep: Sleep::Never,
        context: None,
    };
    let object = ObjectFacts {
        sha256: Sha256::from([1; 32]),
        iterators: vec![iterator("dump"), iterator("other")],
        maps: vec![ObjectMap { name: "m".to_owned(), ..ObjectMap::default() }],
        globals: vec![number],
        externs: Vec::new(),
        anatomy: Anatomy::default(),
    };
    let objects = BTreeMap::from([(PathBuf::from("/m/a.o"), Ok(object))]);
    Facts { objects, ..Facts::default() }
}

/// Reads the text, and shows its faults.
#[track_caller]
pub(crate) fn read(text: &str, facts: &Facts) {
    let name = "iters.toml".to_owned();
    let source = Source { name, text: text.to_owned(), base: PathBuf::from("/m") };
    let arguments = vec![Argument::File(PathBuf::from("/m/iters.toml"))];
    let input = Input { sources: Arc::new([source]), arguments, set: None };
    let manifest = manifest::parse(&input);
    let Err(found) = desired::resolve(&manifest, facts) else { return };
    assert!(found.iter().count() > 0, "a refusal has a reason");
    for fault in found.iter() {
        for language in [Language::Manifest, Language::CommandLine] {
            assert!(!fault.problem.message(language).is_empty());
        }
        if let Some(place) = &fault.place {
            assert!(text.get(place.span()).is_some(), "{place:?} is in the text");
        }
    }
    let shown = faults::render(&found, &input.sources, &Renderer::plain());
    assert!(shown.starts_with("error: "), "{shown}");
    let faulty = Faulty { faults: found, origin: Origin::Manifest(input.sources) };
    let error = Error::from(faulty);
    assert!(!error::diagnostics(&error).is_empty());
}
