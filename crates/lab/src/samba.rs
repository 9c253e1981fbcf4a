//! Samba as a domain controller of Active Directory, on a loopback address of its own, with its key distribution
//! centre, for as long as a test needs it.
//!
//! Samba knows its modules by the paths it was built for, and no setting moves them: where the packages are unpacked,
//! not installed, it runs in a mount namespace in which they lie over `/usr`. It listens on the ports of LDAP, of the
//! global catalogue and of Kerberos, and on no others. So it needs root, and Linux.
//!
//! Making a domain takes Samba ten seconds. That is done once; every server starts on a copy. No file service, name
//! service or replication runs.

use std::{
    ffi::OsString,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::{
    Authority, DEFAULT_SUFFIX, Kit, Tool,
    daemon::Daemon,
    kdc::{client_environment, client_settings, kinit},
    slapd::answers_a_search_at,
};

/// What a machine without it installs.
const PACKAGES: &str = "Samba as a domain controller (Debian, Ubuntu: samba, samba-ad-provision and samba-dsdb-modules; Fedora: samba-dc)";

const REALM: &str = "HARBOURLANE.EXAMPLE";
const DOMAIN: &str = "HARBOURLANE";

/// The administrator's password, which the rules for passwords of a new domain take.
const PASSWORD: &str = "Harbour-Master-1";

/// How long making a domain may take on a busy machine.
const PROVISION_PATIENCE: Duration = Duration::from_secs(300);

/// How many servers may run at once on this machine, each on one of these addresses.
const ADDRESSES: std::ops::RangeInclusive<u8> = 1..=24;

/// The port of the address that says that somebody has taken the address: discard, which nobody serves.
const CLAIM: u16 = 9;

const PROVISION: &str = include_str!("samba/provision.py");

/// Lays the unpacked packages over `/usr`, for the command that follows and its children.
const LAID_OVER: &str =
    r#"cd "$1" && mount -t overlay -o lowerdir=usr:/usr overlay /usr && shift && exec "$@""#;

/// A running domain controller for [`DEFAULT_SUFFIX`]. Dropping it ends the server and removes its files.
///
/// Its people are locked out after three wrong passwords, may change their password at any time, and an old password
/// is of no more use once it is changed. Beyond that it is as Samba makes a domain.
pub struct Samba {
    // Before the folder: fields are dropped in this order.
    daemon: Daemon,
    folder: TempDir,
    authority: Authority,
    address: Ipv4Addr,
    /// Held as long as the address is ours.
    _claim: TcpListener,
}

impl Samba {
    /// Starts a server that takes passwords over clear connections too, and waits until it answers.
    ///
    /// # Errors
    /// The kit is missing or has no such server, the machine is not Linux or this is not root, or the server does not
    /// start; the message quotes its log.
    pub fn start() -> Result<Self> {
        Self::start_with("\tldap server require strong auth = no\n")
    }

    /// Starts a server as Samba is unless it is told otherwise: it demands that who binds protects the connection, by TLS
    /// or by what Kerberos offers.
    ///
    /// # Errors
    /// As [`Samba::start`].
    pub fn start_demanding() -> Result<Self> {
        Self::start_with("")
    }

    /// The server of [`Samba::start`] that runs, or a new one. It ends with the last who holds it: for tests that
    /// keep to entries of their own.
    ///
    /// # Errors
    /// As [`Samba::start`].
    pub fn shared() -> Result<Arc<Self>> {
        static RUNNING: Mutex<Weak<Samba>> = Mutex::new(Weak::new());
        // A panic of another test leaves nothing half done here.
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = running.upgrade() {
            return Ok(shared);
        }
        let started = Arc::new(Self::start()?);
        *running = Arc::downgrade(&started);
        Ok(started)
    }

    fn start_with(settings: &str) -> Result<Self> {
        let kit = Kit::load()?;
        let program = kit.part("samba", PACKAGES)?;
        ensure!(
            cfg!(target_os = "linux") && geteuid().is_root(),
            "this test needs Samba, which listens on port 389 of an address of its own: run it as root on Linux (sudo \
             -E ./test); ./test --quick runs what needs no server"
        );
        let domain = provisioned(&kit)?;
        let folder = TempDir::with_prefix("samba-").context("cannot make a folder for Samba")?;
        let place = folder.path();
        copy_folder(&domain, place)?;
        for name in ["run", "cache"] {
            fs::create_dir_all(place.join(name)).with_context(|| format!("cannot make {name}"))?;
        }
        let (address, claim) = claim_address()?;
        let authority = Authority::new()?;
        fs::write(place.join("ca.pem"), authority.pem())?;
        let mut names = crate::host_names();
        names.extend([address.to_string(), format!("dc1.{}", REALM.to_lowercase())]);
        let (_, key) = authority.server_for(&names)?.write(place, "server")?;
        // It refuses a key that others may read.
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        fs::write(place.join("smb.conf"), configuration(place, address, settings))?;
        fs::write(place.join(CLIENT_SETTINGS), client_settings(REALM, &format!("{address}:88")))?;

        let mut command = laid_over(&kit, &program)?;
        command
            .args(["-F", "--no-process-group", "--debug-stdout", "-M", "single", "-s"])
            .arg(place.join("smb.conf"))
            .env("TDB_NO_FSYNC", "1");
        let mut daemon = Daemon::spawn("samba", command, place, place.join("output"))?;
        let at = |port: u16| SocketAddr::from((address, port));
        let ready = daemon.becomes_ready(|| {
            answers_a_search_at(at(389))
                && [636, 88]
                    .iter()
                    .all(|port| TcpStream::connect_timeout(&at(*port), Duration::from_secs(1)).is_ok())
        })?;
        ensure!(ready, "Samba found a port of {address} taken\n{}", daemon.read_log()?);
        Ok(Self { daemon, folder, authority, address, _claim: claim })
    }

    /// `ldap://ADDRESS`; StartTLS works.
    #[must_use]
    pub fn ldap_url(&self) -> String {
        format!("ldap://{}", self.address)
    }

    /// `ldaps://ADDRESS`.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://{}", self.address)
    }

    /// Its address, which is its own: it serves LDAP on the usual ports.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// The file that holds [`Samba::ca_pem`].
    #[must_use]
    pub fn ca_pem_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The administrator's DN.
    #[must_use]
    pub fn root_dn(&self) -> String {
        format!("cn=Administrator,cn=Users,{DEFAULT_SUFFIX}")
    }

    /// The administrator's password.
    #[must_use]
    pub const fn root_password(&self) -> &'static str {
        PASSWORD
    }

    /// The Kerberos realm, whose lower-case form ends the principal names of people.
    #[must_use]
    pub const fn realm(&self) -> &'static str {
        REALM
    }

    /// The name of the domain that stands before the names of people, in `DOMAIN\name`.
    #[must_use]
    pub const fn domain(&self) -> &'static str {
        DOMAIN
    }

    /// Signs a person in at the key distribution centre; what comes back is the environment of a client that acts as
    /// this person. Its service is `ldap` at the address.
    ///
    /// # Errors
    /// The password is wrong, or the kit is missing.
    pub fn sign_in(&self, name: &str, password: &str) -> Result<Vec<(&'static str, OsString)>> {
        let place = self.folder.path();
        let environment = client_environment(&place.join(CLIENT_SETTINGS), place, name);
        kinit(&environment, &format!("{name}@{REALM}"), password)?;
        Ok(environment)
    }

    /// All that the server has said.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        self.daemon.read_log()
    }
}

