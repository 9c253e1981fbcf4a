//! The socket in a served folder by which the commands that need the store reach the process that has it.
//!
//! A folder is open in one process. So that `directory backup`, `check`, `explain` and `access` are one command each
//! whether or not the directory is served, `directory serve` listens on the Unix socket `control` in the folder, and those
//! commands ask there first. What is asked is one line; what comes back is a sequence of frames. Only root and the user
//! who serves are answered: they could read the files as well.
//!
//! A backup is read from one commit, which keeps its pages in use, so one that asks and does not read is let go of after
//! [`STALL`], and one at a time is served.

use std::{
    fs,
    io::{self, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use flext_ldap_directory::{
    Error, ErrorKind, Outcome,
    proto::{
        dn::Dn,
        result::{LdapResult, ResultCode},
        url::LdapUrl,
    },
};
use flext_ldap_store::{CheckEvent, CheckReport, Store, access::AccessRules};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    net::UnixListener,
    runtime::Handle,
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    access,
    check::{fault_json, report_json},
    config::known,
    explain,
};
use crate::exit::Usage;

/// The name of the socket.
const SOCKET: &str = "control";

/// How long one who is connected may take to ask, and to read what is sent.
const STALL: Duration = Duration::from_secs(60);

/// Octets of a frame, at the most.
const FRAME: usize = 256 << 10;

/// What can be asked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ask {
    /// The octets of a backup, then its report.
    Backup,
    /// Faults and progress, then the report.
    Check,
    /// The schema, the suffixes, what it listens on, and which of these names no entry has.
    Known(Vec<String>),
    /// How a search is done.
    Explain(explain::Question),
    /// Who may do what.
    Access(access::Question),
}

/// Octets of a line that asks.
const LINE: u64 = 16 << 20;

/// What comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Octets of a backup.
    Data = b'd',
    /// A fault, as JSON.
    Fault = b'f',
    /// Entries looked at so far, in decimal.
    Progress = b'p',
    /// The report, as JSON. It is the last.
    Report = b'r',
    /// Why it was not done, as text. It is the last.
    Error = b'e',
    /// What is wrong with what was asked, as text. It is the last.
    Usage = b'u',
    /// With which [`Refusal`] it was answered, as JSON. It is the last.
    Refused = b'n',
}

/// An answer of the directory's that is no.
#[derive(Deserialize, Serialize)]
struct Refusal {
    code: u32,
    diagnostic: String,
}

/// What is asked about.
pub(super) struct Subject {
    pub(super) store: Store,
    pub(super) administrator: Option<Dn>,
    /// The access rules in force.
    rules: RwLock<Arc<AccessRules>>,
    listening: OnceLock<Vec<LdapUrl>>,
}

impl Subject {
    pub(super) fn new(store: Store, administrator: Option<Dn>, rules: Arc<AccessRules>) -> Arc<Self> {
        Arc::new(Self { store, administrator, rules: RwLock::new(rules), listening: OnceLock::new() })
    }

    /// Notes what it is served on.
    pub(super) fn listens(&self, urls: &[LdapUrl]) {
        self.listening.get_or_init(|| urls.to_vec());
    }

    /// What it is served on; nothing before it is.
    fn listening(&self) -> &[LdapUrl] {
        self.listening.get().map_or(&[], Vec::as_slice)
    }

    pub(super) fn rules(&self) -> Arc<AccessRules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts access rules in force.
    pub(super) fn set_rules(&self, rules: Arc<AccessRules>) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rules);
        self.store.set_policy(rules);
    }
}

impl Kind {
    fn of(octet: u8) -> Option<Self> {
        let all =
            [Self::Data, Self::Fault, Self::Progress, Self::Report, Self::Error, Self::Usage, Self::Refused];
        all.into_iter().find(|kind| *kind as u8 == octet)
    }
}

/// The listening end. Dropping it stops listening.
pub(super) struct Control {
    task: JoinHandle<()>,
    path: PathBuf,
}

