//! What the tests on the real kernel share.
//!
//! | module | what it has |
//! | --- | --- |
//! | [`sandbox`] | a folder with a bpffs of its own for each test; commands that run there, and what they must say |
//! | [`bpf`] | maps, pins and ids, past the code under test |
//! | [`needs`] | what not every kernel has: a test that needs it is skipped where it is missing |
//! | [`walked`] | processes, threads and cgroups for an iterator to walk |
//! | [`strace`] | system calls that fail, are counted, or stop the program |
//! | [`census`] | all that a set has in the kernel, by id |
//! | [`attempts`] | applies that are broken off at every call, and what must hold afterwards |

pub(crate) mod attempts;
pub(crate) mod bpf;
pub(crate) mod census;
pub(crate) mod needs;
pub(crate) mod sandbox;
pub(crate) mod strace;
pub(crate) mod walked;
