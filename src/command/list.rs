//! `list`: bpffs and the kernel → observed → report.

use super::{Answer, iterators, look};
use crate::bpffs::Bpffs;
use crate::cli::ListArgs;
use crate::exit::Exit;
use crate::report::{self, Report};

pub(super) fn list(args: &ListArgs) -> anyhow::Result<Answer> {
    let bpffs = Bpffs::open(&std::path::absolute(&args.bpffs)?)?;
    let observed = look(&bpffs, None)?;
    let mut pins = report::pins(&observed, bpffs.path());
    if args.set.is_some() {
        pins.retain(|pin| pin.state.set == args.set);
    }
    let comment = match pins.len() {
        0 => format!("no iterator is pinned on {}", bpffs.path().display()),
        number => format!("{} pinned on {}", iterators(number), bpffs.path().display()),
    };
    let report = Report { pins: Some(pins), ..Report::new(comment) };
    Ok(Answer { report, exit: Exit::Done })
}
