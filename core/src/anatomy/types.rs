//! `.BTF` → its types, as far as libbpf trusts what they say. Pure.
//!
//! libbpf checks that names and ids are within bounds (`btf_sanity_check()`, libbpf 1.7), and nothing else.
//! It follows typedefs to their end (`skip_mods_and_typedefs()`), and members of members
//! (`btf__align_of()`). Source of the format: Documentation/bpf/btf.rst.

use super::unsound::Unsound;

/// The types of an object, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Types<'a> {
    bytes: &'a [u8],
    /// The offset of each type in `bytes`.
    starts: Vec<u32>,
    strings: &'a [u8],
    /// Ranges of offsets in `strings` at which a name would be too long.
    long: Vec<(usize, usize)>,
}

/// One type: `struct btf_type`, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Type<'a> {
    name: u32,
    info: u32,
    /// Its size, or the id of another type.
    pub(super) size: u32,
    rest: &'a [u8],
}

/// The groups of `BTF_KIND_*` that the checks treat differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A typedef, qualifier or tag: its size is that of another type.
    Alias,
    Array,
    Composite,
    Variable,
    Function,
    Section,
    /// Something with a size of its own.
    Sized,
    Pointer,
    Other,
}

/// A variable of a section: `struct btf_var_secinfo`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variable {
    pub(super) id: u32,
    pub(super) offset: u32,
}

/// Most bytes in a name. The kernel accepts 512 (`KSYM_NAME_LEN`).
const LONGEST_NAME: usize = 1024;

/// `BTF_KIND_FUNC_PROTO`: its `size` is the type that it returns.
const FUNCTION_TYPE: u32 = 13;

const MAGIC: u16 = 0xeb9f;

impl<'a> Types<'a> {
    /// Reads all types. Returns none if libbpf would not accept the section as BTF (`btf_parse_hdr()`,
    /// `btf_parse_type_sec()`): libbpf then continues without BTF.
    pub(super) fn read(btf: &'a [u8]) -> Result<Self, Unsound> {
        if magic(btf).is_some_and(|magic| magic.swap_bytes() == MAGIC) {
            return Err(Unsound::OtherByteOrder);
        }
        Ok(Self::parse(btf).unwrap_or_default())
    }

    fn parse(btf: &'a [u8]) -> Option<Self> {
        let field = |at: usize| number(btf, at).map(|number| number as usize);
        if magic(btf)? != MAGIC {
            return None;
        }
        let (header, types, types_length) = (field(4)?, field(8)?, field(12)?);
        let (strings, strings_length) = (field(16)?, field(20)?);
        let slice = |at: usize, length: usize| {
            let start = header.checked_add(at)?;
            btf.get(start..start.checked_add(length)?)
        };
        let strings = slice(strings, strings_length)?;
        let bytes = slice(types, types_length)?;
        let (mut starts, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            starts.push(u32::try_from(bytes.len() - rest.len()).ok()?);
            (_, rest) = Type::read(rest)?;
        }
        let mut long = Vec::new();
        let mut at = 0;
        for text in strings.split(|byte| *byte == 0) {
            if let Some(excess) = text.len().checked_sub(LONGEST_NAME) {
                long.push((at, at + excess));
            }
            at += text.len() + 1;
        }
        Some(Self { bytes, starts, strings, long })
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The type with this id. Ids count from 1; `None` for `void`.
    pub(super) fn get(&self, id: u32) -> Option<Type<'a>> {
        let start = self.starts.get((id as usize).checked_sub(1)?)?;
        Some(Type::read(self.bytes.get(*start as usize..)?)?.0)
    }

