//! An opened object's BTF → its global variables; their initial values → the object's sections.

use std::collections::{BTreeMap, BTreeSet};

use libbpf_rs::OpenObject;
use libbpf_rs::btf::types::{
    Array, Composite, DataSec, Enum, Enum64, Func, FuncProto, Int, IntEncoding, Linkage,
    MemberAttr, Ptr, Var,
};
use libbpf_rs::btf::{Btf, BtfKind, BtfType, HasSize as _, ReferencesType as _};

use super::ffi;
use iterctl_core::anatomy::Extern;
use iterctl_core::globals::{Global, Member, Patch, Type};

/// The deepest nesting of types that is described. BTF in an object from elsewhere may be circular.
const DEEPEST: usize = 16;

/// Most types, members and elements of one object that are described. A few bytes of BTF can describe an endless tree.
const MOST: usize = 100_000;

/// Most typedefs and qualifiers that are followed for one type. They may be circular, too.
const MOST_NAMES: usize = 64;

/// The variables of an object, sorted by name. Empty if the object has no BTF.
pub(super) fn globals(object: &OpenObject) -> Vec<Global> {
    let Ok(Some(btf)) = Btf::from_bpf_object(ffi::as_bpf_object(object)) else {
        return Vec::new();
    };
    let mut left = MOST;
    let mut globals: Vec<Global> = btf
        .type_by_kind::<DataSec<'_>>()
        .flat_map(|section| section_globals(&btf, section, &mut left))
        .collect();
    globals.sort_by(|a, b| a.name.cmp(&b.name));
    globals
}

fn section_globals(btf: &Btf<'_>, section: DataSec<'_>, left: &mut usize) -> Vec<Global> {
    let Some(section_name) = section.name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    // The other sections hold the licence, map definitions and extern variables.
    if ![".rodata", ".data", ".bss"].iter().any(|prefix| section_name.starts_with(prefix)) {
        return Vec::new();
    }
    section
        .iter()
        .filter_map(|info| {
            let var: Var<'_> = btf.type_by_id(info.ty)?;
            let name = var.name()?.to_str()?;
            // Only variables inside functions, such as format strings, have a dot in their names.
            if name.contains('.') {
                return None;
            }
            Some(Global {
                name: name.to_owned(),
                section: section_name.to_owned(),
                offset: info.offset as usize,
                kind: type_of(btf, var.referenced_type(), DEEPEST, left),
            })
        })
        .collect()
}

/// The target whose context a program takes, read from the type of its first argument: `struct bpf_iter__task *` is
/// the context of `task`.
pub(super) fn context(object: &OpenObject, program: &str) -> Option<String> {
    let btf = Btf::from_bpf_object(ffi::as_bpf_object(object)).ok()??;
    // A static function in another file that was linked into the object may have the same name.
    let mut functions = btf.type_by_kind::<Func<'_>>();
    let function = functions.find(|function| {
        function.name().is_some_and(|name| name == program) && function.linkage() == Linkage::Global
    })?;
    let prototype = FuncProto::try_from(function.referenced_type()).ok()?;
    let argument: Ptr<'_> = btf.type_by_id(prototype.get(0)?.ty)?;
    let name = bare(argument.referenced_type())?.name()?.to_str()?;
    // A suffix that begins with `___` marks a variant of a structure (a "flavor" in CO-RE).
    let name = name.split_once("___").map_or(name, |(name, _)| name);
    name.strip_prefix("bpf_iter__").map(str::to_owned)
}

/// The kinds of these externs, according to BTF.
pub(super) fn externs(object: &OpenObject, names: &BTreeSet<String>) -> Vec<Extern> {
    let Ok(Some(btf)) = Btf::from_bpf_object(ffi::as_bpf_object(object)) else {
        return Vec::new();
    };
    let sections = btf.type_by_kind::<DataSec<'_>>();
    let of_configuration: BTreeSet<String> = sections
        .filter(|section| section.name().is_some_and(|name| name == ".kconfig"))
        .flat_map(|section| section.iter().map(|info| info.ty).collect::<Vec<_>>())
        .filter_map(|id| Some(btf.type_by_id::<Var<'_>>(id)?.name()?.to_str()?.to_owned()))
        .collect();
    let kind = |name: &String| match btf.type_by_name::<Func<'_>>(name) {
        _ if of_configuration.contains(name) => Extern::Config(name.clone()),
        Some(_) => Extern::Function(name.clone()),
        None => Extern::Symbol(name.clone()),
    };
    names.iter().map(kind).collect()
}

/// The names of the kernel's configuration options that an object uses, each with the text that means "not set" for
/// the option's type (`find_kcfg_type()` and `bpf_object__process_kconfig_line()`, libbpf 1.7).
pub(super) fn configuration(object: &OpenObject) -> BTreeMap<String, &'static str> {
    let Ok(Some(btf)) = Btf::from_bpf_object(ffi::as_bpf_object(object)) else {
        return BTreeMap::new();
    };
    let mut left = MOST;
    let sections = btf.type_by_kind::<DataSec<'_>>();
    let mut values = BTreeMap::new();
    for section in sections.filter(|section| section.name().is_some_and(|name| name == ".kconfig"))
    {
        for info in section.iter() {
            let Some(var) = btf.type_by_id::<Var<'_>>(info.ty) else { continue };
            let name = var.name().and_then(|name| name.to_str()).unwrap_or_default();
            let nothing = match type_of(&btf, var.referenced_type(), DEEPEST, &mut left) {
                Type::Bool | Type::Char { .. } | Type::Enum { .. } | Type::Int { size: 1, .. } => {
                    "n"
                }
                Type::Int { .. } => "0",
                Type::Array { .. } => "\"\"",
                Type::Struct { .. } | Type::Other { .. } => continue,
            };
            let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if is_plain && name.starts_with("CONFIG_") {
                values.insert(name.to_owned(), nothing);
            }
        }
    }
    values
}

