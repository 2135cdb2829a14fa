//! Any bytes can be read as a stamp or are refused; in both cases, the pin that they are bound to can be
//! listed. Shared by tests/broken_manifests.rs and the fuzz target `stamp`.

use std::path::Path;
use std::sync::Arc;

use iterctl::front::report::{self, Report, Shown, text};
use iterctl_core::access::{Meta, Mode};
use iterctl_core::ids::{LinkId, ProgramId};
use iterctl_core::observed::{
    Link, LinkParam, Provenance, Scan, ScannedNode, ScannedProgram, ScannedStamp, observe,
};
use iterctl_core::stamp::Stamp;
use iterctl_core::target::Target;

/// Reads the bytes, and lists the pin of the program that they are bound to.
#[track_caller]
pub(crate) fn read(bytes: &[u8]) {
    let read = Stamp::from_bytes(bytes);
    if let Ok(stamp) = &read {
        let written = stamp.to_bytes().expect("what came out of JSON goes into it");
        assert_eq!(Stamp::from_bytes(&written).as_ref(), Ok(stamp), "it is read as it is written");
    }
    let observed = observe(scan(bytes), None);
    let (_, pin) = observed.iterators().next().expect("there is one");
    let expected = match read {
        Ok(stamp) => Provenance::Stamped(Arc::new(stamp)),
        Err(why) => Provenance::Illegible(why),
    };
    assert_eq!(pin.provenance, expected);
    let pins = Some(report::pins(&observed, Path::new("/sys/fs/bpf")));
    let listed = text::render(&Report { pins, shown: Shown::Changes, ..Report::new("") });
    let plain = anstream::adapter::strip_str(&listed).to_string();
    assert_eq!(plain.lines().count(), 2, "a header and one line: {plain:?}");
}

/// A bpffs with one pin.
fn scan(stamp: &[u8]) -> Scan {
    let meta = Meta { mode: Mode::from_stat(0o600), uid: 0, gid: 0 };
    let link = Link {
        id: LinkId(1),
        program: ProgramId(2),
        target: Target::new("task"),
        param: LinkParam::None,
    };
    let program = ScannedProgram {
        name: "dump".to_owned(),
        stamp: ScannedStamp::Value(stamp.to_vec()),
        ..ScannedProgram::default()
    };
    Scan {
        nodes: vec![("a".parse().expect("a pin path"), ScannedNode::Iterator(link, meta))],
        programs: [(ProgramId(2), program)].into(),
        ..Scan::default()
    }
}
