//! The calls that libbpf-rs lacks, through libbpf-sys. In `host::kernel`, only this module has `unsafe` code.
//!
//! Every function here is safe to call with any arguments: descriptors are borrowed, buffers are
//! Rust's own, and results are owned. Errors are the kernel's errno.

#![allow(unsafe_code)]

pub(super) mod gen_loader;
pub(super) mod link;
pub(super) mod probe;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::OnceLock;

use libbpf_rs::{AsRawLibbpf as _, Object, OpenMap, OpenMapMut, OpenObject};
use libbpf_sys as sys;
use rustix::io::Errno;

/// The fields of `struct bpf_prog_info` that iterctl uses.
#[derive(Clone, Debug)]
pub(super) struct ProgInfo {
    pub(super) name: String,
    /// The real user id of the process that loaded it, as it is called in this process's user namespace:
    /// 65534 if it has no name there (`bpf_prog_get_info_by_fd()` in kernel/bpf/syscall.c, since Linux 4.15;
    /// it is that of `cred->user`, which only `set_user()` in kernel/sys.c changes).
    pub(super) created_by_uid: u32,
    pub(super) map_ids: Vec<u32>,
}

fn check(result: i32) -> io::Result<i32> {
    // libbpf 1.x returns a negative errno.
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

fn owned(result: i32) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: if the result is not negative, the call has created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `BPF_OBJ_GET`: opens the pin at `path`, following symbolic links.
pub(super) fn obj_get(path: &CStr) -> io::Result<OwnedFd> {
    // SAFETY: the path is a NUL-terminated string that outlives the call.
    owned(unsafe { sys::bpf_obj_get(path.as_ptr()) })
}

/// `BPF_OBJ_GET`: opens the pin `name` in `directory`, following symbolic links. Fails with `EINVAL` before
/// Linux 6.5.
pub(super) fn obj_get_at(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let opts = sys::bpf_obj_get_opts {
        sz: size_of::<sys::bpf_obj_get_opts>() as sys::size_t,
        file_flags: sys::BPF_F_PATH_FD,
        path_fd: directory.as_raw_fd(),
    };
    // SAFETY: the descriptor is open and the name a NUL-terminated string; both outlive the call, as does
    // `opts`, and `sz` is its size.
    owned(unsafe { sys::bpf_obj_get_opts(name.as_ptr(), &raw const opts) })
}

/// `BPF_OBJ_PIN`: pins `fd` at `path`.
pub(super) fn obj_pin(fd: BorrowedFd<'_>, path: &CStr) -> io::Result<()> {
    // SAFETY: the descriptor is open and the path a NUL-terminated string; both outlive the call.
    check(unsafe { sys::bpf_obj_pin(fd.as_raw_fd(), path.as_ptr()) }).map(|_| ())
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a program, with the ids of its maps.
pub(super) fn prog_info(prog: BorrowedFd<'_>) -> io::Result<ProgInfo> {
    // A program can use 64 maps (MAX_USED_MAPS), and any number of maps can be bound to it in addition.
    let mut map_ids = vec![0_u32; 128];
    loop {
        let room = map_ids.len();
        let mut info = sys::bpf_prog_info {
            map_ids: map_ids.as_mut_ptr() as u64,
            nr_map_ids: room as u32,
            ..Default::default()
        };
        let mut size = size_of::<sys::bpf_prog_info>() as u32;
        // SAFETY: `size` is the size of `info`. The only pointer in `info` is to `map_ids`, and `nr_map_ids` is its
        // length.
        check(unsafe {
            sys::bpf_prog_get_info_by_fd(prog.as_raw_fd(), &raw mut info, &raw mut size)
        })?;
        let number = info.nr_map_ids as usize;
        map_ids.resize(number, 0);
        if number > room {
            continue;
        }
        let name: Vec<u8> = info.name.iter().map(|byte| byte.cast_unsigned()).collect();
        let created_by_uid = info.created_by_uid;
        return Ok(ProgInfo { name: text(&name), created_by_uid, map_ids });
    }
}

/// `BPF_PROG_GET_FD_BY_ID`.
pub(super) fn prog_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a plain number.
    owned(unsafe { sys::bpf_prog_get_fd_by_id(id) })
}

/// `BPF_MAP_GET_FD_BY_ID`.
pub(super) fn map_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a plain number.
    owned(unsafe { sys::bpf_map_get_fd_by_id(id) })
}

