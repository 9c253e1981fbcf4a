//! Figures as SVG: a panel for each measure, both axes logarithmic.
//!
//! Servers differ by colour, by dashes and by the shape of their points. Colours follow the reader's light or dark scheme,
//! on a ground of their own, so a page of the other scheme does not swallow the text. Every point says its figure when it is
//! pointed at, and the description says all of them.

use super::{Figure, distinct, grouped, measures, shown, sizes};

/// Panels in a row.
const COLUMNS: usize = 3;

/// A panel with its title and the labels of its axes.
const PANEL: (f64, f64) = (300.0, 236.0);

/// The place of the axes in a panel: left, top, right, bottom.
const AXES: (f64, f64, f64, f64) = (56.0, 44.0, 282.0, 184.0);

const STYLE: &str = "\
.ground{fill:#ffffff}.text{fill:#1f2328;font:12px system-ui,sans-serif}.head{font-weight:600;font-size:13px}\
.grid{stroke:#d1d9e0;stroke-width:1}.axis{stroke:#59636e;stroke-width:1}\
.line{fill:none;stroke-width:2.2}.a{stroke:#a04100}.b{stroke:#0550ae}.dash{stroke-dasharray:6 4}\
.fill-a{fill:#ffffff;stroke:#a04100;stroke-width:2.2}.fill-b{fill:#0550ae;stroke:#0550ae}\
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}.text{fill:#e6edf3}.grid{stroke:#30363d}.axis{stroke:#9198a1}\
.a{stroke:#ffa657}.b{stroke:#79c0ff}.fill-a{fill:#0d1117;stroke:#ffa657}.fill-b{fill:#79c0ff;stroke:#79c0ff}}";

/// Draws the figures of at most two servers. The first in the file has a dashed line and hollow squares, the second a solid
/// line and dots.
#[must_use]
pub fn svg(figures: &[Figure]) -> String {
    let measures = measures(figures);
    let servers = distinct(figures, |figure| &figure.server);
    let legend = 30.0;
    let rows = measures.len().div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, PANEL.1 * rows as f64 + legend);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-labelledby=\"title desc\">\n<title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n\
         <style>{STYLE}</style>\n<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>\n",
        escaped(&format!("{} with a growing number of entries", servers.join(" and "))),
        escaped(&description(figures)),
    );
    for (number, server) in servers.iter().enumerate() {
        let (x, y) = (AXES.0 + 150.0 * number as f64, 20.0);
        let line = [(x, y), (x + 40.0, y)];
        out.push_str(&series(&line[..], number, ""));
        out.push_str(&mark(x + 20.0, y, number, server));
        out.push_str(&text(x + 48.0, y + 4.0, "text head", "start", server));
    }
    let entries = sizes(figures);
    for (number, (measure, unit)) in measures.into_iter().enumerate() {
        let place = (PANEL.0 * (number % COLUMNS) as f64, PANEL.1 * (number / COLUMNS) as f64 + legend);
        let figures: Vec<&Figure> = figures.iter().filter(|figure| figure.measure == measure).collect();
        out.push_str(&format!("<g transform=\"translate({} {})\">\n", place.0, place.1));
        out.push_str(&panel(measure, unit, &figures, &servers, &entries));
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

fn panel(measure: &str, unit: &str, figures: &[&Figure], servers: &[&str], entries: &[u64]) -> String {
    let (left, top, right, bottom) = AXES;
    let across = Scale::around(entries.iter().map(|entries| *entries as f64));
    let up = Scale::around(figures.iter().map(|figure| figure.value));
    let x = |value: f64| left + across.place(value) * (right - left);
    let y = |value: f64| bottom - up.place(value) * (bottom - top);
    let mut out = text(left, 18.0, "text head", "start", measure);
    out.push_str(&text(left, 34.0, "text", "start", unit));
    for tick in up.ticks() {
        out.push_str(&stroke("grid", (left, y(tick)), (right, y(tick))));
        out.push_str(&text(left - 6.0, y(tick) + 4.0, "text", "end", &short(tick)));
    }
    for tick in across.decades() {
        out.push_str(&stroke("grid", (x(tick), top), (x(tick), bottom)));
        out.push_str(&text(x(tick), bottom + 17.0, "text", "middle", &short(tick)));
    }
    out.push_str(&stroke("axis", (left, bottom), (right, bottom)));
    out.push_str(&stroke("axis", (left, top), (left, bottom)));
    out.push_str(&text((left + right) / 2.0, bottom + 34.0, "text", "middle", "entries"));
    for (number, server) in servers.iter().enumerate() {
        let mut own: Vec<&Figure> =
            figures.iter().copied().filter(|figure| figure.server == *server).collect();
        own.sort_unstable_by_key(|figure| figure.entries);
        let points: Vec<(f64, f64)> =
            own.iter().map(|figure| (x(figure.entries as f64), y(figure.value))).collect();
        out.push_str(&series(&points, number, &format!("{server}: {measure}")));
        for (figure, (x, y)) in own.iter().zip(points) {
            out.push_str(&mark(x, y, number, &said(figure)));
        }
    }
    out
}

/// A logarithmic scale from one round number to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) from: f64,
    pub(super) to: f64,
}

