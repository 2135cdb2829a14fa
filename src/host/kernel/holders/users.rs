//! An iterator over all maps → how many users each map has.
//!
//! A map's users are its open files, in whichever process, its pins, on whichever bpffs, and the iterators that walk
//! it. Programs and maps of which it is an element are no users (`bpf_map_inc_with_uref()` and `bpf_map_inc()` in
//! kernel/bpf/syscall.c).
//!
//! No system call tells the number. To look for the users one by one, in /proc and on every bpffs, would miss
//! some: a process in a container sees neither all processes nor every bpffs, and without CAP_SYS_PTRACE, or if a
//! security module forbids it, also root may not look at the descriptors of another process.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use libbpf_rs::btf::types::{Func, MemberAttr, Struct};
use libbpf_rs::btf::{Btf, BtfType};
use libbpf_sys as sys;

use super::super::ffi::link::{Attach, attach_iter, iter_create, load_instructions};
use super::super::log;
use iterctl_core::ids::MapId;

/// The users are counted so often, with a pause in between, and the smallest number counts: bpftool and iterctl
/// open every map for a moment when they list all maps, and reading an iterator opens the map that it walks.
const TIMES: usize = 3;
const PAUSE: Duration = Duration::from_millis(10);

/// The iterator writes so many bytes of each map: its id and the number of its users, each as 64 bits.
const RECORD: usize = 16;

/// The users could not be counted.
#[derive(Debug)]
pub(in crate::host::kernel) enum CountError {
    /// The kernel's BTF cannot be read.
    Btf(libbpf_rs::Error),
    /// The kernel's BTF does not say where the number is.
    Layout,
    /// The iterator cannot be loaded, attached or run.
    Io(io::Error),
}

/// Counts the users of each of these maps.
///
/// # Errors
/// The kernel's, and if its BTF does not say where the number is.
pub(super) fn count(maps: &BTreeSet<MapId>) -> Result<BTreeMap<MapId, u64>, CountError> {
    let link = attach()?;
    let mut fewest: BTreeMap<MapId, u64> = BTreeMap::new();
    for time in 0..TIMES {
        if time > 0 {
            thread::sleep(PAUSE);
        }
        let counted = run(&link).map_err(CountError::Io)?;
        for (id, number) in counted.into_iter().filter(|(id, _)| maps.contains(id)) {
            let least = fewest.entry(id).or_insert(number);
            *least = number.min(*least);
        }
    }
    Ok(fewest)
}

fn attach() -> Result<OwnedFd, CountError> {
    let (btf, _) = log::collect(Btf::from_vmlinux);
    let layout = Layout::of(&btf.map_err(CountError::Btf)?).ok_or(CountError::Layout)?;
    load_instructions(layout.function, c"iterctl_users", &instructions(&layout))
        .and_then(|program| attach_iter(program.as_fd(), Attach::Plain))
        .map_err(CountError::Io)
}

fn run(link: &OwnedFd) -> io::Result<Vec<(MapId, u64)>> {
    let mut output = Vec::new();
    File::from(iter_create(link.as_fd())?).read_to_end(&mut output)?;
    let (numbers, _) = output.as_chunks::<8>();
    let (records, _) = numbers.as_chunks::<2>();
    let number = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let record =
        |[id, users]: &[[u8; 8]; 2]| Some((MapId(number(id).try_into().ok()?), number(users)));
    Ok(records.iter().filter_map(record).collect())
}

/// The places in the kernel that are read.
struct Layout {
    /// The id of the function that stands for the target `bpf_map`.
    function: u32,
    /// `bpf_map.id`.
    id: i16,
    /// `bpf_map.usercnt`, a structure with one number.
    users: i16,
}

