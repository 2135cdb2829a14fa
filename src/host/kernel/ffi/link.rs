//! The calls for iterator links.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use libbpf_sys as sys;

use super::{check, owned, text};

/// The parameter with which an iterator is attached.
#[derive(Clone, Copy, Debug)]
pub(in crate::host::kernel) enum Attach<'fd> {
    /// None.
    Plain,
    /// The map to walk.
    Map(BorrowedFd<'fd>),
    /// The one thread to walk.
    Thread(u32),
    /// The one process to walk.
    Process(u32),
    /// The id of the cgroup to walk from, and `enum bpf_cgroup_iter_order`.
    Cgroup(u64, u32),
}

/// The fields of `struct bpf_link_info` that iterctl uses. `map_id` and the fields after it are meaningful only for an
/// iterator link.
#[derive(Clone, Copy, Debug)]
pub(in crate::host::kernel) struct LinkInfo {
    pub(in crate::host::kernel) is_iterator: bool,
    pub(in crate::host::kernel) id: u32,
    pub(in crate::host::kernel) prog_id: u32,
    pub(in crate::host::kernel) map_id: u32,
    pub(in crate::host::kernel) tid: u32,
    pub(in crate::host::kernel) pid: u32,
    pub(in crate::host::kernel) cgroup_id: u64,
    pub(in crate::host::kernel) order: u32,
}

/// `BPF_PROG_LOAD`: loads an iterator. `function` is the id of its target's function in the kernel's BTF.
pub(in crate::host::kernel) fn load_instructions(
    function: u32,
    name: &CStr,
    instructions: &[sys::bpf_insn],
) -> io::Result<OwnedFd> {
    let mut opts = sys::bpf_prog_load_opts {
        sz: size_of::<sys::bpf_prog_load_opts>() as sys::size_t,
        expected_attach_type: sys::BPF_TRACE_ITER,
        attach_btf_id: function,
        ..Default::default()
    };
    // SAFETY: the strings are NUL-terminated, the number of instructions is correct, and `sz` is the size of
    // `opts`; all outlive the call.
    owned(unsafe {
        sys::bpf_prog_load(
            sys::BPF_PROG_TYPE_TRACING,
            name.as_ptr(),
            c"Dual BSD/GPL".as_ptr(),
            instructions.as_ptr(),
            instructions.len() as sys::size_t,
            &raw mut opts,
        )
    })
}

/// `BPF_LINK_CREATE`: creates an iterator link.
pub(in crate::host::kernel) fn attach_iter(
    prog: BorrowedFd<'_>,
    parameter: Attach<'_>,
) -> io::Result<OwnedFd> {
    let mut info = sys::bpf_iter_link_info::default();
    let mut opts = sys::bpf_link_create_opts {
        sz: size_of::<sys::bpf_link_create_opts>() as sys::size_t,
        ..Default::default()
    };
    // The union is zeroed, and only one member is written. The kernel reads the member that belongs to the program's
    // target.
    match parameter {
        Attach::Plain => {}
        Attach::Map(map) => info.map.map_fd = map.as_raw_fd().unsigned_abs(),
        Attach::Thread(tid) => info.task.tid = tid,
        Attach::Process(pid) => info.task.pid = pid,
        Attach::Cgroup(id, order) => {
            info.cgroup.cgroup_id = id;
            info.cgroup.order = order;
        }
    }
    if !matches!(parameter, Attach::Plain) {
        opts.iter_info = &raw mut info;
        opts.iter_info_len = size_of::<sys::bpf_iter_link_info>() as u32;
    }
    // SAFETY: the descriptors are open. `opts`, and `info` if `opts` points to it, outlive the call, and the sizes
    // that are passed are theirs.
    owned(unsafe {
        sys::bpf_link_create(prog.as_raw_fd(), 0, sys::BPF_TRACE_ITER, &raw const opts)
    })
}

/// `BPF_ITER_CREATE`: starts one run of an iterator. Its output is read from the descriptor.
pub(in crate::host::kernel) fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the descriptor is open.
    owned(unsafe { sys::bpf_iter_create(link.as_raw_fd()) })
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a descriptor that is known to be a link. For a map or a program, the kernel would fill
/// in a different structure.
pub(in crate::host::kernel) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = sys::bpf_link_info::default();
    get_link_info(link, &mut info)?;
    Ok(LinkInfo::from_raw(&info))
}

/// Like [`link_info()`], for a descriptor that is known to be an *iterator link*, with the name of its target. For
/// another kind of link, the kernel would use the buffer of the name for something else, and could write beyond it.
pub(in crate::host::kernel) fn iterator_info(
    link: BorrowedFd<'_>,
) -> io::Result<(LinkInfo, String)> {
    let mut name = [0_u8; 64];
    let mut info = sys::bpf_link_info::default();
    info.__bindgen_anon_1.iter.target_name = name.as_mut_ptr() as u64;
    info.__bindgen_anon_1.iter.target_name_len = name.len() as u32;
    get_link_info(link, &mut info)?;
    Ok((LinkInfo::from_raw(&info), text(&name)))
}

impl LinkInfo {
    fn from_raw(info: &sys::bpf_link_info) -> Self {
        // SAFETY: every member of the union consists of plain numbers, for which any value is valid, and the union
        // was zeroed before the kernel filled it in.
        let iter = unsafe { info.__bindgen_anon_1.iter };
        // SAFETY: as above.
        let map_id = unsafe { iter.__bindgen_anon_1.map.map_id };
        // SAFETY: as above.
        let cgroup = unsafe { iter.__bindgen_anon_2.cgroup };
        // SAFETY: as above.
        let task = unsafe { iter.__bindgen_anon_2.task };
        Self {
            is_iterator: info.type_ == sys::BPF_LINK_TYPE_ITER,
            id: info.id,
            prog_id: info.prog_id,
            map_id,
            tid: task.tid,
            pid: task.pid,
            cgroup_id: cgroup.cgroup_id,
            order: cgroup.order,
        }
    }
}

/// If `info` has a pointer, it must point to a buffer of the length beside it that the kernel may write to.
fn get_link_info(link: BorrowedFd<'_>, info: &mut sys::bpf_link_info) -> io::Result<()> {
    let mut size = size_of::<sys::bpf_link_info>() as u32;
    // SAFETY: `size` is the size of `info`. `info` is zeroed, except for the pointer and length that
    // `iterator_info()` sets, which are those of its own buffer.
    check(unsafe { sys::bpf_link_get_info_by_fd(link.as_raw_fd(), info, &raw mut size) })
        .map(|_| ())
}
