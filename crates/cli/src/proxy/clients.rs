//! `flext-ldap proxy clients`: who binds how. The running proxy keeps it in a file of its own, for its owner only, so that it
//! is there after a restart too: what must change before more may be asked of clients is seen over weeks.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use flext_ldap_proxy::{ClientRecord, Clients, SearchShape};
use serde::{Deserialize, Serialize};

use crate::{config::Named, exit::Usage};

/// Filters that are listed of one client.
const LISTED: usize = 5;

/// Arguments of `proxy clients`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    named: Named,
    /// Print the file as it is: JSON, times in seconds since 1970
    #[arg(long)]
    json: bool,
}

/// Where a proxy writes who binds how.
pub(super) struct ClientsFile {
    path: PathBuf,
    clients: Clients,
}

#[derive(Debug, Deserialize, Serialize)]
struct Contents {
    /// Seconds since 1970, as all times here.
    written: u64,
    clients: Vec<Line>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Line {
    address: String,
    protection: String,
    /// Not in files of earlier versions, as the next.
    #[serde(default)]
    tls: String,
    #[serde(default)]
    cipher: String,
    method: String,
    name: String,
    binds: u64,
    refused: u64,
    operations: u64,
    first_seen: u64,
    last_seen: u64,
    searches: Vec<Search>,
    other_searches: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Search {
    filter: String,
    count: u64,
}

impl ClientsFile {
    /// Has `clients` remember what stands in the file, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is none of these, or cannot be written.
    pub(super) fn open(path: PathBuf, clients: &Clients) -> anyhow::Result<Self> {
        if path.try_exists().with_context(|| format!("failed to look for {}", path.display()))? {
            clients.restore(read(&path)?.clients.into_iter().map(Into::into));
        }
        let file = Self { path, clients: clients.clone() };
        file.write()?;
        Ok(file)
    }

    /// Writes what is known. Who reads meanwhile reads the file before.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let clients = self.clients.records().into_iter().map(Into::into).collect();
        let text = serde_json::to_vec(&Contents { written: seconds(SystemTime::now()), clients })?;
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let write = || -> io::Result<()> {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&text)?;
            file.write_all(b"\n")?;
            fs::rename(&new, &self.path)
        };
        write().with_context(|| format!("failed to write {}", self.path.display()))
    }
}

fn read(path: &Path) -> anyhow::Result<Contents> {
    let text = fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    let contents = serde_json::from_slice(&text).map_err(|error| {
        Usage(format!(
            "{} is not what a proxy writes: {error}; remove it, or name another file",
            path.display()
        ))
    })?;
    Ok(contents)
}

impl Arguments {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.named.read()?;
        let Some(path) = config.proxy.clients_file else {
            let text = "the configuration says nothing of where the proxy writes who binds how: set `proxy.clients_file`";
            return Err(Usage(text.to_owned()).into());
        };
        let contents = read(&path)?;
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &contents)?;
            writeln!(out)?;
        } else {
            list(&contents, SystemTime::now(), &mut out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A line for each client, and one for each of what it searches by most often.
fn list(contents: &Contents, now: SystemTime, out: &mut dyn Write) -> io::Result<()> {
    let now = seconds(now);
    for client in &contents.clients {
        let Line { address, method, binds, refused, operations, .. } = client;
        let protection = match (&*client.tls, &*client.cipher) {
            ("", _) => client.protection.clone(),
            (version, cipher) => format!("{} {version} {cipher}", client.protection),
        };
        let name = if client.name.is_empty() { "-" } else { &client.name };
        let seen = ago(now.saturating_sub(client.last_seen));
        // Clients have a part in names and filters: nothing that steers a terminal gets out.
        let name = name.escape_debug();
        let refused = if *refused > 0 { format!(" ({refused} refused)") } else { String::new() };
        writeln!(
            out,
            "{address}  {protection}  {method}  {name}  binds {binds}{refused}, operations {operations}, seen {seen} ago"
        )?;
        for Search { filter, count } in client.searches.iter().take(LISTED) {
            writeln!(out, "    {count:>8}  {}", filter.escape_debug())?;
        }
        let more: u64 = client.searches.iter().skip(LISTED).map(|search| search.count).sum();
        let more = more.saturating_add(client.other_searches);
        if more > 0 {
            writeln!(out, "    {more:>8}  others")?;
        }
    }
    writeln!(out, "written {} ago", ago(now.saturating_sub(contents.written)))
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl From<ClientRecord> for Line {
    fn from(record: ClientRecord) -> Self {
        let ClientRecord { address, protection, tls, cipher, method, name, .. } = record;
        let ClientRecord { binds, refused, operations, .. } = record;
        let searches = record.searches.into_iter();
        Self {
            address,
            protection,
            tls,
            cipher,
            method,
            name,
            binds,
            refused,
            operations,
            first_seen: seconds(record.first_seen),
            last_seen: seconds(record.last_seen),
            searches: searches.map(|SearchShape { filter, count }| Search { filter, count }).collect(),
            other_searches: record.other_searches,
        }
    }
}

impl From<Line> for ClientRecord {
    fn from(line: Line) -> Self {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let Line { address, protection, tls, cipher, method, name, binds, refused, operations, .. } = line;
        let other_searches = line.other_searches;
        let searches = line.searches.into_iter();
        Self {
            address,
            protection,
            tls,
            cipher,
            method,
            name,
            binds,
            refused,
            operations,
            first_seen: time(line.first_seen),
            last_seen: time(line.last_seen),
            searches: searches.map(|Search { filter, count }| SearchShape { filter, count }).collect(),
            other_searches,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn record(name: &str) -> ClientRecord {
        let time = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        ClientRecord {
            address: "192.0.2.7".to_owned(),
            protection: "tls".to_owned(),
            tls: "1.3".to_owned(),
            cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
            method: "simple".to_owned(),
            name: name.to_owned(),
            binds: 3,
            refused: 1,
            operations: 12,
            first_seen: time(1_000),
            last_seen: time(2_000),
            searches: vec![SearchShape { filter: "(uid=?)".to_owned(), count: 9 }],
            other_searches: 2,
        }
    }

    #[test]
    fn what_is_written_comes_back_and_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clients.json");
        let clients = Clients::default();
        clients.restore([record("cn=printer")]);
        ClientsFile::open(path.clone(), &clients).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let again = Clients::default();
        ClientsFile::open(path.clone(), &again).unwrap();
        assert_eq!(again.records(), [record("cn=printer")]);
        fs::write(&path, "no JSON").unwrap();
        let error = ClientsFile::open(path, &again).err().unwrap().to_string();
        assert!(error.contains("is not what a proxy writes"), "{error}");
    }

    #[test]
    fn a_line_says_who_and_how() {
        let clients = vec![record("cn=printer\u{1b}[2J").into()];
        let mut out = Vec::new();
        list(&Contents { written: 2_060, clients }, UNIX_EPOCH + Duration::from_secs(9_200), &mut out)
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            [
                "192.0.2.7  tls 1.3 TLS_AES_256_GCM_SHA384  simple  cn=printer\\u{1b}[2J  binds 3 (1 refused), operations 12, seen 2 h ago\n",
                "           9  (uid=?)\n           2  others\nwritten 119 min ago\n",
            ]
            .concat()
        );
    }
}
