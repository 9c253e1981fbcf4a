//! Apache httpd in a temporary folder, on loopback, with mod_authnz_ldap, for as long as a test needs it.
//!
//! A request is one line of HTTP over a socket: what the tests ask for is a status, not a browser.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::Kit;
use crate::daemon::{ATTEMPTS, Daemon, free_ports, unprivileged};

/// What a machine without it installs.
const PACKAGES: &str =
    "Apache httpd with mod_authnz_ldap (Debian, Ubuntu: apache2-bin; Fedora: httpd and mod_ldap)";

/// The modules of the configuration; one that is not a file is built in.
const MODULES: [&str; 9] = [
    "mpm_event",
    "unixd",
    "authn_core",
    "authz_core",
    "authz_user",
    "auth_basic",
    "ldap",
    "authnz_ldap",
    "alias",
];

/// A running server. Dropping it ends the server and removes all its files.
pub struct Httpd {
    daemon: Daemon,
    _folder: TempDir,
    port: u16,
}

impl Httpd {
    /// Starts a server that serves `/NAME` for each location, with its own lines of configuration in it. `ca_pem` is
    /// trusted in directories. Nothing the directory says is cached, so that each request asks.
    ///
    /// # Errors
    /// The kit is missing or has no httpd, or it does not start; the message quotes its log.
    pub fn start(ca_pem: &str, locations: &[(&str, String)]) -> Result<Self> {
        let kit = Kit::load()?;
        let program = kit.part("httpd", PACKAGES)?;
        let modules = kit.part("httpd_modules", PACKAGES)?;
        let folder = TempDir::with_prefix("httpd-").context("cannot make a folder for httpd")?;
        let place = folder.path();
        std::fs::write(place.join("ca.pem"), ca_pem)?;
        for (name, _) in locations {
            std::fs::create_dir_all(place.join("htdocs"))?;
            std::fs::write(place.join("htdocs").join(name), format!("welcome to {name}\n"))?;
        }
        for _ in 0..ATTEMPTS {
            let [port] = free_ports()?;
            std::fs::write(place.join("httpd.conf"), configuration(&modules, place, port, locations))?;
            let mut command = unprivileged(&kit, &program, place)?;
            // One process in the foreground, so that it is ours to end.
            command.arg("-X").arg("-d").arg(place).arg("-f").arg(place.join("httpd.conf"));
            let mut daemon = Daemon::spawn("httpd", command, place, place.join("output"))?;
            if daemon.becomes_ready(|| get(port, "/", None).is_ok())? {
                return Ok(Self { daemon, _folder: folder, port });
            }
        }
        bail!("httpd found its port taken {ATTEMPTS} times")
    }

    /// The status and the body of a GET, with an `Authorization` header if there is one.
    ///
    /// # Errors
    /// The server does not answer, or with other than HTTP.
    pub fn get(&self, path: &str, authorization: Option<&str>) -> Result<(u16, String)> {
        get(self.port, path, authorization)
    }

    /// All that the server has logged.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        self.daemon.read_log()
    }
}

fn configuration(modules: &Path, place: &Path, port: u16, locations: &[(&str, String)]) -> String {
    let folder = place.display();
    let mut text = format!(
        "ServerRoot {folder}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {folder}/httpd.pid\n\
         ErrorLog /proc/self/fd/2\nDefaultRuntimeDir {folder}\nDocumentRoot {folder}/htdocs\n"
    );
    for name in MODULES {
        let file = modules.join(format!("mod_{name}.so"));
        if file.is_file() {
            text.push_str(&format!("LoadModule {name}_module {}\n", file.display()));
        }
    }
    text.push_str(&format!(
        "LDAPTrustedGlobalCert CA_BASE64 {folder}/ca.pem\nLDAPVerifyServerCert On\nLDAPSharedCacheSize 0\n\
         LDAPCacheEntries 0\nLDAPOpCacheEntries 0\nLDAPConnectionTimeout 30\nLDAPTimeout 30\nLDAPRetries 0\n\
         LogLevel warn authnz_ldap:debug ldap:debug\n\
         <Location />\nRequire all granted\n</Location>\n"
    ));
    for (name, lines) in locations {
        text.push_str(&format!(
            "<Location /{name}>\nAuthType Basic\nAuthName \"{name}\"\nAuthBasicProvider ldap\n{lines}\n</Location>\n"
        ));
    }
    text
}

fn get(port: u16, path: &str, authorization: Option<&str>) -> Result<(u16, String)> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let header = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
    socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{header}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((status.with_context(|| format!("not HTTP: {answer}"))?, body.to_owned()))
}