impl Layout {
    fn of(btf: &Btf<'_>) -> Option<Self> {
        let function = |one: &BtfType<'_>| {
            one.name() == Some(OsStr::new("bpf_iter_bpf_map")) && Func::try_from(*one).is_ok()
        };
        Some(Self {
            function: btf.type_by_kind::<BtfType<'_>>().find(function)?.type_id().into(),
            id: offset(btf, "id")?,
            users: offset(btf, "usercnt")?,
        })
    }
}

/// The offset of a member of `struct bpf_map`, in bytes.
fn offset(btf: &Btf<'_>, member: &str) -> Option<i16> {
    let mut all = btf.type_by_kind::<Struct<'_>>();
    let map = all.find(|one| one.name() == Some(OsStr::new("bpf_map")))?;
    let member = map.iter().find(|one| one.name == Some(OsStr::new(member)))?;
    match member.attr {
        MemberAttr::Normal { offset } => (offset / 8).try_into().ok(),
        MemberAttr::BitField { .. } => None,
    }
}

/// ```c
/// int iterctl_users(struct bpf_iter__bpf_map *ctx)
/// {
///     struct bpf_map *map = ctx->map;
///
///     if (map) {
///         __u64 record[2] = { map->id, map->usercnt.counter };
///
///         bpf_seq_write(ctx->meta->seq, record, sizeof(record));
///     }
///     return 0;
/// }
/// ```
fn instructions(layout: &Layout) -> [sys::bpf_insn; 14] {
    const LOAD_WORD: u32 = sys::BPF_LDX | sys::BPF_MEM | sys::BPF_W;
    const LOAD: u32 = sys::BPF_LDX | sys::BPF_MEM | sys::BPF_DW;
    const STORE: u32 = sys::BPF_STX | sys::BPF_MEM | sys::BPF_DW;
    const MOVE: u32 = sys::BPF_ALU64 | sys::BPF_MOV | sys::BPF_X;
    const SET: u32 = sys::BPF_ALU64 | sys::BPF_MOV | sys::BPF_K;
    const ADD: u32 = sys::BPF_ALU64 | sys::BPF_ADD | sys::BPF_K;
    const SKIP_IF: u32 = sys::BPF_JMP | sys::BPF_JEQ | sys::BPF_K;
    const CALL: u32 = sys::BPF_JMP | sys::BPF_CALL;
    const EXIT: u32 = sys::BPF_JMP | sys::BPF_EXIT;
    let seq_write = sys::BPF_FUNC_seq_write as i32;
    let size = RECORD as i32;
    [
        // `meta` and `map` are the two pointers of the context, and `seq` is the first of `meta`
        // (`struct bpf_iter__bpf_map` of kernel/bpf/map_iter.c, `struct bpf_iter_meta` of include/linux/bpf.h).
        instruction(LOAD, 6, 1, 8, 0),
        instruction(SKIP_IF, 6, 0, 10, 0),
        instruction(LOAD, 1, 1, 0, 0),
        instruction(LOAD, 1, 1, 0, 0),
        instruction(LOAD_WORD, 2, 6, layout.id, 0),
        instruction(STORE, 10, 2, -16, 0),
        instruction(LOAD, 2, 6, layout.users, 0),
        instruction(STORE, 10, 2, -8, 0),
        instruction(MOVE, 2, 10, 0, 0),
        instruction(ADD, 2, 0, 0, -size),
        instruction(SET, 3, 0, 0, size),
        instruction(CALL, 0, 0, 0, seq_write),
        instruction(SET, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

fn instruction(code: u32, to: u8, from: u8, off: i16, imm: i32) -> sys::bpf_insn {
    let mut instruction = sys::bpf_insn { code: code as u8, off, imm, ..Default::default() };
    instruction.set_dst_reg(to);
    instruction.set_src_reg(from);
    instruction
}

/// With the cause, for it becomes a part of a sentence.
impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Btf(error) => write!(f, "failed to read the kernel's BTF: {error:#}"),
            Self::Layout => write!(f, "the kernel's BTF does not say where it is"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}
