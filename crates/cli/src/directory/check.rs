//! `flext-ldap directory check`: whether all that a directory stores agrees.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use flext_ldap_store::{CheckEvent, CheckReport, Fault, Remedy, Store};
use serde_json::{Value, json};

use super::{
    config::{Config, Configured, Purpose},
    control, open,
};
use crate::{
    exit::{FAULTS, Usage},
    progress::Progress,
};

const NOTE: &str = "\
A directory that is served is checked by the process that serves it, as of one commit, while it
goes on.
Checksums of pages are verified when nobody serves the directory.

Exit code: 0 if there is no fault, 209 if there is one (also if --mend mended all), others as in
`flext-ldap --help`.";

/// Arguments of `directory check`.
#[derive(Debug, clap::Args)]
#[command(after_help = NOTE)]
pub(super) struct Check {
    #[command(flatten)]
    configured: Configured,
    /// Derive anew what can be derived: tree, counts of children, indexes, state; nobody may serve the directory
    #[arg(long)]
    mend: bool,
    /// Print one JSON object for each fault, and one with the counts at the end
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.configured.read()?.settle(Purpose::Place)?;
        let data = config.place()?;
        data.must_exist()?;
        let progress = Progress::new("entries");
        let mut last = 0;
        let mut told = Told { json: self.json, written: Ok(()) };
        if let Some(report) = control::ask(&data.data, &control::Ask::Check, &mut |kind, payload| {
            match kind {
                control::Kind::Fault => told.fault(&serde_json::from_slice(payload)?),
                control::Kind::Progress => {
                    let count = std::str::from_utf8(payload)?.parse().unwrap_or(last);
                    progress.advance(count - last.min(count));
                    last = count;
                }
                _ => {}
            }
            Ok(())
        })? {
            drop(progress);
            if self.mend {
                let text = "the directory is served; stop it before it is mended".to_owned();
                return Err(Usage(text).into());
            }
            return told.end(&report);
        }
        drop(progress);
        let store = match open(config.store(data.options()?).verify_pages(), &data) {
            Ok(store) => store,
            // What cannot be opened may be such as can be derived.
            Err(error) if self.mend => {
                crate::say(format_args!("{error:#}"));
                return self.mend(&config, told);
            }
            Err(error) => return Err(error),
        };
        let report = look(&store, &mut told)?;
        store.close();
        drop(store);
        if self.mend && report.rebuildable > 0 {
            return self.mend(&config, told);
        }
        told.end(&report_json(&report))
    }

    fn mend(&self, config: &Config, mut told: Told) -> anyhow::Result<ExitCode> {
        let data = config.place()?;
        let store = open(config.store(data.options()?).rebuild(), &data)?;
        crate::say(format_args!("what can be derived was derived anew; what is left:"));
        let report = look(&store, &mut told)?;
        store.close();
        told.end(&report_json(&report))?;
        Ok(ExitCode::from(FAULTS))
    }
}

fn look(store: &Store, told: &mut Told) -> anyhow::Result<CheckReport> {
    let progress = Progress::new("entries");
    let mut last = 0;
    Ok(store.check(&mut |event| match event {
        CheckEvent::Fault(fault) => told.fault(&fault_json(fault)),
        CheckEvent::Entries(count) => {
            progress.advance(count.saturating_sub(last));
            last = count;
        }
        _ => {}
    })?)
}

/// Prints what is found.
struct Told {
    json: bool,
    written: io::Result<()>,
}

impl Told {
    fn fault(&mut self, fault: &Value) {
        let text = |name: &str| fault.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let line = if self.json {
            fault.to_string()
        } else {
            let id =
                fault.get("id").and_then(Value::as_u64).map(|id| format!(": entry {id}")).unwrap_or_default();
            let dn = text("dn");
            let dn = if dn.is_empty() { dn } else { format!(" `{dn}`") };
            format!("{}{id}{dn}: {}; {}", text("table"), text("what"), text("advice"))
        };
        if self.written.is_ok() {
            self.written = writeln!(io::stdout(), "{line}");
        }
    }

    fn end(self, report: &Value) -> anyhow::Result<ExitCode> {
        self.written?;
        let number = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or_default();
        let faults = number("faults");
        if self.json {
            writeln!(io::stdout(), "{report}")?;
        } else {
            crate::say(format_args!(
                "{} entries, {} index rows, {} changes: {} faults",
                number("entries"),
                number("indexRows"),
                number("changes"),
                faults
            ));
        }
        Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAULTS) })
    }
}

/// A fault, for scripts.
pub(super) fn fault_json(fault: &Fault) -> Value {
    let remedy = match fault.remedy {
        Remedy::Rebuild => "rebuild",
        Remedy::Modify => "modify",
        _ => "restore",
    };
    json!({
        "table": fault.table,
        "id": fault.id,
        "dn": fault.dn,
        "what": fault.what,
        "remedy": remedy,
        "advice": fault.remedy.advice(),
    })
}

/// What was looked at, for scripts.
pub(super) fn report_json(report: &CheckReport) -> Value {
    json!({
        "entries": report.entries,
        "indexRows": report.index_rows,
        "changes": report.changes,
        "csn": report.csn,
        "faults": report.faults,
        "rebuildable": report.rebuildable,
    })
}