fn type_of(btf: &Btf<'_>, written: BtfType<'_>, depth: usize, left: &mut usize) -> Type {
    let Some(bare) = bare(written) else { return unknown() };
    let name = bare.name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if depth == 0 || *left == 0 {
        return Type::Other { what: "a variable of a type without end".to_owned(), size: 0 };
    }
    *left -= 1;
    match bare.kind() {
        BtfKind::Int => Int::try_from(bare).map_or_else(|_| unknown(), |int| int_type(int, &name)),
        // clang before 15 writes an enum of 8 bytes in this way, with its values cut to 4 bytes.
        BtfKind::Enum if Enum::try_from(bare).is_ok_and(|all| all.size() > 4) => Type::Other {
            what: "an enum of 8 bytes, compiled with clang before 15,".to_owned(),
            size: 8,
        },
        BtfKind::Enum => Enum::try_from(bare).map_or_else(
            |_| unknown(),
            |all| Type::Enum {
                size: all.size(),
                signed: all.is_signed(),
                values: all
                    .iter()
                    .filter_map(|one| Some((one.name?.to_str()?.to_owned(), one.value.into())))
                    .collect(),
            },
        ),
        BtfKind::Enum64 => Enum64::try_from(bare).map_or_else(
            |_| unknown(),
            |all| Type::Enum {
                size: all.size(),
                signed: all.is_signed(),
                values: all
                    .iter()
                    .filter_map(|one| Some((one.name?.to_str()?.to_owned(), one.value)))
                    .collect(),
            },
        ),
        BtfKind::Array => Array::try_from(bare).map_or_else(
            |_| unknown(),
            |array| Type::Array {
                element: Box::new(type_of(btf, array.contained_type(), depth - 1, left)),
                length: array.capacity(),
            },
        ),
        BtfKind::Struct | BtfKind::Union => Composite::try_from(bare)
            .map_or_else(|_| unknown(), |composite| struct_type(btf, composite, depth, left)),
        BtfKind::Ptr => Type::Other { what: "a pointer".to_owned(), size: 8 },
        BtfKind::Float => Type::Other { what: "a floating point number".to_owned(), size: 8 },
        BtfKind::Void
        | BtfKind::Fwd
        | BtfKind::Typedef
        | BtfKind::Volatile
        | BtfKind::Const
        | BtfKind::Restrict
        | BtfKind::Func
        | BtfKind::FuncProto
        | BtfKind::Var
        | BtfKind::DataSec
        | BtfKind::DeclTag
        | BtfKind::TypeTag => unknown(),
    }
}

/// The type behind typedefs and qualifiers.
fn bare(mut written: BtfType<'_>) -> Option<BtfType<'_>> {
    for _ in 0..MOST_NAMES {
        if !written.is_mod() && written.kind() != BtfKind::Typedef {
            return Some(written);
        }
        written = written.next_type()?;
    }
    None
}

fn unknown() -> Type {
    Type::Other { what: "a variable of an unknown type".to_owned(), size: 0 }
}

fn int_type(int: Int<'_>, name: &str) -> Type {
    let size = int.size();
    match int.encoding {
        IntEncoding::Bool if size == 1 => Type::Bool,
        IntEncoding::Char => Type::Char { signed: false },
        // clang does not mark `char` as such, but keeps its name.
        IntEncoding::Signed if name == "char" && size == 1 => Type::Char { signed: true },
        IntEncoding::None if name == "char" && size == 1 => Type::Char { signed: false },
        IntEncoding::Signed => Type::Int { size, signed: true },
        IntEncoding::None | IntEncoding::Bool => Type::Int { size, signed: false },
    }
}

fn struct_type(btf: &Btf<'_>, composite: Composite<'_>, depth: usize, left: &mut usize) -> Type {
    let members = composite.iter().filter_map(|member| {
        let name = member.name.and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (offset, kind) = match member.attr {
            MemberAttr::Normal { offset } => {
                (offset / 8, type_of(btf, btf.type_by_id(member.ty)?, depth - 1, left))
            }
            MemberAttr::BitField { offset, .. } => {
                (offset / 8, Type::Other { what: "a bit field".to_owned(), size: 0 })
            }
        };
        Some(Member { name, offset: offset as usize, kind })
    });
    Type::Struct { size: composite.size(), members: members.collect() }
}

/// Returns whether the map with this name holds the section. libbpf names such a map after the object and the section,
/// or after the section alone if the author has named that (`internal_map_name()`, libbpf 1.7).
pub(super) fn is_map_of(map: &str, section: &str) -> bool {
    match map.find('.') {
        Some(0) => map == section,
        Some(dot) => map.get(dot..) == Some(section),
        None => false,
    }
}

/// Writes the bytes of the patches into the sections of an opened object.
///
/// # Errors
/// If a section does not exist or is too small. Then this is not the object that was analysed before.
pub(super) fn patch(object: &mut OpenObject, patches: &[Patch]) -> Result<(), String> {
    for patch in patches {
        let bytes = object
            .maps_mut()
            .find(|map| map.name().to_str().is_some_and(|name| is_map_of(name, &patch.section)));
        let put = bytes.and_then(|mut map| {
            let value = map.initial_value_mut()?;
            let end = patch.offset.checked_add(patch.bytes.len())?;
            value.get_mut(patch.offset..end)?.copy_from_slice(&patch.bytes);
            Some(())
        });
        put.ok_or_else(|| format!("no room for a value in {}", patch.section))?;
    }
    Ok(())
}
