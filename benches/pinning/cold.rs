//! Nothing is pinned yet, and all entries are to be pinned.

use super::plot::{self, Curve};
use super::scene::{APPLY, Entry, FLOOR, LOOP, Scene, entries, entries_over_maps};
use super::table::{Row, ms};
use super::timing;
use super::tools::Tools;

/// Results that other cases use.
pub(super) struct Cold {
    /// The time of one `bpftool iter pin`, in milliseconds.
    pub(super) one_bpftool: f64,
    pub(super) curves: Vec<Curve>,
}

/// Medians, in milliseconds.
struct Medians {
    iterctl: f64,
    bpftool: f64,
    floor: f64,
}

pub(super) fn measure(tools: &Tools) -> anyhow::Result<(Vec<Row>, Cold)> {
    let parse = timing::vmlinux_btf_parse(tools.runs(20))?.median();
    let one = compare(tools, &entries(1, 1), 50, 50)?;
    let hundred = compare(tools, &entries_over_maps(100), 30, 5)?;
    let fifty = compare(tools, &entries(50, 50), 15, 5)?;
    let cold = Cold { one_bpftool: one.bpftool, curves: curves(tools, &one)? };
    let rows = vec![
        one.row("apply, 1 entry, cold").at_most(
            0.7,
            "one `bpftool iter pin`",
            one.iterctl / one.bpftool,
        ),
        hundred
            .row("apply, 100 entries of one object over 100 maps, cold")
            .at_least(60.0, "the loop", hundred.bpftool / hundred.iterctl)
            .target(
                &format!("≤ 2 × floor + one parse of vmlinux BTF ({})", ms(parse)),
                format!("{} of {}", ms(hundred.iterctl), ms(2.0 * hundred.floor + parse)),
                hundred.iterctl <= 2.0 * hundred.floor + parse,
            ),
        fifty.row("apply, 50 distinct objects, cold").at_least(
            4.0,
            "the loop",
            fifty.bpftool / fifty.iterctl,
        ),
    ];
    Ok((rows, cold))
}

impl Medians {
    fn row(&self, case: &str) -> Row {
        Row::new(case, ms(self.iterctl)).bpftool(self.bpftool).floor(self.floor)
    }
}

fn compare(
    tools: &Tools,
    entries: &[Entry],
    runs: usize,
    runs_of_bpftool: usize,
) -> anyhow::Result<Medians> {
    let scene = Scene::new(tools, entries)?;
    let calls = match entries {
        [_] => scene.first_call_of_bpftool()?,
        _ => LOOP.to_owned(),
    };
    let [iterctl, bpftool, floor] = scene.time_cold([
        tools.measure(APPLY, runs),
        tools.measure(&calls, runs_of_bpftool),
        tools.measure(FLOOR, runs),
    ])?;
    Ok(Medians { iterctl, bpftool, floor })
}

/// Entries of one object.
fn curves(tools: &Tools, one: &Medians) -> anyhow::Result<Vec<Curve>> {
    let mut iterctl = Curve::new(plot::APPLY_COLD, [(1, one.iterctl)]);
    let mut floor = Curve::new(plot::FLOOR_COLD, [(1, one.floor)]);
    let mut bpftool = Curve::new(plot::LOOP, [(1, one.bpftool)]);
    for count in [10, 100] {
        let medians = compare(tools, &entries(count, 1), 30, 5)?;
        iterctl.push(count, medians.iterctl);
        floor.push(count, medians.floor);
        bpftool.push(count, medians.bpftool);
    }
    // A thousand calls of bpftool would take longer than everything else together.
    for (count, runs) in [(1_000, 15), (10_000, 6)] {
        let scene = Scene::new(tools, &entries(count, 1))?;
        let measures = [tools.measure(APPLY, runs), tools.measure(FLOOR, runs)];
        let [apply_took, floor_took] = scene.time_cold(measures)?;
        iterctl.push(count, apply_took);
        floor.push(count, floor_took);
    }
    Ok(vec![bpftool, iterctl, floor])
}
