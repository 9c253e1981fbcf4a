//! Draws docs/figures/growth.svg from docs/figures/growth.csv, and prints the same as a table:
//! `cargo run -p flext-ldap-lab --bin growth`, or `-- FILE.csv FILE.svg` for other figures.

use std::{io::Write as _, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use flext_ldap_lab::growth;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (figures, chart) = match arguments.as_slice() {
        [] => (growth::documented().with_extension("csv"), growth::documented().with_extension("svg")),
        [figures, chart] => (PathBuf::from(figures), PathBuf::from(chart)),
        _ => bail!("usage: growth [FILE.csv FILE.svg]"),
    };
    let text =
        std::fs::read_to_string(&figures).with_context(|| format!("cannot read {}", figures.display()))?;
    let seen = growth::parse(&text).with_context(|| figures.display().to_string())?;
    std::fs::write(&chart, growth::svg(&seen))
        .with_context(|| format!("cannot write {}", chart.display()))?;
    Ok(write!(std::io::stdout(), "{}", growth::table(&seen))?)
}
