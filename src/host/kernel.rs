//! The only module that calls libbpf. None of libbpf's types leave it.
//!
//! In: objects as bytes, links and pins as descriptors. Out: facts, scanned values and owned
//! descriptors. All `unsafe` code of this module is in `ffi`. The rest is safe code on top of `ffi` and libbpf-rs.

mod capability;
mod error;
mod externs;
mod fdinfo;
mod ffi;
mod gen_loader;
mod globals;
mod holders;
mod link;
mod load;
mod log;
mod map;
mod max_entries;
mod open;
mod prepare;
mod probe;
mod scan;
mod stamp;
mod verdict;
mod version;

pub use capability::{hint as permission_hint, hint_for_call};
pub use error::{AttachError, Holds, LoadError, MapRefusal};
pub(crate) use externs::unmet;
pub use link::{IteratorLink, Parameter};
pub(crate) use load::reopen;
pub use load::{Loaded, load, load_by_libbpf, load_by_loader, rehearse};
pub use log::show_all;
pub(crate) use map::{FoundMaps, find_maps, pin_map};
pub(crate) use open::look_into;
pub use probe::{features, has_bpf};
pub use scan::Scanner;
pub use version::libbpf_version;
