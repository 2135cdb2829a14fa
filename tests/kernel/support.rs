//! What the tests on the real kernel share.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`sandbox`] | a folder with a bpffs of its own for each test; commands that run there, and what they must say |
//! | [`bpf`] | maps, pins and ids, without the code under test |
//! | [`needs`] | features that not every kernel has: a test that needs a missing one is skipped |
//! | [`walked`] | processes, threads and cgroups for an iterator to walk |
//! | [`strace`] | system calls that fail, are counted, or stop the program |
//! | [`census`] | all kernel objects of a set, by id |
//! | [`attempts`] | applies that are interrupted at every call, and the checks afterwards |

pub(crate) mod attempts;
pub(crate) mod bpf;
pub(crate) mod census;
pub(crate) mod needs;
pub(crate) mod sandbox;
pub(crate) mod strace;
pub(crate) mod walked;
