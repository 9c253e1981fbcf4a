//! `flext-ldap directory`: the embedded directory, served, loaded and dumped.

use std::{
    fs,
    io::{self, Write},
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

use crate::{connect::password_file, exit::Usage, input, output, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  flext-ldap directory serve --data :memory: --suffix dc=example,dc=com --import people.ldif \\
    --listen ldap://127.0.0.1:3389 --anonymous-read
  flext-ldap directory serve --data /var/lib/flext-ldap --suffix dc=example,dc=com \\
    --admin-dn cn=admin,dc=example,dc=com --admin-password-file /etc/flext-ldap/admin.secret \\
    --listen ldap://[::]:389 --listen ldaps://[::]:636 --listen ldapi:///run/flext-ldap.sock \\
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
    /// Name of its top entry, repeat for more; a folder that has been used knows its own
    #[arg(long, value_name = "DN")]
    suffix: Vec<Dn>,
    /// More schema: an OpenLDAP `.schema` file, or LDIF with subschema attributes
    #[arg(long, value_name = "FILE")]
    schema: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    data: Data,
    /// Where to listen: ldap://HOST:PORT, ldaps://HOST:PORT, ldapi:///PATH; port 0 takes a free one
    #[arg(long, value_name = "URL", required = true)]
    listen: Vec<LdapUrl>,
    /// Name of the administrator, who may do everything and need not be an entry; over ldapi root and the user who
    /// serves are the administrator too, by SASL EXTERNAL
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
    /// Hold accounts without a pwdPolicySubentry to the password policy at this name, a pwdPolicy entry
    #[arg(long, value_name = "DN")]
    password_policy: Option<Dn>,
    /// Tell who binds to a locked account, with the password policy control, that it is locked; others take it for a
    /// wrong password
    #[arg(long)]
    tell_lockout: bool,
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
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                let result = runtime.block_on(serve.run());
                // An import that a signal stopped is let go of: what is committed is safe.
                runtime.shutdown_background();
                result
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
        let mut stop = Stop::new()?;
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
        if let Some(policy) = &self.password_policy {
            options = options.password_policy(policy.clone());
        }
        if self.tell_lockout {
            options = options.tell_lockout();
        }
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Some(server_tls(chain, key)?),
            _ => None,
        };
        let store = open(options.policy(Arc::new(policy)), &self.data)?;
        if let Some(path) = &self.import {
            let mut import = ImportOptions::default();
            import.hash_clear_passwords = self.hash_passwords;
            let (store, path) = (store.clone(), path.clone());
            let report = tokio::select! {
                report = tokio::task::spawn_blocking(move || load(&store, Some(&path), &import)) => report??,
                () = stop.wait() => anyhow::bail!("stopped by a signal while the LDIF was loaded: part of it is in"),
            };
            crate::say(format_args!("imported {} entries", report.applied));
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
        if !self.anonymous_read {
            crate::say(format_args!("who has not signed in sees no entry; --anonymous-read changes that"));
        }
        for url in server.urls() {
            crate::say(format_args!("listening on {url}"));
        }
        stop.wait().await;
        server.shutdown(Duration::from_secs(5)).await;
        store.close();
        Ok(ExitCode::SUCCESS)
    }
}

impl Import {
    fn run(self) -> anyhow::Result<ExitCode> {
        let store = open(self.data.options()?, &self.data)?;
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
            crate::say(format_args!("line {line}: {reason}"));
        }
        crate::say(format_args!(
            "imported {} entries in {seconds:.1} s, {} refused",
            report.applied, report.refused
        ));
        store.close();
        Ok(if report.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(crate::exit::USAGE) })
    }
}

impl Export {
    fn run(self) -> anyhow::Result<ExitCode> {
        if !self.data.data.is_dir() {
            let data = self.data.data.display();
            return Err(Usage(format!("there is no directory in `{data}`: nothing was exported")).into());
        }
        let store = open(self.data.options()?, &self.data)?;
        let mut output = output::create(self.output.as_deref())?;
        let mut options = ExportOptions::default();
        options.base = self.base;
        options.operational = true;
        options.password_hashes = true;
        let count = store.export(&mut output, &options)?;
        output.flush()?;
        crate::say(format_args!("exported {count} entries"));
        store.close();
        Ok(ExitCode::SUCCESS)
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
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
