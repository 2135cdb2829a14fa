//! libbpf's generated loaders: a program of type `BPF_PROG_TYPE_SYSCALL` that loads another program, with
//! all its maps, from within the kernel.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use libbpf_rs::{AsRawLibbpf as _, OpenObject};
use libbpf_sys as sys;

use super::{check, owned};

/// A loader, and the data that it works on.
#[derive(Debug)]
pub(in crate::host::kernel) struct Loader {
    data: Vec<u8>,
    instructions: Vec<sys::bpf_insn>,
    maps: usize,
}

/// What a loader has made.
#[derive(Debug)]
pub(in crate::host::kernel) struct Made {
    pub(in crate::host::kernel) program: OwnedFd,
    /// In the order of the object.
    pub(in crate::host::kernel) maps: Vec<Option<OwnedFd>>,
}

/// Bytes in `struct bpf_loader_ctx`, `struct bpf_map_desc` and `struct bpf_prog_desc` of libbpf's
/// src/skel_internal.h: the context is one, then one for each map, then one for each program.
const HEAD: usize = 24;
const MAP: usize = 16;
const PROGRAM: usize = 4;

/// Generates the loader of the one program of the object that is not left out. `maps` is how many maps the
/// object has.
pub(in crate::host::kernel) fn generate(
    object: &mut OpenObject,
    maps: usize,
) -> io::Result<Loader> {
    let mut opts = sys::gen_loader_opts {
        sz: size_of::<sys::gen_loader_opts>() as sys::size_t,
        ..Default::default()
    };
    let raw = object.as_libbpf_object().as_ptr();
    // SAFETY: the pointer is that of an opened object that is not loaded; libbpf keeps the one to `opts`, which
    // lives until the object has been "loaded", and writes to it then only.
    check(unsafe { sys::bpf_object__gen_loader(raw, &raw mut opts) })?;
    // SAFETY: as above. With a loader that is to be generated, nothing is loaded.
    check(unsafe { sys::bpf_object__load(raw) })?;
    let number = opts.insns_sz as usize / size_of::<sys::bpf_insn>();
    // SAFETY: libbpf gives so many bytes, which it frees with the object; they are copied at once.
    let data = unsafe { std::slice::from_raw_parts(opts.data.cast::<u8>(), opts.data_sz as usize) };
    // SAFETY: as above; what malloc gives is aligned for every type.
    let instructions =
        unsafe { std::slice::from_raw_parts(opts.insns.cast::<sys::bpf_insn>(), number) };
    Ok(Loader { data: data.to_vec(), instructions: instructions.to_vec(), maps })
}

impl Loader {
    /// Loads the loader itself. The kernel refuses it before Linux 5.14, and to whoever lacks the privileges.
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
        // SAFETY: key and value have the sizes that the map was made with, and outlive the call.
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
        // SAFETY: the strings are NUL-terminated, the instructions as many as is said, and `opts` and what it
        // points to outlive the call. The kernel takes a reference on the map.
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
        // SAFETY: the descriptor is open; the kernel reads and writes as many bytes of the context as is said
        // (`bpf_prog_test_run_syscall()`), and it and `opts` outlive the call.
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

/// The descriptor that the loader has left in the context.
fn take(context: &[u8], at: usize) -> Option<OwnedFd> {
    let fd = RawFd::from_ne_bytes(*context.get(at..)?.first_chunk()?);
    // SAFETY: a loader that ends well leaves there the descriptors that it has made, of which nobody else
    // knows, and zero elsewhere; each place is read once.
    (fd > 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}
