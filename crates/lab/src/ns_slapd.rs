//! 389 Directory Server in a temporary folder, on loopback, with TLS and ldapi, for as long as a test needs it.
//!
//! What `dscreate` does with the help of systemd is done here by hand: folders, a certificate database, and `dse.ldif`
//! from the server's own templates. The packages are unpacked, not installed, so the paths of plug-ins are written out.
//! Replication and change logs are not set up.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::{User, getegid, geteuid};
use tempfile::TempDir;

use crate::daemon::{ATTEMPTS, Daemon, free_ports};
use crate::slapd::answers_a_search;
use crate::{DEFAULT_SUFFIX, Kit, Tool};

/// The administrator's password.
const PASSWORD: &str = "harbour-master";

/// What a machine without it installs.
const PACKAGES: &str =
    "389 Directory Server (Debian, Ubuntu: 389-ds-base and libnss3-tools; Fedora: 389-ds-base and nss-tools)";

/// Plug-ins that the server knows by the path it was built for; named here, it does not look there.
const BUILT_IN: [(&str, &str); 2] = [("entryuuid_syntax", "syntax"), ("entryuuid", "betxnpreoperation")];

/// Settings of `cn=config` beyond the template's: nothing is limited that the suite asks for, and names and values are
/// checked as the RFCs have them.
const SETTINGS: &str = "nsslapd-listenhost: 127.0.0.1
nsslapd-securelistenhost: 127.0.0.1
nsslapd-security: on
nsslapd-sizelimit: -1
nsslapd-maxbersize: 33554432
nsslapd-syntaxcheck: on
nsslapd-allow-hashed-passwords: on
passwordStorageScheme: SSHA512
passwordCheckSyntax: off
nsslapd-accesslog-logging-enabled: off
nsslapd-errorlog-logbuffering: off
";

/// What makes one thread do all operations, one after the other, and look at all connections in turn.
const ONE_BY_ONE: &str = "nsslapd-threadnumber: 1
nsslapd-enable-turbo-mode: off
";

/// A running server with an empty database for [`DEFAULT_SUFFIX`]. Dropping it ends the server and removes its files.
pub struct NsSlapd {
    // Before the folder: fields are dropped in this order.
    daemon: Daemon,
    folder: TempDir,
    ca_pem: String,
    ports: [u16; 2],
    environment: Vec<(&'static str, OsString)>,
}

impl NsSlapd {
    /// Starts a server and waits until it answers.
    ///
    /// `ldapi` with SASL EXTERNAL makes the user who runs the test, and root, the administrator.
    ///
    /// # Errors
    /// The kit is missing or has no such server, or it does not start; the message quotes its log.
    pub fn start() -> Result<Self> {
        Self::start_in(&[], "")
    }

    /// The same doing one operation after the other: a server that many tests share, which search and write side by side.
    ///
    /// With more threads 389-ds 2.3.1 fails in two ways then, both seen in the suite:
    /// - It hangs for good. A search that reads the numbers of an index (`idl_new_fetch`) holds the latch of one page of
    ///   Berkeley DB 5.3.28 and waits for that of another, which an add holds that waits for the first. They are latches,
    ///   not locks, so the search for deadlocks does not see them; all other writes wait for the add, until no thread is
    ///   left.
    /// - Entries that were just added are not there (`noSuchObject`), or their values are compared otherwise than a moment
    ///   ago. That fits what is known of its cache, out of which a write that is refused throws what others have just
    ///   added: <https://github.com/389ds/389-ds-base/issues/5944>, <https://github.com/389ds/389-ds-base/issues/5939>.
    ///
    /// Reads wait for writes here: not for what measures time.
    ///
    /// # Errors
    /// As [`NsSlapd::start`].
    pub fn start_one_by_one() -> Result<Self> {
        Self::start_in(&[], ONE_BY_ONE)
    }

