//! Calls that only test what the kernel has. They either must fail, or create something that is dropped at once.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use libbpf_sys as sys;
use rustix::io::Errno;

use super::link::load_instructions;
use super::{check, owned, text, unless_last};

const E2BIG: i32 = Errno::TOOBIG.raw_os_error();

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

/// The kernel's own types, from the kernel itself instead of from sysfs. `None` if it shows none; it has them only
/// after it has loaded a program.
pub(in crate::host::kernel) fn kernel_types() -> io::Result<Option<Vec<u8>>> {
    let mut id = 0;
    loop {
        let mut next = 0;
        // SAFETY: writes one number to `next`.
        let found = check(unsafe { sys::bpf_btf_get_next_id(id, &raw mut next) });
        let Some(found) = unless_last(found, next)? else { return Ok(None) };
        id = found;
        // SAFETY: takes a plain number.
        let btf = match owned(unsafe { sys::bpf_btf_get_fd_by_id(id) }) {
            // It has just gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let mut name = [0_u8; 64];
        let (is_kernels, size) = match btf_info(&btf, &mut name, &mut []) {
            // Before Linux 5.11, the kernel's types have no id, and information has no name.
            Err(error) if error.raw_os_error() == Some(E2BIG) => return Ok(None),
            other => other?,
        };
        if is_kernels && text(&name) == "vmlinux" {
            let mut types = vec![0; size];
            btf_info(&btf, &mut name, &mut types)?;
            return Ok(Some(types));
        }
    }
}

/// `BPF_OBJ_GET_INFO_BY_FD` of types: whether they are the kernel's or a module's, and how many bytes they have.
fn btf_info(btf: &OwnedFd, name: &mut [u8], types: &mut [u8]) -> io::Result<(bool, usize)> {
    let mut info = sys::bpf_btf_info {
        btf: types.as_mut_ptr() as u64,
        btf_size: types.len() as u32,
        name: name.as_mut_ptr() as u64,
        name_len: name.len() as u32,
        ..Default::default()
    };
    let mut size = size_of::<sys::bpf_btf_info>() as u32;
    // SAFETY: `info` has the size that is given with it, and the two pointers in it are to buffers, with their
    // lengths, that outlive the call.
    check(unsafe { sys::bpf_btf_get_info_by_fd(btf.as_raw_fd(), &raw mut info, &raw mut size) })?;
    Ok((info.kernel_btf != 0, info.btf_size as usize))
}

/// Returns whether the kernel creates a small map of this type; the map is dropped at once. Also returns true if
/// libbpf does not know how to create such a map.
pub(in crate::host::kernel) fn has_map_type(map_type: u32) -> bool {
    // SAFETY: the function takes any number, and no options are given.
    unsafe { sys::libbpf_probe_bpf_map_type(map_type, std::ptr::null()) != 0 }
}
