//! The directories that are watched, and the names in them that matter.
//!
//! In: the paths that matter. Out: every place where a change can make such a path lead elsewhere: the
//! name itself, every symbolic link on the way, and if something is missing, the first missing name.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::host::sources::is_manifest_name;

/// The number of symbolic links on one path that the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// Directories, none of them reached through a symbolic link, and the names in them that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    directories: BTreeMap<PathBuf, Names>,
    /// All that leads to one of the directories, each of these included.
    ways: BTreeSet<PathBuf>,
    /// The directories to which the parents of the paths lead, if anywhere: most paths share theirs.
    parents: BTreeMap<PathBuf, Option<PathBuf>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Names {
    /// Whether every manifest in it matters.
    manifests: bool,
    these: BTreeSet<OsString>,
}

impl Places {
    /// The path matters.
    pub(super) fn add(&mut self, path: &Path) {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
        let known = self.parents.get(parent).cloned();
        let parent = known.unwrap_or_else(|| {
            let leads_to = self.resolve(parent, Last::Directory);
            self.parents.insert(parent.to_path_buf(), leads_to.clone());
            leads_to
        });
        // If the parent is missing, the first missing name matters already.
        if let Some(parent) = parent {
            self.resolve_from(parent, vec![name.to_os_string()], Last::Matters);
        }
    }

    /// Every manifest in the directory matters, and so do new ones.
    pub(super) fn add_manifests_in(&mut self, directory: &Path) {
        if let Some(directory) = self.resolve(directory, Last::Matters) {
            self.names_in(directory).manifests = true;
        }
    }

    /// The directories to watch.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        self.directories.keys().map(PathBuf::as_path)
    }

    /// Whether it is one of the directories to watch.
    pub(super) fn is_directory(&self, path: &Path) -> bool {
        self.directories.contains_key(path)
    }

    /// Whether a change of `path` matters.
    pub(super) fn concern(&self, path: &Path) -> bool {
        // What happens to the directory also happens to everything in it.
        if self.is_directory(path) {
            return true;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return false };
        self.directories.get(parent).is_some_and(|names| names.matter(name))
    }

    /// Whether a file system that is mounted there is one that a place is found in.
    pub(super) fn are_reached_through(&self, point: &Path) -> bool {
        self.ways.contains(point) || self.concern(point)
    }

    fn names_in(&mut self, directory: PathBuf) -> &mut Names {
        for way in directory.ancestors() {
            // Those above it are there already.
            if !self.ways.insert(way.to_path_buf()) {
                break;
            }
        }
        self.directories.entry(directory).or_default()
    }

    /// The path to which an absolute path leads, if anywhere. Notes every place that this depends on.
    fn resolve(&mut self, path: &Path, last: Last) -> Option<PathBuf> {
        self.resolve_from(PathBuf::from("/"), names_of(path), last)
    }

    /// The same, from a directory that is reached without symbolic links. The next one of the names is the last in the
    /// list.
    fn resolve_from(
        &mut self,
        mut at: PathBuf,
        mut names: Vec<OsString>,
        last: Last,
    ) -> Option<PathBuf> {
        let mut links = 0;
        while let Some(name) = names.pop() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let found = fs::symlink_metadata(&next);
            let is_on_the_way = !names.is_empty() || last == Last::Directory;
            if !is_on_the_way || !found.as_ref().is_ok_and(fs::Metadata::is_dir) {
                self.names_in(at.clone()).these.insert(name);
            }
            match found {
                Ok(metadata) if metadata.is_symlink() => {
                    let target = fs::read_link(&next).ok()?;
                    links += 1;
                    if links > MOST_LINKS {
                        return None;
                    }
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    names.extend(names_of(&target));
                }
                Ok(_) => at = next,
                Err(_) => return None,
            }
        }
        Some(at)
    }
}

/// The meaning of the last name of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    /// It matters itself.
    Matters,
    /// It is the directory of what matters. Its own watch tells if it is removed.
    Directory,
}

impl Names {
    fn matter(&self, name: &OsStr) -> bool {
        (self.manifests && is_manifest_name(name)) || self.these.contains(name)
    }
}

/// The names on a path, the last one first.
fn names_of(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The paths that matter, each below a folder that `make` fills, for the path `added`.
    #[track_caller]
    fn check(make: impl Fn(&Path), added: &str, expected: &[&str], not: &[&str]) {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = fs::canonicalize(folder.path()).expect("it is there");
        make(&folder);
        let mut places = Places::default();
        places.add(&folder.join(added));
        for path in expected {
            assert!(places.concern(&folder.join(path)), "{path} matters: {places:?}");
        }
        for path in not {
            assert!(!places.concern(&folder.join(path)), "{path} does not matter: {places:?}");
        }
    }

    fn file(folder: &Path, path: &str) {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("own folder");
        fs::write(path, "").expect("own folder");
    }

    #[test]
    fn a_file_matters_and_its_neighbours_do_not() {
        check(|folder| file(folder, "d/f"), "d/f", &["d/f", "d"], &["d/g", "e", "d/f/x"]);
    }

    #[test]
    fn only_the_directory_of_a_path_is_watched() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = fs::canonicalize(folder.path()).expect("it is there");
        file(&folder, "a/b/f");
        let mut places = Places::default();
        places.add(&folder.join("a/b/f"));
        assert_eq!(places.directories().collect::<Vec<_>>(), [folder.join("a/b")]);
    }

    #[test]
    fn of_what_is_missing_the_first_name_matters() {
        check(|_| {}, "a/b/c", &["a"], &["b", "a/b"]);
        check(|folder| file(folder, "a/x"), "a/b/c", &["a/b"], &["a/b/c"]);
    }

    #[test]
    fn every_link_on_the_way_matters() {
        // As the kubelet lays a ConfigMap out.
        let config_map = |folder: &Path| {
            file(folder, "map/..2026_01/m.toml");
            symlink("..2026_01", folder.join("map/..data")).expect("own folder");
            symlink("..data/m.toml", folder.join("map/m.toml")).expect("own folder");
        };
        let places = ["map/m.toml", "map/..data", "map/..2026_01/m.toml"];
        check(config_map, "map/m.toml", &places, &["map/..2026_02"]);
        let elsewhere = |folder: &Path| {
            file(folder, "real/f");
            symlink(folder.join("real"), folder.join("link")).expect("own folder");
        };
        check(elsewhere, "link/f", &["link", "real/f", "real"], &["link/f"]);
        check(elsewhere, "link/../real/f", &["link", "real/f"], &[]);
    }

    #[test]
    fn mounts_on_the_way_matter() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = fs::canonicalize(folder.path()).expect("it is there");
        file(&folder, "a/b/f");
        let mut places = Places::default();
        places.add(&folder.join("a/b/f"));
        for point in [Path::new("/"), &folder, &folder.join("a/b"), &folder.join("a/b/f")] {
            assert!(places.are_reached_through(point), "{}", point.display());
        }
        for point in ["b", "a/b/g", "a/b/f/x", "a/c"] {
            assert!(!places.are_reached_through(&folder.join(point)), "{point}");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        check(|folder| symlink("l", folder.join("l")).expect("own folder"), "l", &["l"], &[]);
    }

    #[test]
    fn in_a_directory_all_manifests_matter() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = fs::canonicalize(folder.path()).expect("it is there");
        let mut places = Places::default();
        places.add_manifests_in(&folder);
        assert!(places.concern(&folder.join("new.toml")));
        for not in ["new.txt", ".new.toml", "new.toml~"] {
            assert!(!places.concern(&folder.join(not)), "{not}");
        }
        assert!(places.concern(&folder), "it may go itself");
    }
}
