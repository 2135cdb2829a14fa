//! Several maps have one name → the one that is meant. Pure.
//!
//! In: the maps, and what holds each of them. Out: the only one that counts. An iterator keeps the map that
//! it walks alive, so after the map's owner restarts, two maps have the name. A map does not count just
//! because an iterator of iterctl walks it, or the old map would be kept for ever.

use std::collections::{BTreeMap, BTreeSet};

use super::{MapProblem, Provenance};
use crate::ids::{MapId, ProgramId};
use crate::names::SetName;
use crate::stamp::Stamp;

/// The findings for one name of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScannedMap {
    /// The map, or why there is none.
    Settled(Result<MapId, MapProblem>),
    /// Several maps have that name: each with its holders.
    Several(BTreeMap<MapId, BTreeSet<Holder>>),
}

/// Something that keeps a map alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A file descriptor of a process, or a pin on a bpffs.
    User,
    /// Another map, which contains it as an element.
    Map,
    /// A program that uses it, or whose link walks it.
    Program(ProgramId),
}

/// Chooses the map that is meant, for a manifest of the set `set`.
pub(super) fn choose(
    found: ScannedMap,
    set: Option<&SetName>,
    provenance: impl Fn(ProgramId) -> Option<Provenance>,
) -> Result<MapId, MapProblem> {
    let several = match found {
        ScannedMap::Settled(found) => return found,
        ScannedMap::Several(several) => several,
    };
    let counts = |id: MapId, holder: &Holder| match holder {
        Holder::User | Holder::Map => true,
        Holder::Program(program) => match provenance(*program) {
            Some(Provenance::Stamped(stamp)) => is_anothers_own(&stamp, id, set),
            Some(Provenance::Unstamped | Provenance::Illegible(_) | Provenance::OtherUser(_))
            | None => true,
        },
    };
    let counting: Vec<MapId> = several
        .iter()
        .filter(|(id, holders)| holders.iter().any(|holder| counts(**id, holder)))
        .map(|(id, _)| *id)
        .collect();
    match counting.as_slice() {
        [only] => Ok(*only),
        [] => Err(MapProblem::Ambiguous(several.into_keys().collect())),
        [_, ..] => Err(MapProblem::Ambiguous(counting)),
    }
}

/// Whether the map came with an object of another set. A map that another set was only given, or only
/// walks, does not count: two sets that walk a map by its name would each wait until the other releases the
/// old one.
fn is_anothers_own(stamp: &Stamp, map: MapId, set: Option<&SetName>) -> bool {
    set != Some(&stamp.set) && stamp.own_maps.values().any(|own| *own == map.0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::names::Sha256;
    use crate::stamp::{FORMAT, InvalidStamp};

    /// Programs of the set `observe`, of the set `other`, of no set, and with a stamp that cannot be read.
    const OURS: Holder = Holder::Program(ProgramId(1));
    const THEIRS: Holder = Holder::Program(ProgramId(2));
    const FOREIGN: Holder = Holder::Program(ProgramId(3));
    const ILLEGIBLE: Holder = Holder::Program(ProgramId(4));
    /// A program that was gone before it could be asked.
    const GONE: Holder = Holder::Program(ProgramId(5));

    /// The own map of every stamped program.
    const OWN: MapId = MapId(40);

    fn provenance(program: ProgramId) -> Option<Provenance> {
        let stamped = |set: &str| {
            let stamp = Stamp {
                format: FORMAT,
                set: set.parse().expect("a set name"),
                source: Vec::new(),
                object: "/a.bpf.o".into(),
                sha256: Sha256::from([0; 32]),
                program: "dump".to_owned(),
                globals: None,
                max_entries: BTreeMap::new(),
                maps: BTreeMap::new(),
                own_maps: [("conns".to_owned(), OWN.0)].into(),
                version: "0.1.0".to_owned(),
            };
            Some(Provenance::Stamped(Arc::new(stamp)))
        };
        match program.0 {
            1 => stamped("observe"),
            2 => stamped("other"),
            3 => Some(Provenance::Unstamped),
            4 => Some(Provenance::Illegible(InvalidStamp::Format(9))),
            _ => None,
        }
    }

    #[track_caller]
    fn check(maps: &[(u32, &[Holder])], expected: Result<u32, &[u32]>) {
        let several =
            maps.iter().map(|(id, holders)| (MapId(*id), holders.iter().copied().collect()));
        let set = "observe".parse().expect("a set name");
        let chosen = choose(ScannedMap::Several(several.collect()), Some(&set), provenance);
        let ids = |ids: &[u32]| ids.iter().copied().map(MapId).collect();
        assert_eq!(chosen, expected.map(MapId).map_err(|all| MapProblem::Ambiguous(ids(all))));
    }

    #[test]
    fn a_map_that_only_this_set_holds_does_not_count() {
        check(&[(7, &[OURS]), (9, &[Holder::User])], Ok(9));
        check(&[(7, &[Holder::User]), (9, &[OURS])], Ok(7));
        check(&[(7, &[OURS]), (9, &[OURS, Holder::User])], Ok(9));
        check(&[(OWN.0, &[OURS]), (50, &[Holder::User])], Ok(50));
    }

    #[test]
    fn every_other_holder_makes_a_map_count() {
        for holder in [Holder::User, Holder::Map, FOREIGN, ILLEGIBLE, GONE] {
            check(&[(7, &[OURS]), (9, &[holder])], Ok(9));
            check(&[(7, &[OURS, holder]), (9, &[Holder::User])], Err(&[7, 9]));
        }
    }

    #[test]
    fn a_map_that_another_set_only_walks_does_not_count() {
        check(&[(7, &[OURS, THEIRS]), (9, &[Holder::User])], Ok(9));
        check(&[(7, &[THEIRS]), (9, &[Holder::User])], Ok(9));
        check(&[(OWN.0, &[THEIRS]), (50, &[Holder::User])], Err(&[OWN.0, 50]));
    }

    #[test]
    fn a_map_that_is_going_away_does_not_count() {
        check(&[(7, &[]), (9, &[Holder::User])], Ok(9));
    }

    #[test]
    fn maps_that_count_are_listed() {
        check(&[(7, &[Holder::User]), (8, &[OURS]), (9, &[Holder::User])], Err(&[7, 9]));
        check(&[(7, &[OURS]), (9, &[OURS])], Err(&[7, 9]));
        check(&[(7, &[]), (9, &[])], Err(&[7, 9]));
    }

    #[test]
    fn the_only_map_of_a_name_is_used_whatever_holds_it() {
        let settled = ScannedMap::Settled(Ok(MapId(7)));
        assert_eq!(choose(settled, None, provenance), Ok(MapId(7)));
    }
}
