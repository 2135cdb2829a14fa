//! The machine: files, system calls and libbpf.
//!
//! In: values of [the core](iterctl_core). Out: what was found, and changes. Nothing here prints, and nothing here
//! knows a subcommand.

pub mod accounts;
pub mod bpffs;
pub mod cgroup;
pub mod closed;
pub mod contents;
pub mod execute;
pub mod kernel;
pub mod object;
pub mod reader;
pub mod sources;
pub mod sys;
pub mod trust;
pub mod watch;
