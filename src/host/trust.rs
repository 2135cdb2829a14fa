//! Whether somebody else could have written a file that root is about to use, as sshd and sudo ask.
//!
//! In: a path. Out: nothing, or the first file or directory on the way to it that somebody else may
//! change. Who runs `sudo` is no somebody else.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file or a directory that somebody else may change.
#[derive(Debug, PartialEq, Eq)]
pub struct Untrusted {
    /// The file that is to be used.
    pub file: PathBuf,
    /// It, or a directory on the way to it.
    pub at: PathBuf,
    /// Who may change that.
    pub by: Writer,
}

/// Root does not use a file.
#[derive(Debug)]
pub enum Refused {
    /// Another user could have written it.
    Untrusted(Untrusted),
    /// The way to it cannot be looked at.
    Unseen(io::Error),
}

/// Who may change a file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Its owner, of that uid.
    Owner(u32),
    /// A group, of that gid.
    Group(u32),
    /// Everybody.
    Everybody,
}

/// Whose files are as good as root's.
#[derive(Clone, Copy, Debug)]
struct Trusted {
    uid: u32,
    gid: u32,
}

/// Whether root may use `file`. Anybody else may: what they run has their own rights only.
///
/// # Errors
/// [`Refused`].
pub fn check(file: &Path) -> Result<(), Refused> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let trusted = Trusted { uid: number_of("SUDO_UID"), gid: number_of("SUDO_GID") };
    // Both ways: the one that is written, and the one that symbolic links make of it.
    for way in [std::path::absolute(file)?, fs::canonicalize(file)?] {
        for at in way.ancestors() {
            if let Some(by) = writer(&look(at)?, trusted) {
                let (file, at) = (file.to_path_buf(), at.to_path_buf());
                return Err(Refused::Untrusted(Untrusted { file, at, by }));
            }
        }
    }
    Ok(())
}

/// A symbolic link has no mode of its own: who may write to its directory may change it.
fn look(at: &Path) -> io::Result<Metadata> {
    let own = fs::symlink_metadata(at)?;
    if own.is_symlink() { fs::metadata(at) } else { Ok(own) }
}

/// The number that sudo puts into the environment; root's own where it does not.
fn number_of(variable: &str) -> u32 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn writer(metadata: &Metadata, trusted: Trusted) -> Option<Writer> {
    writer_of(metadata.uid(), metadata.gid(), metadata.mode(), metadata.is_dir(), trusted)
}

fn writer_of(uid: u32, gid: u32, mode: u32, is_dir: bool, trusted: Trusted) -> Option<Writer> {
    const STICKY: u32 = 0o1000;
    if uid != 0 && uid != trusted.uid {
        return Some(Writer::Owner(uid));
    }
    // In a sticky directory, such as /tmp, nobody can rename or remove what is another's.
    if is_dir && mode & STICKY != 0 {
        return None;
    }
    if mode & 0o002 != 0 {
        return Some(Writer::Everybody);
    }
    (mode & 0o020 != 0 && gid != 0 && gid != trusted.gid).then_some(Writer::Group(gid))
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Unseen(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untrusted(error) => write!(f, "{error}"),
            Self::Unseen(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Untrusted(error) => error.source(),
            Self::Unseen(error) => error.source(),
        }
    }
}

impl Untrusted {
    /// The way out.
    pub fn hint(&self) -> String {
        let at = self.at.display();
        match self.by {
            Writer::Owner(_) => format!("`chown root {at}`, or `--insecure`"),
            Writer::Group(_) | Writer::Everybody => format!("`chmod go-w {at}`, or `--insecure`"),
        }
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, at) = (self.file.display(), self.at.display());
        let who = match self.by {
            Writer::Owner(uid) => format!("the user {uid} owns"),
            Writer::Group(gid) => format!("the group {gid} can write to"),
            Writer::Everybody => "everybody can write to".to_owned(),
        };
        write!(f, "root does not use {file}: {who} {at}")
    }
}

impl std::error::Error for Untrusted {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uid: u32, gid: u32, mode: u32, is_dir: bool, expected: Option<Writer>) {
        let trusted = Trusted { uid: 1000, gid: 1000 };
        assert_eq!(writer_of(uid, gid, mode, is_dir, trusted), expected);
    }

    #[test]
    fn who_can_write_is_found() {
        check(0, 0, 0o100_644, false, None);
        check(0, 0, 0o100_664, false, None);
        check(0, 5, 0o100_664, false, Some(Writer::Group(5)));
        check(0, 0, 0o100_666, false, Some(Writer::Everybody));
        check(7, 0, 0o100_600, false, Some(Writer::Owner(7)));
        check(1000, 1000, 0o100_664, false, None);
        check(1000, 5, 0o100_664, false, Some(Writer::Group(5)));
        check(0, 0, 0o040_777, true, Some(Writer::Everybody));
        check(0, 0, 0o041_777, true, None);
        check(0, 0, 0o101_777, false, Some(Writer::Everybody));
    }
}
