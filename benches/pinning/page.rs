//! The generated section of docs/performance.md: everything between two comments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::machine;
use super::plot::{self, Curve};
use super::table::{self, Row, ms, thousands};
use super::tools::Tools;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs");
const PAGE: &str = "performance.md";
const PLOT: &str = "performance.svg";

const BEGIN: &str = "<!-- From here to the end mark, `make bench` writes. -->\n";
const END: &str = "<!-- end of what `make bench` writes -->\n";

/// Prints the table, and writes it and the plot.
pub(super) fn write(
    tools: &Tools,
    machine: &str,
    rows: &[Row],
    curves: &[Curve],
) -> anyhow::Result<()> {
    let table = table::markdown(rows);
    println!("{table}");
    let section = format!(
        "\n{table}\n![time over the number of pins]({PLOT})\n\n{}\n\
         Medians, by `make bench` on {}:\n\n{machine}\n",
        figures(curves),
        machine::today()?,
    );
    let folder = if tools.quick() { env!("CARGO_TARGET_TMPDIR") } else { DOCS };
    let page = PathBuf::from(folder).join(PAGE);
    let text = fs::read_to_string(Path::new(DOCS).join(PAGE))?;
    fs::write(&page, replace_section(&text, &section)?)?;
    plot::draw(&page.with_file_name(PLOT), curves)?;
    println!("written: {}", page.display());
    Ok(())
}

fn replace_section(text: &str, section: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("the page has no mark of the beginning")?;
    let (_, after) = rest.split_once(END).context("the page has no mark of the end")?;
    Ok(format!("{before}{BEGIN}{section}{END}{after}"))
}

/// The data of the plot, as figures.
fn figures(curves: &[Curve]) -> String {
    let names: String = curves.iter().map(|curve| format!(" {} |", curve.name())).collect();
    let mut table = format!("| pins |{names}\n| ---: |{}\n", " ---: |".repeat(curves.len()));
    for count in plot::counts(curves) {
        let cell = |curve: &Curve| format!(" {} |", curve.at(count).map_or(String::new(), ms));
        let cells: String = curves.iter().map(cell).collect();
        table += &format!("| {} |{cells}\n", thousands(count));
    }
    table
}