impl Control {
    /// Listens in `folder`, which this process has locked.
    ///
    /// # Errors
    ///
    /// When there can be no socket, e.g., since its path is longer than those of sockets can be.
    pub(super) fn start(folder: &Path, subject: Arc<Subject>) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { task: tokio::spawn(listen(listener, subject)), path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // It is replaced by the next one to serve otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

async fn listen(listener: UnixListener, subject: Arc<Subject>) {
    let one = Arc::new(Semaphore::new(1));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptor is free: somebody's will be.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let own = nix::unistd::geteuid().as_raw();
        if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own) {
            continue;
        }
        let Ok(stream) = stream.into_std() else { continue };
        let (one, subject) = (Arc::clone(&one), Arc::clone(&subject));
        // It ends within the stall time of a peer that does nothing.
        drop(spawn_blocking(move || {
            if let Err(error) = answer(&stream, &subject, &one) {
                crate::say(format_args!(
                    "warning: an answer by the control socket was not read to its end: {error}"
                ));
            }
        }));
    }
}

fn answer(stream: &UnixStream, subject: &Subject, one: &Semaphore) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))?;
    let mut line = Vec::new();
    let mut input = BufReader::new(stream).take(LINE);
    io::BufRead::read_until(&mut input, b'\n', &mut line)?;
    let Ok(ask) = serde_json::from_slice::<Ask>(&line) else {
        return frame(stream, Kind::Error, b"the process that serves the folder does not know this command");
    };
    let turn = match ask {
        Ask::Backup | Ask::Check => one.try_acquire().map(Some),
        _ => Ok(None),
    };
    if turn.is_err() {
        return frame(stream, Kind::Error, b"another backup or check is under way; wait for it");
    }
    let store = &subject.store;
    match ask {
        Ask::Backup => {
            let report = backup(stream, store);
            // Before the end is told: whoever hears of it may ask for the next.
            drop(turn);
            end(stream, report.map_err(anyhow::Error::new))
        }
        Ask::Check => {
            let report = check(stream, store)?;
            drop(turn);
            end(stream, report.map(|report| report_json(&report)).map_err(anyhow::Error::new))
        }
        Ask::Known(names) => report_of(stream, Ok(known(store, subject.listening(), &names))),
        Ask::Explain(question) => report_of(stream, Handle::current().block_on(question.answer(store))),
        Ask::Access(question) => report_of(stream, question.answer_served(subject)),
    }
}

fn backup(stream: &UnixStream, store: &Store) -> Result<serde_json::Value, Error> {
    let mut output = io::BufWriter::with_capacity(FRAME, Frames(stream));
    let report = store.backup(&mut output)?;
    output
        .flush()
        .map_err(|error| Error::new(ErrorKind::Storage, "the backup cannot be sent").with_source(error))?;
    Ok(serde_json::json!({
        "entries": report.manifest.entries(),
        "octets": report.octets,
        "csn": report.manifest.csn,
        "sha256": report.sha256,
    }))
}

fn check(stream: &UnixStream, store: &Store) -> io::Result<Result<CheckReport, Error>> {
    let mut gone = Ok(());
    let report = store.check(&mut |event| {
        // Who is gone need not be told; the check is over soon.
        if gone.is_ok() {
            gone = match event {
                CheckEvent::Fault(fault) => {
                    frame(stream, Kind::Fault, fault_json(fault).to_string().as_bytes())
                }
                CheckEvent::Entries(count) => frame(stream, Kind::Progress, count.to_string().as_bytes()),
                _ => Ok(()),
            };
        }
    });
    gone.map(|()| report)
}

/// A report of any length: octets of data, and then where it ends.
fn report_of(stream: &UnixStream, report: anyhow::Result<impl Serialize>) -> io::Result<()> {
    let report = report.and_then(|report| Ok(serde_json::to_vec(&report)?));
    if let Ok(report) = &report {
        report.chunks(FRAME).try_for_each(|some| frame(stream, Kind::Data, some))?;
    }
    end(stream, report.map(|_| serde_json::Value::Null))
}