const CLIENT_SETTINGS: &str = "krb5.conf";

/// The text of smb.conf(5).
fn configuration(folder: &Path, address: Ipv4Addr, settings: &str) -> String {
    let place = folder.display();
    format!(
        "[global]\n\
         \tnetbios name = DC1\n\
         \tworkgroup = {DOMAIN}\n\
         \trealm = {REALM}\n\
         \tserver role = active directory domain controller\n\
         \tserver services = ldap, kdc\n\
         \tinterfaces = {address}/8\n\
         \tbind interfaces only = yes\n\
         \tdisable netbios = yes\n\
         \told password allowed period = 0\n\
         \tprivate dir = {place}/private\n\
         \tlock directory = {place}\n\
         \tstate directory = {place}/state\n\
         \tcache directory = {place}/cache\n\
         \tbinddns dir = {place}/bind-dns\n\
         \tpid directory = {place}/run\n\
         \tncalrpc dir = {place}/ncalrpc\n\
         \twinbindd socket directory = {place}/winbindd\n\
         \tntp signd socket directory = {place}/ntp_signd\n\
         \tlog file = {place}/log\n\
         \ttls keyfile = {place}/server.key\n\
         \ttls certfile = {place}/server.pem\n\
         \ttls cafile = {place}/ca.pem\n\
         {settings}"
    )
}

