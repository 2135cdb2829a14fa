//! Iterator links: made, opened, asked, pinned.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::AttachError;
use super::fdinfo::FdKind;
use super::ffi;
use super::ffi::link::{Attach, LinkInfo, attach_iter, iter_create, iterator_info, link_info};
use super::load::Loaded;
use super::map;
use crate::host::sys::descriptors;
use iterctl_core::desired::Program;
use iterctl_core::ids::{LinkId, MapId, ProgramId};
use iterctl_core::observed::{Kind, Link, LinkParam};
use iterctl_core::target::{Takes, Target};

/// The parameter of a link that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// This one.
    Of(LinkParam),
    /// A map that came with the program's object, by its name there.
    OwnMap(String, MapId),
}

impl Parameter {
    fn link_param(&self) -> LinkParam {
        match self {
            Self::Of(param) => *param,
            Self::OwnMap(_, id) => LinkParam::Map(*id),
        }
    }
}

/// An iterator link. It lives in the kernel as long as this or a pin of it does.
#[derive(Debug)]
pub struct IteratorLink {
    fd: OwnedFd,
    info: LinkInfo,
}

impl IteratorLink {
    /// Attaches a loaded program, reads back what the kernel made of it, and compares. Returns the link and its
    /// description by the kernel.
    ///
    /// # Errors
    /// If the kernel refuses, or makes something else: `bpf_iter_link_info` is a union, and a map given to a target
    /// that takes a task becomes a thread id.
    pub fn attach(
        loaded: &Loaded,
        program: &Program,
        wanted: &Parameter,
    ) -> Result<(Self, Link), AttachError> {
        let target = &program.target;
        let param = wanted.link_param();
        let refused = |error| AttachError::refused((target, program.sleep), wanted, error);
        let map;
        let attach = match param {
            LinkParam::None => Attach::Plain,
            LinkParam::Map(id) => {
                map = map::open(id).map_err(AttachError::MapGone)?;
                Attach::Map(map.as_fd())
            }
            LinkParam::Thread(tid) if !thread_exists(tid) => {
                return Err(AttachError::NoThread(tid));
            }
            LinkParam::Thread(tid) => Attach::Thread(tid),
            LinkParam::Process(pid) if !process_exists(pid) => {
                return Err(AttachError::NoProcess(pid));
            }
            LinkParam::Process(pid) => Attach::Process(pid),
            LinkParam::Cgroup { id, order } => Attach::Cgroup(id, order),
        };
        let fd = attach_iter(loaded.as_fd(), attach).map_err(refused)?;
        let (info, name) = iterator_info(fd.as_fd()).map_err(refused)?;
        let link = Self { fd, info };
        let made = link.describe(Target::new(name));
        if made.target != *target || made.param != param {
            return Err(AttachError::mismatch((target, param), (&made.target, made.param)));
        }
        Ok((link, made))
    }

    /// Opens the iterator that is pinned at `path`, following symbolic links. If something else is pinned there,
    /// returns its kind.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(path: &Path) -> io::Result<Result<Self, Kind>> {
        Self::of(ffi::obj_get(&ffi::c_path(path)?)?)
    }

    /// The same for what has that name in an open directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open_at(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<Result<Self, Kind>> {
        // `BPF_F_PATH_FD` is of Linux 6.5.
        static TAKES_DIRECTORIES: AtomicBool = AtomicBool::new(true);
        if TAKES_DIRECTORIES.load(Ordering::Relaxed) {
            match ffi::obj_get_at(directory, name) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    TAKES_DIRECTORIES.store(false, Ordering::Relaxed);
                }
                other => return Self::of(other?),
            }
        }
        Self::open(&descriptors::path(directory).join(OsStr::from_bytes(name.to_bytes())))
    }

    fn of(fd: OwnedFd) -> io::Result<Result<Self, Kind>> {
        Ok(match FdKind::of(fd.as_fd())? {
            FdKind::IteratorLink(info) => Ok(Self { fd, info }),
            other @ (FdKind::Map | FdKind::Other(_)) => Err(other.into_kind()),
        })
    }

    /// Its id.
    pub fn id(&self) -> LinkId {
        LinkId(self.info.id)
    }

    /// Its program when the link was made or opened. `BPF_LINK_UPDATE` can replace it.
    pub fn program(&self) -> ProgramId {
        ProgramId(self.info.prog_id)
    }

    /// Asks the kernel again: another process may have given it another program.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn look_again(&mut self) -> io::Result<()> {
        self.info = link_info(self.fd.as_fd())?;
        Ok(())
    }

    /// Its target. All links of one program have the same.
    ///
    /// # Errors
    /// The kernel's.
    pub fn target(&self) -> io::Result<Target> {
        // Every way to make this type has made sure that the descriptor is an iterator link.
        Ok(Target::new(iterator_info(self.fd.as_fd())?.1))
    }

    /// Its description by the kernel, with its target.
    pub fn describe(&self, target: Target) -> Link {
        let param = param_of(&self.info, &target);
        Link { id: self.id(), program: self.program(), param, target }
    }

    /// Runs it once: what it prints can be read from the descriptor.
    ///
    /// # Errors
    /// The kernel's.
    pub fn run(&self) -> io::Result<OwnedFd> {
        iter_create(self.fd.as_fd())
    }

    /// Pins it at `path`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        ffi::obj_pin(self.fd.as_fd(), &ffi::c_path(path)?)
    }
}

impl AsFd for IteratorLink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

// The kernel does not ask whether there is such a task when it attaches (`bpf_iter_attach_task()` in
// kernel/bpf/task_iter.c): it would make an iterator of nothing.

fn thread_exists(tid: u32) -> bool {
    Path::new(&format!("/proc/{tid}")).exists()
}

/// Whether this is the first thread of a process. For any other thread, the kernel would walk nothing.
fn process_exists(pid: u32) -> bool {
    let first = format!("Tgid:\t{pid}");
    std::fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status.lines().any(|line| line == first))
}

/// The member of the union that the target fills in. Kernels that know a target without filling
/// anything in leave it zero.
fn param_of(info: &LinkInfo, target: &Target) -> LinkParam {
    let takes = target.known().map(|known| known.takes);
    match takes {
        Some(Takes::Map) => LinkParam::Map(MapId(info.map_id)),
        Some(Takes::Task) if info.tid != 0 => LinkParam::Thread(info.tid),
        Some(Takes::Task) if info.pid != 0 => LinkParam::Process(info.pid),
        Some(Takes::Cgroup) => LinkParam::Cgroup { id: info.cgroup_id, order: info.order },
        None if info.map_id != 0 => LinkParam::Map(MapId(info.map_id)),
        Some(Takes::Nothing | Takes::Task) | None => LinkParam::None,
    }
}
