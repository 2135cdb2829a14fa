//! In which language the user speaks. Pure.

/// Where an entry was written, and so what the words for its faults are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A manifest: TOML keys.
    Manifest,
    /// The command line of `pin` and `read`: arguments and flags.
    CommandLine,
}
