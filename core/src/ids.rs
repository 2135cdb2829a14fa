//! The kernel's ids of links, programs and maps. Pure.

use std::fmt;

use serde::Serialize;

macro_rules! kernel_id {
    ($(#[$doc:meta] $name:ident;)*) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(pub u32);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

kernel_id! {
    /// The kernel's id of a BPF link: never used twice until the machine reboots.
    LinkId;
    /// The kernel's id of a loaded program.
    ProgramId;
    /// The kernel's id of a map.
    MapId;
}
