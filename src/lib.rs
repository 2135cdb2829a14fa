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
//! A subcommand is this line, stopped early or carried on: `check` stops after desired, `plan` after plan, `apply`
//! goes on. Stages do not call each other; [`front::command`] is the one place that calls them all.
//!
//! # Three parts
//!
//! ```text
//!  main ─► front ─► host ─► core
//! ```
//!
//! An arrow is "uses"; none goes back, and no two folders of a part use each other. `tests/layers.rs` reads the
//! sources and fails where this is not so.
//!
//! **[core](iterctl_core)** decides. It is a crate of its own: no files, no system calls, no libbpf. Begin with
//! [`plan::plan()`](iterctl_core::plan::plan()), whose policy fits a screen, or with
//! [`desired::resolve()`](iterctl_core::desired::resolve()). What never happens there: a look at the machine, a value
//! that depends on anything but the arguments, unsafe code.
//!
//! **[host]** is the machine. What never happens there: printing, a word of a subcommand, a decision about pins.
//!
//! | module | in → out |
//! | --- | --- |
//! | [`host::contents`], [`host::sources`], [`host::object`], [`host::accounts`], [`host::cgroup`], [`host::trust`], [`host::closed`] | files and databases → texts, bytes, facts |
//! | [`host::sys::descriptors`], [`host::sys::threads`] | descriptors as paths; work on several cores |
//! | [`host::bpffs`] | the file system: walk, lock, staging, renames |
//! | [`host::kernel`] | libbpf: open, load, attach, pin, stamp, ask. Begin with [`host::kernel::load()`] |
//! | [`mod@host::execute`] | a plan → bpffs, all or nothing. Begin with [`host::execute::execute()`] |
//! | [`host::reader`] | a run of an iterator → its output |
//! | [`host::watch`] | what happens on the machine → when to go round again |
//!
//! **[front]** speaks. What never happens there: a call of the kernel.
//!
//! | module | in → out |
//! | --- | --- |
//! | [`front::cli`] | arguments → [`Command`](front::cli::Command) |
//! | [`front::command`] | one file a subcommand, over `resolve`, `observe` and `transaction`. Begin with [`front::command::run()`] |
//! | [`front::errors`] | errors of the host → one closed enum, each case with its hint and exit status |
//! | [`front::report`], [`front::exit`] | values → text, JSON, a status |
//! | [`front::schema`], [`front::man`], [`front::version`] | the types, the command line and the build → what they say of themselves |
//!
//! # Invariants
//!
//! - Only [`host::kernel`] speaks to libbpf, and none of libbpf's types leave it. All `unsafe` is in
//!   `host/kernel/ffi` and, for what threads need, in [`host::sys::threads`].
//! - The kernel is the state. There is no state file: a pin's owner is told by the stamp bound to its program.
//! - Nothing is visible on bpffs before everything has been loaded, attached and checked.
//! - A pin without the set's stamp is never touched, unless the user says `--adopt`.

pub mod front;
pub mod host;
