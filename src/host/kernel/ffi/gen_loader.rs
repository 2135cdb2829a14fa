//! libbpf's generated loaders: a program of type `BPF_PROG_TYPE_SYSCALL` that loads another program, with
//! all its maps, from within the kernel.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use libbpf_rs::{AsRawLibbpf as _, OpenObject};
use libbpf_sys as sys;

use super::{check, owned};

/// A loader, and the data that it uses.
#[derive(Debug)]
pub(in crate::host::kernel) struct Loader {
    data: Vec<u8>,
    instructions: Vec<sys::bpf_insn>,
    maps: usize,
}

/// The program and the maps that a loader has created.
#[derive(Debug)]
pub(in crate::host::kernel) struct Made {
    pub(in crate::host::kernel) program: OwnedFd,
    /// The maps in the order of the object; `None` for a map that was not created.
    pub(in crate::host::kernel) maps: Vec<Option<OwnedFd>>,
}

/// Bytes in `struct bpf_loader_ctx`, `struct bpf_map_desc` and `struct bpf_prog_desc` of libbpf's
/// src/skel_internal.h: the context is one, then one for each map, then one for each program.
const HEAD: usize = 24;
const MAP: usize = 16;
const PROGRAM: usize = 4;

/// Generates the loader for the only program of the object that is not left out. `maps` is the number of maps in the
/// object.
pub(in crate::host::kernel) fn generate(
    object: &mut OpenObject,
    maps: usize,
) -> io::Result<Loader> {
    let mut opts = sys::gen_loader_opts {
        sz: size_of::<sys::gen_loader_opts>() as sys::size_t,
        ..Default::default()
    };
    let raw = object.as_libbpf_object().as_ptr();
    // SAFETY: the pointer is that of an opened object that is not loaded. libbpf keeps the pointer to `opts`, and
    // writes to `opts` only in `bpf_object__load()` below, when `opts` is still alive.
    check(unsafe { sys::bpf_object__gen_loader(raw, &raw mut opts) })?;
    // SAFETY: as above. If a loader is to be generated, this call loads nothing.
    check(unsafe { sys::bpf_object__load(raw) })?;
    let number = opts.insns_sz as usize / size_of::<sys::bpf_insn>();
    // SAFETY: `data` points to `data_sz` bytes, which libbpf frees with the object. They are copied below.
    let data = unsafe { std::slice::from_raw_parts(opts.data.cast::<u8>(), opts.data_sz as usize) };
    // SAFETY: as above; memory from malloc is aligned for every type.
    let instructions =
        unsafe { std::slice::from_raw_parts(opts.insns.cast::<sys::bpf_insn>(), number) };
    Ok(Loader { data: data.to_vec(), instructions: instructions.to_vec(), maps })
}

impl Loader {
    /// Loads the loader itself. This fails before Linux 5.14, and if this process lacks the privileges.
    pub(in crate::host::kernel) fn load(&self) -> io::Result<OwnedFd> {
        let size = u32::try_from(self.data.len()).map_err(io::Error::other)?;
        let no_options = std::ptr::null();
        // SAFETY: the name is a NUL-terminated string, and no options are given.
        let map = owned(unsafe {
            sys::bpf_map_create(
                sys::BPF_MAP_TYPE_ARRAY,
                c"__loader.map".as_ptr(),
                4,
                size,
                1,
                no_options,
            )
        })?;
        let key = 0_u32;
        let data = self.data.as_ptr().cast();
        // SAFETY: key and value have the sizes with which the map was created, and outlive the call.
        check(unsafe {
            sys::bpf_map_update_elem(map.as_raw_fd(), (&raw const key).cast(), data, 0)
        })?;
        let descriptors = [map.as_raw_fd()];
        let mut opts = sys::bpf_prog_load_opts {
            sz: size_of::<sys::bpf_prog_load_opts>() as sys::size_t,
            prog_flags: sys::BPF_F_SLEEPABLE,
            fd_array: descriptors.as_ptr(),
            ..Default::default()
        };
        // SAFETY: the strings are NUL-terminated, the number of instructions is correct, and `opts` and the array
        // that it points to outlive the call. The kernel takes a reference on the map.
        owned(unsafe {
            sys::bpf_prog_load(
                sys::BPF_PROG_TYPE_SYSCALL,
                c"__loader.prog".as_ptr(),
                c"Dual BSD/GPL".as_ptr(),
                self.instructions.as_ptr(),
                self.instructions.len() as sys::size_t,
                &raw mut opts,
            )
        })
    }

    /// Runs the loaded loader.
    pub(in crate::host::kernel) fn run(&self, loader: &OwnedFd) -> io::Result<Made> {
        let length = (HEAD + self.maps * MAP + PROGRAM).next_multiple_of(8);
        let mut context = vec![0_u8; length];
        let size = u32::try_from(length).map_err(io::Error::other)?;
        if let Some(head) = context.first_chunk_mut() {
            *head = size.to_ne_bytes();
        }
        let mut opts = sys::bpf_test_run_opts {
            sz: size_of::<sys::bpf_test_run_opts>() as sys::size_t,
            ctx_in: context.as_mut_ptr().cast(),
            ctx_size_in: size,
            ..Default::default()
        };
        // SAFETY: the descriptor is open. The kernel reads and writes `ctx_size_in` bytes of the context
        // (`bpf_prog_test_run_syscall()`). The context and `opts` outlive the call.
        check(unsafe { sys::bpf_prog_test_run_opts(loader.as_raw_fd(), &raw mut opts) })?;
        let result = opts.retval.cast_signed();
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let maps = (0..self.maps).map(|map| take(&context, HEAD + map * MAP)).collect();
        let program = take(&context, HEAD + self.maps * MAP);
        let program = program.ok_or_else(|| io::Error::other("it has loaded nothing"))?;
        Ok(Made { program, maps })
    }
}

/// Takes the descriptor that the loader has written to the context at this offset.
fn take(context: &[u8], at: usize) -> Option<OwnedFd> {
    let fd = RawFd::from_ne_bytes(*context.get(at..)?.first_chunk()?);
    // SAFETY: a loader that succeeds writes the descriptors that it has created, which nothing else owns, and
    // leaves zero in the other places. Each place is read once.
    (fd > 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}
