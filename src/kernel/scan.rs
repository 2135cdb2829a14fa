//! Pinned files → what the kernel says of them; each program's stamp is read once.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use super::link::IteratorLink;
use super::{ffi, stamp};
use crate::meta::{Meta, ProgramId};
use crate::observed::{ScannedNode, ScannedProgram};

/// Looks at one pinned file after the other.
#[derive(Debug, Default)]
pub struct Scanner {
    programs: BTreeMap<ProgramId, ScannedProgram>,
}

impl Scanner {
    /// What is pinned at `path`, which is followed. `None` where it has just gone.
    ///
    /// # Errors
    /// Where this process may not look.
    pub fn look(&mut self, path: &Path, meta: Meta) -> io::Result<Option<ScannedNode>> {
        let link = match IteratorLink::open(path) {
            Ok(Ok(link)) => link,
            Ok(Err(kind)) => return Ok(Some(ScannedNode::Other(kind))),
            // Also what bpf_obj_do_get() in kernel/bpf/inode.c answers to a kind of pin that it does
            // not know.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let described = link.describe()?;
        if let std::collections::btree_map::Entry::Vacant(slot) =
            self.programs.entry(described.program)
        {
            let fd = ffi::prog_by_id(described.program.0)?;
            let info = ffi::prog_info(fd.as_fd())?;
            let stamps = stamp::read(&info.map_ids)?;
            slot.insert(ScannedProgram { name: info.name, stamps });
        }
        Ok(Some(ScannedNode::Iterator(described, meta)))
    }

    /// Every program that was behind one of the files.
    pub fn into_programs(self) -> BTreeMap<ProgramId, ScannedProgram> {
        self.programs
    }
}
