//! MIT's key distribution centre on loopback, for as long as a test needs it: a Kerberos realm with a service `ldap`
//! on localhost, and people.
//!
//! slapd and 389-ds take part in the realm by their environment ([`Kdc::server_environment`]), clients by theirs
//! ([`Kdc::sign_in`]). [`Samba`](crate::Samba) is its own key distribution centre.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    DEFAULT_SUFFIX, Kit, SlapdOptions, Tool,
    daemon::{ATTEMPTS, Daemon, free_ports},
};

/// What a machine without it installs.
const PACKAGES: &str = "MIT Kerberos with its key distribution centre (Debian, Ubuntu: krb5-kdc, krb5-admin-server, krb5-user and \
                        libsasl2-modules-gssapi-mit; Fedora: krb5-server, krb5-workstation and cyrus-sasl-gssapi)";

const REALM: &str = "HARBOURLANE.EXAMPLE";

/// The password of the database: nobody but its programs sees it.
const MASTER: &str = "harbour-master";

/// The service that LDAP servers are, in every realm.
const SERVICE: &str = "ldap/localhost";

const CLIENT_SETTINGS: &str = "krb5.conf";
const KEYTAB: &str = "ldap.keytab";

/// A running key distribution centre. Dropping it ends it and removes its files.
pub struct Kdc {
    // Before the folder: fields are dropped in this order.
    _daemon: Daemon,
    folder: TempDir,
    environment: Vec<(&'static str, OsString)>,
}

impl Kdc {
    /// Makes a realm and starts its key distribution centre. There is the service `ldap/localhost` in it, and nobody.
    ///
    /// # Errors
    /// The kit is missing or has no such program, or it does not start; the message quotes its log.
    pub fn start() -> Result<Self> {
        let kit = Kit::load()?;
        let folder =
            TempDir::with_prefix("kdc-").context("cannot make a folder for the key distribution centre")?;
        let place = folder.path();
        for _ in 0..ATTEMPTS {
            let [port] = free_ports()?;
            fs::write(place.join(CLIENT_SETTINGS), client_settings(REALM, &format!("127.0.0.1:{port}")))?;
            fs::write(place.join("kdc.conf"), settings(&kit, place, port))?;
            let environment = vec![
                ("KRB5_CONFIG", place.join(CLIENT_SETTINGS).into()),
                ("KRB5_KDC_PROFILE", place.join("kdc.conf").into()),
            ];
            if !place.join("principal").exists() {
                let create = ["create", "-s", "-r", REALM, "-P", MASTER];
                run(&kit, "kdb5_util", &environment)?.args(create).run()?.success()?;
                administer(&kit, &environment, &["addprinc", "-randkey", SERVICE])?;
                let keytab = place.join(KEYTAB).display().to_string();
                administer(&kit, &environment, &["ktadd", "-k", &keytab, SERVICE])?;
            }
            let mut command = kit.command(&kit.part("krb5kdc", PACKAGES)?);
            command.arg("-n").arg("-P").arg(place.join("pid")).envs(environment.iter().cloned());
            let mut daemon = Daemon::spawn("krb5kdc", command, place, place.join("output"))?;
            let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            if daemon.becomes_ready(listens).with_context(|| log(place))? {
                return Ok(Self { _daemon: daemon, folder, environment });
            }
            // Another process took the port in between: once more, with the same database.
        }
        bail!("the key distribution centre found its port taken {ATTEMPTS} times")
    }

    /// The name of the realm.
    #[must_use]
    pub const fn realm(&self) -> &'static str {
        REALM
    }

    /// Adds a person, or a service, with a password.
    ///
    /// # Errors
    /// There is one of this name, or it is none.
    pub fn add_principal(&self, name: &str, password: &str) -> Result<()> {
        administer(&Kit::load()?, &self.environment, &["addprinc", "-pw", password, name])
    }

    /// As [`add_principal`](Self::add_principal), of somebody whose tickets last so many seconds.
    ///
    /// # Errors
    /// There is one of this name, or it is none.
    pub fn add_brief_principal(&self, name: &str, password: &str, seconds: u32) -> Result<()> {
        let life = format!("{seconds} seconds");
        administer(&Kit::load()?, &self.environment, &["addprinc", "-maxlife", &life, "-pw", password, name])
    }

    /// How many first tickets, and tickets for services, it has given so far.
    #[must_use]
    pub fn given(&self) -> (usize, usize) {
        let log = log(self.folder.path());
        let count =
            |what: &str| log.lines().filter(|line| line.contains(what) && line.contains(": ISSUE: ")).count();
        (count("AS_REQ"), count("TGS_REQ"))
    }

    /// A file with the key of a person or service, by which a program signs in without a password. Their password stays
    /// what it is.
    ///
    /// # Errors
    /// There is nobody of this name.
    pub fn keytab(&self, name: &str) -> Result<PathBuf> {
        let file = self.folder.path().join(format!("{}.keytab", name.replace('/', "-")));
        let path = file.display().to_string();
        administer(&Kit::load()?, &self.environment, &["ktadd", "-norandkey", "-k", &path, name])?;
        Ok(file)
    }