    /// The same with variables of its environment.
    ///
    /// # Errors
    /// As [`NsSlapd::start`].
    pub fn start_one_by_one_with(environment: &[(&'static str, OsString)]) -> Result<Self> {
        Self::start_in(environment, ONE_BY_ONE)
    }

    /// The same with variables of its environment, such as those of a realm ([`Kdc::server_environment`]).
    ///
    /// # Errors
    /// As [`NsSlapd::start`].
    ///
    /// [`Kdc::server_environment`]: crate::Kdc::server_environment
    pub fn start_with(environment: &[(&'static str, OsString)]) -> Result<Self> {
        Self::start_in(environment, "")
    }

    fn start_in(environment: &[(&'static str, OsString)], settings: &str) -> Result<Self> {
        let kit = Kit::load()?;
        // Without "slapd-" in it: the server takes what follows that in a path for the name of its instance.
        let folder = TempDir::with_prefix("ds389-").context("cannot make a folder for ns-slapd")?;
        let place = folder.path();
        for name in ["etc", "etc/schema", "lock", "tmp", "ldif", "bak", "run", "inst", "log", "db", "dbhome"]
        {
            std::fs::create_dir(place.join(name)).with_context(|| format!("cannot make {name}"))?;
        }
        let data = kit.part("ns_slapd_data", PACKAGES)?;
        for file in std::fs::read_dir(data.join("schema")).context("no schema of 389 Directory Server")? {
            let file = file?;
            std::fs::copy(file.path(), place.join("etc/schema").join(file.file_name()))?;
        }
        std::fs::write(place.join("etc/certmap.conf"), "certmap default default\ndefault:DNComps\n")?;
        // The rules for sorting: without this file the server sorts by no rule.
        let rules = kit.part("ns_slapd_config", PACKAGES)?.join("slapd-collations.conf");
        std::fs::copy(&rules, place.join("etc/slapd-collations.conf"))
            .with_context(|| format!("cannot copy {}", rules.display()))?;
        let ca_pem = certificates(&kit, &place.join("etc"))?;
        for _ in 0..ATTEMPTS {
            let ports = free_ports::<2>()?;
            std::fs::write(place.join("etc/dse.ldif"), configuration(&kit, &data, place, ports, settings)?)?;
            let (daemon, ready) = run(&kit, place, ports, environment)?;
            if ready {
                return Ok(Self { daemon, folder, ca_pem, ports, environment: environment.to_vec() });
            }
            // Another process took a port in between: once more, with the same files.
        }
        bail!("ns-slapd found its ports taken {ATTEMPTS} times")
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.daemon.pid()
    }

    /// Kills the server, which then closes nothing in order.
    ///
    /// # Errors
    /// The server cannot be signalled or waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()
    }

    /// Starts the server again, where it was stopped or killed, on the same files and ports, and waits until it answers.
    ///
    /// # Errors
    /// It does not start, or another process has taken a port; the message quotes its log.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.stop()?;
        let (daemon, ready) = run(&Kit::load()?, self.folder.path(), self.ports, &self.environment)?;
        self.daemon = daemon;
        if ready { Ok(()) } else { bail!("ns-slapd cannot start again: a port of it is taken") }
    }

    /// How the process ended by itself, if it does so within `patience`.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ending(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        self.daemon.ending(patience)
    }

    /// `ldap://127.0.0.1:PORT`; StartTLS works.
    #[must_use]
    pub fn ldap_url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.ports[0])
    }

    /// `ldaps://127.0.0.1:PORT`.
    #[must_use]
    pub fn ldaps_url(&self) -> String {
        format!("ldaps://127.0.0.1:{}", self.ports[1])
    }

    /// `ldapi://` with the path of the socket, percent-encoded.
    #[must_use]
    pub fn ldapi_url(&self) -> String {
        crate::slapd::ldapi_url(self.folder.path())
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The administrator's DN: what this server calls its directory manager.
    #[must_use]
    pub fn root_dn(&self) -> String {
        root_dn()
    }

    /// The administrator's password.
    #[must_use]
    pub const fn root_password(&self) -> &'static str {
        PASSWORD
    }
}

fn root_dn() -> String {
    format!("cn=admin,{DEFAULT_SUFFIX}")
}

/// Starts the server on the files in `place`; whether it answers, or one of its ports was taken.
fn run(
    kit: &Kit,
    place: &Path,
    [port, _]: [u16; 2],
    environment: &[(&'static str, OsString)],
) -> Result<(Daemon, bool)> {
    let mut command = kit.command(&kit.part("ns_slapd", PACKAGES)?);
    kit.ns_slapd_libraries(&mut command);
    command.envs(environment.iter().cloned());
    command.arg("-D").arg(place.join("etc")).arg("-i").arg(place.join("run/pid")).args(["-d", "0"]);
    let mut daemon = Daemon::spawn("ns-slapd", command, place, place.join("output"))?;
    let ready = daemon.becomes_ready(|| answers_a_search(port)).with_context(|| {
        // What it says once it has read where its log is.
        std::fs::read_to_string(place.join("log/errors")).unwrap_or_else(|error| error.to_string())
    })?;
    Ok((daemon, ready))
}

/// Makes an authority and a server certificate in NSS's database, and returns the authority's certificate.
fn certificates(kit: &Kit, folder: &Path) -> Result<String> {
    let certutil = kit.part("nss_tools", PACKAGES)?.join("certutil");
    ensure!(certutil.is_file(), "{} is not there: install {PACKAGES}", certutil.display());
    let database = format!("sql:{}", folder.display());
    let noise = folder.join("noise");
    std::fs::write(&noise, format!("{:?}{:?}", std::time::SystemTime::now(), std::process::id()).repeat(32))?;
    let run = |arguments: &[&str], input: &str| {
        Tool::command("certutil", kit.command(&certutil))?
            .args(arguments)
            .args(["-d", &database])
            .input(input)
            .run()?
            .success()
    };
    run(&["-N", "--empty-password"], "")?;
    let noise = noise.to_str().context("a folder whose name is not UTF-8")?;
    let key = ["-k", "ec", "-q", "nistp256", "-z", noise, "-v", "12"];
    let authority = ["-S", "-n", "Lab", "-s", "CN=Lab CA,O=Lab", "-x", "-t", "CT,,", "-m", "1", "-2"];
    // It asks: a certificate authority? the length of its path? critical?
    run(&[&authority[..], &key].concat(), "y\n-1\ny\n")?;
    let names = crate::host_names();
    let names: Vec<_> = names
        .iter()
        .map(|name| {
            if name.parse::<std::net::IpAddr>().is_ok() {
                format!("ip:{name}")
            } else {
                format!("dns:{name}")
            }
        })
        .collect();
    let names = names.join(",");
    let server = [
        "-S",
        "-n",
        "Server-Cert",
        "-s",
        "CN=Lab server,O=Lab",
        "-c",
        "Lab",
        "-t",
        ",,",
        "-m",
        "2",
        "--extSAN",
        &names,
    ];
    run(&[&server[..], &key].concat(), "")?;
    run(&["-L", "-n", "Lab", "-a"], "")
}

/// The text of dse.ldif: the server's templates, filled in, with more settings for `cn=config`.
fn configuration(
    kit: &Kit,
    data: &Path,
    place: &Path,
    [port, secure_port]: [u16; 2],
    settings: &str,
) -> Result<String> {
    let read = |name: &str| -> Result<String> {
        let file = data.join("data").join(name);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let parts = ["template-dse.ldif", "template-suffix-db.ldif", "template-sasl.ldif"];
    let parts: Vec<_> = parts.into_iter().map(read).collect::<Result<_>>()?;
    let mut template = format!("{}\n", parts.join("\n\n"));
    for (name, kind) in BUILT_IN {
        write!(
            template,
            "\ndn: cn={name},cn=plugins,cn=config\nobjectClass: top\nobjectClass: nsSlapdPlugin\ncn: {name}\n\
             nsslapd-pluginPath: lib{}-plugin\nnsslapd-pluginInitfunc: {name}_plugin_init\nnsslapd-pluginType: {kind}\n\
             nsslapd-pluginEnabled: on\nnsslapd-pluginId: {name}\nnsslapd-pluginVersion: none\n\
             nsslapd-pluginVendor: 389 Project\nnsslapd-pluginDescription: {name}\n",
            name.replace('_', "-")
        )?;
    }
    let user = User::from_uid(geteuid())?.context("the user who runs the test has no name")?.name;
    let under = |name: &str| place.join(name).display().to_string();
    let tokens = [
        ("schema_dir", under("etc/schema")),
        ("lock_dir", under("lock")),
        ("tmp_dir", under("tmp")),
        ("cert_dir", under("etc")),
        ("config_dir", under("etc")),
        ("ldif_dir", under("ldif")),
        ("bak_dir", under("bak")),
        ("run_dir", under("run")),
        ("inst_dir", under("inst")),
        ("log_dir", under("log")),
        ("db_dir", under("db")),
        ("db_home_dir", under("dbhome")),
        ("db_lib", "bdb".to_owned()),
        ("fqdn", "localhost".to_owned()),
        ("ds_port", port.to_string()),
        ("ds_user", user),
        ("rootdn", root_dn()),
        ("ds_passwd", format!("{{CLEAR}}{PASSWORD}")),
        ("ldapi_enabled", "on".to_owned()),
        ("ldapi", under(crate::slapd::SOCKET)),
        ("ldapi_autobind", "on".to_owned()),
        ("ds_suffix", DEFAULT_SUFFIX.to_owned()),
        ("ds_bename", "userRoot".to_owned()),
    ];
    for (name, value) in tokens {
        template = template.replace(&format!("%{name}%"), &value);
    }
    let plugins = kit.part("ns_slapd_plugins", PACKAGES)?;
    let mut text = String::new();
    let mut seen = HashSet::new();
    for entry in template.split("\n\n") {
        let mut lines =
            entry.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).peekable();
        let Some(name) = lines.peek().map(|line| line.to_ascii_lowercase()) else { continue };
        // The template says some entries twice, which the server refuses.
        if !seen.insert(name.clone()) {
            continue;
        }
        for line in lines {
            let (attribute, value) = line.split_once(':').unwrap_or((line, ""));
            if attribute.eq_ignore_ascii_case("nsslapd-pluginPath") {
                writeln!(text, "{attribute}: {}", plugins.join(value.trim()).display())?;
            } else {
                writeln!(text, "{line}")?;
            }
        }
        if name == "dn: cn=config" {
            writeln!(text, "{SETTINGS}{settings}nsslapd-secureport: {secure_port}")?;
        }
        text.push('\n');
    }
    // Root is the administrator by itself; the user who runs the test may be another.
    if !geteuid().is_root() {
        writeln!(
            text,
            "dn: cn=this user,cn=auto_bind,cn=config\nobjectClass: top\nobjectClass: nsLDAPIFixedAuthMap\n\
             cn: this user\nuidNumber: {}\ngidNumber: {}\nnsslapd-authenticateAsDN: {}\n",
            geteuid(),
            getegid(),
            root_dn()
        )?;
    }
    Ok(text)
}

impl Kit {
    /// Where this server looks for its own libraries, when they are not in the folders of the system.
    fn ns_slapd_libraries(&self, command: &mut std::process::Command) {
        let Some(libraries) = self.libraries() else { return };
        let dirsrv = libraries.join("dirsrv");
        let paths: [PathBuf; 3] = [libraries.to_owned(), dirsrv.clone(), dirsrv.join("plugins")];
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        command.env("LD_LIBRARY_PATH", paths.join(":"));
    }
}
