//! The language of messages: that of manifests or that of the command line. Pure.

/// The language of an entry, which decides the words of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A manifest: TOML keys.
    Manifest,
    /// The command line of `pin` and `read`: arguments and flags.
    CommandLine,
}
