//! `flext-tap-ldap`: a Singer tap for LDAP directories.
//!
//! Messages go to standard output and nothing else does; all else goes to standard error. The tap itself is the crate
//! `flext-ldap-singer`; here are the command line, the files it names, and the connection.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::{Parser, ValueEnum};
use flext_ldap_client::{Connector, Credentials, TlsOptions};
use flext_ldap_directory::Actor;
use flext_ldap_directory::proto::url::{LdapUrl, Scheme};
use flext_ldap_singer::{Catalog, Config, StreamSummary, Tap};
use serde_json::{Map, Value, json};

/// Extract entries of an LDAP directory as Singer messages.
#[derive(Debug, Parser)]
#[command(name = "flext-tap-ldap", version, after_help = HELP)]
struct Args {
    /// Settings: a JSON file, or ENV for variables `TAP_LDAP_<SETTING>`. Can be repeated; the later file wins, ENV always
    #[arg(long, value_name = "FILE|ENV")]
    config: Vec<PathBuf>,
    /// Print what can be extracted, as a catalog
    #[arg(long)]
    discover: bool,
    /// What to extract: a catalog with selections
    #[arg(long, value_name = "FILE", alias = "properties")]
    catalog: Option<PathBuf>,
    /// The state an earlier run ended with
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print what this tap is and which settings it has
    #[arg(long)]
    about: bool,
    /// How --about prints
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

const HELP: &str = "\
Examples:
  flext-tap-ldap --config tap.json --discover > catalog.json
  flext-tap-ldap --config tap.json --catalog catalog.json > messages.jsonl
  TAP_LDAP_URL=ldap://localhost TAP_LDAP_BASE=dc=example,dc=com flext-tap-ldap --config ENV

Exit codes:
  0  every selected stream is complete
  1  something failed; what was printed before is whole messages, and no STATE claims more
  2  the command line is wrong";

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&args)),
        Err(error) => Err(anyhow!(error).context("the program could not be started")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says something on standard error. Where that is closed nobody listens, and the exit code still tells.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

async fn run(args: &Args) -> anyhow::Result<()> {
    if args.about {
        return about(args.format).context("the description could not be printed");
    }
    let config = config(&args.config)?;
    // Files first: a mistake in them needs no directory.
    let catalog = args.catalog.as_deref().map(catalog).transpose()?;
    let state = args.state.as_deref().map(read_json).transpose()?;

    let connection =
        connector(&config)?.connect().await.context("the directory could not be connected to")?;
    let tap = Tap::over_session(&connection, Actor::Service, config).await?;
    let result = if args.discover {
        // Every slapd has some. They matter only where an attribute is not typed as expected.
        if let [first, rest @ ..] = tap.schema_errors() {
            let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
            say(&format!("info: the directory's schema has definitions that are of no use: {first}{more}"));
        }
        let mut out = io::BufWriter::new(io::stdout().lock());
        serde_json::to_writer_pretty(&mut out, &tap.catalog())
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out))
            .and_then(|()| out.flush())
            .context("the catalog could not be printed")
    } else {
        let summary = tap.sync(catalog.as_ref(), state, io::stdout().lock()).await;
        summary.map(|summary| summary.streams.iter().for_each(report)).map_err(Into::into)
    };
    connection.close().await;
    result
}

/// Says what a stream gave, and what of it was left out.
fn report(stream: &StreamSummary) {
    let name = &stream.stream;
    say(&format!("info: stream `{name}`: {} records", stream.records));
    if stream.references > 0 {
        let count = stream.references;
        say(&format!("warning: stream `{name}`: {count} references to other servers were not followed"));
    }
    for (property, count) in &stream.misfits {
        say(&format!(
            "warning: stream `{name}`: {count} values of `{property}` are not what the schema says and were left out"
        ));
    }
    for property in &stream.unknown_properties {
        say(&format!("warning: stream `{name}`: the catalog selects `{property}`, which it does not have"));
    }
}

/// Reads the settings from all sources.
fn config(sources: &[PathBuf]) -> anyhow::Result<Config> {
    if sources.is_empty() {
        bail!("no settings; give --config FILE, or --config ENV and variables TAP_LDAP_<SETTING>");
    }
    let mut settings = Map::new();
    for file in sources.iter().filter(|source| !is_environment(source)) {
        let Value::Object(more) = read_json(file)? else {
            bail!("`{}` is not a JSON object", file.display());
        };
        settings.extend(more);
    }
    if sources.iter().any(|source| is_environment(source)) {
        for setting in Config::settings() {
            let variable = format!("TAP_LDAP_{}", setting.to_ascii_uppercase());
            match std::env::var(&variable) {
                Ok(text) if text.is_empty() => {}
                Ok(text) => {
                    settings.insert((*setting).to_owned(), Config::value_from_text(setting, &text));
                }
                Err(std::env::VarError::NotPresent) => {}
                Err(std::env::VarError::NotUnicode(_)) => bail!("the variable {variable} is not UTF-8"),
            }
        }
    }
    Ok(Config::from_json(settings)?)
}

fn is_environment(source: &Path) -> bool {
    source.as_os_str() == "ENV"
}

fn catalog(file: &Path) -> anyhow::Result<Catalog> {
    let text = fs::read(file).with_context(|| format!("`{}` could not be read", file.display()))?;
    Catalog::from_json(&text).with_context(|| format!("`{}`", file.display()))
}

