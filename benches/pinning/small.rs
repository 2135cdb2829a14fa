//! Tasks that need no kernel: to check a manifest, to start.

use super::scene::{Scene, entries};
use super::table::{Row, ms};
use super::tools::Tools;

pub(super) fn measure(tools: &Tools) -> anyhow::Result<Vec<Row>> {
    let scene = Scene::new(tools, &entries(1_000, 10))?;
    let row = |case, command, bound| {
        let [took] = scene.time([tools.measure(command, 50)])?;
        anyhow::Ok(Row::new(case, ms(took)).target(
            &format!("< {bound} ms"),
            ms(took),
            took < bound,
        ))
    };
    Ok(vec![
        row("check, 1,000 entries over 10 objects", "./iterctl check -f iters.toml", 30.0)?,
        row("start-up: `iterctl -V`", "./iterctl -V", 2.0)?,
    ])
}
