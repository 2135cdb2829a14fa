//! The versions of this program and of libbpf, and what was compiled in.

use std::fmt;

use serde::Serialize;

use crate::host::kernel;

/// The versions of iterctl and of libbpf, and what was compiled in.
#[derive(Debug, Serialize)]
pub struct Versions {
    /// The version of iterctl.
    pub version: &'static str,
    /// The version of libbpf: major and minor number.
    pub libbpf_version: String,
    /// The libraries that were compiled in, such as `vendored-libelf`.
    pub features: Vec<&'static str>,
}

impl Versions {
    /// The versions of this program.
    pub fn own() -> Self {
        let mut features = vec!["vendored-libbpf"];
        if cfg!(feature = "vendored") {
            features.extend(["vendored-libelf", "vendored-zlib"]);
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            libbpf_version: kernel::libbpf_version(),
            features,
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, libbpf_version, features } = self;
        writeln!(f, "iterctl v{version}")?;
        writeln!(f, "using libbpf v{libbpf_version}")?;
        write!(f, "features: {}", features.join(", "))
    }
}
