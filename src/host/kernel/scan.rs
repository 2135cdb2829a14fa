//! Pinned files → what the kernel says of them. The stamp of each program is read once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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

/// The number of times that a link is asked for its program before a program that is not there is an error.
const TRIES: usize = 100;

/// Looks at pinned files, on one thread or on several.
#[derive(Debug, Default)]
pub struct Scanner {
    programs: Mutex<BTreeMap<ProgramId, (Target, ScannedProgram)>>,
}

impl Scanner {
    /// Looks at what is pinned as `name` in `directory`, following symbolic links. Returns `None` if it is no
    /// longer there.
    ///
    /// # Errors
    /// The kernel's, for instance if this process may not open the pin.
    pub fn look(
        &self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        meta: Meta,
    ) -> io::Result<Option<ScannedNode>> {
        let mut link = match IteratorLink::open_at(directory, name) {
            Ok(Ok(link)) => link,
            Ok(Err(kind)) => return Ok(Some(ScannedNode::Other(kind))),
            // bpf_obj_do_get() in kernel/bpf/inode.c says the same of a kind of pin that it does not know.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let target = self.target(&mut link)?;
        Ok(Some(ScannedNode::Iterator(link.describe(target), meta)))
    }

    /// Returns the target of a link, and remembers its program. If another process gives the link another program
    /// meanwhile, the one that it had may be gone: then the link is asked again.
    fn target(&self, link: &mut IteratorLink) -> io::Result<Target> {
        for _ in 1..TRIES {
            match self.program(link) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => link.look_again()?,
                other => return other,
            }
        }
        self.program(link)
    }

    /// Looks at the program of a link, unless it is known from another link, and returns its target.
    fn program(&self, link: &IteratorLink) -> io::Result<Target> {
        let mut programs = self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        let (target, _) = match programs.entry(link.program()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(slot) => {
                let fd = ffi::prog_by_id(link.program().0)?;
                let info = ffi::prog_info(fd.as_fd())?;
                let stamp = stamp::read(&info)?;
                let maps = info.map_ids.into_iter().map(MapId).collect();
                slot.insert((link.target()?, ScannedProgram { name: info.name, stamp, maps }))
            }
        };
        Ok(target.clone())
    }

    /// Returns every program that belongs to one of the links.
    pub fn into_programs(self) -> BTreeMap<ProgramId, ScannedProgram> {
        let programs = self.programs.into_inner().unwrap_or_else(PoisonError::into_inner);
        programs.into_iter().map(|(id, (_, program))| (id, program)).collect()
    }
}
