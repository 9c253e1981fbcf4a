//! `flext-ldap servers`: each server of a configuration, or of -H, and how it is.
//!
//! They are asked one after the other, so that credentials one has refused are sent to no other: those are asked as
//! nobody. Not here: how they are over time, which a program tells of itself (its metrics and health).

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use flext_ldap_client::{Capabilities, Connection, ConnectorBuilder, Credentials};
use flext_ldap_directory::{
    Actor, Deadline, DirectoryExt, Error, ErrorKind, Request,
    proto::{
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        schema::GeneralizedTime,
    },
};
use serde::Serialize;

use crate::{connect::Connect, exit, output::on_one_line};

const EXAMPLES: &str = "\
Examples:
  flext-ldap servers --config production.yaml
  flext-ldap servers --config production.yaml --account monitoring --json
  flext-ldap servers -H 'ldap://ldap1.example.com ldap://ldap2.example.com' -ZZ";

/// Arguments of `servers`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// One line of JSON for each server
    #[arg(long)]
    json: bool,
}

/// What is told of a server.
#[derive(Serialize)]
struct Told {
    server: String,
    /// `answers`, `refuses` (the account; it was asked as nobody), or `away`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// From a question to its answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    /// For connecting and signing in, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<&'static str>,
    /// The last change of each server that writes, as `contextCSN` has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    context_csn: Vec<String>,
    /// Changes an Active Directory has made so far; each server counts its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    highest_committed_usn: Option<u64>,
    /// By how many seconds its last change is older than the newest of all, where they can be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(async move {
            let way = self.connect.way(None)?;
            let mut credentials = way.credentials.clone();
            let (mut all, mut code) = (Vec::new(), None);
            for (name, connector) in way.servers {
                let connector = connector.connect_timeout(way.timeout);
                let (mut told, refused) = match ask(&connector, &credentials, way.base.as_ref()).await {
                    Ok(told) => (told, None),
                    Err(error) if error.kind() == ErrorKind::Rejected => {
                        // What one has refused is sent to nobody else.
                        credentials = Credentials::Anonymous;
                        let told = ask(&connector, &credentials, way.base.as_ref()).await;
                        (told.unwrap_or_else(|_| Told::away()), Some(error))
                    }
                    Err(error) => (Told::away(), Some(error)),
                };
                told.server = name;
                if let Some(error) = refused {
                    if error.kind() == ErrorKind::Rejected {
                        told.state = "refuses";
                    }
                    code.get_or_insert_with(|| exit::of_directory(&error));
                    told.error = Some(error.to_string());
                }
                all.push(told);
            }
            compare(&mut all);
            let mut out = io::stdout().lock();
            for told in &all {
                match self.json {
                    true => writeln!(out, "{}", serde_json::to_string(told)?)?,
                    false => writeln!(out, "{}", told.line())?,
                }
            }
            Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from))
        })
    }
}

/// Connects to a server and asks what there is to know.
async fn ask(
    connector: &ConnectorBuilder,
    credentials: &Credentials,
    base: Option<&Dn>,
) -> Result<Told, Error> {
    let began = Instant::now();
    let connection = connector.clone().credentials(credentials.clone()).build()?.connect().await?;
    let connected = began.elapsed();
    let told = tell(&connection, connected, base).await;
    connection.close().await;
    told
}

