//! All messages of libbpf, in order → the one that tells the reason. Pure.
//!
//! libbpf first names the reason, and then each step that fails because of it, up to `failed to load object`. Before
//! the reason there may be warnings about optional features.

use super::Holds;

/// The most specific message, without the errno at its end, which is known as a number.
pub(super) fn reason(messages: &[String]) -> Option<&str> {
    let message = messages.iter().rfind(|message| !is_consequence(message))?;
    let (text, errno) = message.rsplit_once(": -").unwrap_or((message, ""));
    let is_errno = errno.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    Some(if is_errno { text } else { message })
}

/// Whether the message only follows from an earlier one. The beginnings are those of libbpf 1.7: `bpf_object_load()`,
/// `bpf_object__load_progs()`, `bpf_object__relocate()`, `bpf_object__read_kconfig_file()` and
/// `bpf_object__create_maps()`.
fn is_consequence(message: &str) -> bool {
    const BEGINNINGS: [&str; 3] = [
        "failed to load object '",
        "failed to perform CO-RE relocations: ",
        "error parsing system Kconfig line '",
    ];
    const OF_PROGRAM: [&str; 3] = [
        "': failed to load: ",
        "': failed to relocate calls: ",
        "': failed to relocate data references: ",
    ];
    const OF_MAP: [&str; 2] = ["': failed to create: ", "': error reusing pinned map"];
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    BEGINNINGS.iter().any(|text| message.starts_with(text))
        || (message.starts_with("prog '") && says(&OF_PROGRAM))
        || (message.starts_with("map '") && says(&OF_MAP))
}

/// The map that the kernel does not create (`bpf_object__create_maps()`, libbpf 1.7). `None` if something else
/// cannot be done with it, which libbpf has told before.
pub(super) fn refused_map(messages: &[String]) -> Option<&str> {
    let found = messages.iter().enumerate().find_map(|(at, message)| {
        let (name, _) = message.strip_prefix("map '")?.split_once("': failed to create: ")?;
        Some((at, name))
    });
    let (at, name) = found?;
    let before = at.checked_sub(1).and_then(|before| messages.get(before));
    let is_told = before.is_some_and(|message| message.starts_with(&format!("map '{name}': ")));
    (!is_told).then_some(name)
}

/// A slot of a map that cannot be filled in: the map, its slot, and what is to be in it
/// (`init_prog_array_slots()` and `init_map_in_map_slots()`, libbpf 1.7).
pub(super) fn refused_slot(messages: &[String]) -> Option<(String, u32, Holds)> {
    messages.iter().find_map(|message| {
        let (map, rest) =
            message.strip_prefix("map '")?.split_once("': failed to initialize slot [")?;
        let (slot, rest) = rest.split_once("] to ")?;
        let (what, _) = rest.split_once("' fd=")?;
        let holds = match what.split_once(" '")? {
            ("prog", name) => Holds::Program(name.to_owned()),
            ("map", name) => Holds::Map(name.to_owned()),
            _ => return None,
        };
        Some((map.to_owned(), slot.parse().ok()?, holds))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn check_reason(said: &str, expected: Option<&str>) {
        assert_eq!(reason(&lines(said)), expected, "{said}");
    }

    #[track_caller]
    fn check_map(said: &str, expected: Option<&str>) {
        assert_eq!(refused_map(&lines(said)), expected, "{said}");
    }

    #[test]
    fn the_reason_is_not_what_comes_of_it() {
        check_reason(
            "Error loading .BTF into kernel: -EINVAL. BTF is optional, ignoring.\n\
             prog 'f': BPF program load failed: -E2BIG\n\
             prog 'f': failed to load: -E2BIG\n\
             failed to load object 'tasks'\n",
            Some("prog 'f': BPF program load failed"),
        );
        check_reason(
            "prog 'f': relo #3: relocation decision ambiguity: success 8 != success 16\n\
             prog 'f': relo #3: failed to relocate: -EINVAL\n\
             failed to perform CO-RE relocations: -EINVAL\n",
            Some("prog 'f': relo #3: failed to relocate"),
        );
        check_reason(
            "couldn't reuse pinned map at '/sys/fs/bpf/seen': parameter mismatch\n\
             map 'seen': error reusing pinned map\n\
             map 'seen': failed to create: -EINVAL\n",
            Some("couldn't reuse pinned map at '/sys/fs/bpf/seen': parameter mismatch"),
        );
        check_reason("failed to load object 'tasks'\n", None);
        check_reason("", None);
    }

    #[test]
    fn a_map_that_is_not_created_is_named() {
        check_map(
            "Error in bpf_create_map_xattr(seen_tasks): -EINVAL. Retrying without BTF.\n\
             map 'seen_tasks': failed to create: -EINVAL\n",
            Some("seen_tasks"),
        );
        check_map("map 'huge': failed to create: -E2BIG\n", Some("huge"));
        check_map(
            "map 'outer': failed to create inner map: -EINVAL\nmap 'outer': failed to create: -EINVAL\n",
            None,
        );
        check_map("failed to load object 'tasks'\n", None);
    }

    #[test]
    fn a_slot_that_is_not_filled_in_is_named() {
        let slot = |said: &str| refused_slot(&lines(said));
        assert_eq!(
            slot(
                "map 'jmp': failed to initialize slot [0] to prog 'f2' fd=-2: -EBADF\n\
                 failed to load object 'tail'\n"
            ),
            Some(("jmp".to_owned(), 0, Holds::Program("f2".to_owned())))
        );
        assert_eq!(
            slot("map 'outer': failed to initialize slot [3] to map 'inner' fd=9: -EINVAL\n"),
            Some(("outer".to_owned(), 3, Holds::Map("inner".to_owned())))
        );
        assert_eq!(slot("map 'outer': failed to create: -EINVAL\n"), None);
    }
}