impl Scale {
    /// From the round number at or below the smallest value to the one at or above the largest; round are 1, 2 and 5 times
    /// a power of ten. At least a factor of ten, or a small difference would look large.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let (least, most) =
            values.fold((f64::INFINITY, 0.0_f64), |(least, most), value| (least.min(value), most.max(value)));
        if most <= 0.0 {
            return Self { from: 1.0, to: 10.0 };
        }
        let (mut from, mut to) = (round_below(least), round_above(most));
        // Both ends in turn, so that what is there stays in the middle.
        while to / from < 9.9 {
            to = round_above(to * 1.5);
            if to / from < 9.9 {
                from = round_below(from / 1.5);
            }
        }
        Self { from, to }
    }

    /// Where a value is, from 0 to 1.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value / self.from).log10() / (self.to / self.from).log10()
    }

    /// What is labelled: every round number where there is room for them, otherwise powers of ten.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.to / self.from > 150.0 { self.decades() } else { self.round() }
    }

    /// Powers of ten.
    pub(super) fn decades(&self) -> Vec<f64> {
        self.round().into_iter().filter(|tick| (tick.log10() - tick.log10().round()).abs() < 1e-6).collect()
    }

    fn round(&self) -> Vec<f64> {
        let mut ticks = vec![self.from];
        while let Some(last) = ticks.last().copied().filter(|last| *last < self.to * 0.99) {
            ticks.push(round_above(last * 1.5));
        }
        ticks
    }
}

/// What a value may stand beyond the end of an axis, as a part of it: less than a point's size.
const BEYOND: f64 = 0.01;

/// The last of 1, 2, 5, 10, 20 .. that is not above the value.
fn round_below(value: f64) -> f64 {
    let value = value * (1.0 + BEYOND);
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [5.0, 2.0, 1.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step <= value).unwrap_or(decade)
}

/// The first that is not below.
fn round_above(value: f64) -> f64 {
    let value = value * (1.0 - BEYOND);
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value).unwrap_or(decade * 10.0)
}

/// A tick: 0.05, 20, 5k, 1M.
pub(super) fn short(value: f64) -> String {
    let (value, letter) = match value {
        value if value > 0.999e6 => (value / 1e6, "M"),
        value if value > 0.999e3 => (value / 1e3, "k"),
        value => (value, ""),
    };
    let digits = usize::try_from(-value.log10().floor() as i64).unwrap_or_default();
    format!("{value:.digits$}{letter}")
}

/// Everything that is drawn, for who cannot see it.
fn description(figures: &[Figure]) -> String {
    let mut out = String::new();
    for (measure, unit) in measures(figures) {
        out.push_str(&format!("{measure}, {unit}: "));
        let own: Vec<String> = figures.iter().filter(|figure| figure.measure == measure).map(said).collect();
        out.push_str(&own.join("; "));
        out.push_str(". ");
    }
    out.trim_end().to_owned()
}

fn said(Figure { unit, server, entries, value, .. }: &Figure) -> String {
    format!("{server}, {} entries: {} {unit}", grouped(&entries.to_string()), shown(*value))
}

fn series(points: &[(f64, f64)], number: usize, label: &str) -> String {
    let class = if number == 0 { "line a dash" } else { "line b" };
    let places: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let title = if label.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(label)) };
    format!("<polyline class=\"{class}\" points=\"{}\">{title}</polyline>\n", places.join(" "))
}

fn mark(x: f64, y: f64, number: usize, label: &str) -> String {
    let title = format!("<title>{}</title>", escaped(label));
    if number == 0 {
        let (x, y) = (x - 4.0, y - 4.0);
        format!("<rect class=\"fill-a\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"8\" height=\"8\">{title}</rect>\n")
    } else {
        format!("<circle class=\"fill-b\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\">{title}</circle>\n")
    }
}

fn stroke(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    format!("<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n")
}

fn text(x: f64, y: f64, class: &str, anchor: &str, text: &str) -> String {
    let text = escaped(text);
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>\n")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
