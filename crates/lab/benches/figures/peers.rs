//! Where the programs of other clients are: what peers/build has left in target/peers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The programs of peers/.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    libldap: PathBuf,
    crates: PathBuf,
}

impl Peers {
    /// # Errors
    /// They are not built.
    pub(crate) fn load() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target =
            manifest.ancestors().nth(2).context("the crate has left the repository")?.join("target/peers");
        let peers = Self { libldap: target.join("libldap"), crates: target.join("release/flext-ldap-peers") };
        for program in [&peers.libldap, &peers.crates] {
            if !program.exists() {
                bail!("{} is not there: run peers/build, which builds the other clients", program.display());
            }
        }
        Ok(peers)
    }

    /// A C program on libldap.
    pub(crate) fn libldap(&self) -> Command {
        Command::new(&self.libldap)
    }

    /// The crates `ldap3` and `ldap3_proto`.
    pub(crate) fn crates(&self) -> Command {
        Command::new(&self.crates)
    }
}
