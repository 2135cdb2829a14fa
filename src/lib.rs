//! iterctl makes BPF iterators declarative: a manifest lists them, and iterctl makes bpffs match it.
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
//! Every subcommand runs this line up to some stage: `check` stops after desired, `plan` after plan, `apply` runs all
//! of it. Stages do not call each other. Only [`front::command`] calls them.
//!
//! # Three parts
//!
//! ```text
//!  main ─► front ─► host ─► core
//! ```
//!
//! An arrow means "uses". None goes back, and no two folders of a part use each other. `tests/layers.rs` reads the
//! sources, and fails if this is not true.
//!
//! **[core](iterctl_core)** decides. It is a crate of its own: no files, no system calls, no libbpf. Begin with
//! [`plan::plan()`](iterctl_core::plan::plan()), whose policy fits on a screen, or with
//! [`desired::resolve()`](iterctl_core::desired::resolve()). The core never looks at the machine. Its results depend
//! on the arguments only. It has no unsafe code.
//!
//! **[host]** is the machine. It never prints, knows no subcommand, and makes no decision about pins.
//!
//! | module | in → out |
//! | --- | --- |
//! | [`host::contents`], [`host::sources`], [`host::object`], [`host::accounts`], [`host::cgroup`], [`host::trust`], [`host::closed`] | files and databases → texts, bytes, facts |
//! | [`host::sys::descriptors`], [`host::sys::threads`], [`host::sys::output`], [`host::sys::signals`] | descriptors as paths; work on several cores; output that waits for no reader; signals that end a command |
//! | [`host::bpffs`] | the file system: walk, lock, staging, renames |
//! | [`host::kernel`] | libbpf: open, load, attach, pin, stamp, query. Begin with [`host::kernel::load()`] |
//! | [`mod@host::execute`] | a plan → bpffs, all or nothing. Begin with [`host::execute::execute()`] |
//! | [`host::reader`] | a run of an iterator → its output |
//! | [`host::wake`] | events on the machine → when the next round starts |
//! | [`host::log`] | the lines of `watch` on standard error |
//!
//! **[front]** is the user interface. It never calls the kernel.
//!
//! | module | in → out |
//! | --- | --- |
//! | [`front::cli`] | arguments → [`Command`](front::cli::Command) |
//! | [`front::command`] | one file for each subcommand, on top of `resolve`, `observe` and `transaction`. Begin with [`front::command::run()`] |
//! | [`front::errors`] | errors of the host → one closed enum, each case with its hint and exit status |
//! | [`front::report`], [`front::exit`] | values → text, JSON, a status |
//! | [`front::schema`], [`front::man`], [`front::version`] | the types, the command line and the build → schemas, man pages, versions |
//!
//! # Invariants
//!
//! - Only [`host::kernel`] calls libbpf, and none of libbpf's types leave it. All `unsafe` code is in
//!   `host/kernel/ffi` and, for what threads need, in [`host::sys::threads`].
//! - The kernel is the state. There is no state file: the stamp that is bound to a pin's program names the owner.
//! - Nothing is visible on bpffs before everything has been loaded, attached and checked.
//! - A pin without the set's stamp is never touched, unless the user passes `--adopt`.

#![allow(
    rustdoc::private_intra_doc_links,
    reason = "these pages are for contributors, who build them with --document-private-items"
)]

pub mod front;
pub mod host;