    /// The environment of a server that is the service `ldap/localhost`: slapd with `sasl-host localhost`, or 389-ds.
    #[must_use]
    pub fn server_environment(&self) -> Vec<(&'static str, OsString)> {
        let place = self.folder.path();
        vec![
            ("KRB5_CONFIG", place.join(CLIENT_SETTINGS).into()),
            ("KRB5_KTNAME", named("FILE:", &place.join(KEYTAB))),
            // What has been seen is remembered here: the system's folder for it may be another user's.
            ("KRB5RCACHEDIR", place.into()),
        ]
    }

    /// The options of a slapd that is this service: whoever has signed in as NAME is `uid=NAME,ou=people` below its
    /// suffix.
    #[must_use]
    pub fn slapd_options(&self) -> SlapdOptions {
        let people = format!("uid=$1,ou=people,{DEFAULT_SUFFIX}");
        SlapdOptions {
            global_lines: vec![
                "sasl-host localhost".to_owned(),
                format!("sasl-realm {REALM}"),
                format!(
                    "authz-regexp \"^uid=([^,/@]+)(@[^,]*)?(,cn=[^,]+)?,cn=(gssapi|gss-spnego),cn=auth$\" \"{people}\""
                ),
            ],
            environment: self.server_environment(),
            ..SlapdOptions::default()
        }
    }

    /// The environment of a client that has not signed in: it knows the realm, and keeps its tickets in a file of this
    /// name.
    #[must_use]
    pub fn client_environment(&self, name: &str) -> Vec<(&'static str, OsString)> {
        let place = self.folder.path();
        client_environment(&place.join(CLIENT_SETTINGS), place, name)
    }

    /// Signs a person in; what comes back is the environment of a client that acts as this person, towards servers at
    /// `localhost`.
    ///
    /// # Errors
    /// The password is wrong, or the kit is missing.
    pub fn sign_in(&self, name: &str, password: &str) -> Result<Vec<(&'static str, OsString)>> {
        let environment = self.client_environment(name);
        kinit(&environment, &format!("{name}@{REALM}"), password)?;
        Ok(environment)
    }
}

/// The text of krb5.conf(5): one realm, which owns every name, and no questions to the name service.
pub(crate) fn client_settings(realm: &str, kdc: &str) -> String {
    let domain = realm.to_lowercase();
    format!(
        "[libdefaults]\n\
         \tdefault_realm = {realm}\n\
         \tdns_lookup_kdc = false\n\
         \tdns_lookup_realm = false\n\
         \tdns_canonicalize_hostname = false\n\
         \trdns = false\n\
         \tudp_preference_limit = 1\n\
         [realms]\n\
         \t{realm} = {{\n\
         \t\tkdc = {kdc}\n\
         \t}}\n\
         [domain_realm]\n\
         \tlocalhost = {realm}\n\
         \t{domain} = {realm}\n\
         \t.{domain} = {realm}\n"
    )
}

/// The environment of a client, whose tickets are in a file of this name.
pub(crate) fn client_environment(
    settings: &Path,
    folder: &Path,
    name: &str,
) -> Vec<(&'static str, OsString)> {
    let tickets = folder.join(format!("{}.tickets", name.replace('/', "-")));
    vec![("KRB5_CONFIG", settings.into()), ("KRB5CCNAME", named("FILE:", &tickets))]
}

/// Signs somebody in, by the environment of [`client_environment`].
pub(crate) fn kinit(environment: &[(&'static str, OsString)], principal: &str, password: &str) -> Result<()> {
    let output =
        run(&Kit::load()?, "kinit", environment)?.arg(principal).input(format!("{password}\n")).run()?;
    output.success().map(|_| ())
}

fn named(kind: &str, path: &Path) -> OsString {
    let mut name = OsString::from(kind);
    name.push(path);
    name
}

/// The text of kdc.conf(5).
fn settings(kit: &Kit, folder: &Path, port: u16) -> String {
    let place = folder.display();
    let modules = kit.part("krb5_plugins", PACKAGES).map_or_else(
        |_| String::new(),
        |plugins| format!("[dbmodules]\n\tdb_module_dir = {}\n", plugins.join("kdb").display()),
    );
    format!(
        "[kdcdefaults]\n\
         \tkdc_listen = 127.0.0.1:{port}\n\
         \tkdc_tcp_listen = 127.0.0.1:{port}\n\
         [realms]\n\
         \t{REALM} = {{\n\
         \t\tdatabase_name = {place}/principal\n\
         \t\tkey_stash_file = {place}/stash\n\
         \t\tacl_file = {place}/acl\n\
         \t}}\n\
         [logging]\n\
         \tkdc = FILE:{place}/kdc.log\n\
         {modules}"
    )
}

fn administer(kit: &Kit, environment: &[(&'static str, OsString)], command: &[&str]) -> Result<()> {
    let output = run(kit, "kadmin_local", environment)?.args(["-r", REALM]).args(command).run()?;
    let said = output.said();
    output.success()?;
    // It leaves with 0 whatever became of the command.
    if let Some(line) = said.lines().find(|line| line.contains(": ") && line.contains("while")) {
        bail!("kadmin.local: {line}");
    }
    Ok(())
}

fn run(kit: &Kit, program: &str, environment: &[(&'static str, OsString)]) -> Result<Tool> {
    Ok(Tool::command(program, kit.command(&kit.part(program, PACKAGES)?))?.envs(environment))
}

/// What it says is in a file of its own.
fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("kdc.log")).unwrap_or_else(|error| format!("no log: {error}"))
}
