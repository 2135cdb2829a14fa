//! Pinned files → what the kernel says of them; each program's stamp is read once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use super::link::IteratorLink;
use super::{ffi, stamp};
use crate::meta::{Meta, ProgramId};
use crate::observed::{ScannedNode, ScannedProgram};
use crate::target::Target;

/// Looks at one pinned file after the other.
#[derive(Debug, Default)]
pub struct Scanner {
    programs: HashMap<ProgramId, (Target, ScannedProgram)>,
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
        let (target, _) = match self.programs.entry(link.program()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => {
                let fd = ffi::prog_by_id(link.program().0)?;
                let info = ffi::prog_info(fd.as_fd())?;
                let stamps = stamp::read(&info.map_ids)?;
                slot.insert((link.target()?, ScannedProgram { name: info.name, stamps }))
            }
        };
        Ok(Some(ScannedNode::Iterator(link.describe(target.clone()), meta)))
    }

    /// Every program that was behind one of the files.
    pub fn into_programs(self) -> BTreeMap<ProgramId, ScannedProgram> {
        self.programs.into_iter().map(|(id, (_, program))| (id, program)).collect()
    }
}
