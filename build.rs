//! With the feature `vendored`, also links libgcc's unwinder statically, so that only libc is needed.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let is_glibc = env::var_os("CARGO_CFG_TARGET_ENV").is_some_and(|libc| libc == "gnu");
    if env::var_os("CARGO_FEATURE_VENDORED").is_none() || !is_glibc {
        return Ok(());
    }
    // Rust's std asks for `-lgcc_s`, which gcc has only as a shared library, and ignores `-static-libgcc`
    // (rustc 1.95). A linker script of that name, found first, takes the same functions from libgcc_eh.a.
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(folder.join("libgcc_s.so"), "INPUT(-l:libgcc_eh.a)\n")?;
    println!("cargo::rustc-link-search=native={}", folder.display());
    Ok(())
}
