//! Initial values of a program's global variables: a value as written + the variable's type → bytes.
//! Pure.
//!
//! In: the variables that an object's BTF describes, and what a manifest writes for them. Out:
//! [`Patch`]es of the object's `.rodata`, `.data` and `.bss`, or faults with their places.

mod misfit;

use std::fmt;
use std::ops::Range;

use serde_spanned::Spanned;

pub use self::misfit::Misfit;
use crate::value::Value;

/// A global variable of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// Its name.
    pub name: String,
    /// The section that holds it: `.rodata`, `.data`, `.bss` or a named one such as `.data.counters`.
    pub section: String,
    /// Its offset in the section, in bytes.
    pub offset: usize,
    /// Its type.
    pub kind: Type,
}

/// The type of a variable, a member or an element. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// An integer.
    Int {
        /// 1, 2, 4, 8 or 16.
        size: usize,
        /// Whether it can be negative.
        signed: bool,
    },
    /// `bool`.
    Bool,
    /// `char`: an array of them takes a string.
    Char {
        /// Whether it can be negative.
        signed: bool,
    },
    /// An `enum`, by the names of its values or by number.
    Enum {
        /// 1, 2, 4 or 8.
        size: usize,
        /// Whether it can be negative.
        signed: bool,
        /// Its values.
        values: Vec<(String, i128)>,
    },
    /// An array.
    Array {
        /// The type of its elements.
        element: Box<Type>,
        /// How many there are.
        length: usize,
    },
    /// A `struct` or a `union`.
    Struct {
        /// Its size with all padding.
        size: usize,
        /// Its members.
        members: Vec<Member>,
    },
    /// Something whose value cannot be written: a pointer, a floating point number, …
    Other {
        /// Its name in messages.
        what: String,
        /// Its size.
        size: usize,
    },
}

/// A member of a `struct` or a `union`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name; empty if it is anonymous.
    pub name: String,
    /// Its offset in bytes.
    pub offset: usize,
    /// Its type.
    pub kind: Type,
}

/// Bytes to be put into a section before the program is loaded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Patch {
    /// The section.
    pub section: String,
    /// The offset of the first byte.
    pub offset: usize,
    /// The bytes to write.
    pub bytes: Vec<u8>,
}

/// Most bytes that may be written to one variable: an object may describe an array of any size.
const MOST_BYTES: usize = 1 << 20;

/// The patches that give `global` the value `value` when the program is loaded. Values with the same bytes
/// have the same patches.
///
/// # Errors
/// Every part of the value that does not fit, with its place.
pub fn encode(
    global: &Global,
    value: &Spanned<Value>,
) -> Result<Vec<Patch>, Vec<(Range<usize>, Misfit)>> {
    let mut encoder = Encoder {
        section: &global.section,
        end: global.offset.saturating_add(global.kind.size()),
        room: MOST_BYTES,
        patches: Vec::new(),
        misfits: Vec::new(),
    };
    encoder.put(&global.kind, global.offset, value);
    if encoder.misfits.is_empty() { Ok(encoder.patches) } else { Err(encoder.misfits) }
}

struct Encoder<'a> {
    section: &'a str,
    /// One past the variable's last byte.
    end: usize,
    /// How many more bytes may be written.
    room: usize,
    patches: Vec<Patch>,
    misfits: Vec<(Range<usize>, Misfit)>,
}

