//! OpenLDAP's server in a temporary folder, on loopback, with TLS, for as long as a test needs it.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getegid, geteuid};
use tempfile::TempDir;

use crate::tool::wait;
use crate::{Authority, Identity, Kit};

/// The suffix of a server unless a test says otherwise.
pub const DEFAULT_SUFFIX: &str = "dc=harbourlane,dc=example";

/// How long the server may take to answer its first search, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a load may take: minutes for a million entries on a small machine.
const LOAD_PATIENCE: Duration = Duration::from_secs(1_800);

/// A port that was free may be taken when the server asks for it.
const ATTEMPTS: usize = 5;

/// How the server is set up. `SlapdOptions::default()` is an empty directory for [`DEFAULT_SUFFIX`].
pub struct SlapdOptions {
    /// The suffix of the database. The administrator is `cn=admin` below it.
    pub suffix: String,
    /// The administrator's password.
    pub root_password: String,
    /// What the database holds at the start.
    pub content: Content,
    /// The most entries a search returns (to all but the administrator); `None` is slapd's own default, 500.
    pub size_limit: Option<u32>,
    /// The server's certificate; `None` is a good one of the server's own authority.
    pub identity: Option<Identity>,
    /// Whether every operation is logged ([`Slapd::log`]). Off, the server is faster.
    pub log_operations: bool,
    /// Whether a write is on disk before it is answered. Off (`dbnosync`), the server is faster, and so is loading.
    pub durable: bool,
    /// Lines of slapd.conf(5) before the database and the rules of who certificates and users of the socket are: those
    /// of a test come first and win.
    pub global_lines: Vec<String>,
    /// Lines of the database, before its access rules: those of a test come first and win.
    pub database_lines: Vec<String>,
    /// Variables of the server's environment, such as those of a realm ([`Kdc::server_environment`]).
    ///
    /// [`Kdc::server_environment`]: crate::Kdc::server_environment
    pub environment: Vec<(&'static str, OsString)>,
    /// Names of overlays, each with its lines. Its module is loaded first.
    pub overlays: Vec<(String, Vec<String>)>,
}

/// What a database holds at the start; loaded by slapadd, with schema checks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Nothing, not even the suffix entry.
    Empty,
    /// LDIF.
    Text(String),
    /// A file of LDIF.
    File(PathBuf),
}

impl Default for SlapdOptions {
    fn default() -> Self {
        Self {
            suffix: DEFAULT_SUFFIX.to_owned(),
            root_password: "harbour-master".to_owned(),
            content: Content::Empty,
            size_limit: None,
            identity: None,
            log_operations: true,
            durable: false,
            global_lines: Vec::new(),
            database_lines: Vec::new(),
            environment: Vec::new(),
            overlays: Vec::new(),
        }
    }
}

/// A running server. Dropping it ends the server and removes all its files.
pub struct Slapd {
    // Before the folder: fields are dropped in this order.
    process: Process,
    folder: TempDir,
    authority: Authority,
    suffix: String,
    root_password: String,
    ports: Ports,
    log_operations: bool,
    environment: Vec<(&'static str, OsString)>,
}

#[derive(Clone, Copy)]
struct Ports {
    ldap: u16,
    ldaps: u16,
}

impl Slapd {
    /// Starts a server and waits until it answers.
    ///
    /// Anyone may read all but passwords; users may change their own entry; `ldapi` with SASL EXTERNAL makes the
    /// user who runs the test, and root, the administrator.
    ///
    /// # Errors
    /// The kit is missing, the content breaks the schema, or the server does not start; the message quotes its log.
    pub fn start(options: SlapdOptions) -> Result<Self> {
        let kit = Kit::load()?;
        let folder = TempDir::with_prefix("slapd-").context("cannot make a folder for slapd")?;
        let authority = Authority::new()?;
        std::fs::write(folder.path().join("ca.pem"), authority.pem())?;
        let identity = match &options.identity {
            Some(identity) => identity.clone(),
            None => authority.server()?,
        };
        identity.write(folder.path(), "server")?;
        std::fs::create_dir(folder.path().join("db"))?;
        std::fs::write(folder.path().join("slapd.conf"), configuration(&kit, folder.path(), &options)?)?;
        load(&kit, folder.path(), &options)?;

        for _ in 0..ATTEMPTS {
            let ports = free_ports()?;
            let mut process =
                Process::spawn(&kit, folder.path(), ports, options.log_operations, &options.environment)?;
            if process.becomes_ready(folder.path(), ports)? {
                let SlapdOptions { suffix, root_password, log_operations, environment, .. } = options;
                return Ok(Self {
                    process,
                    folder,
                    authority,
                    suffix,
                    root_password,
                    ports,
                    log_operations,
                    environment,
                });
            }
            // Another process took a port in between: once more, with the same files.
        }
        bail!("slapd found its ports taken {ATTEMPTS} times")
    }

