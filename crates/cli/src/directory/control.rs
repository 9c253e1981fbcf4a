//! The socket in a served folder by which the commands that need the whole store reach the process that has it.
//!
//! A folder is open in one process. So that `directory backup` and `directory check` are one command whether or not the
//! directory is served, `directory serve` listens on the Unix socket `control` in the folder, and those commands ask there
//! first. What is asked is one line; what comes back is a sequence of frames. Only root and the user who serves are
//! answered: they could read the files as well.
//!
//! A backup is read from one commit, which keeps its pages in use, so one that asks and does not read is let go of after
//! [`STALL`], and one at a time is served.

use std::{
    fs,
    io::{self, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use flext_ldap_store::{CheckEvent, Store};
use serde_json::json;
use tokio::{
    net::UnixListener,
    sync::Semaphore,
    task::{JoinHandle, spawn_blocking},
};

use super::{
    check::{fault_json, report_json},
    config::known,
};

/// The name of the socket.
const SOCKET: &str = "control";

/// How long one who is connected may take to ask, and to read what is sent.
const STALL: Duration = Duration::from_secs(60);

/// Octets of a frame, at the most.
const FRAME: usize = 256 << 10;

/// What can be asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Ask {
    /// The octets of a backup, then its report.
    Backup,
    /// Faults and progress, then the report.
    Check,
    /// The schema, the suffixes, and which of these names no entry has.
    Known(Vec<String>),
}

/// Octets of a line that asks.
const LINE: u64 = 16 << 20;

impl Ask {
    fn line(&self) -> String {
        match self {
            Self::Backup => "backup\n".to_owned(),
            Self::Check => "check\n".to_owned(),
            Self::Known(names) => format!("known {}\n", json!(names)),
        }
    }
}

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
}

impl Kind {
    fn of(octet: u8) -> Option<Self> {
        [Self::Data, Self::Fault, Self::Progress, Self::Report, Self::Error]
            .into_iter()
            .find(|kind| *kind as u8 == octet)
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
    pub(super) fn start(folder: &Path, store: Store) -> io::Result<Self> {
        let path = folder.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { task: tokio::spawn(listen(listener, store)), path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // It is replaced by the next one to serve otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

async fn listen(listener: UnixListener, store: Store) {
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
        let turn = Arc::clone(&one).try_acquire_owned();
        let store = store.clone();
        // It ends within the stall time of a peer that does nothing.
        drop(spawn_blocking(move || {
            let answered = match &turn {
                Ok(_) => answer(&stream, &store),
                Err(_) => prepare(&stream).and_then(|()| {
                    frame(&stream, Kind::Error, b"another backup or check is under way; wait for it")
                }),
            };
            if let Err(error) = answered {
                crate::say(format_args!("warning: a backup or check was not read to its end: {error}"));
            }
        }));
    }
}

fn prepare(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.set_write_timeout(Some(STALL))
}

fn answer(stream: &UnixStream, store: &Store) -> io::Result<()> {
    prepare(stream)?;
    let mut line = Vec::new();
    let mut input = BufReader::new(stream).take(LINE);
    io::BufRead::read_until(&mut input, b'\n', &mut line)?;
    let report = if let Some(names) = line.strip_prefix(b"known ") {
        let names: Vec<String> = serde_json::from_slice(names).unwrap_or_default();
        return report_of(stream, known(store, &names).to_string().as_bytes());
    } else if line == Ask::Backup.line().as_bytes() {
        let mut output = io::BufWriter::with_capacity(FRAME, Frames(stream));
        store.backup(&mut output).and_then(|report| {
            output.flush().map_err(|error| {
                flext_ldap_directory::Error::new(
                    flext_ldap_directory::ErrorKind::Storage,
                    "the backup cannot be sent",
                )
                .with_source(error)
            })?;
            Ok(json!({
                "entries": report.manifest.entries(),
                "octets": report.octets,
                "csn": report.manifest.csn,
                "sha256": report.sha256,
            }))
        })
    } else if line == Ask::Check.line().as_bytes() {
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
        gone?;
        report.map(|report| report_json(&report))
    } else {
        return frame(stream, Kind::Error, b"the process that serves the folder does not know this command");
    };
    match report {
        Ok(report) => frame(stream, Kind::Report, report.to_string().as_bytes()),
        Err(error) => frame(stream, Kind::Error, error.to_string().as_bytes()),
    }
}

/// A report of any length: octets of data, and then where it ends.
fn report_of(stream: &UnixStream, report: &[u8]) -> io::Result<()> {
    report.chunks(FRAME).try_for_each(|some| frame(stream, Kind::Data, some))?;
    frame(stream, Kind::Report, b"null")
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
    stream.write_all(what.line().as_bytes()).context(lost)?;
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
            Kind::Error => bail!(flext_ldap_directory::Error::new(
                flext_ldap_directory::ErrorKind::Storage,
                String::from_utf8_lossy(&payload).into_owned(),
            )),
            kind => each(kind, &payload)?,
        }
    }
}
