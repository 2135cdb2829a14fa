//! The table: the measured times, next to their targets.

/// One line of the table. A cell is empty if there is nothing to compare with.
pub(super) struct Row {
    case: String,
    iterctl: String,
    bpftool: String,
    floor: String,
    targets: Vec<Target>,
}

/// A target, and the measured value.
struct Target {
    text: String,
    found: String,
    met: bool,
}

impl Row {
    pub(super) fn new(case: impl Into<String>, iterctl: impl Into<String>) -> Self {
        let (case, iterctl) = (case.into(), iterctl.into());
        eprintln!("{case}: {iterctl}");
        let (bpftool, floor) = (String::new(), String::new());
        Self { case, iterctl, bpftool, floor, targets: Vec::new() }
    }

    pub(super) fn bpftool(mut self, milliseconds: f64) -> Self {
        self.bpftool = ms(milliseconds);
        self
    }

    pub(super) fn floor(mut self, milliseconds: f64) -> Self {
        self.floor = ms(milliseconds);
        self
    }

    pub(super) fn target(mut self, text: &str, found: impl Into<String>, met: bool) -> Self {
        self.targets.push(Target { text: text.to_owned(), found: found.into(), met });
        self
    }

    /// Adds the target that a ratio is at most this.
    pub(super) fn at_most(self, bound: f64, what: &str, ratio: f64) -> Self {
        self.target(&format!("≤ {bound} × {what}"), times(ratio), ratio <= bound)
    }

    /// Adds the target that something else takes at least this many times as long.
    pub(super) fn at_least(self, bound: f64, what: &str, ratio: f64) -> Self {
        self.target(&format!("≥ {bound} × faster than {what}"), times(ratio), ratio >= bound)
    }
}

/// The table in Markdown, with an additional line for each further target of a case.
pub(super) fn markdown(rows: &[Row]) -> String {
    let mut table =
        String::from("| case | iterctl | `bpftool iter pin` | floor | target | found | met |\n");
    table += "| --- | ---: | ---: | ---: | --- | ---: | --- |\n";
    for Row { case, iterctl, bpftool, floor, targets } in rows {
        let mut cells = format!("| {case} | {iterctl} | {bpftool} | {floor} |");
        if targets.is_empty() {
            table += &format!("{cells} | | |\n");
        }
        for Target { text, found, met } in targets {
            let met = if *met { "yes" } else { "**no**" };
            table += &format!("{cells} {text} | {found} | {met} |\n");
            cells = "| | | | |".to_owned();
        }
    }
    table
}

/// A time with about three digits.
pub(super) fn ms(milliseconds: f64) -> String {
    format!("{} ms", digits(milliseconds))
}

fn times(ratio: f64) -> String {
    format!("{} ×", digits(ratio))
}

fn digits(number: f64) -> String {
    let decimals = match number {
        below if below < 9.995 => 2,
        below if below < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.decimals$}")
}

/// A number with commas.
pub(super) fn thousands(number: usize) -> String {
    if number < 1000 {
        return number.to_string();
    }
    format!("{},{:03}", thousands(number / 1000), number % 1000)
}