    /// `ldap://127.0.0.1:PORT`; StartTLS works.
    #[must_use]
    pub fn ldap_url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.ports.ldap)
    }

    /// `ldaps://127.0.0.1:PORT`.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.ports.ldaps)
    }

    /// `ldapi://` with the path of the socket, percent-encoded.
    #[must_use]
    pub fn ldapi_url(&self) -> String {
        ldapi_url(self.folder.path())
    }

    /// The port of [`Slapd::ldap_url`].
    #[must_use]
    pub fn ldap_port(&self) -> u16 {
        self.ports.ldap
    }

    /// The port of [`Slapd::ldaps_url`].
    #[must_use]
    pub fn ldaps_port(&self) -> u16 {
        self.ports.ldaps
    }

    /// The path of the socket of [`Slapd::ldapi_url`].
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// The authority that signed the server's certificate, unless a test brought its own.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The certificate of [`Slapd::authority`].
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// The file that holds [`Slapd::ca_pem`].
    #[must_use]
    pub fn ca_pem_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The suffix of the database.
    #[must_use]
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The administrator's DN.
    #[must_use]
    pub fn root_dn(&self) -> String {
        root_dn(&self.suffix)
    }

    /// The administrator's password.
    #[must_use]
    pub fn root_password(&self) -> &str {
        &self.root_password
    }

    /// The server's folder; gone when the server is dropped.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that the server has logged.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        read_log(self.folder.path())
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Starts the server again, where it was stopped or killed, on the same files and ports, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or another process has taken a port; the message quotes its log.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let (folder, log_operations) = (self.folder.path(), self.log_operations);
        self.process = Process::spawn(&Kit::load()?, folder, self.ports, log_operations, &self.environment)?;
        if !self.process.becomes_ready(self.folder.path(), self.ports)? {
            bail!("slapd cannot start again: a port of it is taken\n{}", tail(&self.log()?));
        }
        Ok(())
    }

    /// Ends the server: TERM, a wait, then KILL. Its address stays known, and nobody answers there.
    ///
    /// # Errors
    /// The server cannot be signalled or waited for.
    pub fn stop(&mut self) -> Result<()> {
        self.process.stop()
    }

    /// Kills the server, which then closes nothing in order.
    ///
    /// # Errors
    /// The server cannot be signalled or waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }
}

/// The server's process; ends with this value.
struct Process {
    child: Child,
}

impl Process {
    fn spawn(
        kit: &Kit,
        folder: &Path,
        ports: Ports,
        log_operations: bool,
        environment: &[(&'static str, OsString)],
    ) -> Result<Self> {
        let log = File::create(folder.join(LOG)).context("cannot make slapd's log")?;
        let listeners = format!(
            "ldap://127.0.0.1:{}/ ldaps://127.0.0.1:{}/ {}",
            ports.ldap,
            ports.ldaps,
            ldapi_url(folder)
        );
        let child = kit
            .command(&kit.slapd)
            .arg("-f")
            .arg(folder.join("slapd.conf"))
            .args(["-h", &listeners])
            // Any -d keeps it in the foreground, so that the process is ours to end.
            .args(["-d", if log_operations { "stats" } else { "none" }])
            .envs(environment.iter().cloned())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", kit.slapd.display()))?;
        Ok(Self { child })
    }

    /// Whether the server answers now; no, if one of its ports was taken.
    fn becomes_ready(&mut self, folder: &Path, ports: Ports) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answers = answers_a_search(ports.ldap);
            // Asked in this order: an answer from a port that another process took proves nothing.
            if let Some(status) = self.child.try_wait().context("cannot wait for slapd")? {
                let log = read_log(folder)?;
                if log.contains("Address already in use") {
                    return Ok(false);
                }
                bail!("slapd ended at once ({status})\n{}", tail(&log));
            }
            if answers {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                bail!("slapd did not answer within {PATIENCE:?}\n{}", tail(&read_log(folder)?));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("a pid beyond any")?);
        kill(pid, Signal::SIGTERM).context("cannot stop slapd")?;
        if wait(&mut self.child, PATIENCE)?.is_none() {
            self.kill()?;
        }
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.child.kill().context("cannot kill slapd")?;
        self.child.wait().context("cannot wait for slapd")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // Not a panic: the test may be failing already, for a better reason. Its output shows both.
            #[expect(clippy::print_stderr, reason = "a drop has no other way to report")]
            {
                eprintln!("slapd may still run: {error:#}");
            }
        }
    }
}

const LOG: &str = "slapd.log";
pub(crate) const SOCKET: &str = "ldapi";

fn root_dn(suffix: &str) -> String {
    format!("cn=admin,{suffix}")
}