    fn all(&self) -> impl Iterator<Item = Type<'a>> {
        (1..).map_while(|id| self.get(id))
    }

    pub(super) fn name(&self, one: Type<'_>) -> &'a [u8] {
        let text = self.strings.get(one.name as usize..).unwrap_or_default();
        text.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Every section that the types describe, with the type that lists its variables.
    pub(super) fn sections(&self) -> impl Iterator<Item = (&'a str, Type<'a>)> {
        let sections = self.all().filter(|one| one.kind() == Kind::Section);
        sections.map(|one| (std::str::from_utf8(self.name(one)).unwrap_or_default(), one))
    }

    /// The type behind typedefs, qualifiers and arrays, and the number of elements. `None` if there are
    /// more of them than libbpf follows (`btf__resolve_size()`).
    pub(super) fn element(&self, id: u32) -> Option<(Type<'a>, u64)> {
        const DEEPEST: usize = 32;
        let (mut one, mut number) = (self.get(id)?, 1_u64);
        for _ in 0..DEEPEST {
            match one.kind() {
                Kind::Alias | Kind::Variable => one = self.get(one.size)?,
                Kind::Array => {
                    number = number.saturating_mul(one.word(2).into());
                    one = self.get(one.word(0))?;
                }
                Kind::Composite
                | Kind::Function
                | Kind::Section
                | Kind::Sized
                | Kind::Pointer
                | Kind::Other => return Some((one, number)),
            }
        }
        None
    }

    /// Checks that libbpf finishes its work on the types, and stays within bounds.
    pub(super) fn check(&self) -> Result<(), Unsound> {
        for one in self.all() {
            if one.names().any(|name| self.is_long(name)) {
                return Err(Unsound::LongName);
            }
            // libbpf checks all ids except this one (`btf_validate_type()`), and follows it
            // (`bpf_core_types_are_compat()`).
            if one.number() == FUNCTION_TYPE && one.size as usize > self.len() {
                return Err(Unsound::NoType(one.size));
            }
        }
        for (name, section) in self.sections() {
            // libbpf writes to the bytes after the type, where a variable has its linkage
            // (`bpf_object__collect_externs()`).
            let fits = |one: Type<'_>| {
                one.kind() == Kind::Variable || (one.kind() == Kind::Function && name == ".ksyms")
            };
            if !section.variables().all(|variable| self.get(variable.id).is_some_and(fits)) {
                return Err(Unsound::NoVariable(name.to_owned()));
            }
        }
        self.check_ends()
    }

    fn is_long(&self, name: u32) -> bool {
        let name = name as usize;
        let next = self.long.partition_point(|(_, to)| *to <= name);
        self.long.get(next).is_some_and(|(from, _)| *from <= name)
    }

    /// Checks that no type holds itself, except through a pointer.
    fn check_ends(&self) -> Result<(), Unsound> {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Seen {
            Not,
            Within,
            Done,
        }
        let mut seen = vec![Seen::Not; self.len() + 1];
        let mut path = Vec::new();
        for start in (1..).take(self.len()) {
            // Each type on the path, with the number of its held types that were visited.
            path.push((start, 0));
            while let Some((id, done)) = path.last_mut() {
                // libbpf refuses an id that does not exist.
                let Some(one) = self.get(*id) else {
                    path.pop();
                    continue;
                };
                let Some(seen) = seen.get_mut(*id as usize) else { break };
                if *done == 0 {
                    match seen {
                        Seen::Not => *seen = Seen::Within,
                        Seen::Within => return Err(self.holds_itself(*id, one)),
                        Seen::Done => {
                            path.pop();
                            continue;
                        }
                    }
                }
                if let Some(held) = one.held(*done) {
                    *done += 1;
                    path.push((held, 0));
                } else {
                    *seen = Seen::Done;
                    path.pop();
                }
            }
        }
        Ok(())
    }

    fn holds_itself(&self, id: u32, one: Type<'_>) -> Unsound {
        let name = Some(self.name(one)).filter(|name| !name.is_empty());
        Unsound::HoldsItself(name.map_or_else(|| format!("[{id}]"), text))
    }
}

impl<'a> Type<'a> {
    /// The first type of some bytes, and the bytes after it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let word = |at: usize| number(bytes, at);
        let (name, info, size) = (word(0)?, word(4)?, word(8)?);
        let one = Self { name, info, size, rest: &[] };
        let length = match one.number() {
            2 | 7..=12 | 16 | 18 => 0,
            1 | 14 | 17 => 4,
            3 => 12,
            6 | 13 => 8 * one.members(),
            4 | 5 | 15 | 19 => 12 * one.members(),
            _ => return None,
        };
        let (rest, after) = bytes.get(12..)?.split_at_checked(length)?;
        Some((Self { rest, ..one }, after))
    }

    /// `BTF_KIND_*`.
    fn number(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn members(self) -> usize {
        (self.info & 0xffff) as usize
    }

    pub(super) fn kind(self) -> Kind {
        match self.number() {
            1 | 6 | 16 | 19 => Kind::Sized,
            2 => Kind::Pointer,
            3 => Kind::Array,
            4 | 5 => Kind::Composite,
            8..=11 | 18 => Kind::Alias,
            12 => Kind::Function,
            14 => Kind::Variable,
            15 => Kind::Section,
            _ => Kind::Other,
        }
    }

    /// The `index`th of the 32-bit numbers that follow the type.
    fn word(self, index: usize) -> u32 {
        number(self.rest, 4 * index).unwrap_or_default()
    }

    /// The variables that a section lists.
    pub(super) fn variables(self) -> impl Iterator<Item = Variable> + use<'a> {
        let number = if self.kind() == Kind::Section { self.members() } else { 0 };
        (0..number).map(move |at| Variable { id: self.word(3 * at), offset: self.word(3 * at + 1) })
    }

    /// The `index`th type that a value of this type contains by value.
    fn held(self, index: usize) -> Option<u32> {
        match self.kind() {
            Kind::Alias | Kind::Variable => (index == 0).then_some(self.size),
            Kind::Array => (index == 0).then(|| self.word(0)),
            // Its members are all that follows it.
            Kind::Composite => number(self.rest, 4 * (3 * index + 1)),
            Kind::Function | Kind::Section | Kind::Sized | Kind::Pointer | Kind::Other => None,
        }
    }

    /// The offsets of its names: its own, and those of members, parameters and values. The texts of tags
    /// are left out, because they may be long.
    fn names(self) -> impl Iterator<Item = u32> + use<'a> {
        let is_tag = matches!(self.number(), 17 | 18);
        let stride = match self.number() {
            4 | 5 | 19 => 3,
            6 | 13 => 2,
            _ => 0,
        };
        let number = if stride == 0 { 0 } else { self.members() };
        let own = (!is_tag).then_some(self.name);
        own.into_iter().chain((0..number).map(move |at| self.word(stride * at)))
    }
}

pub(super) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The first field of the header.
fn magic(btf: &[u8]) -> Option<u16> {
    Some(u16::from_ne_bytes(*btf.first_chunk()?))
}

pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
