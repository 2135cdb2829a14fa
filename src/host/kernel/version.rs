//! The version of this libbpf.

use super::ffi;

/// The version of libbpf: `1.7`.
pub fn libbpf_version() -> String {
    let (major, minor) = ffi::libbpf_version();
    format!("{major}.{minor}")
}