async fn tell(connection: &Connection, connected: Duration, base: Option<&Dn>) -> Result<Told, Error> {
    let by = || Deadline::after(Duration::from_secs(10));
    let began = Instant::now();
    let known = Capabilities::read(connection, Actor::Service, by()).await;
    let latency = began.elapsed();
    let mut told = Told {
        state: "answers",
        latency_ms: Some(latency.as_secs_f64() * 1e3),
        connect_ms: Some(connected.as_secs_f64() * 1e3),
        tls: connection.tls_version(),
        ..Told::away()
    };
    let known = match known {
        Ok(known) => known,
        // Some show their root DSE to nobody; that is an answer, too.
        Err(error) if error.outcome().is_some() || error.kind() == ErrorKind::NoEntry => return Ok(told),
        Err(error) => return Err(error),
    };
    told.kind = Some(known.kind.name());
    told.version.clone_from(&known.vendor);
    // Where the changes are counted: with the naming context, or with the server.
    let context = base.and_then(|base| known.context_of(base)).or(known.default_naming_context.as_ref());
    let places = [(context.cloned(), "contextCSN"), (Some(Dn::root()), "highestCommittedUSN")];
    for (place, attribute) in places {
        let Some(place) = place else { continue };
        let search = Search::new(place, Scope::Base, Filter::any()).attributes([attribute]).size_limit(1);
        let found = connection.search_optional(Request::new(search, Actor::Service).until(by())).await;
        let found = match found {
            Ok(found) => found,
            Err(error) if error.outcome().is_some() => continue,
            Err(error) => return Err(error),
        };
        let Some(values) = found.as_ref().and_then(|entry| entry.attributes().get(attribute)) else {
            continue;
        };
        let values = values.values().filter_map(|value| str::from_utf8(value).ok()).map(str::to_owned);
        match attribute {
            "contextCSN" => told.context_csn = values.collect(),
            _ => told.highest_committed_usn = values.filter_map(|value| value.parse().ok()).next(),
        }
    }
    Ok(told)
}

/// Says of each how much older its last changes are than the newest.
fn compare(all: &mut [Told]) {
    let mut newest: BTreeMap<String, f64> = BTreeMap::new();
    for (writer, time) in all.iter().flat_map(|told| told.context_csn.iter().filter_map(|csn| change(csn))) {
        let newest = newest.entry(writer.to_owned()).or_insert(time);
        *newest = newest.max(time);
    }
    if all.iter().filter(|told| !told.context_csn.is_empty()).count() < 2 {
        return;
    }
    for told in all.iter_mut().filter(|told| !told.context_csn.is_empty()) {
        let has: BTreeMap<_, _> = told.context_csn.iter().filter_map(|csn| change(csn)).collect();
        let behind = newest.iter().map(|(writer, newest)| match has.get(writer.as_str()) {
            Some(time) => newest - time,
            None => f64::INFINITY,
        });
        told.behind_seconds = Some(behind.fold(0.0, f64::max)).filter(|behind| behind.is_finite());
    }
}

/// Who made a change, and when, in seconds: `20261122103000.000000Z#000000#001#000000`.
fn change(csn: &str) -> Option<(&str, f64)> {
    let mut parts = csn.split('#');
    let (time, _, writer) = (parts.next()?, parts.next()?, parts.next()?);
    let time: GeneralizedTime = time.parse().ok()?;
    Some((writer, time.unix_seconds as f64 + f64::from(time.nanoseconds) / 1e9))
}

impl Told {
    fn away() -> Self {
        Self {
            server: String::new(),
            state: "away",
            kind: None,
            version: None,
            latency_ms: None,
            connect_ms: None,
            tls: None,
            context_csn: Vec::new(),
            highest_committed_usn: None,
            behind_seconds: None,
            error: None,
        }
    }

    /// The server, its state, and what else is known, on one line.
    fn line(&self) -> String {
        let mut parts = Vec::new();
        if let Some(kind) = self.kind {
            // Some begin with what they are.
            let version = self.version.as_deref().unwrap_or_default();
            parts.push(match version.strip_prefix(kind).unwrap_or(version).trim_start() {
                "" => kind.to_owned(),
                version => format!("{kind} ({version})"),
            });
        }
        parts.extend(self.latency_ms.map(|time| format!("{time:.2} ms")));
        if self.latency_ms.is_some() {
            parts.push(self.tls.unwrap_or("no TLS").to_owned());
        }
        parts.extend(self.behind_seconds.map(|behind| match behind {
            0.0 => "has the newest change".to_owned(),
            behind => format!("its newest change is {behind:.1} s older than the newest of all"),
        }));
        parts.extend(self.highest_committed_usn.map(|number| format!("highestCommittedUSN {number}")));
        parts.extend(self.error.clone());
        on_one_line(&format!("{}  {:<7}  {}", self.server, self.state, parts.join(", ")))
    }
}
