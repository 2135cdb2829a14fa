//! Builds objects that no compiler produces: ELF files for BPF from sections, symbols and BTF with any
//! contents.

/// Section types and flags of include/uapi/linux/elf.h.
pub(crate) const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
pub(crate) const STRTAB: u32 = 3;
pub(crate) const NOBITS: u32 = 8;
pub(crate) const REL: u32 = 9;
pub(crate) const CODE: u64 = 0x4 | 0x2;
const COMPRESSED: u64 = 0x800;

/// A complete program: an instruction that sets r0, and `exit`.
pub(crate) const PROGRAM: [u8; 16] = [0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];

#[derive(Clone)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) entry: u64,
    pub(crate) bytes: Vec<u8>,
    /// Another size than that of the bytes, or the place of another section's bytes.
    pub(crate) size: Option<u64>,
    pub(crate) shares: Option<usize>,
}

#[derive(Clone)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) info: u8,
    pub(crate) section: u16,
    pub(crate) start: u64,
    pub(crate) size: u64,
}

/// Binding and type of a symbol.
pub(crate) const GLOBAL_UNTYPED: u8 = 0x10;
pub(crate) const GLOBAL_OBJECT: u8 = 0x11;
pub(crate) const GLOBAL_FUNCTION: u8 = 0x12;

/// Section 0 is empty, 1 has the strings, 2 the symbols, and 3 is the first one that is added.
#[derive(Clone, Default)]
pub(crate) struct Object {
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
    /// This many more symbols before the first one, with exactly the same name.
    pub(crate) more: usize,
    /// The strings end without a NUL, after this many bytes.
    pub(crate) endless_strings: usize,
    pub(crate) compressed_strings: bool,
}

impl Section {
    pub(crate) fn new(name: &str, kind: u32, flags: u64, bytes: Vec<u8>) -> Self {
        let name = name.to_owned();
        Self { name, kind, flags, link: 0, info: 0, entry: 0, bytes, size: None, shares: None }
    }

    /// Relocations of the section `of`: an offset and a symbol each.
    pub(crate) fn relocations(name: &str, of: u32, relocations: &[(u64, u32)]) -> Self {
        let mut bytes = Vec::new();
        for (offset, symbol) in relocations {
            bytes.extend(offset.to_le_bytes());
            bytes.extend((u64::from(*symbol) << 32 | 1).to_le_bytes());
        }
        Self { link: 2, info: of, entry: 16, ..Self::new(name, REL, 0, bytes) }
    }
}

impl Symbol {
    pub(crate) fn new(name: &str, info: u8, section: u16, start: u64, size: u64) -> Self {
        Self { name: name.to_owned(), info, section, start, size }
    }
}

impl Object {
    /// An object with one iterator, in section 3.
    pub(crate) fn with_iterator(code: &[u8]) -> Self {
        let mut object = Self::default();
        object.sections.push(Section::new("iter/task", PROGBITS, CODE, code.to_vec()));
        object.symbols.push(Symbol::new("tasks", GLOBAL_FUNCTION, 3, 0, code.len() as u64));
        object.add(Section::new("license", PROGBITS, 3, b"GPL\0".to_vec()));
        object
    }

    /// Adds a section. Returns its index.
    pub(crate) fn add(&mut self, section: Section) -> u16 {
        self.sections.push(section);
        u16::try_from(self.sections.len() + 2).expect("few sections")
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut strings = Strings(vec![0]);
        let mut symbols = vec![0; 24];
        for symbol in &self.symbols {
            symbols.extend(strings.add(&symbol.name).to_le_bytes());
            symbols.extend([symbol.info, 0]);
            symbols.extend(symbol.section.to_le_bytes());
            symbols.extend(symbol.start.to_le_bytes());
            symbols.extend(symbol.size.to_le_bytes());
        }
        let first = symbols.get(24..48).unwrap_or_default().repeat(self.more);
        symbols.splice(24..24, first);
        let symtab =
            Section { link: 1, info: 1, entry: 24, ..Section::new(".symtab", SYMTAB, 0, symbols) };
        let names: Vec<u32> =
            self.sections.iter().map(|section| strings.add(&section.name)).collect();
        let own = [strings.add(".strtab"), strings.add(".symtab")];
        let mut strings = strings.0;
        strings.resize(strings.len() + self.endless_strings, b'x');
        let flags = if self.compressed_strings { COMPRESSED } else { 0 };
        let strtab = Section::new(".strtab", STRTAB, flags, strings);
        let sections = [&strtab, &symtab].into_iter().chain(&self.sections);
        let named: Vec<_> = own.into_iter().chain(names).zip(sections).collect();

        let mut body = vec![0; 64];
        let mut places = Vec::new();
        for (_, section) in &named {
            body.resize(body.len().next_multiple_of(8), 0);
            places.push(body.len() as u64);
            if section.kind != NOBITS {
                body.extend(&section.bytes);
            }
        }
        body.resize(body.len().next_multiple_of(8), 0);
        let table = body.len() as u64;
        body.extend([0; 64]);
        for ((name, section), place) in named.iter().zip(&places) {
            let place = section.shares.map_or(*place, |other| places[other - 1]);
            body.extend(name.to_le_bytes());
            body.extend(section.kind.to_le_bytes());
            body.extend(section.flags.to_le_bytes());
            body.extend(0_u64.to_le_bytes());
            body.extend(place.to_le_bytes());
            body.extend(section.size.unwrap_or(section.bytes.len() as u64).to_le_bytes());
            body.extend(section.link.to_le_bytes());
            body.extend(section.info.to_le_bytes());
            body.extend(8_u64.to_le_bytes());
            body.extend(section.entry.to_le_bytes());
        }
        body[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        body[6] = 1;
        body[16..20].copy_from_slice(&[1, 0, 247, 0]);
        body[20] = 1;
        body[40..48].copy_from_slice(&table.to_le_bytes());
        body[52..54].copy_from_slice(&64_u16.to_le_bytes());
        body[58..60].copy_from_slice(&64_u16.to_le_bytes());
        let number = u16::try_from(named.len() + 1).expect("few sections");
        body[60..62].copy_from_slice(&number.to_le_bytes());
        body[62..64].copy_from_slice(&1_u16.to_le_bytes());
        body
    }
}

/// The strings of a file; a string that repeats the last one is stored once.
struct Strings(Vec<u8>);

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let last = self.0.len().saturating_sub(text.len() + 1);
        if self.0[last..].strip_suffix(b"\0") == Some(text.as_bytes()) {
            return u32::try_from(last).expect("few strings");
        }
        let at = u32::try_from(self.0.len()).expect("few strings");
        self.0.extend(text.as_bytes());
        self.0.push(0);
        at
    }
}

