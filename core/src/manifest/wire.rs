//! The manifest as it is written: the keys that are read, and what `schemas/manifest.json` says about them.
//!
//! The `///` comments on the fields are shown by editors; they are written for authors of manifests. Pure.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde_spanned::Spanned;

use crate::value::{Entries, Value};

/// A manifest of iterctl: the BPF iterators that are to be pinned on bpffs.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(title = "iterctl manifest", deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// The set that owns the pins. Pins of this set that no manifest lists any more are unpinned.
    /// Default: the file's name without `.toml`, or the folder's without `.d`.
    #[schemars(with = "Option<String>", regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.@+:-]{0,63}$"))]
    pub set: Option<Spanned<String>>,

    /// The bpffs in which the pins are, as an absolute path. Default: `/sys/fs/bpf`.
    #[schemars(with = "Option<String>", regex(pattern = r"^/"))]
    pub bpffs: Option<Spanned<String>>,

    /// Defaults for every entry of this file that does not set the key itself.
    #[schemars(default)]
    pub defaults: Access,

    /// The iterators, one `[[iter]]` each.
    #[schemars(with = "Vec<Entry>", default)]
    pub iter: Vec<Spanned<Entry>>,
}

/// A key that few entries have. It is boxed because a manifest may have thousands of entries, and an absent
/// key should take little room.
pub type Rare<T> = Option<Box<Spanned<T>>>;

/// Mode and ownership of a pin. Allowed in `[defaults]` and in an entry.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Access {
    /// The pin's mode, in octal. Users who may read the pin may run the iterator. Default: `0600`.
    #[schemars(with = "Option<String>", regex(pattern = r"^0?[0-7]{3}$"))]
    pub mode: Rare<String>,

    /// The pin's owner: a user's name or a number. Default: the user that iterctl runs as.
    #[schemars(with = "Option<String>")]
    pub owner: Rare<String>,

    /// The pin's group: a group's name or a number. Default: the group that iterctl runs as.
    #[schemars(with = "Option<String>")]
    pub group: Rare<String>,

    /// The mode of the directories above the pin, in octal, with set-id and sticky bits. Default: `0700` for
    /// directories that iterctl makes; existing ones are kept as they are.
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-7]{3,4}$"))]
    pub dir_mode: Rare<String>,

    /// The owner of the directories above the pin: a user's name or a number. Default: the pin's owner for
    /// directories that iterctl makes; existing ones are kept as they are.
    #[schemars(with = "Option<String>")]
    pub dir_owner: Rare<String>,

    /// The group of the directories above the pin: a group's name or a number. Default: the pin's group for
    /// directories that iterctl makes; existing ones are kept as they are.
    #[schemars(with = "Option<String>")]
    pub dir_group: Rare<String>,
}

