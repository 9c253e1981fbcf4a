//! `flext-ldap directory`: the embedded directory, served, loaded and dumped.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use clap::Subcommand;
use flext_ldap_directory::proto::{dn::Dn, ldif::ReadOptions, schema::Schema, url::LdapUrl};
use flext_ldap_server::{LineLog, Server, ServerTls};
use flext_ldap_store::{ExportOptions, ImportOptions, ImportReport, StandardPolicy, Store, StoreOptions};

use crate::{connect::password_file, exit::Usage, input, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory serve --data :memory: --suffix dc=example,dc=com --import people.ldif \\
    --listen ldap://127.0.0.1:3389 --anonymous-read
  flext-ldap directory serve --data /var/lib/flext-ldap --suffix dc=example,dc=com \\
    --admin-dn cn=admin,dc=example,dc=com --admin-password-file /etc/flext-ldap/admin.secret \\
    --listen ldap://[::]:389 --listen ldaps://[::]:636 --listen ldapi://%2Frun%2Fflext-ldap.sock \\
    --tls-cert chain.pem --tls-key key.pem
  flext-ldap directory export --data /var/lib/flext-ldap --suffix dc=example,dc=com -o backup.ldif";

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
    Serve(Serve),
    /// Load LDIF into a folder that nobody serves
    Import(Import),
    /// Write a folder that nobody serves as LDIF, password hashes included
    Export(Export),
}

/// Which directory.
#[derive(Debug, clap::Args)]
struct Data {
    /// Folder the directory lives in, made if it is not there, or `:memory:`
    #[arg(long, value_name = "DIR|:memory:")]
    data: PathBuf,
    /// Name of its top entry; repeat for more
    #[arg(long, value_name = "DN", required = true)]
    suffix: Vec<Dn>,
    /// More schema: an OpenLDAP `.schema` file, or LDIF with subschema attributes
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen: ldap://HOST:PORT, ldaps://HOST:PORT, ldapi://PATH with each / as %2F; port 0 takes a free one
    #[arg(long, value_name = "URL", required = true)]
    listen: Vec<LdapUrl>,
    /// Name of the administrator, who may do everything and need not be an entry
    #[arg(long, value_name = "DN", requires = "admin_password_file")]
    admin_dn: Option<Dn>,
    /// File with the administrator's password
    #[arg(long, value_name = "FILE", requires = "admin_dn")]
    admin_password_file: Option<PathBuf>,
    /// Certificate chain (PEM), for ldaps and StartTLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Load this LDIF first; entries that are there already stop it
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Hash clear-text passwords of the imported LDIF instead of refusing them
    #[arg(long, requires = "import")]
    hash_passwords: bool,
    /// Let those who have not signed in read all but secrets
    #[arg(long)]
    anonymous_read: bool,
    /// Write a line for each operation to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Import {
    #[command(flatten)]
    data: Data,
    /// Read LDIF from this file instead of standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Hash clear-text passwords instead of refusing them
    #[arg(long)]
    hash_passwords: bool,
    /// Leave records before this line out
    #[arg(long, value_name = "LINE", default_value_t = 0)]
    from_line: u64,
    /// Go on when a record is refused
    #[arg(short = 'c', long = "continue")]
    go_on: bool,
    /// Let `attribute:< file:///…` read files of this machine
    #[arg(long)]
    read_files: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    data: Data,
    /// Write to this file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only what is under this entry
    #[arg(short = 'b', long, value_name = "DN")]
    base: Option<Dn>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => {
                tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve.run())
            }
            Command::Import(import) => import.run(),
            Command::Export(export) => export.run(),
        }
    }
}

