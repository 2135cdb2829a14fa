//! Pinned files → what the kernel says of them; each program's stamp is read once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use super::link::IteratorLink;
use super::{ffi, stamp};
use iterctl_core::access::Meta;
use iterctl_core::ids::{MapId, ProgramId};
use iterctl_core::observed::{ScannedNode, ScannedProgram};
use iterctl_core::target::Target;

/// Looks at pinned files, on one thread or on several.
#[derive(Debug, Default)]
pub struct Scanner {
    programs: Mutex<HashMap<ProgramId, (Target, ScannedProgram)>>,
}

impl Scanner {
    /// What is pinned as `name` in `directory`; a symbolic link there is followed. `None` where it has just
    /// gone.
    ///
    /// # Errors
    /// Where this process may not look.
    pub fn look(
        &self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        meta: Meta,
    ) -> io::Result<Option<ScannedNode>> {
        let link = match IteratorLink::open_at(directory, name) {
            Ok(Ok(link)) => link,
            Ok(Err(kind)) => return Ok(Some(ScannedNode::Other(kind))),
            // Also what bpf_obj_do_get() in kernel/bpf/inode.c answers to a kind of pin that it does
            // not know.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let target = self.target(&link)?;
        Ok(Some(ScannedNode::Iterator(link.describe(target), meta)))
    }

    /// What a link walks. Its program is looked at, if no link before was one of the same.
    fn target(&self, link: &IteratorLink) -> io::Result<Target> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, _) = match programs.entry(link.program()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => {
                let fd = ffi::prog_by_id(link.program().0)?;
                let info = ffi::prog_info(fd.as_fd())?;
                let stamps = stamp::read(&info.map_ids)?;
                let maps = info.map_ids.into_iter().map(MapId).collect();
                slot.insert((link.target()?, ScannedProgram { name: info.name, stamps, maps }))
            }
        };
        Ok(target.clone())
    }

    /// Every program that was behind one of the files.
    pub fn into_programs(self) -> BTreeMap<ProgramId, ScannedProgram> {
        let programs = self.programs.into_inner().unwrap_or_else(PoisonError::into_inner);
        programs.into_iter().map(|(id, (_, program))| (id, program)).collect()
    }
}
