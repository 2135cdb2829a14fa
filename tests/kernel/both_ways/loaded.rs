//! The kernel's information on a loaded program and its maps, without ids and times, which differ between
//! equal programs.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use libbpf_rs::{MapCore as _, MapFlags, MapHandle, MapType};
use libbpf_sys as sys;

/// `BPF_LD | BPF_DW | BPF_IMM`: 16 bytes.
const LOAD_64: u8 = 0x18;

/// Everything that the kernel reports about the program, each of its instructions and each map that it
/// holds, as lines. The tag is left out: the kernel computes it from the instructions as they were given,
/// in which a loader names a map by its index in a list and libbpf names it by its descriptor.
#[track_caller]
pub(super) fn describe(program: BorrowedFd<'_>) -> Vec<String> {
    let first = info(program, sys::bpf_prog_info::default());
    let mut code = vec![0_u8; first.xlated_prog_len as usize];
    let mut ids = vec![0_u32; first.nr_map_ids as usize];
    let info = info(
        program,
        sys::bpf_prog_info {
            xlated_prog_len: first.xlated_prog_len,
            xlated_prog_insns: code.as_mut_ptr() as u64,
            nr_map_ids: first.nr_map_ids,
            map_ids: ids.as_mut_ptr() as u64,
            ..Default::default()
        },
    );
    let maps: Vec<(u32, String)> = ids.iter().map(|id| (*id, name(*id))).collect();
    let attached = (info.attach_btf_obj_id, info.attach_btf_id);
    let (functions, lines) = (info.nr_func_info, info.nr_line_info);
    let (has_btf, is_gpl) = (info.btf_id != 0, info.gpl_compatible());
    let mut all = vec![
        format!("program {} of type {}", text(&info.name), info.type_),
        format!("attached to {attached:?}, GPL {is_gpl}"),
        format!("BTF {has_btf}, functions {functions}, lines {lines}"),
    ];
    all.extend(instructions(&code, &maps));
    all.extend(ids.iter().map(|id| describe_map(*id)));
    all
}

#[track_caller]
#[expect(unsafe_code, reason = "libbpf-rs does not ask for all of it")]
fn info(program: BorrowedFd<'_>, mut info: sys::bpf_prog_info) -> sys::bpf_prog_info {
    let mut size = u32::try_from(size_of::<sys::bpf_prog_info>()).expect("it is small");
    // SAFETY: `info` has the size that is given with it, and its pointers are to vectors that have the
    // given lengths and outlive the call.
    let result =
        unsafe { sys::bpf_prog_get_info_by_fd(program.as_raw_fd(), &raw mut info, &raw mut size) };
    assert_eq!(result, 0, "root may ask");
    info
}

/// Instructions as text. Maps are shown by their names, because the kernel shows them by ids
/// (`bpf_insn_prepare_dump()` in kernel/bpf/syscall.c).
fn instructions(code: &[u8], maps: &[(u32, String)]) -> Vec<String> {
    let (chunks, _) = code.as_chunks::<8>();
    let show = |one: &[u8; 8]| {
        let source = if cfg!(target_endian = "little") { one[1] >> 4 } else { one[1] & 0xf };
        let number = u32::from_ne_bytes([one[4], one[5], one[6], one[7]]);
        let is_map = [sys::BPF_PSEUDO_MAP_FD, sys::BPF_PSEUDO_MAP_VALUE].contains(&source.into());
        let map = maps.iter().find(|(id, _)| *id == number);
        match map.filter(|_| one[0] == LOAD_64 && is_map) {
            Some((_, name)) => format!("{:02x?} map {name}", &one[..4]),
            None => format!("{one:02x?}"),
        }
    };
    chunks.iter().map(show).collect()
}

#[track_caller]
fn name(id: u32) -> String {
    text(&of_id(id).info().expect("root may ask").info.name)
}

#[track_caller]
fn describe_map(id: u32) -> String {
    let map = of_id(id);
    let info = map.info().expect("root may ask").info;
    let name = text(&info.name);
    let sizes = (info.key_size, info.value_size, info.max_entries);
    let types = (info.btf_id != 0, info.btf_key_type_id, info.btf_value_type_id);
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd()));
    let is_frozen = fdinfo.expect("it is open").lines().any(|line| line == "frozen:\t1");
    let holds_variables = name.contains('.') && info.type_ == MapType::Array as u32;
    let value = holds_variables.then(|| map.lookup(&[0; 4], MapFlags::ANY).expect("it is a map"));
    format!(
        "map {name} of type {}, sizes {sizes:?}, flags {:#x}, BTF {types:?}, frozen {is_frozen}, {value:02x?}",
        info.type_, info.map_flags
    )
}

#[track_caller]
fn of_id(id: u32) -> MapHandle {
    MapHandle::from_map_id(id).expect("the program holds it")
}

fn text(bytes: &[std::ffi::c_char]) -> String {
    let bytes = bytes.iter().map(|byte| byte.cast_unsigned()).take_while(|byte| *byte != 0);
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}
