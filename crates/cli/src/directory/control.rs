//! The socket in a served folder by which the commands that need the store reach the process that has it.
//!
//! A folder is open in one process. So that `directory backup`, `check`, `explain` and `access` are one command each
//! whether or not the directory is served, `directory serve` listens on the Unix socket `control` in the folder, and those
//! commands ask there first. What is asked is one line; what comes back is a sequence of frames. Only root and the user
//! who serves are answered: they could read the files as well.
//!
//! A backup is read from one commit, which keeps its pages in use, so one that asks and does not read is let go of after
//! [`STALL`], and one at a time is served. Nor do others hold anybody up: who says nothing is let go of after [`SILENCE`],
//! and before that if there are more of them than [`SILENT`], the oldest first; [`ANSWERED`] are answered at a time.
//! What takes long ends once its asker has closed the connection.

use std::{
    collections::VecDeque,
    fs,
    io::{self, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::{Duration, Instant},
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
    io::{AsyncBufReadExt as _, AsyncReadExt as _},
    net::UnixListener,
    sync::Semaphore,
    task::{AbortHandle, JoinHandle, JoinSet, spawn_blocking},
    time::timeout,
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

/// How long one who asked may take to read what is sent.
const STALL: Duration = Duration::from_secs(60);

/// How long one who is connected may take to ask.
const SILENCE: Duration = Duration::from_secs(10);

/// Connections that have not asked yet.
const SILENT: usize = 64;

/// Connections that are answered.
const ANSWERED: usize = 16;

/// How often a check looks whether anybody waits for it.
const LOOK: Duration = Duration::from_millis(250);

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
    let mut silent: VecDeque<AbortHandle> = VecDeque::new();
    let (mut asking, mut answering) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    silent.retain(|one| !one.is_finished());
                    if silent.len() >= SILENT && let Some(oldest) = silent.pop_front() {
                        oldest.abort();
                    }
                    silent.push_back(asking.spawn(asked(stream)));
                }
                // No descriptor is free: somebody's will be.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(asked) = asking.join_next() => {
                let Ok(Some((stream, ask))) = asked else { continue };
                let is_full = answering.len() >= ANSWERED;
                let (one, subject) = (Arc::clone(&one), Arc::clone(&subject));
                answering.spawn(async move {
                    let answered = match (is_full, ask) {
                        (false, Some(ask)) => answer(stream, ask, subject, one).await,
                        (true, _) => refuse(stream, "too many are answered already; ask again later").await,
                        (_, None) => {
                            let text = "the process that serves the folder does not know this command";
                            refuse(stream, text).await
                        }
                    };
                    if let Err(error) = answered {
                        crate::say(format_args!(
                            "warning: an answer by the control socket was not read to its end: {error}"
                        ));
                    }
                });
            }
            Some(_) = answering.join_next() => {}
        }
    }
}

/// What is asked on this connection, if it may ask, and does in time; and if it is known.
async fn asked(stream: tokio::net::UnixStream) -> Option<(tokio::net::UnixStream, Option<Ask>)> {
    let own = nix::unistd::geteuid().as_raw();
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own) {
        return None;
    }
    let mut input = tokio::io::BufReader::new(stream).take(LINE);
    let mut line = Vec::new();
    timeout(SILENCE, input.read_until(b'\n', &mut line)).await.ok()?.ok().filter(|octets| *octets > 0)?;
    let ask = serde_json::from_slice(&line).ok();
    Some((input.into_inner().into_inner(), ask))
}

async fn answer(
    stream: tokio::net::UnixStream,
    ask: Ask,
    subject: Arc<Subject>,
    one: Arc<Semaphore>,
) -> io::Result<()> {
    let turn = match ask {
        Ask::Backup | Ask::Check => one.try_acquire_owned().map(Some),
        _ => Ok(None),
    };
    let Ok(turn) = turn else {
        return refuse(stream, "another backup or check is under way; wait for it").await;
    };
    match ask {
        Ask::Backup => {
            let write = move |stream: &UnixStream| {
                let report = backup(stream, &subject.store);
                // Before the end is told: whoever hears of it may ask for the next.
                drop(turn);
                end(stream, report.map_err(anyhow::Error::new))
            };
            on_thread(stream, write).await
        }
        Ask::Check => {
            let write = move |stream: &UnixStream| {
                let report = check(stream, &subject.store)?;
                drop(turn);
                end(stream, report.map(|report| report_json(&report)).map_err(anyhow::Error::new))
            };
            on_thread(stream, write).await
        }
        Ask::Known(names) => {
            let known = move |stream: &UnixStream| {
                report_of(stream, Ok(known(&subject.store, subject.listening(), &names)))
            };
            on_thread(stream, known).await
        }
        Ask::Explain(question) => {
            let explained = tokio::select! {
                explained = question.answer(&subject.store) => explained,
                () = gone(&stream) => return Ok(()),
            };
            on_thread(stream, move |stream| report_of(stream, explained)).await
        }
        Ask::Access(question) => {
            on_thread(stream, move |stream| report_of(stream, question.answer_served(&subject))).await
        }
    }
}

