//! PostgreSQL in a temporary folder, on loopback, with ldap authentication, for as long as a test needs it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::daemon::{ATTEMPTS, Daemon, free_ports, unprivileged};
use crate::{Kit, Output, Tool};

/// What a machine without it installs.
const PACKAGES: &str = "PostgreSQL built with LDAP (Debian, Ubuntu: postgresql; Fedora: postgresql-server)";

/// The superuser, who is let in through the Unix socket and asked for nothing.
const OWNER: &str = "harbourmaster";

/// A running server. Dropping it ends the server and removes all its files.
pub struct Postgresql {
    daemon: Daemon,
    _folder: TempDir,
    psql: Psql,
}

impl Postgresql {
    /// Makes a cluster with these roles, who may log in, and starts its server. `rules` are the lines of pg_hba.conf
    /// for TCP. `ca_pem` is trusted in directories.
    ///
    /// # Errors
    /// The kit is missing or has no PostgreSQL, or it does not start; the message quotes its log.
    pub fn start(ca_pem: &str, roles: &[&str], rules: &[String]) -> Result<Self> {
        let kit = Kit::load()?;
        let programs = kit.part("postgresql", PACKAGES)?;
        let folder = TempDir::with_prefix("postgresql-").context("cannot make a folder for PostgreSQL")?;
        let place = folder.path();
        let (data, ca_file) = (place.join("data"), place.join("ca.pem"));
        std::fs::write(&ca_file, ca_pem)?;
        std::fs::create_dir(&data)?;
        let mut command = unprivileged(&kit, &programs.join("initdb"), place)?;
        command.arg("-D").arg(&data).args([
            "-U",
            OWNER,
            "-A",
            "trust",
            "--no-sync",
            "--locale=C",
            "-E",
            "UTF8",
        ]);
        let made = Tool::command("initdb", command)?.within(place).run()?;
        made.success().context("initdb, run as a user who is not root, must be able to read target/lab")?;
        let rules = format!("local all {OWNER} trust\n{}\n", rules.join("\n"));
        std::fs::write(data.join("pg_hba.conf"), rules)?;
        for _ in 0..ATTEMPTS {
            let [port] = free_ports()?;
            let mut command = unprivileged(&kit, &programs.join("postgres"), place)?;
            command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
            command.arg("-c").arg(format!("unix_socket_directories={}", place.display()));
            command.args([
                "-c",
                "fsync=off",
                "-c",
                "jit=off",
                "-c",
                "log_connections=on",
                "-c",
                "max_connections=20",
            ]);
            command.env("LDAPTLS_CACERT", &ca_file).env("HOME", place);
            let mut daemon = Daemon::spawn("postgres", command, place, place.join("log"))?;
            let psql = Psql { kit: kit.clone(), program: programs.join("psql"), port };
            if daemon
                .becomes_ready(|| psql.as_owner(place, "SELECT 1").is_ok_and(|said| said.code == Some(0)))?
            {
                let roles: String =
                    roles.iter().map(|role| format!("CREATE ROLE \"{role}\" LOGIN;\n")).collect();
                psql.as_owner(place, &roles)?.success().context("cannot make the roles")?;
                return Ok(Self { daemon, _folder: folder, psql });
            }
        }
        bail!("PostgreSQL found its port taken {ATTEMPTS} times")
    }

    /// Signs in over TCP and asks who it is: psql's exit code is 0 and the answer is the role, or it is 2.
    ///
    /// # Errors
    /// psql cannot be run.
    pub fn sign_in(&self, role: &str, password: &str) -> Result<Output> {
        let tool = self.psql.tool("127.0.0.1", role)?.env("PGPASSWORD", password);
        tool.args(["-c", "SELECT current_user"]).run()
    }

    /// All that the server has logged.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log(&self) -> Result<String> {
        self.daemon.read_log()
    }
}

/// The client of one server.
struct Psql {
    kit: Kit,
    program: PathBuf,
    port: u16,
}

impl Psql {
    /// Nothing but what psql prints itself, and no settings of the user's.
    fn tool(&self, host: &str, role: &str) -> Result<Tool> {
        let mut command = self.kit.command(&self.program);
        command.args([
            "-X",
            "-A",
            "-t",
            "-w",
            "-h",
            host,
            "-p",
            &self.port.to_string(),
            "-U",
            role,
            "-d",
            "postgres",
        ]);
        Ok(Tool::command("psql", command)?.env("PGCONNECT_TIMEOUT", "60"))
    }

    fn as_owner(&self, socket: &Path, commands: &str) -> Result<Output> {
        let host = socket.to_str().context("a folder whose name is not UTF-8")?;
        self.tool(host, OWNER)?.args(["-v", "ON_ERROR_STOP=1"]).input(commands).run()
    }
}
