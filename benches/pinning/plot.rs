//! Time against the number of pins, as an SVG.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;

use anyhow::anyhow;
use plotters::prelude::{
    ChartBuilder, Circle, Color as _, IntoDrawingArea as _, IntoLogRange as _, LineSeries,
    PathElement, RGBColor, SVGBackend, SeriesLabelPosition, ShapeStyle, WHITE,
};

use super::table::thousands;

const SIZE: (u32, u32) = (860, 520);
const FONT: (&str, u32) = ("sans-serif", 15);

/// The label and the style of a curve. Colour-blind readers can tell the colours apart, too.
pub(super) struct Look {
    name: &'static str,
    colour: RGBColor,
    width: u32,
}

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREY: RGBColor = RGBColor(110, 110, 110);

pub(super) const LOOP: Look = Look { name: "loop of bpftool", colour: ORANGE, width: 3 };
pub(super) const APPLY_COLD: Look = Look { name: "apply, cold", colour: BLUE, width: 3 };
pub(super) const FLOOR_COLD: Look = Look { name: "floor, cold", colour: GREY, width: 3 };
pub(super) const APPLY: Look = Look { name: "apply, nothing to do", colour: BLUE, width: 1 };
pub(super) const FLOOR: Look = Look { name: "floor, nothing to do", colour: GREY, width: 1 };

/// Medians in milliseconds, one for each number of pins.
pub(super) struct Curve {
    look: Look,
    points: Vec<(usize, f64)>,
}

impl Curve {
    pub(super) fn new(look: Look, points: impl IntoIterator<Item = (usize, f64)>) -> Self {
        Self { look, points: points.into_iter().collect() }
    }

    pub(super) fn push(&mut self, pins: usize, milliseconds: f64) {
        self.points.push((pins, milliseconds));
    }

    pub(super) fn name(&self) -> &str {
        self.look.name
    }

    pub(super) fn at(&self, pins: usize) -> Option<f64> {
        self.points.iter().find(|point| point.0 == pins).map(|point| point.1)
    }
}

/// Every number of pins that any of the curves has.
pub(super) fn counts(curves: &[Curve]) -> BTreeSet<usize> {
    curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0)).collect()
}

pub(super) fn draw(file: &Path, curves: &[Curve]) -> anyhow::Result<()> {
    try_to_draw(file, curves).map_err(|error| anyhow!("failed to draw {}: {error}", file.display()))
}

fn try_to_draw(file: &Path, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let most_pins = counts(curves).last().copied().unwrap_or(1) as f64;
    let times = curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
    let (shortest, longest) =
        times.fold((f64::INFINITY, 0.0), |(low, high), time| (time.min(low), time.max(high)));
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(15)
        .margin_right(40)
        .x_label_area_size(45)
        .y_label_area_size(75)
        .build_cartesian_2d(
            (0.8..most_pins * 1.25).log_scale(),
            (shortest * 0.7..longest * 1.5).log_scale(),
        )?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc("pins")
        .y_desc("milliseconds")
        .x_label_formatter(&|pins| thousands(pins.round() as usize))
        .y_label_formatter(&|milliseconds| match *milliseconds {
            below if below < 1.0 => format!("{below}"),
            above => thousands(above.round() as usize),
        })
        .label_style(FONT)
        .axis_desc_style(FONT)
        .draw()?;
    for Curve { look, points } in curves {
        let style = ShapeStyle::from(look.colour).stroke_width(look.width);
        let dot = look.colour.filled();
        let points: Vec<(f64, f64)> = points.iter().map(|&(pins, ms)| (pins as f64, ms)).collect();
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(look.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        chart.draw_series(points.into_iter().map(|point| Circle::new(point, 4, dot)))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(GREY)
        .legend_area_size(34)
        .label_font(FONT)
        .draw()?;
    area.present()?;
    Ok(())
}