impl Data {
    fn options(&self) -> anyhow::Result<StoreOptions> {
        let options = match self.data.to_str() {
            Some(":memory:") => StoreOptions::memory(),
            _ => StoreOptions::folder(&self.data),
        };
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

impl Serve {
    async fn run(self) -> anyhow::Result<ExitCode> {
        // Heard from the first moment, so that a signal during a long import ends it too.
        let stop = Stop::new()?;
        let mut policy = StandardPolicy::default();
        if self.anonymous_read {
            policy = policy.anonymous_read();
        }
        let mut options = self.data.options()?;
        if let (Some(dn), Some(path)) = (&self.admin_dn, &self.admin_password_file) {
            let password = password_file(path)?;
            policy = policy.administrator(dn.clone());
            options = options.administrator(dn.clone(), password);
            for uid in [0, nix::unistd::geteuid().as_raw()] {
                options = options.peer_administrator(uid);
            }
        }
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Some(server_tls(chain, key)?),
            _ => None,
        };
        let store = open(options.policy(Arc::new(policy)))?;
        if let Some(path) = &self.import {
            let mut import = ImportOptions::default();
            import.hash_clear_passwords = self.hash_passwords;
            let (store, path) = (store.clone(), path.clone());
            let report = tokio::task::spawn_blocking(move || load(&store, Some(&path), &import)).await??;
            writeln!(io::stderr(), "imported {} entries", report.applied)?;
        }
        let mut server = Server::builder(Arc::new(store.clone()));
        if let Some(tls) = tls {
            server = server.tls(tls);
        }
        if let Some(path) = &self.access_log {
            server =
                server.access_log(LineLog::new(log_output(path)?).context("failed to start the access log")?);
        }
        server = self.listen.iter().cloned().fold(server, |server, url| server.listen(url));
        let server = server.start().await.context("failed to listen")?;
        for url in server.urls() {
            writeln!(io::stderr(), "listening on {url}")?;
        }
        stop.wait().await;
        server.shutdown(Duration::from_secs(5)).await;
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    fn run(self) -> anyhow::Result<ExitCode> {
        let store = open(self.data.options()?)?;
        let mut options = ImportOptions::default();
        options.hash_clear_passwords = self.hash_passwords;
        options.continue_on_error = self.go_on;
        options.start_line = self.from_line;
        let mut read = ReadOptions::default();
        read.read_files = self.read_files;
        options.read = read;
        let started = std::time::Instant::now();
        let report = load(&store, self.file.as_deref(), &options)?;
        let seconds = started.elapsed().as_secs_f64();
        for (line, reason) in &report.refusals {
            writeln!(io::stderr(), "line {line}: {reason}")?;
        }
        writeln!(
            io::stderr(),
            "imported {} entries in {seconds:.1} s, {} refused",
            report.applied,
            report.refused
        )?;
        store.close();
        Ok(if report.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(crate::exit::USAGE) })
    }
}

impl Export {
    fn run(self) -> anyhow::Result<ExitCode> {
        let store = open(self.data.options()?)?;
        let output: Box<dyn Write> = match &self.output {
            None => Box::new(io::stdout().lock()),
            Some(path) => Box::new(create_private(path)?),
        };
        let mut output = BufWriter::with_capacity(1 << 16, output);
        let mut options = ExportOptions::default();
        options.base = self.base;
        options.operational = true;
        options.password_hashes = true;
        let count = store.export(&mut output, &options)?;
        output.flush()?;
        writeln!(io::stderr(), "exported {count} entries")?;
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}

/// Opens a store; what is wrong with it is the message.
fn open(options: StoreOptions) -> anyhow::Result<Store> {
    Store::open(options).context("failed to open the directory")
}

fn load(store: &Store, path: Option<&Path>, options: &ImportOptions) -> anyhow::Result<ImportReport> {
    let progress = Progress::new("entries");
    let mut last = 0;
    let name = path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    store
        .import(input::open(path)?, options, &mut |count| {
            progress.advance(count.saturating_sub(last));
            last = count;
        })
        .with_context(|| format!("failed to import {name}"))
}

/// A file only its owner can read: it holds password hashes.
fn create_private(path: &Path) -> anyhow::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("failed to create {}", path.display()))
}

fn server_tls(chain: &Path, key: &Path) -> anyhow::Result<ServerTls> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("failed to read {}", path.display()));
    ServerTls::from_pem(&read(chain)?, &read(key)?)
        .with_context(|| format!("failed to use {} and {}", chain.display(), key.display()))
}

fn log_output(path: &Path) -> anyhow::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    let file = fs::OpenOptions::new().append(true).create(true).open(path);
    Ok(Box::new(file.with_context(|| format!("failed to open {}", path.display()))?))
}

/// The signals that end a server.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for SIGTERM or SIGINT.
    pub(crate) async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
