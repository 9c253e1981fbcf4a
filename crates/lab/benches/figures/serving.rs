//! slapd and ours as servers that hold the same company, with equal durability, and can be stopped, killed and started again.
//!
//! A write that either has answered is on disk: slapd runs without `dbnosync` here. Both are loaded in their quick way
//! (`slapadd -q`, `Store::import`).

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use flext_ldap_lab::{Kit, Slapd, SlapdOptions};
use flext_ldap_testkit::company::SUFFIX;
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tempfile::TempDir;

use crate::{Login, contest, role, servers::Helper, timed, usage::Cost};

/// The administrator of both, as [`Slapd`] names its own.
const ADMINISTRATOR: &str = "cn=admin,dc=harbourlane,dc=example";
const PASSWORD: &str = "harbour-master";

/// A server and its data.
pub(crate) enum Serving {
    Slapd(Box<Slapd>),
    /// Our listener over the store in the folder; no process where it was stopped.
    Ours(TempDir, Option<Helper>),
}

impl Serving {
    /// Both, empty.
    pub(crate) fn both() -> Result<[Self; 2]> {
        let options = SlapdOptions { log_operations: false, durable: true, ..SlapdOptions::default() };
        let slapd = Slapd::start(SlapdOptions { root_password: PASSWORD.to_owned(), ..options })?;
        let folder = TempDir::with_prefix("ours-").context("cannot make a folder")?;
        let mut ours = Self::Ours(folder, None);
        ours.start()?;
        Ok([Self::Slapd(Box::new(slapd)), ours])
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Slapd(_) => "slapd",
            Self::Ours(..) => "ours",
        }
    }

    pub(crate) fn login() -> Login<'static> {
        Login { dn: ADMINISTRATOR, password: PASSWORD }
    }

    pub(crate) fn url(&self) -> Result<String> {
        match self {
            Self::Slapd(slapd) => Ok(slapd.ldap_url()),
            Self::Ours(_, helper) => Ok(helper.as_ref().context("it is stopped")?.url().to_owned()),
        }
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        match self {
            Self::Slapd(slapd) => Ok(slapd.pid()),
            Self::Ours(_, helper) => Ok(helper.as_ref().context("it is stopped")?.pid()),
        }
    }

    /// The folder of the data alone.
    pub(crate) fn data(&self) -> PathBuf {
        match self {
            Self::Slapd(slapd) => slapd.folder().join("db"),
            Self::Ours(folder, _) => folder.path().join("store"),
        }
    }

    /// Starts it again, and returns once it listens.
    pub(crate) fn start(&mut self) -> Result<()> {
        let data = self.data();
        match self {
            Self::Slapd(slapd) => slapd.restart(),
            Self::Ours(_, helper) => {
                *helper = Some(Helper::start(role("serve")?.arg(data).args([ADMINISTRATOR, PASSWORD]))?);
                Ok(())
            }
        }
    }

    /// Stops it as its administrator would.
    pub(crate) fn stop(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.stop(),
            Self::Ours(_, helper) => {
                *helper = None;
                Ok(())
            }
        }
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.kill(),
            Self::Ours(_, helper) => helper.take().context("it is stopped")?.kill(),
        }
    }

    /// Replaces what it holds by a load of the file, and starts it. Returns what the load alone has cost.
    pub(crate) fn load(&mut self, ldif: &Path) -> Result<Cost> {
        self.stop()?;
        let data = self.data();
        std::fs::remove_dir_all(&data).with_context(|| data.display().to_string())?;
        let mut command = match self {
            Self::Slapd(slapd) => {
                std::fs::create_dir(&data)?;
                slapadd(&Kit::load()?, &slapd.folder().join("slapd.conf"), ldif)?
            }
            Self::Ours(..) => {
                let mut command = role("import")?;
                command.arg(&data).arg(ldif);
                command
            }
        };
        let cost = contest::run(&mut command).with_context(|| format!("loading {}", self.name()))?;
        forget(&data)?;
        self.start()?;
        Ok(cost)
    }

    /// Octets the data takes on disk. Files may have holes.
    pub(crate) fn disk(&self) -> Result<u64> {
        let mut octets = 0;
        for file in std::fs::read_dir(self.data())? {
            octets += file?.metadata()?.blocks() * 512;
        }
        Ok(octets)
    }

    /// Octets of memory the process holds now, pages of files that it has mapped included, and without them.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let field = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let line = line.with_context(|| format!("no {name} in the status of a process"))?;
            Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
        };
        Ok((field("VmRSS:")?, field("RssAnon:")?))
    }
}

/// Has the kernel write out and drop what it holds of the files. `slapadd -q` maps its file to write it, and while those pages are
/// held each later commit of slapd takes twice the processor time; they are not once a machine was started again.
fn forget(folder: &Path) -> Result<()> {
    for file in std::fs::read_dir(folder)? {
        let file = File::open(file?.path())?;
        file.sync_all()?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    }
    Ok(())
}

/// `slapadd -q` of the file into the database of a configuration.
pub(crate) fn slapadd(kit: &Kit, configuration: &Path, ldif: &Path) -> Result<Command> {
    let mut command = timed(kit, &kit.slapd)?;
    command.args(["-T", "add", "-q", "-b", SUFFIX, "-f"]).arg(configuration).arg("-l").arg(ldif);
    Ok(command)
}
