//! The lock of a directory that others may write to: `flock(2)` on a directory in it that only its owner can
//! open.
//!
//! Any user who can open a file can hold its flock. So what is locked is a directory of mode 0700, the *lock*,
//! which stays where it is when the lock is released. On a bpffs of mode 1777, another user can take its name
//! first, with a directory, a symbolic link or a pin. The lock is then exchanged with what is there. It is
//! never opened if it is not a directory, and never followed. No user can remove or rename root's directories
//! from a directory with the sticky bit.
//!
//! # Why two processes never hold it at the same time
//!
//! A directory is *good* if it belongs to a trusted owner and gives no rights to others. A process holds the
//! lock if, in this order: it opened a good directory at the name; it has the flock of it; the name still leads
//! to it; no other good directory that was once at the name has its flock held; the name still leads to it.
//!
//! Directories are moved only like this:
//!
//! 1. To take the name from something that is not good, a process makes a *room*, a directory of mode 0700 with
//!    a random name, and a new directory in it, and exchanges that with what is at the name. What was at the
//!    name is in the room then. It may be good after all: a third process may have done the same between the
//!    look and the exchange.
//! 2. To remove a good directory from a room, a process takes its flock first, gives it a name of its own in
//!    that room, looks whether the one that it has renamed is the one whose flock it has, and removes it only
//!    then.
//!
//! A new lock for another owner is made in a room, too, and moved to the name if that is free.
//!
//! Only new directories come to the name, so a directory that has left the name never returns. Rooms keep their
//! names, and are removed only when they are empty. Other users cannot look into them.
//!
//! Suppose that A holds the lock with the directory *a*, and B comes to hold it with the directory *b*. They
//! are different, as one flock has one holder. Let B be the one that looked into the rooms last. A had the
//! flock of *a* by then, so *a* was not removed (2). At both looks of B, before and after, the name led to *b*,
//! so nothing left the name in between, and *a* was in a room all that time. The room was never renamed, so B has
//! listed it: a listing can only miss what is renamed meanwhile (`dcache_readdir()` in fs/libfs.c). In the room,
//! *a* may have been renamed (2). But a room has very few names, which one call reads, and no rename happens in a
//! directory during such a call (`iterate_dir()` in fs/readdir.c holds the lock that a rename takes). So B has seen
//! *a*, under its old name or its new one. If that name is gone when B opens it, B begins again. So B has opened
//! *a*, could not get its flock, and does not hold the lock.
//!
//! A process that is killed at any moment leaves a room, which the next holder of the lock removes.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{self, AtFlags, FileType, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::super::place::{Place, is_not_permitted};
use super::super::{names_in, names_with, random_name};
use iterctl_core::pin_path::LOCK_PREFIX;

/// The prefix of the names of rooms.
const ROOM_PREFIX: &str = "iterctl-lock-new-";

/// The prefix of the names of other users' directories that have been in the way and are not empty.
const OLD_PREFIX: &str = "iterctl-lock-old-";

/// The name of a new lock in its room.
const NEW: &str = "lock";

/// The result of one try.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The lock is held as long as the directory is open.
    Taken(OwnedFd),
    /// Another process holds the flock of this directory.
    Busy(Stat),
    /// Something has changed meanwhile.
    Again,
    /// This process may not make anything in the directory.
    NotPermitted,
}

/// The place and the name at which a lock is looked for.
#[derive(Debug)]
pub(super) struct Doorway<'a> {
    place: &'a Place,
    name: String,
    dev: u64,
    /// The owners that are trusted.
    owners: [u32; 2],
    /// The owner of a new lock.
    owner: u32,
}