pub(crate) fn ldapi_url(folder: &Path) -> String {
    let mut url = "ldapi://".to_owned();
    for byte in folder.join(SOCKET).as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(*byte))
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// The text of slapd.conf(5).
fn configuration(kit: &Kit, folder: &Path, options: &SlapdOptions) -> Result<String> {
    let mut text = String::new();
    for name in ["core", "cosine", "inetorgperson"] {
        writeln!(text, "include {}", kit.schema.join(format!("{name}.schema")).display())?;
    }
    // Both define posixAccount and its kin; where both are installed only one can be loaded.
    let posix = ["rfc2307bis", "nis"].map(|name| kit.schema.join(format!("{name}.schema")));
    let posix = posix.iter().find(|file| file.is_file()).context("no schema with posixAccount")?;
    writeln!(text, "include {}", posix.display())?;
    if let Some(modules) = &kit.modules {
        writeln!(text, "modulepath {}", modules.display())?;
        for module in
            std::iter::once("back_mdb").chain(options.overlays.iter().map(|(name, _)| name.as_str()))
        {
            // What is not a module of its own is built in.
            if ["so", "la"].iter().any(|ending| modules.join(format!("{module}.{ending}")).is_file()) {
                writeln!(text, "moduleload {module}")?;
            }
        }
    }
    push_lines(&mut text, &options.global_lines);
    let (suffix, root, place) = (&options.suffix, root_dn(&options.suffix), folder.display());
    writeln!(
        text,
        "pidfile {place}/slapd.pid\n\
         argsfile {place}/slapd.args\n\
         TLSCACertificateFile {place}/ca.pem\n\
         TLSCertificateFile {place}/server.pem\n\
         TLSCertificateKeyFile {place}/server.key\n\
         TLSVerifyClient allow\n\
         sasl-secprops noanonymous\n\
         authz-regexp \"^cn=([^,]+),o=lab$\" \"uid=$1,ou=people,{suffix}\""
    )?;
    for (user, group) in [(0, 0), (geteuid().as_raw(), getegid().as_raw())] {
        let peer = format!("^gidNumber={group}[+]uidNumber={user},cn=peercred,cn=external,cn=auth$");
        writeln!(text, "authz-regexp \"{peer}\" \"{root}\"")?;
    }
    if let Some(limit) = options.size_limit {
        writeln!(text, "sizelimit {limit}")?;
    }
    writeln!(
        text,
        "database mdb\n\
         suffix \"{suffix}\"\n\
         rootdn \"{root}\"\n\
         rootpw {password}\n\
         directory {place}/db\n\
         maxsize 17179869184\n\
         {sync}\
         index objectClass,uid,cn,sn,mail,member,entryUUID,entryCSN eq",
        password = quoted(&options.root_password),
        sync = if options.durable { "" } else { "dbnosync\n" },
    )?;
    push_lines(&mut text, &options.database_lines);
    text.push_str(
        "access to attrs=userPassword by self write by anonymous auth by * none\n\
         access to * by self write by * read\n",
    );
    for (name, lines) in &options.overlays {
        writeln!(text, "overlay {name}")?;
        push_lines(&mut text, lines);
    }
    Ok(text)
}

fn push_lines(text: &mut String, lines: &[String]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

/// An argument of slapd.conf(5): quotes and backslashes are escaped by a backslash.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

fn load(kit: &Kit, folder: &Path, options: &SlapdOptions) -> Result<()> {
    let file = match &options.content {
        Content::Empty => return Ok(()),
        Content::File(file) => file.clone(),
        Content::Text(text) => {
            let file = folder.join("content.ldif");
            std::fs::write(&file, text).context("cannot write the content of slapd")?;
            file
        }
    };
    let log = File::create(folder.join(LOG)).context("cannot make slapd's log")?;
    let mut child = kit
        .command(&kit.slapd)
        .args(["-T", "add", "-f"])
        .arg(folder.join("slapd.conf"))
        .args(["-b", &options.suffix, "-l"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot start {}", kit.slapd.display()))?;
    match wait(&mut child, LOAD_PATIENCE)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("slapadd refused {} ({status})\n{}", file.display(), tail(&read_log(folder)?)),
        None => {
            child.kill()?;
            child.wait()?;
            bail!("slapadd took more than {LOAD_PATIENCE:?}\n{}", tail(&read_log(folder)?))
        }
    }
}

/// Two ports that are free now. They are held together, so that they differ.
fn free_ports() -> Result<Ports> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback");
    let (ldap, ldaps) = (bind()?, bind()?);
    Ok(Ports { ldap: ldap.local_addr()?.port(), ldaps: ldaps.local_addr()?.port() })
}

/// Whether something on the port answers a search of the root DSE with an LDAP message.
pub(crate) fn answers_a_search(port: u16) -> bool {
    answers_a_search_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

/// The same of a server at another address than the usual one.
pub(crate) fn answers_a_search_at(address: SocketAddr) -> bool {
    // Message 1, search request: base "", scope base, no limits, filter (objectClass=*), attribute 1.1.
    const SEARCH: &[u8] =
        b"\x30\x2a\x02\x01\x01\x63\x25\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\
        \x01\x01\x00\x87\x0bobjectClass\x30\x05\x04\x031.1";
    let ask = || -> std::io::Result<bool> {
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.write_all(SEARCH)?;
        let mut first = [0];
        socket.read_exact(&mut first)?;
        Ok(first == *b"\x30")
    };
    // Refused, reset or silent: not yet. The caller asks again until its deadline.
    ask().unwrap_or(false)
}

fn read_log(folder: &Path) -> Result<String> {
    match std::fs::read(folder.join(LOG)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).context("cannot read slapd's log"),
    }
}

/// The last lines of a log, where the reason stands.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}