async fn refuse(stream: tokio::net::UnixStream, why: &'static str) -> io::Result<()> {
    on_thread(stream, move |stream| frame(stream, Kind::Error, why.as_bytes())).await
}

/// Writes an answer on a thread that may wait for whoever reads it.
async fn on_thread(
    stream: tokio::net::UnixStream,
    write: impl FnOnce(&UnixStream) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(STALL))?;
    spawn_blocking(move || write(&stream)).await.map_err(io::Error::other)?
}

/// Waits until whoever is at the other end has closed it.
async fn gone(stream: &tokio::net::UnixStream) {
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut [0; 64]) {
            Ok(0) => return,
            // Nothing more is asked on this connection.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
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
    let mut asked = Instant::now();
    let mut goes_on = || {
        if asked.elapsed() < LOOK {
            return true;
        }
        asked = Instant::now();
        !is_gone(stream)
    };
    let mut told = Ok(());
    let report = store.check_while(&mut goes_on, &mut |event| {
        if told.is_ok() {
            told = match event {
                CheckEvent::Fault(fault) => {
                    frame(stream, Kind::Fault, fault_json(fault).to_string().as_bytes())
                }
                CheckEvent::Entries(count) => frame(stream, Kind::Progress, count.to_string().as_bytes()),
                _ => Ok(()),
            };
        }
    });
    told.map(|()| report)
}

/// Whether whoever is at the other end has closed it.
fn is_gone(mut stream: &UnixStream) -> bool {
    // The shortest wait there is; none would hold for writing too.
    let is_set = stream.set_read_timeout(Some(Duration::from_millis(1)));
    is_set.is_ok() && stream.read(&mut [0; 64]).is_ok_and(|octets| octets == 0)
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

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use flext_ldap_store::{ImportOptions, StoreOptions};

    use super::*;
    use crate::search::ScopeName;

    /// A folder that is served, with some hundred entries.
    fn served() -> (tempfile::TempDir, Arc<Subject>, Control) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(StoreOptions::memory().suffix("o=Harbour Lane".parse().unwrap())).unwrap();
        let mut ldif = "dn: o=Harbour Lane\nobjectClass: organization\no: Harbour Lane\n\n".to_owned();
        for number in 0..300 {
            write!(
                ldif,
                "dn: ou=Dock {number},o=Harbour Lane\nobjectClass: organizationalUnit\nou: Dock {number}\n"
            )
            .unwrap();
            write!(ldif, "description: {}\n\n", "mooring ".repeat(1_000)).unwrap();
        }
        store.import(ldif.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
        let subject = Subject::new(store, None, Arc::new(AccessRules::none()));
        let control = Control::start(folder.path(), Arc::clone(&subject)).unwrap();
        (folder, subject, control)
    }

    fn connect(folder: &Path) -> UnixStream {
        UnixStream::connect(folder.join(SOCKET)).unwrap()
    }

    fn known_by(folder: &Path) -> Option<serde_json::Value> {
        ask_whole(folder, &Ask::Known(vec!["ou=Dock 7,o=Harbour Lane".to_owned()])).unwrap()
    }

    async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
        spawn_blocking(work).await.unwrap()
    }

    #[test]
    fn the_other_end_is_gone_once_it_is_closed() {
        let (mut own, other) = UnixStream::pair().unwrap();
        assert!(!is_gone(&other));
        own.write_all(b"more").unwrap();
        assert!(!is_gone(&other));
        drop(own);
        assert!(is_gone(&other));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_says_nothing_holds_nobody_up() {
        let (folder, _subject, _control) = served();
        let path = folder.path().to_owned();
        let (silent, took) = on_a_thread(move || {
            let silent: Vec<_> = (0..600).map(|_| connect(&path)).collect();
            let started = Instant::now();
            assert!(known_by(&path).is_some());
            (silent, started.elapsed())
        })
        .await;
        assert!(took < SILENCE / 2, "{took:?}");
        // Who came first went first; the last may still ask.
        let (first, last) = (silent.first().unwrap(), silent.last().unwrap());
        first.set_read_timeout(Some(SILENCE / 2)).unwrap();
        assert_eq!((&*first).read(&mut [0; 1]).unwrap(), 0);
        last.set_nonblocking(true).unwrap();
        assert_eq!((&*last).read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_went_away_is_not_worked_for() {
        let (folder, subject, _control) = served();
        let asked = Arc::strong_count(&subject);
        let filter = format!("(|{})", "(description=*anchor*berth*)".repeat(10_000));
        for dry_run in [false, true] {
            let (base, scope) = ("o=Harbour Lane".to_owned(), ScopeName::Sub);
            let question = explain::Question { base, scope, filter: filter.clone(), dry_run };
            let mut stream = connect(folder.path());
            let line = format!("{}\n", serde_json::to_string(&Ask::Explain(question)).unwrap());
            on_a_thread(move || {
                stream.write_all(line.as_bytes()).unwrap();
                if !dry_run {
                    std::thread::sleep(Duration::from_millis(300));
                }
            })
            .await;
            let ended = async {
                while Arc::strong_count(&subject) > asked {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(Duration::from_secs(2), ended).await.unwrap();
        }
    }
}