impl<'a> Doorway<'a> {
    /// The lock of a directory. Root and the directory's owner share one: the owner could remove any other.
    /// Other users cannot open it, so each has another one: if they shared one with root, any of them could
    /// hold it for ever.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn new(place: &'a Place) -> io::Result<Self> {
        let stat = fs::fstat(&place.fd)?;
        let uid = geteuid().as_raw();
        let (name, owners, owner) = if uid == 0 || uid == stat.st_uid {
            (LOCK_PREFIX.to_owned(), [0, stat.st_uid], stat.st_uid)
        } else {
            (format!("{LOCK_PREFIX}-{uid}"), [uid, uid], uid)
        };
        Ok(Self { place, name, dev: stat.st_dev, owners, owner })
    }

    /// Tries once to take the lock.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn attempt(&self) -> io::Result<Attempt> {
        let lock = match self.open(&self.place.fd, &self.name) {
            Ok(lock) => lock,
            Err(Errno::NOENT) => return self.make(),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => return self.replace(),
            Err(error) => return Err(error.into()),
        };
        let stat = fs::fstat(&lock)?;
        if !self.is_good(&stat) {
            return self.replace();
        }
        if stat.st_uid != self.owner {
            // Root has made it, and its owner must be able to open it, too. If that fails, root still has a
            // lock.
            let owner = Some(fs::Uid::from_raw(self.owner));
            let _ = fs::fchown(&lock, owner, None);
        }
        if !is_free(&lock)? {
            return Ok(Attempt::Busy(stat));
        }
        if !self.leads_to(&stat) {
            return Ok(Attempt::Again);
        }
        Ok(match self.look_into_rooms()? {
            Rooms::Busy(stat) => Attempt::Busy(stat),
            Rooms::Closed => Attempt::NotPermitted,
            Rooms::Changed => Attempt::Again,
            Rooms::Free if self.leads_to(&stat) => Attempt::Taken(lock),
            Rooms::Free => Attempt::Again,
        })
    }

    fn open(&self, at: &OwnedFd, name: impl rustix::path::Arg) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        fs::openat(at, name, flags, Mode::empty())
    }

    /// Whether only a trusted owner can open it. A directory on which something is mounted is not good.
    fn is_good(&self, stat: &Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode).is_dir()
            && stat.st_mode & 0o077 == 0
            && self.owners.contains(&stat.st_uid)
            && stat.st_dev == self.dev
    }

    fn leads_to(&self, lock: &Stat) -> bool {
        let there = fs::statat(&self.place.fd, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        there.is_ok_and(|there| is_same(&there, lock) && self.is_good(&there))
    }

    fn make(&self) -> io::Result<Attempt> {
        // A lock for another owner is never seen without that owner, even if this process is killed.
        if self.owner != geteuid().as_raw() {
            return self.make_in_room(Self::publish);
        }
        match fs::mkdirat(&self.place.fd, &self.name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(Attempt::Again),
            Err(error) if is_not_permitted(error) => Ok(Attempt::NotPermitted),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a new lock in the place of what is there.
    fn replace(&self) -> io::Result<Attempt> {
        self.make_in_room(Self::exchange)
    }

    /// Makes a new lock in a room, and brings it to the name by `bring`, which returns whether it is there then.
    fn make_in_room(
        &self,
        bring: impl FnOnce(&Self, &OwnedFd) -> rustix::io::Result<bool>,
    ) -> io::Result<Attempt> {
        let at = &self.place.fd;
        let name = random_name(ROOM_PREFIX)?;
        match fs::mkdirat(at, &name, Mode::RWXU) {
            Err(error) if is_not_permitted(error) => return Ok(Attempt::NotPermitted),
            other => other?,
        }
        // The holder of the lock may remove the room at any moment.
        let result = self.open(at, &name).and_then(|room| {
            fs::mkdirat(&room, NEW, Mode::RWXU)?;
            if self.owner != geteuid().as_raw() {
                // If that fails, root still has a lock.
                let owner = Some(fs::Uid::from_raw(self.owner));
                let _ = fs::chownat(&room, NEW, owner, None, AtFlags::SYMLINK_NOFOLLOW);
            }
            let brought = bring(self, &room);
            if !matches!(brought, Ok(true)) {
                // The new lock has not come to the name, so no process holds it.
                let _ = fs::unlinkat(&room, NEW, AtFlags::REMOVEDIR);
            }
            self.clear(&room)?;
            brought
        });
        // If something good is in it, it stays until its flock is free.
        let _ = fs::unlinkat(at, &name, AtFlags::REMOVEDIR);
        match result {
            Ok(_) | Err(Errno::NOENT) => Ok(Attempt::Again),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the new lock to the name, if that is free. Returns whether it is there now.
    fn publish(&self, room: &OwnedFd) -> rustix::io::Result<bool> {
        match fs::renameat_with(room, NEW, &self.place.fd, &self.name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Exchanges the new lock with what is at the name. Returns whether the lock is there now.
    fn exchange(&self, room: &OwnedFd) -> rustix::io::Result<bool> {
        let at = &self.place.fd;
        match fs::renameat_with(room, NEW, at, &self.name, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL) => {}
            other => return other.map(|()| true),
        }
        // On bpffs, that is possible since Linux 5.16 (`simple_rename_exchange()`). Before, another user may
        // take the name again between the two renames; then the next try comes.
        fs::renameat_with(at, &self.name, room, "old", RenameFlags::NOREPLACE)?;
        match fs::renameat_with(room, NEW, at, &self.name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Removes from a room of this process what is not good. A directory that is not empty is moved out of it,
    /// to where everyone can see what is in it.
    fn clear(&self, room: &OwnedFd) -> rustix::io::Result<()> {
        for name in [NEW, "old"] {
            let Ok(stat) = fs::statat(room, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if self.is_good(&stat) {
                continue;
            }
            let removed = match fs::unlinkat(room, name, AtFlags::empty()) {
                Err(Errno::ISDIR | Errno::PERM) => fs::unlinkat(room, name, AtFlags::REMOVEDIR),
                other => other,
            };
            if removed.is_err() {
                let old = random_name(OLD_PREFIX).map_err(|_| Errno::AGAIN)?;
                let flags = RenameFlags::NOREPLACE;
                // If it cannot be moved, it stays in the room.
                let _ = fs::renameat_with(room, name, &self.place.fd, &old, flags);
            }
        }
        Ok(())
    }

    /// Looks whether a lock in a room is held, and removes those that are not, with their rooms.
    fn look_into_rooms(&self) -> io::Result<Rooms> {
        let listed = match self.open(&self.place.fd, ".") {
            Err(Errno::ACCESS) => return Ok(Rooms::Closed),
            other => names_with(&other?, LOCK_PREFIX)?,
        };
        for name in listed {
            if name.to_bytes().starts_with(OLD_PREFIX.as_bytes()) {
                // It goes as soon as its owner has emptied it.
                let _ = fs::unlinkat(&self.place.fd, &name, AtFlags::REMOVEDIR);
            }
            if !name.to_bytes().starts_with(ROOM_PREFIX.as_bytes()) {
                continue;
            }
            let room = match self.open(&self.place.fd, &name) {
                Ok(room) => room,
                // A room that is gone was empty. What another user has given such a name is no room.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                // Only root's own room may be closed to the owner, and it may hold a lock.
                Err(Errno::ACCESS) => match self.is_closed_room(&name) {
                    true => return Ok(Rooms::Changed),
                    false => continue,
                },
                // Without a look into it, the lock may be held.
                Err(error) => return Err(error.into()),
            };
            if !self.is_good(&fs::fstat(&room)?) {
                continue;
            }
            for inner in names_in(&room)? {
                match self.look_at(&room, &inner)? {
                    Rooms::Free => {}
                    other @ (Rooms::Busy(_) | Rooms::Changed | Rooms::Closed) => return Ok(other),
                }
            }
            let _ = fs::unlinkat(&self.place.fd, &name, AtFlags::REMOVEDIR);
        }
        Ok(Rooms::Free)
    }

    fn is_closed_room(&self, name: &CStr) -> bool {
        let stat = fs::statat(&self.place.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| self.is_good(&stat))
    }

    fn look_at(&self, room: &OwnedFd, name: &CStr) -> io::Result<Rooms> {
        let lock = match self.open(room, name) {
            Ok(lock) => lock,
            Err(Errno::NOENT) => return Ok(Rooms::Changed),
            // Something of another user, which a killed process has left here.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let _ = fs::unlinkat(room, name, AtFlags::empty());
                return Ok(Rooms::Free);
            }
            Err(error) => return Err(error.into()),
        };
        let stat = fs::fstat(&lock)?;
        let is_good = self.is_good(&stat);
        if is_good && !is_free(&lock)? {
            return Ok(Rooms::Busy(stat));
        }
        let own = random_name(NEW)?;
        match fs::renameat_with(room, name, room, &own, RenameFlags::NOREPLACE) {
            Err(Errno::NOENT) => return Ok(Rooms::Changed),
            other => other?,
        }
        let renamed = fs::statat(room, &own, AtFlags::SYMLINK_NOFOLLOW);
        if renamed.is_ok_and(|renamed| is_same(&renamed, &stat)) {
            // A directory of another user may not be empty. Then it stays.
            let _ = fs::unlinkat(room, &own, AtFlags::REMOVEDIR);
            return Ok(Rooms::Free);
        }
        Ok(Rooms::Changed)
    }
}

/// The contents of the rooms.
#[derive(Debug)]
enum Rooms {
    /// No lock that is held.
    Free,
    /// The lock of another process.
    Busy(Stat),
    /// Something has changed meanwhile.
    Changed,
    /// The directory may not be read.
    Closed,
}

/// Takes the flock of a directory, if it is free.
fn is_free(directory: &OwnedFd) -> io::Result<bool> {
    loop {
        match fs::flock(directory.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn is_same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

#[cfg(test)]
mod tests {
    use std::fs as std_fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn place(path: &Path) -> Place {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::open(path, flags, Mode::empty()).expect("own folder");
        Place { fd, path: path.to_path_buf() }
    }

    /// Tries until it has the lock.
    fn take(place: &Place) -> OwnedFd {
        let doorway = Doorway::new(place).expect("own folder");
        loop {
            match doorway.attempt().expect("own folder") {
                Attempt::Taken(lock) => return lock,
                Attempt::Busy(_) | Attempt::Again => thread::yield_now(),
                Attempt::NotPermitted => panic!("it is the own folder"),
            }
        }
    }

    /// In each round, four processes want the lock, while two others put links and files in its place and
    /// remove them as fast as they can; as they cannot remove root's directories, they never remove a
    /// directory.
    #[test]
    fn it_has_one_holder_at_a_time() {
        let rounds = std::env::var("ITERCTL_ROUNDS").ok().and_then(|number| number.parse().ok());
        let replaced = AtomicUsize::new(0);
        let rounds = rounds.unwrap_or(40);
        for round in 0..100 * rounds {
            // On a busy machine, the others may come too late in every round: then there are more.
            if round >= rounds && replaced.load(Ordering::SeqCst) > 0 {
                break;
            }
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path();
            let (is_held, is_over, start) =
                (AtomicBool::new(false), AtomicBool::new(false), Barrier::new(6));
            symlink("nowhere", path.join(LOCK_PREFIX)).expect("nothing is there");
            let hold = || {
                start.wait();
                for _ in 0..3 {
                    let lock = take(&place(path));
                    assert!(!is_held.swap(true, Ordering::SeqCst), "two have it in round {round}");
                    thread::yield_now();
                    is_held.store(false, Ordering::SeqCst);
                    drop(lock);
                }
            };
            let disturb = || {
                start.wait();
                while !is_over.load(Ordering::SeqCst) {
                    let _ = std_fs::remove_file(path.join(LOCK_PREFIX));
                    if symlink("nowhere", path.join(LOCK_PREFIX)).is_ok() {
                        replaced.fetch_add(1, Ordering::SeqCst);
                    }
                }
            };
            thread::scope(|scope| {
                let disturbers = [scope.spawn(disturb), scope.spawn(disturb)];
                let holders = [(); 4].map(|()| scope.spawn(hold));
                let ended = holders.map(|holder| holder.join().is_ok());
                is_over.store(true, Ordering::SeqCst);
                let quiet = disturbers.map(|disturber| disturber.join().is_ok());
                assert_eq!((ended, quiet), ([true; 4], [true; 2]));
            });
            drop(take(&place(path)));
            let left: Vec<_> = std_fs::read_dir(path).expect("own folder").flatten().collect();
            assert_eq!(left.len(), 1, "{left:?}");
        }
        println!("links planted: {replaced:?}");
        assert!(replaced.load(Ordering::SeqCst) > 0);
    }
}
