//! Everything is already pinned.

use super::plot::{self, Curve, Look};
use super::scene::{APPLY, FLOOR_LOOK, Scene, entries};
use super::table::{Row, ms, thousands};
use super::timing;
use super::tools::Tools;

const PLAN: &str = "./iterctl plan -f iters.toml";
const LIST: &str = "./iterctl list --bpffs bpf";

/// The number of foreign pins.
const FOREIGN: usize = 20_000;

/// 10,000 pins may take at most this many times as long as one call of bpftool, on any machine.
const LARGEST: f64 = 11.5;

/// Medians, in milliseconds.
struct Medians {
    pins: usize,
    apply: f64,
    plan: f64,
    floor: f64,
    /// One parse of the manifest.
    parse: f64,
}

pub(super) fn measure(tools: &Tools, one_bpftool: f64) -> anyhow::Result<(Vec<Row>, Vec<Curve>)> {
    let mut measured = Vec::new();
    let mut list = None;
    for (pins, runs) in [(1, 50), (10, 50), (100, 50), (1_000, 30), (10_000, 10)] {
        let scene = pinned(tools, pins)?;
        measured.push(compare(tools, &scene, pins, runs)?);
        if pins == 10_000 {
            list = Some(row_of_list(tools, &scene, runs)?);
        }
    }
    let mut rows = rows(&measured, one_bpftool);
    rows.extend(beside_foreign_pins(tools)?);
    rows.extend(list);
    Ok((rows, curves(&measured)))
}

/// A scene in which everything is pinned, and nothing to do.
fn pinned(tools: &Tools, pins: usize) -> anyhow::Result<Scene> {
    let scene = Scene::new(tools, &entries(pins, 1))?;
    scene.run(APPLY)?;
    // This fails if there is something to do.
    scene.run("./iterctl plan --detailed-exitcode -f iters.toml")?;
    Ok(scene)
}

fn compare(tools: &Tools, scene: &Scene, pins: usize, runs: usize) -> anyhow::Result<Medians> {
    let measures = [APPLY, PLAN, FLOOR_LOOK].map(|command| tools.measure(command, runs));
    let [apply, plan, floor] = scene.time(measures)?;
    let parse = timing::toml_parse(&scene.file("iters.toml"), runs)?.median();
    Ok(Medians { pins, apply, plan, floor, parse })
}

fn row_of_list(tools: &Tools, scene: &Scene, runs: usize) -> anyhow::Result<Row> {
    let [took, floor] = scene.time([tools.measure(LIST, runs), tools.measure(FLOOR_LOOK, runs)])?;
    let row = Row::new("list, 10,000 pins", ms(took)).floor(floor);
    Ok(row.at_most(2.0, "floor", took / floor))
}

fn rows(measured: &[Medians], one_bpftool: f64) -> Vec<Row> {
    let at_1_000 = measured.iter().find(|medians| medians.pins == 1_000);
    let mut rows = Vec::new();
    // The time for ten pins is only for the plot.
    for Medians { pins, apply, plan, floor, parse } in measured.iter().filter(|it| it.pins != 10) {
        let smaller = at_1_000.map_or((f64::NAN, f64::NAN), |it| (it.apply, it.plan));
        for (command, took, smaller) in [("apply", apply, smaller.0), ("plan", plan, smaller.1)] {
            let plural = if *pins == 1 { "" } else { "s" };
            let case = format!("{command}, nothing to do, {} pin{plural}", thousands(*pins));
            let row = Row::new(case, ms(*took)).floor(*floor);
            rows.push(match pins {
                1_000 => row.target(
                    &format!("≤ 2 × (floor + one parse of the manifest ({}))", ms(*parse)),
                    format!("{} of {}", ms(*took), ms(2.0 * (floor + parse))),
                    *took <= 2.0 * (floor + parse),
                ),
                10_000 => row.at_most(10.5, "what 1,000 pins take", took / smaller).at_most(
                    LARGEST,
                    "one `bpftool iter pin`, which is 150 ms where that takes 13 ms",
                    took / one_bpftool,
                ),
                _ => row,
            });
        }
    }
    rows
}

/// A thousand pins, with foreign pins first in other directories, then in the same.
fn beside_foreign_pins(tools: &Tools) -> anyhow::Result<Vec<Row>> {
    let other =
        foreign_rows(tools, "in other directories", "./floor fdinfo bpf/theirs", |number| {
            format!("theirs/d{}/p{number}", number % 200)
        })?;
    let same =
        foreign_rows(tools, "in the same directories", "./floor fdinfo bpf/bench", |number| {
            format!("bench/d{}/f{number}", number % 10)
        })?;
    Ok(other.into_iter().chain(same).collect())
}

/// `by_fdinfo` opens the foreign pins, and few others, and reads their fdinfo.
fn foreign_rows(
    tools: &Tools,
    place: &str,
    by_fdinfo: &str,
    path: impl Fn(usize) -> String,
) -> anyhow::Result<[Row; 2]> {
    let runs = 15;
    let scene = pinned(tools, 1_000)?;
    let alone = compare(tools, &scene, 1_000, runs)?;
    scene.pin_foreign(FOREIGN, path)?;
    let beside = compare(tools, &scene, 1_000, runs)?;
    let [bound] = scene.time([tools.measure(by_fdinfo, runs)])?;
    let case = |command: &str| {
        let foreign = thousands(FOREIGN);
        format!("{command}, nothing to do, 1,000 pins, beside {foreign} foreign ones {place}")
    };
    let row = |command: &str, beside: f64, alone: f64, floor: f64| {
        let target = format!("for these: ≤ one open and one fdinfo each ({})", ms(bound));
        let more = beside - alone;
        Row::new(case(command), ms(beside)).floor(floor).target(&target, ms(more), more <= bound)
    };
    Ok([
        row("apply", beside.apply, alone.apply, beside.floor),
        row("plan", beside.plan, alone.plan, beside.floor),
    ])
}

fn curves(measured: &[Medians]) -> Vec<Curve> {
    let curve = |look: Look, median: fn(&Medians) -> f64| {
        Curve::new(look, measured.iter().map(|medians| (medians.pins, median(medians))))
    };
    vec![curve(plot::APPLY, |medians| medians.apply), curve(plot::FLOOR, |medians| medians.floor)]
}
