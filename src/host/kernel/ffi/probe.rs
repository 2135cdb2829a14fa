//! Calls that only test what the kernel has. They either must fail, or create something that is dropped at once.

use std::io;
use std::os::fd::OwnedFd;

use libbpf_sys as sys;

use super::check;
use super::link::load_instructions;

/// `BPF_PROG_BIND_MAP` without a program. Fails with `EBADF` if the kernel has this call.
pub(in crate::host::kernel) fn bind_nothing() -> io::Result<()> {
    // SAFETY: no descriptor has these numbers, and no options are given.
    check(unsafe { sys::bpf_prog_bind_map(-1, -1, std::ptr::null()) }).map(|_| ())
}

/// Loads an iterator that does nothing. `function` is the id of its target's function in the kernel's BTF.
pub(in crate::host::kernel) fn load_iterator(function: u32) -> io::Result<OwnedFd> {
    let zero_and_exit =
        [(sys::BPF_ALU64 | sys::BPF_MOV | sys::BPF_K), (sys::BPF_JMP | sys::BPF_EXIT)];
    let instructions =
        zero_and_exit.map(|code| sys::bpf_insn { code: code as u8, ..Default::default() });
    load_instructions(function, c"iterctl_probe", &instructions)
}

/// Returns whether the kernel creates a small map of this type; the map is dropped at once. Also returns true if
/// libbpf does not know how to create such a map.
pub(in crate::host::kernel) fn has_map_type(map_type: u32) -> bool {
    // SAFETY: the function takes any number, and no options are given.
    unsafe { sys::libbpf_probe_bpf_map_type(map_type, std::ptr::null()) != 0 }
}
