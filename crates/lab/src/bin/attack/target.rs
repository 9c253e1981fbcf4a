//! The server that is attacked: the program `flext-ldap` in a process of its own, and what the kernel says of it.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use flext_ldap_directory::proto::url::LdapUrl;
use flext_ldap_lab::Authority;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::Form;

pub(crate) const SUFFIX: &str = "dc=harbourlane,dc=example";
pub(crate) const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";
pub(crate) const ADMIN_PASSWORD: &str = "kelp-and-brass-71";
/// Somebody who may sign in and read.
pub(crate) const USER: &str = "uid=ada,dc=harbourlane,dc=example";
pub(crate) const USER_PASSWORD: &str = "tide-gauge-19";

/// People besides those that attacks add, and octets of the description of each: all of them together are more than the
/// kernels of both ends keep for a connection.
pub(crate) const PEOPLE: usize = 1_000;
pub(crate) const DESCRIPTION: usize = 16 << 10;

/// How long the server may take to start, to end, and to be as it was before.
const PATIENCE: Duration = Duration::from_secs(120);

/// A served directory; ends with this value.
pub(crate) struct Target {
    child: Child,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) socket: PathBuf,
    /// The authority its certificate is of.
    pub(crate) ca: String,
    said: Arc<Mutex<String>>,
    _folder: TempDir,
}

impl Target {
    /// Serves some people, with times that suit the form.
    pub(crate) fn start(form: Form) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let authority = Authority::new()?;
        let (certificate, key) = authority.server()?.write(folder.path(), "server")?;
        std::fs::write(path("secret"), format!("{ADMIN_PASSWORD}\n"))?;
        std::fs::write(path("people.ldif"), people())?;
        let mut config = String::new();
        writeln!(config, "data: {}", path("data").display())?;
        writeln!(config, "suffixes: [\"{SUFFIX}\"]")?;
        writeln!(config, "administrator: {{dn: \"{ADMIN}\", password_file: {}}}", path("secret").display())?;
        let socket = path("ldapi");
        let local = format!("ldapi://{}", socket.display().to_string().replace('/', "%2F"));
        writeln!(config, "listen: [\"ldap://127.0.0.1:0\", \"ldaps://127.0.0.1:0\", \"{local}\"]")?;
        writeln!(config, "tls: {{certificate: {}, key: {}}}", certificate.display(), key.display())?;
        writeln!(config, "anonymous_read: true\nmonitor: true\nlog: {{slow_search: false}}")?;
        if form == Form::Short {
            // Nothing is different but how long there is to wait, and for how many.
            writeln!(
                config,
                "server: {{connections: {}, stall: 3s, receive: 2s, handshake: 5s}}\n\
                 limits: {{hashing_queue: 16}}",
                form.connections()
            )?;
        }
        std::fs::write(path("config.yaml"), config)?;
        let mut child = Command::new(program()?)
            .args(["directory", "serve", "--config"])
            .arg(path("config.yaml"))
            .arg("--import")
            .arg(path("people.ldif"))
            .arg("--hash-passwords")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the server cannot be started")?;
        let stderr = child.stderr.take().context("no output")?;
        let said: Arc<Mutex<String>> = Arc::default();
        let heard = Arc::clone(&said);
        // Ends with the process.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
                let mut said = heard.lock().unwrap_or_else(PoisonError::into_inner);
                // What it says while it is attacked is looked at, and is not without bound.
                if said.len() < 1 << 20 {
                    said.push_str(&line);
                    said.push('\n');
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut target =
            Self { child, plain: nowhere, tls: nowhere, socket, ca: authority.pem(), said, _folder: folder };
        target.plain = target.listening("ldap://")?;
        target.tls = target.listening("ldaps://")?;
        target.heard("listening on ldapi://")?;
        Ok(target)
    }

    /// Where it says it listens.
    fn listening(&mut self, scheme: &str) -> Result<SocketAddr> {
        let line = self.heard(&format!("listening on {scheme}"))?;
        let url: LdapUrl = line.replace("listening on ", "").trim().parse()?;
        Ok(SocketAddr::from(([127, 0, 0, 1], url.port())))
    }

    /// The line in which it says so.
    fn heard(&mut self, sign: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            if let Some(line) = said.lines().find(|line| line.contains(sign)) {
                return Ok(line.to_owned());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status})\n{said}");
            }
            if Instant::now() >= deadline {
                bail!("the server did not listen within {PATIENCE:?}\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All it has said on standard error.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.child.id().to_string()).join(name)
    }

    /// Descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(self.proc("fd")).context("the server is gone")?.count())
    }

    /// Memory it uses, in MiB.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// The most memory it has used since [`forget_peak`](Self::forget_peak), in MiB.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Sets the peak to what is used now (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(self.proc("clear_refs"), "5")?)
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = std::fs::read_to_string(self.proc("status")).context("the server is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
    }

    /// Waits until it has no more descriptors open than so many. Returns how many it has.
    pub(crate) async fn settled(&self, descriptors: usize) -> Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let open = self.descriptors()?;
            if open <= descriptors || Instant::now() >= deadline {
                return Ok(open);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it in order, and says whether it did.
    pub(crate) fn stop(mut self) -> Result<()> {
        kill(self.pid()?, Signal::SIGTERM)?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    bail!("the server ended with {status}\n{}", self.said())
                };
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the server did not end within {PATIENCE:?}")
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; a server that ended in order is not there any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program, which cargo puts beside this one.
fn program() -> Result<PathBuf> {
    let here = std::env::current_exe()?;
    let program = here.with_file_name("flext-ldap");
    if !program.is_file() {
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        bail!("{} is not there: run cargo build{release} -p flext-ldap-cli", program.display());
    }
    Ok(program)
}

/// The people, as LDIF.
fn people() -> String {
    let mut out = format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane Instruments\n\n\
         dn: {USER}\nobjectClass: inetOrgPerson\ncn: Ada Quay\nsn: Quay\nuserPassword: {USER_PASSWORD}\n\n"
    );
    let description = "all the ropes are in the boat house ".repeat(DESCRIPTION.div_ceil(36));
    let description = description.get(..DESCRIPTION).unwrap_or(&description).trim();
    for number in 0..PEOPLE {
        // Writing to a string does not fail.
        let _ = write!(
            out,
            "dn: uid=crew{number},{SUFFIX}\nobjectClass: inetOrgPerson\ncn: Crew {number}\nsn: Quay\n\
             description: {description}\n\n"
        );
    }
    out
}