/// `BPF_LINK_GET_FD_BY_ID`.
pub(super) fn link_by_id(id: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes a plain number.
    owned(unsafe { sys::bpf_link_get_fd_by_id(id) })
}

/// `BPF_PROG_GET_NEXT_ID`: the smallest id above `id`, if there is one.
pub(super) fn next_prog_id(id: u32) -> io::Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: writes one number to `next`.
    let result = check(unsafe { sys::bpf_prog_get_next_id(id, &raw mut next) });
    unless_last(result, next)
}

/// `BPF_MAP_GET_NEXT_ID`: the smallest id above `id`, if there is one.
pub(super) fn next_map_id(id: u32) -> io::Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: writes one number to `next`.
    let result = check(unsafe { sys::bpf_map_get_next_id(id, &raw mut next) });
    unless_last(result, next)
}

/// `BPF_LINK_GET_NEXT_ID`: the smallest id above `id`, if there is one.
pub(super) fn next_link_id(id: u32) -> io::Result<Option<u32>> {
    let mut next = 0;
    // SAFETY: writes one number to `next`.
    let result = check(unsafe { sys::bpf_link_get_next_id(id, &raw mut next) });
    unless_last(result, next)
}

/// Turns the result of a search for the next id into `None` if there is no higher id.
fn unless_last(result: io::Result<i32>, next: u32) -> io::Result<Option<u32>> {
    match result {
        Ok(_) => Ok(Some(next)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The fields of `struct bpf_map_info` that iterctl uses.
#[derive(Clone, Debug)]
pub(super) struct MapInfo {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) map_type: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD` of a descriptor that is known to be a map.
pub(super) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = sys::bpf_map_info::default();
    let mut size = size_of::<sys::bpf_map_info>() as u32;
    // SAFETY: `size` is the size of `info`, which holds no pointers.
    check(unsafe { sys::bpf_map_get_info_by_fd(map.as_raw_fd(), &raw mut info, &raw mut size) })?;
    let name: Vec<u8> = info.name.iter().map(|byte| byte.cast_unsigned()).collect();
    Ok(MapInfo {
        id: info.id,
        name: text(&name),
        map_type: info.type_,
        key_size: info.key_size,
        value_size: info.value_size,
    })
}

/// libbpf's name of a map type: `hash`, `array`, …
pub(super) fn map_type_name(map_type: u32) -> Option<&'static str> {
    // SAFETY: the function takes any number, and returns NULL or a string that is never freed.
    let name = unsafe { sys::libbpf_bpf_map_type_str(map_type) };
    if name.is_null() {
        return None;
    }
    // SAFETY: as above; the string ends with a NUL.
    unsafe { CStr::from_ptr(name) }.to_str().ok()
}

/// The type of a map of an object. Unlike libbpf-rs, this returns the number even if the type is unknown.
pub(super) fn map_type(map: &OpenMap<'_>) -> u32 {
    // SAFETY: the pointer is that of a map of an opened object, which `map` borrows.
    unsafe { sys::bpf_map__type(map.as_libbpf_object().as_ptr()) }
}

/// `BPF_PROG_BIND_MAP`: makes the map live as long as the program.
pub(super) fn bind_map(prog: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both descriptors are open, and no options are given.
    let result =
        unsafe { sys::bpf_prog_bind_map(prog.as_raw_fd(), map.as_raw_fd(), std::ptr::null()) };
    check(result).map(|_| ())
}

/// An opened object as the type that libbpf-rs needs to read its BTF.
pub(super) fn as_bpf_object(object: &OpenObject) -> &sys::bpf_object {
    // SAFETY: the pointer is that of an opened object, and the reference does not outlive `object`.
    unsafe { object.as_libbpf_object().as_ref() }
}

/// Opens an object from memory. Values in `configuration` take precedence over the kernel's configuration.
pub(super) fn open(
    bytes: &[u8],
    name: &CStr,
    configuration: Option<&CStr>,
) -> io::Result<OpenObject> {
    let opts = sys::bpf_object_open_opts {
        sz: size_of::<sys::bpf_object_open_opts>() as sys::size_t,
        object_name: name.as_ptr(),
        kconfig: configuration.map_or(std::ptr::null(), CStr::as_ptr),
        ..Default::default()
    };
    let size = bytes.len() as sys::size_t;
    // SAFETY: `size` is the number of bytes, the strings end with a NUL, and `sz` is the size of `opts`. All
    // outlive the call, and libbpf copies what it keeps.
    let raw = unsafe { sys::bpf_object__open_mem(bytes.as_ptr().cast(), size, &raw const opts) };
    let raw = NonNull::new(raw).ok_or_else(io::Error::last_os_error)?;
    // Inside libbpf, errors are returned as pointers, and it takes an error above MAX_ERRNO for an object
    // (`IS_ERR()`, libbpf 1.7). Such a pointer is negative, which no address in user space is.
    if raw.addr().get().cast_signed() < 0 {
        return Err(Errno::INVAL.into());
    }
    // SAFETY: the object has just been opened, and nothing else owns it.
    Ok(unsafe { OpenObject::from_ptr(raw) })
}

/// Makes libbpf neither pin the map, nor look for a pinned one.
pub(super) fn clear_pin_path(map: &mut OpenMapMut<'_>) -> io::Result<()> {
    let raw = map.as_libbpf_object().as_ptr();
    // SAFETY: the pointer is that of a map of an opened object, which `map` borrows; NULL stands for no path.
    check(unsafe { sys::bpf_map__set_pin_path(raw, std::ptr::null()) }).map(|_| ())
}

/// Loads an opened object. Unlike libbpf-rs, this returns the errno.
pub(super) fn load(open: OpenObject) -> io::Result<Object> {
    // SAFETY: the pointer is that of an opened object that is not loaded.
    check(unsafe { sys::bpf_object__load(open.as_libbpf_object().as_ptr()) })?;
    // SAFETY: the object has just been loaded, and `open` gives up its ownership.
    Ok(unsafe { Object::from_ptr(open.take_ptr()) })
}

/// Whether a map of an opened object is declared with `LIBBPF_PIN_BY_NAME`.
pub(super) fn is_pinned_by_name(map: &OpenMap<'_>) -> bool {
    // SAFETY: the pointer is that of a map of an opened object, which `map` borrows; the result is only compared
    // with NULL.
    !unsafe { sys::bpf_map__pin_path(map.as_libbpf_object().as_ptr()) }.is_null()
}

/// Loads BTF into the kernel that describes a section `.rodata` of `size` bytes with one variable, an array of `size`
/// characters. Returns the descriptor of the BTF, and the type id of the section.
pub(super) fn stamp_btf(variable: &CStr, size: u32) -> io::Result<(OwnedFd, u32)> {
    // SAFETY: the function takes nothing, and returns a pointer, or NULL with errno.
    let btf =
        NonNull::new(unsafe { sys::btf__new_empty() }).ok_or_else(io::Error::last_os_error)?;
    let btf = Btf(btf);
    let raw = btf.0.as_ptr();
    // SAFETY: `raw` is a BTF that `btf` keeps alive, and the name a NUL-terminated string.
    let index =
        check(unsafe { sys::btf__add_int(raw, c"int".as_ptr(), 4, sys::BTF_INT_SIGNED as i32) })?;
    // SAFETY: as above.
    let character =
        check(unsafe { sys::btf__add_int(raw, c"char".as_ptr(), 1, sys::BTF_INT_CHAR as i32) })?;
    // SAFETY: `raw` as above, and the types have just been added.
    let array = check(unsafe { sys::btf__add_array(raw, index, character, size) })?;
    // SAFETY: as above.
    let var = check(unsafe {
        sys::btf__add_var(raw, variable.as_ptr(), sys::BTF_VAR_GLOBAL_ALLOCATED as i32, array)
    })?;
    // SAFETY: as above.
    let section = check(unsafe { sys::btf__add_datasec(raw, c".rodata".as_ptr(), size) })?;
    // SAFETY: as above; the section is the type that was added last.
    check(unsafe { sys::btf__add_datasec_var_info(raw, var, 0, size) })?;
    // SAFETY: `raw` as above.
    check(unsafe { sys::btf__load_into_kernel(raw) })?;
    // SAFETY: `raw` as above.
    let fd = unsafe { sys::btf__fd(raw) };
    // SAFETY: the descriptor stays open while `btf` lives, that is, until the end of this function.
    let fd = unsafe { BorrowedFd::borrow_raw(check(fd)?) }.try_clone_to_owned()?;
    Ok((fd, section.unsigned_abs()))
}

/// A BTF that is freed when it is dropped.
struct Btf(NonNull<sys::btf>);

impl Drop for Btf {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `btf__new_empty()`, and nothing else frees it.
        unsafe { sys::btf__free(self.0.as_ptr()) };
    }
}

/// A function that receives libbpf's messages.
pub(super) type Hear = fn(level: u32, message: Vec<u8>);

/// The function that receives libbpf's messages, and the highest level that it receives.
static HEARER: OnceLock<(u32, Hear)> = OnceLock::new();

/// Makes libbpf call `hear` with every message up to `level` (`LIBBPF_WARN`, `LIBBPF_INFO` or `LIBBPF_DEBUG`), on the
/// thread that causes it. Only the first call has an effect.
///
/// libbpf-rs 0.27.2 has the same function, but that one panics, and so aborts, on a message that is not UTF-8, for
/// instance one with the name of a section in a broken object.
pub(super) fn hear(level: u32, hear: Hear) {
    if HEARER.set((level, hear)).is_err() {
        return;
    }
    // bindgen's type for the last argument (a `va_list`) depends on the machine, but is always a pointer.
    // SAFETY: the types differ only in that pointer, which libbpf passes in the same way for both.
    let print = unsafe { std::mem::transmute::<PrintFn, sys::libbpf_print_fn_t>(print) };
    // SAFETY: the function that is set lives as long as the program.
    unsafe { sys::libbpf_set_print(print) };
}

type PrintFn = unsafe extern "C" fn(u32, *const c_char, *mut c_void) -> c_int;

/// # Safety
/// Only libbpf may call this, with a format and the arguments that belong to it.
unsafe extern "C" fn print(level: u32, format: *const c_char, arguments: *mut c_void) -> c_int {
    if let Some((most, hear)) = HEARER.get()
        && level <= *most
    {
        // SAFETY: libbpf passes a format and the arguments that belong to it.
        if let Ok(message) = unsafe { vsprintf::vsprintf_raw(format, arguments) } {
            hear(level, message);
        }
    }
    0
}

/// The numbers of libbpf's version.
pub(super) fn libbpf_version() -> (u32, u32) {
    // SAFETY: the function takes nothing, and returns a number.
    let major = unsafe { sys::libbpf_major_version() };
    // SAFETY: as above.
    let minor = unsafe { sys::libbpf_minor_version() };
    (major, minor)
}

/// The path as a C string.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "path with a NUL byte"))
}

/// The text before the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}
