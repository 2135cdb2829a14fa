//! The real kernel: root runs the binary on a bpffs that each test mounts for itself.
//!
//! Every test mounts its bpffs in a mount namespace of its own (`kernel::support::sandbox`), so that they
//! run side by side and the machine's /sys/fs/bpf is never touched. They need root, so they are
//! ignored unless asked for: `make test` asks.

// Every test has this attribute instead of `#[test]`.
#[macro_use]
extern crate kernel_test;

/// The attribute is not at the root, so that the modules are looked for in `tests/kernel/`; `cfg(test)`
/// lets clippy treat the helpers as tests too.
#[cfg(test)]
mod kernel {
    // The tests use them as `super::sandbox` and so on.
    use support::{attempts, bpf, needs, sandbox, strace, walked};

    mod support;

    mod apply;
    mod both_ways;
    mod bpftool;
    mod by_name;
    mod copied_stamps;
    mod directories;
    mod drift;
    mod elsewhere;
    mod errors;
    mod examples;
    mod export;
    mod faults;
    mod features;
    mod forged;
    mod gap;
    mod generated;
    mod given_maps;
    mod globals;
    mod hostile;
    mod hostile_races;
    mod in_the_way;
    mod keep_going;
    mod kills;
    mod limits;
    mod list;
    mod lock;
    mod lockdown;
    mod manifests;
    mod many;
    mod maps;
    mod max_entries;
    mod memlock;
    mod mounts;
    mod no_proc;
    mod parameters;
    mod pin;
    mod places;
    mod privilege;
    mod races;
    mod read;
    mod refused;
    mod refused_calls;
    mod rivals;
    mod same_name;
    mod sets;
    mod siblings;
    mod signals;
    mod tail_calls;
    mod targets;
    mod transaction;
    mod trust;
    mod unmet;
    mod unmounted;
    mod unpin;
    mod untrusted_ways;
    mod updated_links;
    mod waiting;
    mod watch;
    mod words;
}