/// Builds `.BTF`, type by type.
#[derive(Clone, Default)]
pub(crate) struct Btf {
    types: Vec<u32>,
    number: u32,
    strings: Vec<u8>,
}

impl Btf {
    /// Adds a type of a kind (`BTF_KIND_*`), with this many members, a size or type, and the data that
    /// follows. Returns its id.
    pub(crate) fn add(
        &mut self,
        name: &str,
        kind: u32,
        members: u32,
        size: u32,
        rest: &[u32],
    ) -> u32 {
        let name = self.string(name);
        self.types.extend([name, kind << 24 | members, size]);
        self.types.extend(rest);
        self.number += 1;
        self.number
    }

    pub(crate) fn string(&mut self, text: &str) -> u32 {
        if self.strings.is_empty() {
            self.strings.push(0);
        }
        let mut strings = Strings(std::mem::take(&mut self.strings));
        let at = strings.add(text);
        self.strings = strings.0;
        at
    }

    pub(crate) fn to_section(&self) -> Section {
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut types: Vec<u8> = words(&self.types);
        let strings = if self.strings.is_empty() { &[0][..] } else { &self.strings };
        let (length, strings_length) = (types.len() as u32, strings.len() as u32);
        let mut bytes: Vec<u8> = words(&[0x0001_eb9f, 24, 0, length, length, strings_length]);
        bytes.append(&mut types);
        bytes.extend(strings);
        Section::new(".BTF", PROGBITS, 0, bytes)
    }
}

/// An object with an iterator and this BTF.
pub(crate) fn with_btf(btf: &Btf) -> Object {
    let mut object = Object::with_iterator(&PROGRAM);
    object.add(btf.to_section());
    object
}

/// BTF with a map `m` in `.maps`, whose `type` is of the type that the function adds.
pub(crate) fn with_map(add: impl Fn(&mut Btf) -> u32) -> Object {
    let mut btf = Btf::default();
    let field = add(&mut btf);
    let member = btf.string("type");
    let map = btf.add("", 4, 1, 8, &[member, field, 0]);
    let variable = btf.add("m", 14, 0, map, &[1]);
    btf.add(".maps", 15, 1, 8, &[variable, 0, 8]);
    let mut object = with_btf(&btf);
    let maps = object.add(Section::new(".maps", PROGBITS, 3, vec![0; 8]));
    object.symbols.push(Symbol::new("m", GLOBAL_OBJECT, maps, 0, 8));
    object
}

pub(crate) const NAME: &str = "CONFIG_X";

/// BTF with an extern of the kernel's configuration, of the type that the function adds.
pub(crate) fn with_configuration(externs: usize, add: impl Fn(&mut Btf) -> u32) -> Object {
    let mut btf = Btf::default();
    let kind = add(&mut btf);
    let variable = btf.add(NAME, 14, 0, kind, &[2]);
    btf.add(".kconfig", 15, 1, 0, &[variable, 0, 0]);
    let mut object = with_btf(&btf);
    for _ in 0..externs {
        object.symbols.push(Symbol::new(NAME, GLOBAL_UNTYPED, 0, 0, 0));
    }
    object
}

pub(crate) fn character(btf: &mut Btf) -> u32 {
    btf.add("char", 1, 0, 1, &[8])
}

pub(crate) fn array(btf: &mut Btf, number: u32) -> u32 {
    let element = character(btf);
    btf.add("", 3, 0, 0, &[element, element, number])
}

/// A call of the function that begins this many instructions after the next one.
pub(crate) fn call(offset: i32) -> [u8; 8] {
    let [a, b, c, d] = offset.to_le_bytes();
    [0x85, 0x10, 0, 0, a, b, c, d]
}
