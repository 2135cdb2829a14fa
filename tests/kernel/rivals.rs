//! Eight applies run at the same time, of different sets and of the same ones: each succeeds, the last
//! apply of a set is complete, and sets never mix.
//!
//! `ITERCTL_ROUNDS` says how often they meet; ten times if it is not set.

use super::sandbox::{Sandbox, entry, finish};

const SETS: [&str; 4] = ["a", "b", "c", "d"];

/// The two manifests that compete for a set: they have other objects and partly other paths.
const RIVALS: [(&str, [usize; 5]); 2] =
    [("tasks_v1.bpf.o", [0, 1, 2, 3, 4]), ("tasks_v2.bpf.o", [2, 3, 4, 5, 6])];

fn path(set: &str, number: usize) -> String {
    // Half of the pins are in a folder that all sets share.
    if number.is_multiple_of(2) {
        format!("shared/{set}{number}")
    } else {
        format!("{set}/p{number}")
    }
}

/// The pins of a set after one of its manifests has won completely.
fn whole(set: &str, numbers: [usize; 5]) -> Vec<String> {
    let mut paths: Vec<String> = numbers.into_iter().map(|number| path(set, number)).collect();
    paths.sort();
    paths
}

#[kernel_test]
fn the_last_apply_of_a_set_is_complete_and_sets_never_mix() {
    let rounds = std::env::var("ITERCTL_ROUNDS")
        .ok()
        .map_or(10, |number| number.parse::<usize>().expect("ITERCTL_ROUNDS is a number"));
    let sandbox = Sandbox::new();
    for set in SETS {
        for (which, (object, numbers)) in RIVALS.into_iter().enumerate() {
            let entries = numbers.map(|number| entry(object, &path(set, number)));
            let text = format!("set = \"{set}\"\n{}", sandbox.with_bpffs(&entries.concat()));
            sandbox.write(&format!("{set}{which}.toml"), &text);
        }
    }
    for round in 0..rounds {
        let calls: Vec<String> = SETS
            .iter()
            .flat_map(|set| [0, 1].map(|which| format!("apply -f {set}{which}.toml")))
            .collect();
        let children: Vec<_> = calls.iter().map(|call| (call, sandbox.start(call))).collect();
        for (call, child) in children {
            finish(call, child).exits(0);
        }
        for set in SETS {
            let report =
                sandbox.iterctl(&format!("-j list --bpffs bpf --set {set}")).exits(0).json();
            let pins = report["pins"].as_array().expect("there are pins");
            let root = format!("{}/", sandbox.bpffs().display());
            let mut paths: Vec<String> = pins
                .iter()
                .map(|pin| pin["path"].as_str().unwrap_or_default().replacen(&root, "", 1))
                .collect();
            paths.sort();
            let objects: Vec<&str> =
                pins.iter().filter_map(|pin| pin["object"].as_str()?.rsplit('/').next()).collect();
            let won = RIVALS.iter().find(|(object, _)| objects.first() == Some(object));
            let (object, numbers) = won.expect("one of the two has won");
            assert_eq!(paths, whole(set, *numbers), "set {set} in round {round}");
            assert_eq!(objects, [*object; 5], "set {set} in round {round}");
        }
    }
    for set in SETS {
        sandbox.iterctl(&format!("unpin --set {set} --bpffs bpf")).exits(0);
    }
    assert_eq!(sandbox.paths(), [] as [&str; 0], "no staging directory, no folder");
}
