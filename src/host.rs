//! The machine: files, system calls and libbpf.
//!
//! In: values of [the core](iterctl_core). Out: facts about the machine, and changes to it. This part prints nothing,
//! and knows no subcommand.

pub(crate) mod accounts;
pub mod bpffs;
pub(crate) mod cgroup;
pub mod closed;
pub(crate) mod contents;
pub mod execute;
pub mod kernel;
pub mod log;
pub mod object;
pub mod reader;
pub mod sources;
pub mod sys;
pub(crate) mod trust;
pub mod wake;