fn read_json(file: &Path) -> anyhow::Result<Value> {
    let text = fs::read(file).with_context(|| format!("`{}` could not be read", file.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("`{}` is not JSON", file.display()))
}

/// How to reach the directory.
fn connector(config: &Config) -> anyhow::Result<Connector> {
    let url: LdapUrl =
        config.url.parse().with_context(|| format!("the setting `url` is `{}`", config.url))?;
    let tls = || match &config.ca_file {
        Some(file) => TlsOptions::new().ca_file(file),
        None => TlsOptions::new(),
    };
    let builder = match (url.scheme, config.start_tls) {
        (Scheme::Ldaps, false) => Connector::builder().ldaps(tls()),
        (Scheme::Ldap, true) => Connector::builder().start_tls(tls()),
        (_, false) => Connector::builder().clear(),
        (_, true) => bail!("`start_tls` goes with an ldap:// URL only"),
    };
    let credentials = match (&config.bind_dn, &config.bind_password) {
        (Some(dn), Some(password)) => Credentials::simple(dn, password.clone()),
        (None, None) => Credentials::Anonymous,
        (Some(_), None) => bail!("`bind_dn` is set and `bind_password` is not"),
        (None, Some(_)) => bail!("`bind_password` is set and `bind_dn` is not"),
    };
    Ok(builder.url(&url).credentials(credentials).build()?)
}

/// Prints what the tap is.
fn about(format: Format) -> io::Result<()> {
    let about = json!({
        "name": "flext-tap-ldap",
        "description": "Singer tap for LDAP directories",
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": CAPABILITIES,
        "settings": settings(),
    });
    let mut out = io::stdout().lock();
    match format {
        Format::Json => writeln!(out, "{about:#}"),
        Format::Text | Format::Markdown => {
            writeln!(out, "# flext-tap-ldap {}\n", env!("CARGO_PKG_VERSION"))?;
            writeln!(out, "Singer tap for LDAP directories\n\n## Capabilities\n")?;
            for capability in CAPABILITIES {
                writeln!(out, "- `{capability}`")?;
            }
            writeln!(out, "\n## Settings\n")?;
            for (name, _, description) in SETTINGS {
                writeln!(out, "- `{name}`: {description}")?;
            }
            Ok(())
        }
    }
}

const CAPABILITIES: [&str; 4] = ["about", "catalog", "discover", "state"];

/// Each setting: its name, its JSON type, and what it is for.
const SETTINGS: [(&str, &str, &str); 11] = [
    ("url", "string", "Where the directory is: ldap://, ldaps:// or ldapi://. Required"),
    ("start_tls", "boolean", "Whether TLS is started on an ldap:// connection. No"),
    ("ca_file", "string", "Certificates in PEM to trust instead of the system's"),
    ("bind_dn", "string", "Whom to bind as. Anonymous"),
    ("bind_password", "string", "The password to bind with"),
    ("base", "string", "Where streams start that do not say. The directory's naming context"),
    ("page_size", "integer", "Entries of one page, where the directory offers paging. 1000"),
    ("timeout", "integer", "Seconds to wait for the directory with each page. 300"),
    ("attribute_naming", "string", "`ldap` for givenName, `snake_case` for given_name. ldap"),
    ("key_attribute", "string", "What identifies a record. entryUUID, objectGUID or nsUniqueId, else dn"),
    (
        "streams",
        "array",
        "What to extract: objects of name, base, scope (base, one, sub, children), filter, object_classes, attributes. \
         Users and groups",
    ),
];

fn settings() -> Value {
    let properties: Map<String, Value> = SETTINGS
        .iter()
        .map(|(name, json_type, description)| {
            let mut property = json!({"type": [json_type, "null"], "description": description});
            if *name == "bind_password"
                && let Value::Object(property) = &mut property
            {
                property.insert("secret".to_owned(), true.into());
            }
            ((*name).to_owned(), property)
        })
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": ["url"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described() {
        let described: Vec<_> = SETTINGS.iter().map(|(name, ..)| *name).collect();
        assert_eq!(described, Config::settings());
    }

    #[test]
    fn contradictions_are_refused() {
        let table = [
            (json!({"url": "http://x"}), "the setting `url` is `http://x`: not an LDAP URL"),
            (json!({"url": "ldaps://x", "start_tls": true}), "`start_tls` goes with an ldap:// URL only"),
            (json!({"url": "ldap://x", "bind_dn": "cn=a"}), "`bind_dn` is set and `bind_password` is not"),
            (
                json!({"url": "ldap://x", "bind_password": "hunter2"}),
                "`bind_password` is set and `bind_dn` is not",
            ),
        ];
        for (settings, want) in table {
            let Value::Object(settings) = settings else { panic!("an object") };
            let error = format!("{:#}", connector(&Config::from_json(settings).unwrap()).unwrap_err());
            assert!(error.starts_with(want) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn later_files_win() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let first = file("first.json", r#"{"url": "ldap://one", "page_size": 5}"#);
        let second = file("second.json", r#"{"url": "ldap://two"}"#);
        let config = config(&[first.clone(), second]).unwrap();
        assert_eq!((config.url.as_str(), config.page_size), ("ldap://two", 5));

        let list = file("list.json", "[]");
        let broken = file("broken.json", "{");
        for (files, want) in [
            (vec![], "no settings; give --config FILE"),
            (vec![first.clone(), list], "list.json` is not a JSON object"),
            (vec![broken], "broken.json` is not JSON: EOF"),
            (vec![folder.path().join("missing")], "missing` could not be read: No such file"),
        ] {
            let error = format!("{:#}", super::config(&files).unwrap_err());
            assert!(error.contains(want), "{error}");
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}