/// A command where the files of Samba are where it looks for them.
fn laid_over(kit: &Kit, program: &Path) -> Result<Command> {
    // Those of the machine are.
    if kit.libraries().is_none() {
        return Ok(kit.command(program));
    }
    let samba = kit.part("samba", PACKAGES)?;
    let root = samba.ancestors().nth(3).context("samba is not in usr/sbin of the unpacked packages")?;
    let inside =
        program.strip_prefix(root).map_or_else(|_| program.to_owned(), |path| Path::new("/").join(path));
    let mut command = kit.command(Path::new("unshare"));
    command.args(["--mount", "sh", "-c", LAID_OVER, "sh"]).arg(root).arg(inside);
    Ok(command)
}

/// The folder of the domain that every server starts from, made if there is none yet.
fn provisioned(kit: &Kit) -> Result<PathBuf> {
    let domain = kit.lab.join("samba-domain");
    let lock = File::create(kit.lab.join("samba-domain.lock")).context("no lock for Samba's domain")?;
    // Waits for a test of another process that makes it.
    lock.lock().context("cannot lock Samba's domain")?;
    let addresses: Vec<_> = ADDRESSES.map(|number| loopback(number).to_string()).collect();
    // What it depends on: if that has changed, it is made anew.
    let version = laid_over(kit, &kit.part("samba", PACKAGES)?)?.arg("--version").output();
    let version = version.context("cannot run Samba")?;
    ensure!(
        version.status.success(),
        "Samba cannot run, which takes the right to mount: {}",
        String::from_utf8_lossy(&version.stderr)
    );
    let made_by = format!("{}{PROVISION}{PASSWORD}{addresses:?}", String::from_utf8_lossy(&version.stdout));
    if fs::read_to_string(domain.join("made-by")).is_ok_and(|text| text == made_by) {
        return Ok(domain);
    }
    if domain.exists() {
        fs::remove_dir_all(&domain).context("cannot remove Samba's old domain")?;
    }
    fs::create_dir(&domain).context("no folder for Samba's domain")?;
    Tool::command("provision.py", laid_over(kit, &kit.python)?)?
        .args(["-c", PROVISION])
        .arg(&domain)
        .args([REALM, PASSWORD])
        .args(&addresses)
        .env("TDB_NO_FSYNC", "1")
        .timeout(PROVISION_PATIENCE)
        .run()?
        .success()
        .context("cannot make a domain")?;
    fs::write(domain.join("made-by"), made_by)?;
    Ok(domain)
}

const fn loopback(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 77, number)
}

/// An address that no other server of this kind has, now and as long as the listener is held.
fn claim_address() -> Result<(Ipv4Addr, TcpListener)> {
    for number in ADDRESSES {
        let address = loopback(number);
        let Ok(claim) = TcpListener::bind((address, CLAIM)) else { continue };
        // A server may have outlived its test, and somebody may serve LDAP on all addresses.
        if [389, 636, 88].iter().all(|port| TcpListener::bind((address, *port)).is_ok()) {
            return Ok((address, claim));
        }
    }
    let (first, last) = (loopback(*ADDRESSES.start()), loopback(*ADDRESSES.end()));
    bail!(
        "none of the addresses {first} to {last} has its ports 389, 636 and 88 free: does a server listen on all addresses?"
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let mut left = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = left.pop() {
        fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
        fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
        for entry in fs::read_dir(&from).with_context(|| format!("cannot read {}", from.display()))? {
            let entry = entry?;
            let (from, to) = (entry.path(), to.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push((from, to));
            } else if kind.is_file() {
                fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
            }
        }
    }
    Ok(())
}