impl Encoder<'_> {
    fn put(&mut self, kind: &Type, offset: usize, value: &Spanned<Value>) {
        match (kind, value.get_ref()) {
            (Type::Bool, Value::Boolean(truth)) => {
                self.bytes(offset, &[u8::from(*truth)], value);
            }
            (Type::Int { size, signed }, Value::Integer(number)) => {
                self.number(kind, (*size, *signed), offset, *number, value);
            }
            (Type::Char { signed }, Value::Integer(number)) => {
                self.number(kind, (1, *signed), offset, *number, value);
            }
            (Type::Enum { size, .. }, Value::Integer(number)) => {
                // clang marks enums as signed only since version 15.
                let signed = number.is_negative();
                self.number(kind, (*size, signed), offset, *number, value);
            }
            (Type::Enum { size, signed, values }, Value::String(name)) => {
                match values.iter().find(|(known, _)| known == name) {
                    Some((_, number)) => {
                        self.number(kind, (*size, *signed), offset, *number, value);
                    }
                    None => {
                        let known = values.iter().map(|(known, _)| known.clone()).collect();
                        self.misfit(value, Misfit::NotInEnum { name: name.clone(), known });
                    }
                }
            }
            (Type::Array { element, length }, Value::String(text))
                if matches!(**element, Type::Char { .. }) =>
            {
                self.string(*length, offset, text, value);
            }
            (Type::Array { element, length }, Value::Array(items)) => {
                self.array(element, *length, offset, items, value);
            }
            (Type::Struct { members, .. }, Value::Table(entries)) => {
                let mut taken: Vec<Range<usize>> = Vec::new();
                for (name, value) in &entries.0 {
                    match find(members, name.get_ref()) {
                        // Members of a union share their bytes.
                        Some((within, kind)) => {
                            let bytes = within..within.saturating_add(kind.size());
                            if taken
                                .iter()
                                .any(|one| one.start < bytes.end && bytes.start < one.end)
                            {
                                let overlap = Misfit::Overlap(name.get_ref().clone());
                                self.misfits.push((name.span(), overlap));
                            }
                            taken.push(bytes);
                            self.put(kind, offset.saturating_add(within), value);
                        }
                        None => {
                            let (name_text, known) = (name.get_ref().clone(), names(members));
                            let misfit = Misfit::UnknownMember { name: name_text, known };
                            self.misfits.push((name.span(), misfit));
                        }
                    }
                }
            }
            (Type::Other { what, .. }, _) => self.misfit(value, Misfit::CannotWrite(what.clone())),
            (
                Type::Int { .. }
                | Type::Bool
                | Type::Char { .. }
                | Type::Enum { .. }
                | Type::Array { .. }
                | Type::Struct { .. },
                found,
            ) => {
                let wanted = kind.to_string();
                self.misfit(value, Misfit::Kind { wanted, found: found.kind() });
            }
        }
    }

    fn number(
        &mut self,
        kind: &Type,
        (size, signed): (usize, bool),
        offset: usize,
        number: i128,
        value: &Spanned<Value>,
    ) {
        let (least, most) = bounds(size, signed);
        if number < least || number > most {
            let wanted = kind.to_string();
            return self.misfit(value, Misfit::Range { wanted, least, most });
        }
        // Two's complement of the width, in the byte order of this machine, which BPF objects share here.
        let mut bytes = number.to_le_bytes();
        let Some(bytes) = bytes.get_mut(..size) else { return self.wrong_type(value) };
        if cfg!(target_endian = "big") {
            bytes.reverse();
        }
        self.bytes(offset, bytes, value);
    }

    fn string(&mut self, length: usize, offset: usize, text: &str, value: &Spanned<Value>) {
        if text.contains('\0') {
            return self.misfit(value, Misfit::Nul);
        }
        if text.len() >= length {
            let misfit = Misfit::StringTooLong { length: text.len(), room: length };
            return self.misfit(value, misfit);
        }
        if self.zeros(offset, length, value).is_some() {
            self.bytes(offset, text.as_bytes(), value);
        }
    }

    /// Elements that are not written are zero, as in C.
    fn array(
        &mut self,
        element: &Type,
        length: usize,
        offset: usize,
        items: &[Spanned<Value>],
        value: &Spanned<Value>,
    ) {
        if items.len() > length {
            let misfit = Misfit::ArrayTooLong { length: items.len(), room: length };
            return self.misfit(value, misfit);
        }
        let step = element.size();
        if self.zeros(offset, step.saturating_mul(length), value).is_some() {
            for (index, item) in items.iter().enumerate() {
                self.put(element, offset + index * step, item);
            }
        }
    }

    fn bytes(&mut self, offset: usize, bytes: &[u8], value: &Spanned<Value>) {
        if let Some(zeros) = self.zeros(offset, bytes.len(), value) {
            zeros.copy_from_slice(bytes);
        }
    }

    /// Adds zeros for these bytes of the variable, and returns them to be filled. `None` if they are out of
    /// bounds or too many, which has been reported.
    fn zeros(&mut self, offset: usize, length: usize, value: &Spanned<Value>) -> Option<&mut [u8]> {
        // The type is what the object's BTF says: if that is wrong, the next variable must not be
        // overwritten.
        let Some(end) = offset.checked_add(length).filter(|end| *end <= self.end) else {
            self.wrong_type(value);
            return None;
        };
        // A value inside an array that was written before goes into the same patch.
        let covered = |last: &Patch| last.offset <= offset && end <= last.offset + last.bytes.len();
        if !self.patches.last().is_some_and(covered) {
            let Some(room) = self.room.checked_sub(length) else {
                let size = length.saturating_add(MOST_BYTES - self.room);
                self.misfit(value, Misfit::TooLarge { size, most: MOST_BYTES });
                return None;
            };
            self.room = room;
            let section = self.section.to_owned();
            self.patches.push(Patch { section, offset, bytes: vec![0; length] });
        }
        let last = self.patches.last_mut()?;
        let zeros = last.bytes.get_mut(offset - last.offset..end - last.offset)?;
        zeros.fill(0);
        Some(zeros)
    }

    fn misfit(&mut self, value: &Spanned<Value>, misfit: Misfit) {
        self.misfits.push((value.span(), misfit));
    }

    fn wrong_type(&mut self, value: &Spanned<Value>) {
        let what = "a variable with wrong type information".to_owned();
        self.misfit(value, Misfit::CannotWrite(what));
    }
}