/// One iterator: an object file, the path of its pin, and its parameters.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// The compiled BPF object, relative to the manifest's folder or absolute.
    #[schemars(with = "String", required)]
    pub obj: Option<Spanned<String>>,

    /// The path of the pin: relative to `bpffs`, or absolute and below it. No component may
    /// contain a dot.
    #[schemars(with = "String", required)]
    pub path: Option<Spanned<String>>,

    /// The name of the program. Needed if the object holds several iterators.
    #[schemars(with = "Option<String>")]
    pub program: Rare<String>,

    /// The map that the iterator walks. Needed by the targets `bpf_map_elem`,
    /// `bpf_sk_storage_map` and `sockmap`; not allowed with others.
    #[schemars(with = "Option<Map>")]
    pub map: Option<Spanned<Map>>,

    /// The cgroup that the target `cgroup` walks from, and in which order.
    #[schemars(with = "Option<Cgroup>")]
    pub cgroup: Rare<Cgroup>,

    /// The one process or thread that the targets `task`, `task_file` and `task_vma` walk. Default:
    /// all.
    #[schemars(with = "Option<Task>")]
    pub task: Rare<Task>,

    /// Initial values of the object's global variables, by name: `const volatile` ones and those in
    /// `.data` and `.bss`.
    #[schemars(with = "Option<Entries<Value>>")]
    pub globals: Rare<Entries<Value>>,

    /// Existing maps to use instead of the object's own maps, by the names of the latter.
    #[schemars(with = "Option<Entries<Map>>")]
    pub maps: Rare<Entries<Map>>,

    /// How many elements the object's own maps have room for, by the names of these maps; for a ring
    /// buffer, how many bytes. Default: the sizes in the object, which may leave some to its loader.
    #[schemars(with = "Option<Entries<NonZeroU32>>")]
    pub max_entries: Rare<Entries<NonZeroU32>>,

    /// The pin's mode, in octal. Users who may read the pin may run the iterator. Default: that of
    /// `[defaults]`, else `0600`.
    #[schemars(with = "Option<String>", regex(pattern = r"^0?[0-7]{3}$"))]
    pub mode: Rare<String>,

    /// The pin's owner: a user's name or a number. Default: that of `[defaults]`, else the user that
    /// iterctl runs as.
    #[schemars(with = "Option<String>")]
    pub owner: Rare<String>,

    /// The pin's group: a group's name or a number. Default: that of `[defaults]`, else the group that
    /// iterctl runs as.
    #[schemars(with = "Option<String>")]
    pub group: Rare<String>,

    /// The mode of the directories above the pin, in octal, with set-id and sticky bits. A directory whose
    /// pins all belong to the set gets it, even if it exists. Default: that of `[defaults]`, else `0700` for
    /// directories that iterctl makes; existing ones are kept as they are.
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-7]{3,4}$"))]
    pub dir_mode: Rare<String>,

    /// The owner of the directories above the pin: a user's name or a number. Default: that of `[defaults]`,
    /// else the pin's owner for directories that iterctl makes; existing ones are kept as they are.
    #[schemars(with = "Option<String>")]
    pub dir_owner: Rare<String>,

    /// The group of the directories above the pin: a group's name or a number. Default: that of `[defaults]`,
    /// else the pin's group for directories that iterctl makes; existing ones are kept as they are.
    #[schemars(with = "Option<String>")]
    pub dir_group: Rare<String>,

    /// The object's SHA-256 in hex: any other object is refused.
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-9A-Fa-f]{64}$"))]
    pub sha256: Rare<String>,
}

/// An existing map, by one of its names.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Map {
    /// The kernel's id of the map, as `bpftool map` lists it.
    Id(#[schemars(range(min = 1))] u32),
    /// The file on bpffs at which the map is pinned: absolute, or relative to `bpffs`.
    Pinned(String),
    /// The map's name in the kernel, at most 15 characters. It must be the only one of that name.
    Name(#[schemars(length(min = 1, max = 15))] String),
    /// A map that the object itself defines, by its name in the object. Not allowed in `maps`.
    Own(String),
}

/// The cgroup at which a `cgroup` iterator starts, and the order in which it walks from there.
#[derive(Clone, Debug, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Cgroup {
    /// The cgroup's directory, as an absolute path: `/sys/fs/cgroup/system.slice`. Either this or `id`.
    pub path: Option<String>,

    /// The cgroup's id: the inode number of its directory. Either this or `path`.
    pub id: Option<u64>,

    /// The cgroups that are walked, and their order.
    pub order: Option<Order>,
}

/// The order in which a `cgroup` iterator walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Order {
    /// The cgroup alone.
    SelfOnly,
    /// The cgroup and all below it, parents first.
    DescendantsPre,
    /// The cgroup and all below it, children first.
    DescendantsPost,
    /// The cgroup and all above it, up to the root.
    AncestorsUp,
    /// The cgroups directly below it. Since Linux 7.0.
    Children,
}

/// One process or one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum Task {
    /// A process, with all its threads.
    Pid(u32),
    /// A thread.
    Tid(u32),
}
