//! iterctl makes BPF iterators declarative: a manifest lists them, and bpffs is made to match.
//!
//! # The line of values
//!
//! ```text
//!  -f files ─► manifest ─► desired ─┐
//!                  ▲                ├─► plan ─► execute ─► report
//!  objects ────────┘     observed ──┘              │
//!                  bpffs, kernel ──────────────────┘ observe again: the plan must be empty
//! ```
//!
//! A subcommand is this line, stopped early or carried on: `check` stops after desired, `plan` after
//! plan, `apply` goes on. Stages do not call each other; [`command`] is the one place that calls
//! them all.
//!
//! # Codemap
//!
//! | module | in → out |
//! | --- | --- |
//! | [`path`], [`target`], [`meta`], [`value`] | text, numbers and values that have been checked |
//! | [`globals`] | values of variables → bytes |
//! | [`manifest`] | text → keys with their places |
//! | [`desired`] | keys and facts → what every pin is to be, or all [faults](fault) |
//! | [`feature`] | what kernels have and lack; what a desired needs of that |
//! | [`stamp`] | what a loaded program says of itself ↔ JSON |
//! | [`observed`] | what was found → what every pin is, and whose |
//! | [`mod@plan`] | desired and observed → ordered steps with reasons |
//! | [`contents`], [`sources`], [`object`], [`accounts`], [`cgroup`], [`trust`] | files and databases → texts, bytes, facts |
//! | [`bpffs`] | the file system: walk, lock, staging, renames |
//! | [`procfs`], [`parallel`] | descriptors as paths; work on several cores |
//! | [`kernel`] | libbpf: open, load, attach, pin, stamp, ask |
//! | [`mod@execute`] | a plan → bpffs, all or nothing |
//! | [`reader`] | a run of an iterator → its output |
//! | [`watch`] | what happens on the machine → when to go round again |
//! | [`report`], [`exit`] | values → text, JSON, a status |
//! | [`schema`], [`man`] | the types and the command line → what they say of themselves |
//! | [`cli`], [`command`] | arguments → the line |
//!
//! # Invariants
//!
//! - The first eight rows are pure: no files, clock, environment, printing or libbpf. The same inputs
//!   give the same plan, byte for byte.
//! - Only [`kernel`] speaks to libbpf, and none of libbpf's types leave it. All `unsafe` is in
//!   `kernel/ffi.rs` and its parts in `kernel/ffi/`.
//! - The kernel is the state. There is no state file: a pin's owner is told by the stamp bound to
//!   its program.
//! - Nothing is visible on bpffs before everything has been loaded, attached and checked.
//! - A pin without the set's stamp is never touched, unless the user says `--adopt`.

pub mod accounts;
pub mod bpffs;
pub mod cgroup;
pub mod cli;
pub mod command;
pub mod contents;
pub mod execute;
pub mod exit;
pub mod kernel;
pub mod man;
pub mod object;
pub mod parallel;
pub mod procfs;
pub mod reader;
pub mod report;
pub mod schema;
pub mod sources;
pub mod trust;
pub mod watch;