/// The last frame.
fn end(stream: &UnixStream, report: anyhow::Result<serde_json::Value>) -> io::Result<()> {
    let error = match report {
        Ok(report) => return frame(stream, Kind::Report, report.to_string().as_bytes()),
        Err(error) => error,
    };
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<Error>()?.outcome());
    if let Some(Outcome { result, .. }) = refused {
        let refusal = Refusal { code: result.code.0, diagnostic: result.diagnostic.clone() };
        return frame(stream, Kind::Refused, serde_json::to_string(&refusal)?.as_bytes());
    }
    let kind = if error.chain().any(|cause| cause.is::<Usage>()) { Kind::Usage } else { Kind::Error };
    frame(stream, kind, format!("{error:#}").as_bytes())
}

/// Octets as frames of data.
struct Frames<'a>(&'a UnixStream);

impl Write for Frames<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let (some, _) = octets.split_at_checked(FRAME).unwrap_or((octets, &[]));
        frame(self.0, Kind::Data, some)?;
        Ok(some.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn frame(mut stream: &UnixStream, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let (payload, _) = payload.split_at_checked(FRAME).unwrap_or((payload, &[]));
    let length = u32::try_from(payload.len()).unwrap_or_default();
    let mut octets = Vec::with_capacity(5 + payload.len());
    octets.push(kind as u8);
    octets.extend_from_slice(&length.to_be_bytes());
    octets.extend_from_slice(payload);
    stream.write_all(&octets)
}

/// Asks the process that serves `folder`, and hands each frame but the last to `each`. Returns the report, or nothing if
/// nobody serves the folder.
pub(super) fn ask(
    folder: &Path,
    what: &Ask,
    each: &mut dyn FnMut(Kind, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<Option<serde_json::Value>> {
    let Ok(mut stream) = UnixStream::connect(folder.join(SOCKET)) else { return Ok(None) };
    let lost = "the process that serves the folder ended before it was done";
    stream.write_all(format!("{}\n", serde_json::to_string(what)?).as_bytes()).context(lost)?;
    let mut input = BufReader::with_capacity(FRAME, stream);
    let mut payload = Vec::new();
    loop {
        let mut head = [0; 5];
        input.read_exact(&mut head).context(lost)?;
        let [kind, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length))?;
        let kind = Kind::of(kind).filter(|_| length <= FRAME);
        let kind = kind
            .context("the process that serves the folder speaks another language; is it another version?")?;
        payload.resize(length, 0);
        input.read_exact(&mut payload).context(lost)?;
        match kind {
            Kind::Report => return Ok(Some(serde_json::from_slice(&payload)?)),
            Kind::Error => {
                bail!(Error::new(ErrorKind::Storage, String::from_utf8_lossy(&payload).into_owned()))
            }
            Kind::Usage => bail!(Usage(String::from_utf8_lossy(&payload).into_owned())),
            Kind::Refused => {
                let Refusal { code, diagnostic } = serde_json::from_slice(&payload)?;
                let result = LdapResult::with_diagnostic(ResultCode(code), diagnostic);
                bail!(Error::rejected(Outcome::new(result)))
            }
            kind => each(kind, &payload)?,
        }
    }
}

/// Whether the folder has the socket of a process that serves it.
pub(super) fn is_in(folder: &Path) -> bool {
    folder.join(SOCKET).exists()
}

/// As [`ask`], of what is answered as a whole.
pub(super) fn ask_whole<T: DeserializeOwned>(folder: &Path, what: &Ask) -> anyhow::Result<Option<T>> {
    let mut answer = Vec::new();
    let report = ask(folder, what, &mut |_, octets| {
        answer.extend_from_slice(octets);
        Ok(())
    })?;
    Ok(report.map(|_| serde_json::from_slice(&answer)).transpose()?)
}