/// The member of that name, and its offset. As in C, the members of an anonymous member are the struct's
/// own.
fn find<'a>(members: &'a [Member], name: &str) -> Option<(usize, &'a Type)> {
    members.iter().find_map(|member| match member.anonymous() {
        None => (member.name == name).then_some((member.offset, &member.kind)),
        Some(inner) => {
            let (offset, kind) = find(inner, name)?;
            Some((member.offset.saturating_add(offset), kind))
        }
    })
}

/// The names that [`find`] finds.
fn names(members: &[Member]) -> Vec<String> {
    let of_member = |member: &Member| match member.anonymous() {
        None => vec![member.name.clone()],
        Some(inner) => names(inner),
    };
    members.iter().flat_map(of_member).collect()
}

/// The smallest and the largest number of an integer of `size` bytes.
fn bounds(size: usize, signed: bool) -> (i128, i128) {
    match (size, signed) {
        (0, _) => (0, 0),
        (1..=15, true) => (-(1 << (8 * size - 1)), (1 << (8 * size - 1)) - 1),
        (1..=15, false) => (0, (1 << (8 * size)) - 1),
        // A `Value` holds no larger number.
        (_, true) => (i128::MIN, i128::MAX),
        (_, false) => (0, i128::MAX),
    }
}

impl Member {
    /// The members of an anonymous member; `None` if it has a name.
    fn anonymous(&self) -> Option<&[Self]> {
        match &self.kind {
            _ if !self.name.is_empty() => None,
            Type::Struct { members, .. } => Some(members),
            Type::Int { .. }
            | Type::Bool
            | Type::Char { .. }
            | Type::Enum { .. }
            | Type::Array { .. }
            | Type::Other { .. } => Some(&[]),
        }
    }
}

impl Type {
    /// Its size in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Int { size, .. }
            | Self::Enum { size, .. }
            | Self::Struct { size, .. }
            | Self::Other { size, .. } => *size,
            Self::Bool | Self::Char { .. } => 1,
            Self::Array { element, length } => element.size().saturating_mul(*length),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int { size, signed } => {
                let sign = if *signed { "a signed" } else { "an unsigned" };
                let s = if *size == 1 { "" } else { "s" };
                write!(f, "{sign} integer of {size} byte{s}")
            }
            Self::Bool => write!(f, "a bool"),
            Self::Char { .. } => write!(f, "a char"),
            Self::Enum { .. } => write!(f, "an enum"),
            Self::Array { element, length } => match **element {
                Type::Char { .. } => {
                    write!(f, "a string of up to {} bytes", length.saturating_sub(1))
                }
                Type::Int { .. }
                | Type::Bool
                | Type::Enum { .. }
                | Type::Array { .. }
                | Type::Struct { .. }
                | Type::Other { .. } => write!(f, "an array of {length} elements"),
            },
            Self::Struct { .. } => write!(f, "a struct"),
            Self::Other { what, .. } => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests;
