//! `flext-ldap doctor`: from a name to a working configuration. What is looked at, and how, is the library's
//! (`flext_ldap::doctor`); here is how it is asked for, and printed.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap::{
    Config, PasswordSource,
    doctor::{Doctor, Finding, Report, Severity, SignIn},
};
use flext_ldap_client::Credentials;
use flext_ldap_directory::{
    ErrorKind,
    proto::{dn::Dn, secret::Secret},
};

use crate::{
    connect::{account, ask_password, configuration, dn, password_file, secret},
    exit::{self, Usage},
    output,
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap doctor harbourlane.example
  flext-ldap doctor ldaps://ldap1.harbourlane.example -D cn=reader,dc=harbourlane,dc=example -W
  flext-ldap doctor harbourlane.example -D ada@harbourlane.example -y FILE --write ldap.yaml
  flext-ldap doctor --config ldap.yaml --account reader
  flext-ldap doctor ldap://localhost --json | jq -r 'select(.severity == \"fail\") | .mend'

A line begins with `ok`, `note`, `warn` or `fail`, and says what it is about, the cause, the
evidence, and what mends it. docs/doctor.md explains every finding.";

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Domain, whose servers are looked up in DNS; host; or server: ldaps://HOST, ldap://HOST (with StartTLS), ldapi://PATH
    #[arg(value_name = "DOMAIN|URL")]
    target: Option<String>,
    /// The same, as other commands take it
    #[arg(short = 'H', long = "url", value_name = "URL", conflicts_with = "target")]
    url: Option<String>,
    /// Sign in as this name, once
    #[arg(short = 'D', long, value_name = "DN")]
    bind_dn: Option<String>,
    /// Password; visible to others on this machine: -W asks, -y reads a file
    #[arg(short = 'w', long, value_name = "PASSWORD", value_parser = secret, requires = "bind_dn", conflicts_with_all = ["ask_password", "password_file"])]
    password: Option<Secret>,
    /// Ask for the password
    #[arg(short = 'W', long, requires = "bind_dn", conflicts_with = "password_file")]
    ask_password: bool,
    /// Read the password from this file, a line end at its end left out
    #[arg(short = 'y', long, value_name = "FILE", requires = "bind_dn")]
    password_file: Option<PathBuf>,
    /// Sign in as this service account of the configuration
    #[arg(long, value_name = "NAME", conflicts_with = "bind_dn")]
    account: Option<String>,
    /// Configuration (YAML, see docs/configuration.md) with the servers to look at, where none is named, and how TLS is done;
    /// if left out, the file that `FLEXT_LDAP_CONFIG` names, or else `FLEXT_LDAP_…` variables that name a server
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Trust the certificates of this file (PEM) instead of the configuration's or this machine's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Look for people and groups below this name
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
    base: Option<Dn>,
    /// Name server to ask for the servers of a domain, instead of this machine's
    #[arg(long, value_name = "HOST[:PORT]", value_parser = name_server)]
    dns: Option<SocketAddr>,
    /// Seconds each step may take; 5, or the `connection_timeout` of the configuration for its servers
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: Option<u64>,
    /// Write a configuration for what was found into a new file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Print one JSON object a line for each finding
    #[arg(long)]
    json: bool,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let doctor = self.doctor()?;
        if let Some(path) = &self.write {
            // Before anything is looked at: it would be in vain.
            anyhow::ensure!(!path.exists(), Usage(there_already(path)));
        }
        let report = crate::block_on(async { Ok(doctor.examine().await) })?;
        let mut out = io::stdout().lock();
        for finding in &report.findings {
            if self.json { json(finding, &mut out)? } else { line(finding, &mut out)? }
        }
        out.flush()?;
        if let Some(path) = &self.write {
            write(&report, path)?;
        }
        Ok(report.failure().map_or(ExitCode::SUCCESS, |finding| ExitCode::from(code(finding))))
    }

    fn doctor(&self) -> anyhow::Result<Doctor> {
        let config = configuration(self.config.as_deref(), self.account.is_some())?;
        let mut doctor = match (self.target.as_ref().or(self.url.as_ref()), &config) {
            (Some(target), Some(config)) => Doctor::new(target)?.config(config),
            (Some(target), None) => Doctor::new(target)?,
            (None, Some(_)) if self.write.is_some() => {
                let text = "the servers of a configuration have one: --write goes with DOMAIN or URL";
                return Err(Usage(text.to_owned()).into());
            }
            (None, Some(config)) => Doctor::configured(config),
            (None, None) => {
                let text = "say what to look at: a domain, a URL, or a configuration by --config FILE";
                return Err(Usage(text.to_owned()).into());
            }
        };
        if let Some(seconds) = self.timeout {
            doctor = doctor.patience(Duration::from_secs(seconds));
        }
        if let Some(path) = &self.ca_file {
            doctor = doctor.ca_file(path);
        }
        if let Some(base) = &self.base {
            doctor = doctor.base(base.clone());
        }
        if let Some(server) = self.dns {
            doctor = doctor.name_server(server);
        }
        Ok(match self.sign_in(config.as_ref())? {
            Some(sign_in) => doctor.sign_in(sign_in),
            None => doctor,
        })
    }

    fn sign_in(&self, config: Option<&Config>) -> anyhow::Result<Option<SignIn>> {
        if let (Some(name), Some(config)) = (&self.account, config) {
            return Ok(Some(SignIn::as_account(name, account(config, name)?)?));
        }
        let Some(name) = &self.bind_dn else { return Ok(None) };
        let (password, source) = match (&self.password, self.ask_password, &self.password_file) {
            (Some(password), ..) => (password.clone(), None),
            (None, true, _) => (ask_password("Password: ", "-y")?, None),
            (None, false, Some(path)) => (password_file(path)?, Some(PasswordSource::File(path.clone()))),
            (None, false, None) => {
                let text = "-D needs a password: -W asks for it, -y reads it from a file";
                return Err(Usage(text.to_owned()).into());
            }
        };
        let sign_in = SignIn::new(Credentials::simple(name, password));
        Ok(Some(match source {
            Some(source) => sign_in.password_from(source),
            None => sign_in,
        }))
    }
}

