//! What grows with the number of entries: the file the benchmark writes, as a table and as a chart.
//!
//! The file is CSV with the header `measure,unit,server,entries,value` and a row for each figure; measures stand in it in
//! the order in which they are shown. `cargo bench -p flext-ldap-lab --bench figures -- growth` writes it,
//! `cargo run -p flext-ldap-lab --bin growth` draws it.
//!
//! Not here: measuring. Nor quotes: no name has a comma in it.

mod chart;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use chart::svg;

/// The first line of the file.
const HEADER: &str = "measure,unit,server,entries,value";

/// One figure.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the columns of the file")]
pub struct Figure {
    /// What was measured, such as `import`.
    pub measure: String,
    /// In what, such as `entries/s`.
    pub unit: String,
    /// Of which server.
    pub server: String,
    /// With how many entries in the directory.
    pub entries: u64,
    /// What was seen: more than zero.
    pub value: f64,
}

/// The figures of docs/performance.md, without the ending: `csv` for the file, `svg` for the chart.
#[must_use]
pub fn documented() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/figures/growth")
}

/// Writes the file.
///
/// # Errors
/// A name has a comma or a line end in it, or a value is not above zero: [`parse`] would not take it.
pub fn csv(figures: &[Figure]) -> Result<String> {
    let mut text = format!("{HEADER}\n");
    for Figure { measure, unit, server, entries, value } in figures {
        // Four digits say more than two runs agree on.
        let digits = (3.0 - value.log10().floor()).clamp(0.0, 9.0) as usize;
        writeln!(text, "{measure},{unit},{server},{entries},{value:.digits$}")?;
    }
    parse(&text)?;
    Ok(text)
}

/// Reads the file.
///
/// # Errors
/// A line is not as the header says; the message names it.
pub fn parse(text: &str) -> Result<Vec<Figure>> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    ensure!(header == HEADER, "line 1 is `{header}` where `{HEADER}` should be");
    lines
        .zip(2..)
        .map(|(line, number): (_, u64)| figure(line).with_context(|| format!("line {number}: `{line}`")))
        .collect()
}

fn figure(line: &str) -> Result<Figure> {
    let fields: Vec<&str> = line.split(',').collect();
    let [measure, unit, server, entries, value] = fields[..] else {
        bail!("{} fields where five should be", fields.len());
    };
    ensure!(![measure, unit, server].contains(&""), "a name is empty");
    let figure = Figure {
        measure: measure.to_owned(),
        unit: unit.to_owned(),
        server: server.to_owned(),
        entries: entries.parse().context("the number of entries")?,
        value: value.parse().context("the value")?,
    };
    // The scales are logarithmic.
    ensure!(figure.entries > 0 && figure.value > 0.0 && figure.value.is_finite(), "not above zero");
    Ok(figure)
}

/// The figures as a table of Markdown: a row for each measure and server, a column for each number of entries.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let sizes = sizes(figures);
    let mut text = "| measure | server |".to_owned();
    for size in &sizes {
        text.push_str(&format!(" {} |", grouped(&size.to_string())));
    }
    text.push_str(&format!("\n|---|---|{}\n", "--:|".repeat(sizes.len())));
    for (measure, unit) in measures(figures) {
        for server in distinct(figures, |figure| &figure.server) {
            text.push_str(&format!("| {measure}, {unit} | {server} |"));
            for size in &sizes {
                let found = figures.iter().find(|figure| {
                    figure.measure == measure && figure.server == server && figure.entries == *size
                });
                text.push_str(&format!(" {} |", found.map(|figure| shown(figure.value)).unwrap_or_default()));
            }
            text.push('\n');
        }
    }
    text
}

/// The numbers of entries, ascending.
fn sizes(figures: &[Figure]) -> Vec<u64> {
    let mut sizes: Vec<u64> = figures.iter().map(|figure| figure.entries).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The measures, each with its unit, in the order of the file.
fn measures(figures: &[Figure]) -> Vec<(&str, &str)> {
    distinct(figures, |figure| &figure.measure)
        .into_iter()
        .filter_map(|measure| figures.iter().find(|figure| figure.measure == measure))
        .map(|figure| (figure.measure.as_str(), figure.unit.as_str()))
        .collect()
}

/// The values of a column, in the order of the file, each once.
fn distinct(figures: &[Figure], column: impl Fn(&Figure) -> &String) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for figure in figures {
        let value = column(figure);
        if !found.contains(&value.as_str()) {
            found.push(value);
        }
    }
    found
}

/// A value with three digits, or all before the point.
fn shown(value: f64) -> String {
    if value >= 100.0 {
        return grouped(&format!("{value:.0}"));
    }
    let digits = if value >= 10.0 { 1 } else { 2 };
    format!("{value:.digits$}")
}

/// An integer with a comma before each three digits.
fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
