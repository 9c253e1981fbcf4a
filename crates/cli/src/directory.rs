//! `flext-ldap directory`: the embedded directory, one file for each thing that is done with it.

mod access;
mod backup;
mod check;
mod compact;
mod config;
mod control;
mod explain;
mod export;
mod import;
mod indexes;
mod monitor;
mod restore;
mod serve;

use std::{fs, io, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Subcommand;
use flext_ldap_directory::proto::{dn::Dn, schema::Schema};
use flext_ldap_store::{Store, StoreOptions};

use crate::exit::Usage;

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory serve --data :memory: --suffix dc=example,dc=com --import people.ldif \\
    --listen ldap://127.0.0.1:3389 --anonymous-read
  flext-ldap directory serve --data /var/lib/flext-ldap --suffix dc=example,dc=com \\
    --admin-dn cn=admin,dc=example,dc=com --admin-password-file /etc/flext-ldap/admin.secret \\
    --listen ldap://[::]:389 --listen ldaps://[::]:636 --listen ldapi://%2Frun%2Fflext-ldap.sock \\
    --tls-cert chain.pem --tls-key key.pem
  flext-ldap directory backup --data /var/lib/flext-ldap --to /backup/monday
  flext-ldap directory restore --data /var/lib/flext-ldap --from /backup/monday --replace
  flext-ldap directory check --data /var/lib/flext-ldap
  flext-ldap directory export --data /var/lib/flext-ldap -o directory.ldif";

/// Arguments of `directory`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a directory until SIGTERM or SIGINT
    Serve(Box<serve::Serve>),
    /// Load LDIF into a folder that nobody serves
    Import(import::Import),
    /// Write a folder that nobody serves as LDIF, password hashes included
    Export(export::Export),
    /// Prove that all that a directory stores agrees, and name every fault
    Check(check::Check),
    /// Copy a directory, which may be served meanwhile, to one file
    Backup(backup::Backup),
    /// Make a directory from a backup, in a folder that holds none
    Restore(restore::Restore),
    /// Make the file of a folder that nobody serves as small as it can be
    Compact(compact::Compact),
    /// Tell how a directory, which may be served meanwhile, is searched: indexes, candidates, entries looked at
    Explain(explain::Explain),
    /// Tell what somebody may do to an entry of a directory, which may be served meanwhile, and which access rule says so
    Access(access::Access),
}

/// Which directory.
#[derive(Debug)]
struct Data {
    data: PathBuf,
    suffix: Vec<Dn>,
    schema: Vec<PathBuf>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Import(import) => import.run(),
            Command::Export(export) => export.run(),
            Command::Check(check) => check.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Compact(compact) => compact.run(),
            Command::Explain(explain) => explain.run(),
            Command::Access(access) => access.run(),
        }
    }
}

impl Data {
    /// For what would make no sense of a directory that is made by looking at it.
    fn must_exist(&self) -> anyhow::Result<()> {
        if Store::is_in(&self.data) {
            return Ok(());
        }
        let data = self.data.display();
        if let Err(error) = fs::read_dir(&self.data)
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Err(anyhow::Error::new(error).context(format!("`{data}` cannot be looked at")));
        }
        Err(Usage(format!("there is no directory in `{data}`: nothing was done")).into())
    }

    /// Whether it is gone with the process.
    fn is_memory(&self) -> bool {
        self.data.as_os_str() == ":memory:"
    }

    fn options(&self) -> anyhow::Result<StoreOptions> {
        let options =
            if self.is_memory() { StoreOptions::memory() } else { StoreOptions::folder(&self.data) };
        let options = options.schema(Arc::new(self.load_schema()?));
        Ok(self.suffix.iter().cloned().fold(options, StoreOptions::suffix))
    }

    fn load_schema(&self) -> anyhow::Result<Schema> {
        let mut builder = Schema::standard().to_builder();
        for path in &self.schema {
            let text =
                fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
            if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ldif")) {
                builder.add_ldif(&text);
            } else {
                builder.add_openldap(&text);
            }
        }
        builder.build().map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Usage(format!("the schema cannot be used:\n  {}", errors.join("\n  "))).into()
        })
    }
}

/// Opens a store; what is wrong with it is the message.
fn open(options: StoreOptions, data: &Data) -> anyhow::Result<Store> {
    let store = Store::open(options).context("failed to open the directory")?;
    let contexts = store.naming_contexts();
    if contexts.is_empty() {
        return Err(Usage("--suffix is missing: the name of the directory's top entry".to_owned()).into());
    }
    if !data.suffix.is_empty() {
        for other in contexts.iter().filter(|context| !data.suffix.contains(context)) {
            crate::say(format_args!("warning: the folder also holds `{other}`, which no --suffix names"));
        }
    }
    Ok(store)
}