/// Prints a finding as a line.
fn line(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{:<5} {}", word(finding.severity), output::on_one_line(&finding.to_string()))
}

fn json(finding: &Finding, out: &mut dyn Write) -> io::Result<()> {
    let value = serde_json::json!({
        "severity": word(finding.severity),
        "finding": finding.what.name(),
        "about": finding.about,
        "cause": finding.cause,
        "evidence": finding.evidence,
        "mend": finding.mend,
    });
    writeln!(out, "{}", output::json(&value))
}

const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Good => "ok",
        Severity::Note => "note",
        Severity::Warning => "warn",
        Severity::Failure => "fail",
    }
}

fn code(finding: &Finding) -> u8 {
    match finding.error {
        Some(ErrorKind::NoEntry) => exit::NO_SUCH_OBJECT,
        Some(kind) => exit::of_kind(kind, finding.result_code),
        None => exit::INTERNAL,
    }
}

/// Leaves the configuration in a new file that only its owner can read.
fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    let Some(text) = &report.configuration else {
        crate::say(format_args!(
            "flext-ldap: {} is not written: what fails above would keep it from working",
            path.display()
        ));
        return Ok(());
    };
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = created.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::Error::new(Usage(there_already(path))),
        _ => anyhow::Error::new(error).context(format!("failed to create {}", path.display())),
    })?;
    let head = "# What `flext-ldap doctor` found. docs/configuration.md explains the keys.\n";
    file.write_all(head.as_bytes())
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .with_context(|| format!("failed to write {}", path.display()))?;
    crate::say(format_args!(
        "flext-ldap: {} is written; `flext-ldap config check --online --config {}` tries it",
        path.display(),
        path.display()
    ));
    Ok(())
}

fn there_already(path: &Path) -> String {
    format!("{} is there already, and nothing is overwritten: name another file", path.display())
}

/// A name server, with or without its port.
fn name_server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    bare.or_else(|_| text.parse())
        .map_err(|_| "expected an address like `192.0.2.53` or `192.0.2.53:5353`".to_owned())
}
