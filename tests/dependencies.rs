//! Compares Cargo.toml's statements about the dependencies with cargo's data on them.

use std::process::Command;

use serde_json::Value;

/// The output of cargo with these arguments.
#[track_caller]
fn cargo(arguments: &[&str]) -> String {
    let mut cargo = Command::new(env!("CARGO"));
    let run = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output();
    let run = run.expect("cargo runs this test");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("cargo prints UTF-8")
}

/// Every package that this machine builds, including those of the tests. All others need not be downloaded.
#[track_caller]
fn packages() -> Vec<Value> {
    let about = cargo(&["--version", "--verbose"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    let platform = format!("--filter-platform={}", host.expect("cargo names its host"));
    let metadata = ["metadata", "--locked", "--offline", "--format-version=1", &platform];
    let metadata: Value = serde_json::from_str(&cargo(&metadata)).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("there are packages").clone()
}

/// Packages of this workspace come from no registry.
fn is_own(package: &Value) -> bool {
    package["source"].is_null()
}

/// `rust-version`; 1.88 is the same as 1.88.0.
fn rust_version(package: &Value) -> Option<[u32; 3]> {
    let mut parts = package["rust_version"].as_str()?.split('.');
    let mut part = || parts.next().map_or(0, |part| part.parse().expect("a version is of numbers"));
    Some([part(), part(), part()])
}

/// clippy's `incompatible_msrv` checks the code of this workspace against the same version.
#[test]
fn no_dependency_needs_a_newer_rust_than_rust_version_says() {
    let packages = packages();
    let own = packages.iter().find(|package| is_own(package)).and_then(rust_version);
    let own = own.expect("Cargo.toml has `rust-version`");
    let newer = packages.iter().filter(|package| rust_version(package) > Some(own));
    let newer: Vec<String> =
        newer.map(|package| format!("{} {}", package["name"], package["rust_version"])).collect();
    assert_eq!(newer, [] as [String; 0], "raise `rust-version`, or take an older release");
}

/// Cargo reads `9.0.0-rc.7` as "this or a later version, releases included", so each would have to be
/// tested.
#[test]
fn a_release_candidate_has_an_exact_version() {
    let packages = packages();
    let own = packages.iter().filter(|package| is_own(package));
    let wanted = own.flat_map(|package| package["dependencies"].as_array().into_iter().flatten());
    let loose = wanted.filter(|dependency| {
        let version = dependency["req"].as_str().unwrap_or_default();
        version.contains('-') && !version.starts_with('=')
    });
    let loose: Vec<String> = loose.map(|one| format!("{} {}", one["name"], one["req"])).collect();
    assert_eq!(loose, [] as [String; 0], "write `=` before the version, and why none is released");
}

/// So the core, with its tests, builds on a machine that has neither libelf nor clang.
#[test]
fn the_core_and_its_tests_need_no_native_library() {
    let tree = cargo(&[
        "tree",
        "--locked",
        "--offline",
        "--package=iterctl-core",
        "--edges=normal,build,dev",
        "--prefix=none",
        "--format={lib}",
    ]);
    let built: Vec<&str> = tree.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    assert!(built.contains(&"iterctl_core"), "{tree}");
    let packages = packages();
    let linking = packages.iter().filter(|package| {
        let name = package["name"].as_str().unwrap_or_default().replace('-', "_");
        built.contains(&name.as_str()) && !package["links"].is_null()
    });
    let linking: Vec<String> = linking.map(|package| package["links"].to_string()).collect();
    assert_eq!(linking, [] as [String; 0]);
}
