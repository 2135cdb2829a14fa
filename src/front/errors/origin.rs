//! The origin of the text of entries: files, or the command line.

use std::ops::Range;
use std::sync::Arc;

use iterctl_core::fault::Place;
use iterctl_core::language::Language;
use iterctl_core::manifest::Source;

/// The origin of entries.
#[derive(Clone, Debug)]
pub enum Origin {
    /// In these files. Faults show the place in the file.
    Manifest(Arc<[Source]>),
    /// On the command line of `pin` or `read`. The user did not write the manifest that is made of it, so faults show
    /// no place in it.
    CommandLine(Vec<Words>),
}

/// Words of the command line that are a part of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// The bytes of the manifest that were made of them.
    pub span: Range<usize>,
    /// The words as the user wrote them.
    pub text: String,
}

impl Origin {
    /// The files, if there are any.
    pub fn sources(&self) -> &[Source] {
        match self {
            Self::Manifest(sources) => sources,
            Self::CommandLine(_) => &[],
        }
    }

    /// The files, as a shared reference.
    pub fn shared_sources(&self) -> Arc<[Source]> {
        match self {
            Self::Manifest(sources) => Arc::clone(sources),
            Self::CommandLine(_) => Arc::default(),
        }
    }

    /// Whether the words of faults are for TOML or for arguments.
    pub fn language(&self) -> Language {
        match self {
            Self::Manifest(_) => Language::Manifest,
            Self::CommandLine(_) => Language::CommandLine,
        }
    }

    /// The words of the command line from which this place was made.
    pub fn words(&self, place: &Place) -> Option<&str> {
        let Self::CommandLine(words) = self else { return None };
        let holds = |span: &Range<usize>| span.start <= place.start && place.end <= span.end;
        words.iter().find(|words| holds(&words.span)).map(|words| words.text.as_str())
    }
}
