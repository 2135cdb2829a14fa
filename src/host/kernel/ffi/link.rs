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

/// What is needed of `struct bpf_link_info`; from `map_id` on, of an iterator link only.
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

/// `BPF_PROG_LOAD` of an iterator for the target whose function has that id in the kernel's BTF.
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
    // SAFETY: the strings are NUL-terminated, the instructions as many as is said, and `opts` has the size
    // that it says; all outlive the call.
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

/// `BPF_LINK_CREATE` of an iterator link.
pub(in crate::host::kernel) fn attach_iter(
    prog: BorrowedFd<'_>,
    parameter: Attach<'_>,
) -> io::Result<OwnedFd> {
    let mut info = sys::bpf_iter_link_info::default();
    let mut opts = sys::bpf_link_create_opts {
        sz: size_of::<sys::bpf_link_create_opts>() as sys::size_t,
        ..Default::default()
    };
    // Each member is written into a zeroed union: the kernel reads the one of the program's target.
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
    // SAFETY: the descriptors are open; `opts`, and `info` where it points to it, outlive the call
    // and have the sizes that are given with them.
    owned(unsafe {
        sys::bpf_link_create(prog.as_raw_fd(), 0, sys::BPF_TRACE_ITER, &raw const opts)
    })
}

/// `BPF_ITER_CREATE`: one run of an iterator, to be read.
pub(in crate::host::kernel) fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: takes an open descriptor.
    owned(unsafe { sys::bpf_iter_create(link.as_raw_fd()) })
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a descriptor that is known to be a link: of a map or a program the kernel
/// fills another structure in.
pub(in crate::host::kernel) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = sys::bpf_link_info::default();
    get_link_info(link, &mut info)?;
    Ok(LinkInfo::of(&info))
}

/// The same of a descriptor that is known to be an *iterator link*, with the name of its target: of another
/// kind of link the kernel would take the name's buffer for something else, and could write beyond it.
pub(in crate::host::kernel) fn iterator_info(
    link: BorrowedFd<'_>,
) -> io::Result<(LinkInfo, String)> {
    let mut name = [0_u8; 64];
    let mut info = sys::bpf_link_info::default();
    info.__bindgen_anon_1.iter.target_name = name.as_mut_ptr() as u64;
    info.__bindgen_anon_1.iter.target_name_len = name.len() as u32;
    get_link_info(link, &mut info)?;
    Ok((LinkInfo::of(&info), text(&name)))
}

impl LinkInfo {
    fn of(info: &sys::bpf_link_info) -> Self {
        // SAFETY: every member of the union is plain numbers of which any value is valid, and it was zeroed
        // before the kernel filled it in.
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

/// A pointer in `info` is one to a buffer, with its length, that the kernel may write to.
fn get_link_info(link: BorrowedFd<'_>, info: &mut sys::bpf_link_info) -> io::Result<()> {
    let mut size = size_of::<sys::bpf_link_info>() as u32;
    // SAFETY: `info` has the size that is given with it, and is zeroed but for what is written of the
    // pointer, if there is one, where it is put in.
    check(unsafe { sys::bpf_link_get_info_by_fd(link.as_raw_fd(), info, &raw mut size) })
        .map(|_| ())
}
