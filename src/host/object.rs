//! Object files → their contents: opened, never loaded.
//!
//! In: paths. Out: the bytes of every object, read once, so that what is hashed is what is loaded,
//! and the facts that [`desired`](iterctl_core::desired) needs of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256 as Hasher};

use crate::host::contents;
use crate::host::kernel;
use crate::host::trust::{Opened, Refused, Trust, Untrusted};
use iterctl_core::anatomy::{Malformed, anatomy};
use iterctl_core::desired::ObjectFacts;
use iterctl_core::fault::{ByteOrder, ObjectFault};
use iterctl_core::names::Sha256;

/// Objects larger than this, in bytes, are refused: real ones have tens of kilobytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// `EM_BPF` of include/uapi/linux/elf-em.h.
const EM_BPF: u16 = 247;

/// The bytes of every good object that a manifest names.
#[derive(Debug, Default)]
pub struct Objects {
    bytes: BTreeMap<PathBuf, Vec<u8>>,
}

/// The facts of every object, or why it cannot be used.
pub type AllFacts = BTreeMap<PathBuf, Result<ObjectFacts, ObjectFault>>;

impl Objects {
    /// Reads and opens every object, and looks into no file that is not trusted. The facts can be as large as the
    /// objects, and are only needed until the manifest is resolved, so they are returned apart.
    ///
    /// # Errors
    /// The first object that another user could have changed.
    pub fn read(paths: &BTreeSet<PathBuf>, trust: Trust) -> Result<(Self, AllFacts), Untrusted> {
        let (mut good, mut all_facts) = (BTreeMap::new(), BTreeMap::new());
        for path in paths {
            let bytes = open(path, trust)?.and_then(|file| read_bytes(path, &file));
            let facts = bytes.and_then(|bytes| {
                let facts = facts_of(path, &bytes)?;
                good.insert(path.clone(), bytes);
                Ok(facts)
            });
            all_facts.insert(path.clone(), facts);
        }
        Ok((Self { bytes: good }, all_facts))
    }

    /// The bytes of a good object.
    pub fn bytes(&self, path: &Path) -> Option<&[u8]> {
        Some(self.bytes.get(path)?)
    }
}

/// Finds the facts of an object.
///
/// # Errors
/// If it cannot be used at all.
pub fn facts_of(path: &Path, bytes: &[u8]) -> Result<ObjectFacts, ObjectFault> {
    check_header(path, bytes)?;
    let anatomy = anatomy(bytes).map_err(|why| malformed(path, &why))?;
    let contents = kernel::look_into(path, bytes, &anatomy.externs())
        .map_err(|why| ObjectFault::Rejected(path.to_path_buf(), why))?;
    let sha256 = Sha256::from(<[u8; 32]>::from(Hasher::digest(bytes)));
    Ok(ObjectFacts {
        sha256,
        iterators: contents.iterators,
        maps: contents.maps,
        globals: contents.globals,
        externs: contents.externs,
        anatomy,
    })
}

fn open(path: &Path, trust: Trust) -> Result<Result<File, ObjectFault>, Untrusted> {
    Ok(match trust.open(path) {
        Ok(Opened::File(file)) => Ok(file),
        Ok(Opened::Directory(_)) | Err(Refused::Special(_)) => {
            Err(ObjectFault::NotAFile(path.to_path_buf()))
        }
        Err(Refused::Unreachable { error, .. }) => Err(unreadable(path, &error)),
        Err(Refused::Untrusted(untrusted)) => return Err(untrusted),
    })
}

fn read_bytes(path: &Path, file: &File) -> Result<Vec<u8>, ObjectFault> {
    let unreadable = |error| unreadable(path, &error);
    let length = file.metadata().map_err(unreadable)?.len();
    let bytes = contents::read(file, LARGEST).map_err(unreadable)?;
    bytes.ok_or_else(|| ObjectFault::TooLarge(path.to_path_buf(), length, LARGEST))
}

fn unreadable(path: &Path, error: &io::Error) -> ObjectFault {
    if error.kind() == io::ErrorKind::NotFound {
        ObjectFault::Missing(path.to_path_buf())
    } else {
        ObjectFault::Unreadable(path.to_path_buf(), error.to_string())
    }
}

fn malformed(path: &Path, why: &Malformed) -> ObjectFault {
    match why {
        Malformed::NoSymbols => ObjectFault::NoSymbols(path.to_path_buf()),
        Malformed::Unsound(why) => ObjectFault::Unsound(path.to_path_buf(), Box::new(why.clone())),
        Malformed::Elf(why) => ObjectFault::Malformed(path.to_path_buf(), why.clone()),
    }
}

/// libbpf says no more than "invalid argument" to what is no BPF object.
fn check_header(path: &Path, bytes: &[u8]) -> Result<(), ObjectFault> {
    let not_elf = || ObjectFault::NotElf(path.to_path_buf());
    let header: &[u8; 20] = bytes.first_chunk().ok_or_else(not_elf)?;
    if !header.starts_with(b"\x7fELF") {
        return Err(not_elf());
    }
    // EI_DATA, the sixth byte, is 2 if the file is big-endian.
    let machine = [header[18], header[19]];
    let (machine, order) = match header[5] {
        2 => (u16::from_be_bytes(machine), ByteOrder::Big),
        _ => (u16::from_le_bytes(machine), ByteOrder::Little),
    };
    if machine != EM_BPF {
        return Err(ObjectFault::NotBpf(path.to_path_buf(), machine));
    }
    // libbpf opens it, and refuses to load it with a number that is no errno.
    if order != ByteOrder::NATIVE {
        return Err(ObjectFault::OtherByteOrder(path.to_path_buf(), order));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(data: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, data]);
        bytes[18..20].copy_from_slice(&machine);
        bytes
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<(), ObjectFault>) {
        assert_eq!(check_header(Path::new("x"), bytes), expected);
    }

    #[test]
    fn only_elf_files_for_bpf_reach_libbpf() {
        let not_elf = || Err(ObjectFault::NotElf(PathBuf::from("x")));
        check(b"", not_elf());
        check(b"\x7fELF", not_elf());
        check(b"#!/bin/sh and much more than twenty bytes", not_elf());
        check(&elf(1, [62, 0]), Err(ObjectFault::NotBpf(PathBuf::from("x"), 62)));
        check(&elf(1, [247, 0]), Ok(()));
        let big = ObjectFault::OtherByteOrder(PathBuf::from("x"), ByteOrder::Big);
        check(&elf(2, [0, 247]), if cfg!(target_endian = "big") { Ok(()) } else { Err(big) });
    }
}
