//! One page of metrics in Prometheus' text format.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

/// The metrics of one moment, by name, in Prometheus' text format (version 0.0.4).
///
/// Names and help are written in the program. Values of labels come from closed sets and from configuration: never a
/// name of an entry, a user or a filter.
#[derive(Debug, Default)]
pub struct MetricsPage(BTreeMap<&'static str, Family>);

#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: &'static str,
    samples: String,
}

impl MetricsPage {
    /// Adds a sample of something that only goes up.
    pub fn counter(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: u64) {
        self.family(name, "counter", help).sample(name, "", labels, value);
    }

    /// Adds a sample of something that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &'static str, labels: &[(&str, &str)], value: f64) {
        self.family(name, "gauge", help).sample(name, "", labels, value);
    }

    /// Adds a histogram: what was counted up to each bound (not more than up to the one before), all that was counted,
    /// and its sum.
    pub(super) fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&str, &str)],
        buckets: impl Iterator<Item = (f64, u64)>,
        (count, sum): (u64, f64),
    ) {
        let family = self.family(name, "histogram", help);
        for (bound, below) in buckets.map(|(bound, below)| (bound.to_string(), below)) {
            family.sample(name, "_bucket", &[labels, &[("le", &bound)]].concat(), below);
        }
        family.sample(name, "_bucket", &[labels, &[("le", "+Inf")]].concat(), count);
        family.sample(name, "_sum", labels, sum);
        family.sample(name, "_count", labels, count);
    }

    fn family(&mut self, name: &'static str, kind: &'static str, help: &'static str) -> &mut Family {
        self.0.entry(name).or_insert_with(|| Family { kind, help, samples: String::new() })
    }
}

impl Family {
    fn sample(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: impl fmt::Display) {
        let out = &mut self.samples;
        out.push_str(name);
        out.push_str(suffix);
        for (index, (label, value)) in labels.iter().enumerate() {
            out.push(if index == 0 { '{' } else { ',' });
            out.push_str(label);
            out.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => out.push_str("\\\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str("\\n"),
                    _ => out.push(character),
                }
            }
            out.push('"');
        }
        if !labels.is_empty() {
            out.push('}');
        }
        // Printing into a `String` cannot fail.
        let _ = writeln!(out, " {value}");
    }
}

impl fmt::Display for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, Family { kind, help, samples }) in &self.0 {
            write!(f, "# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page() {
        let mut page = MetricsPage::default();
        page.gauge("b_state", "How it is.", &[("server", "a\"b\\c\nd")], 0.5);
        page.counter("a_total", "How many.", &[], 3);
        page.histogram("c", "How long.", &[("op", "x")], [(0.1, 1), (1.0, 2)].into_iter(), (3, 4.5));
        page.counter("a_total", "How many.", &[("op", "y"), ("z", "")], 4);
        assert_eq!(
            page.to_string(),
            "# HELP a_total How many.\n# TYPE a_total counter\na_total 3\na_total{op=\"y\",z=\"\"} 4\n\
             # HELP b_state How it is.\n# TYPE b_state gauge\nb_state{server=\"a\\\"b\\\\c\\nd\"} 0.5\n\
             # HELP c How long.\n# TYPE c histogram\nc_bucket{op=\"x\",le=\"0.1\"} 1\n\
             c_bucket{op=\"x\",le=\"1\"} 2\nc_bucket{op=\"x\",le=\"+Inf\"} 3\nc_sum{op=\"x\"} 4.5\n\
             c_count{op=\"x\"} 3\n"
        );
    }
}
