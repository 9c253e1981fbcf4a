//! `flext-ldap directory serve`: the directory on sockets, until a signal. What it is like is in `config.rs`.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use flext_ldap::Reopen;
use flext_ldap_directory::proto::{dn::Dn, schema::Schema, url::LdapUrl};
use flext_ldap_server::{Server, ServerTls};
use flext_ldap_store::{ImportError, ImportOptions, IndexStage, Store, access::AccessRules};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    Data, access,
    config::{Administrator, Config, Configured, Draft, Purpose, quoted},
    control::{Control, Subject},
    import::{Rest, load, rest},
    indexes,
    monitor::{Known, Readers, monitor},
    open,
};
use crate::{
    connect::dn,
    listener::{
        GRACE, Listener, Stop, TlsFiles, descriptors, ready,
        systemd::{self, Passed, State, notify},
    },
    output::advise,
};

const RELOAD: &str = "\
Signals:
  SIGHUP           read the configuration, the access rules and the certificate again (a mistake in
                   them changes nothing), and open the access log again
  SIGTERM, SIGINT  stop: what is under way has 5 seconds to end; a second one stops at once";

/// Arguments of `directory serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = RELOAD)]
pub(super) struct Serve {
    #[command(flatten)]
    configured: Configured,
    /// Serve nothing: look at the configuration and all it names, what is stored and the addresses included, and say what a
    /// start would refuse (exit code 201), and what works and may surprise
    #[arg(long)]
    check: bool,
    /// Where to listen: ldap://HOST:PORT, ldaps://HOST:PORT, ldapi://PATH with `/` as `%2F`; port 0 takes a free one
    #[arg(long, value_name = "URL")]
    listen: Vec<LdapUrl>,
    /// Name of the administrator, who may do everything and need not be an entry; over ldapi root and the user who
    /// serves are the administrator too, by SASL EXTERNAL
    #[arg(long, value_name = "DN", value_parser = dn, requires = "admin_password_file")]
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
    /// Load this LDIF (`-`: standard input) before serving; for the first start, since an entry that is there already stops it
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,
    /// Hash clear-text passwords of the imported LDIF instead of refusing them
    #[arg(long, requires = "import")]
    hash_passwords: bool,
    /// Let those who have not signed in read all but secrets
    #[arg(long)]
    anonymous_read: bool,
    /// Access rules (YAML: a list); without them users read all but secrets and change their own passwords
    #[arg(long, value_name = "FILE", conflicts_with = "anonymous_read")]
    rules: Option<PathBuf>,
    /// Hold accounts without a pwdPolicySubentry to the password policy at this name, a pwdPolicy entry
    #[arg(long, value_name = "DN", value_parser = dn)]
    password_policy: Option<Dn>,
    /// Tell who binds to a locked account, with the password policy control, that it is locked; others take it for a
    /// wrong password
    #[arg(long)]
    tell_lockout: bool,
    /// Log searches that work longer than this (`500ms`, `2s`), with how they were done; 1s if left out
    #[arg(long, value_name = "TIME", value_parser = time)]
    slow_search: Option<Duration>,
    /// Connections at the same time from one address
    #[arg(long, value_name = "NUMBER")]
    connections_per_address: Option<usize>,
    /// Write a line for each operation to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    access_log: Option<PathBuf>,
}

/// A folder that was made for a store. It goes again with whoever drops this, unless somebody was served or an entry is
/// in it.
struct Made {
    store: Store,
    folder: Option<PathBuf>,
}

impl Drop for Made {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let has_entry = |dn: &Dn| self.store.has_entry(dn).unwrap_or(true);
        if self.store.naming_contexts().iter().any(has_entry) {
            return;
        }
        self.store.close();
        if let Err(error) = Store::remove_from(&folder) {
            crate::say(format_args!("warning: an empty directory is left: {error}"));
        }
    }
}

/// A directory that is served: what SIGHUP is about.
struct Served {
    arguments: Serve,
    /// What it was started with.
    config: Config,
    subject: Arc<Subject>,
    server: Server,
    /// For the access log, which somebody may have renamed.
    reopen: Reopen,
    /// Of `cn=Monitor`.
    readers: Readers,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.check {
            return self.check();
        }
        // Taken while there is one thread: the variables that name them are unset.
        let passed = systemd::passed()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(self.serve(passed));
        // An import that a signal stopped is let go of: what is committed is safe.
        runtime.shutdown_background();
        result
    }

    /// The configuration as it is with what was said on the command line.
    fn config(&self) -> anyhow::Result<Draft> {
        let mut draft = self.configured.read()?;
        if !self.listen.is_empty() {
            draft.say("listen", |config| config.listen.clone_from(&self.listen));
        }
        if let (Some(dn), Some(path)) = (&self.admin_dn, &self.admin_password_file) {
            let administrator = Administrator::with_file(dn.clone(), path.clone());
            draft.say("administrator", |config| config.administrator = Some(administrator));
        }
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let (certificate, key) = (certificate.clone(), key.clone());
            draft.say("tls", |config| {
                let client_authorities = config.tls.take().and_then(|files| files.client_authorities);
                config.tls = Some(TlsFiles { certificate, key, client_authorities });
            });
        }
        if self.anonymous_read {
            draft.say("access", |config| (config.anonymous_read, config.access) = (true, None));
        }
        if let Some(policy) = &self.password_policy {
            draft.say("password_policy", |config| {
                (config.password_policy, config.lockout) = (Some(policy.clone()), None);
            });
        }
        if self.tell_lockout {
            draft.say("password_policy", |config| config.tell_lockout = true);
        }
        if let Some(slow) = self.slow_search {
            draft.say("log", |config| config.log.slow = Some(slow));
        }
        if let Some(most) = self.connections_per_address {
            draft.say("server", |config| config.server.connections_per_address = (most > 0).then_some(most));
        }
        if let Some(path) = &self.access_log {
            draft.say("log", |config| config.log.access = Some(path.clone()));
        }
        Ok(draft)
    }

    /// The access rules in force with this configuration.
    fn rules(&self, config: &Config, schema: &Schema) -> anyhow::Result<Arc<AccessRules>> {
        let rules = match &self.rules {
            Some(path) => access::rules(path, schema)?,
            None => config.rules(schema)?,
        };
        let administrator = config.administrator.iter();
        Ok(Arc::new(administrator.fold(rules, |rules, admin| rules.administrator(&admin.dn, schema))))
    }

    /// Says what a start would.
    fn check(self) -> anyhow::Result<ExitCode> {
        let config = self.config()?.settle(Purpose::Check)?;
        if self.rules.is_some() {
            self.rules(&config, &config.place()?.load_schema()?)?;
        }
        crate::say(format_args!("the configuration can be used"));
        Ok(ExitCode::SUCCESS)
    }

    async fn serve(self, passed: Vec<Passed>) -> anyhow::Result<ExitCode> {
        // Heard from the first moment, so that a signal during a long import ends it too, and a reload does not end it.
        let mut stop = Stop::new()?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut config = tokio::task::block_in_place(|| self.config()?.settle(Purpose::Serve))?;
        descriptors::provide(&mut config.server, "server.connections", 1);
        crate::logging::set_level(config.log.level.as_deref());
        let data = config.place()?;
        // Others who are served on the thread go on elsewhere.
        let mut options = config.store(data.options()?).long_work(|work| tokio::task::block_in_place(work));
        options = options.index_listener(|index| {
            if index.stage == IndexStage::Ready {
                crate::say(format_args!("the index is built: {} of {}", index.kind, index.attribute));
            }
        });
        if let Some(administrator) = &config.administrator {
            options = options.administrator(administrator.dn.clone(), administrator.password()?);
            for uid in [0, nix::unistd::geteuid().as_raw()] {
                options = options.peer_administrator(uid);
            }
        }
        let tls = config.tls.as_ref().map(TlsFiles::load).transpose()?;
        Listener::must_listen(&config.listen, &passed)?;
        // Nobody is served before the rules are there: they are about the schema of the store.
        let is_new = !data.is_memory() && data.data.symlink_metadata().is_err();
        let store = open(options.policy(Arc::new(AccessRules::none())), &data)?;
        let mut made = Made { store: store.clone(), folder: is_new.then(|| data.data.clone()) };
        let rules = store.with_schema(|schema| self.rules(&config, schema))?;
        store.set_policy(rules.clone());
        if let Some(path) = &self.import {
            let mut import = ImportOptions::default();
            import.hash_clear_passwords = self.hash_passwords;
            let (store, path) = (store.clone(), path.clone());
            let report = tokio::select! {
                report = tokio::task::spawn_blocking(move || load(&store, Some(&path), &import)) =>
                    report?.map_err(|error| self.not_loaded(error, &data))?,
                () = stop.wait() => {
                    made.folder = None;
                    anyhow::bail!("stopped by a signal while the LDIF was loaded: part of it is in");
                }
            };
            crate::say(format_args!("imported {} entries", report.applied));
        }
        let administrator = config.administrator.as_ref().map(|administrator| administrator.dn.clone());
        let subject = Subject::new(store.clone(), administrator, rules);
        let _control = control(&data, &subject);
        let reopen = Reopen::default();
        let readers = Readers::default();
        if let Some(some) = &config.monitor {
            readers.set(Known::new(&store, some, subject.administrator.as_ref())?);
        }
        let server = self.start(&config, &store, tls, passed, &reopen, &readers).await?;
        made.folder = None;
        subject.listens(server.urls());
        if !config.anonymous_read && config.access.is_none() && self.rules.is_none() {
            crate::say(format_args!(
                "who has not signed in sees no entry; --anonymous-read, or `access` in --config, changes that"
            ));
        }
        for url in server.urls() {
            crate::say(format_args!("listening on {url}"));
        }
        let served = Served { arguments: self, config, subject, server, reopen, readers };
        notify(&ready(&served.server));
        loop {
            tokio::select! {
                () = stop.wait() => break,
                _ = hangup.recv() => tokio::task::block_in_place(|| served.reload()),
            }
        }
        notify(&State::Stopping);
        tokio::select! {
            () = served.server.shutdown(GRACE) => {}
            () = stop.wait() => crate::say(format_args!("a second signal: stopped at once")),
        }
        served.subject.store.close();
        Ok(ExitCode::SUCCESS)
    }

    /// Says how to go on after an import that failed.
    fn not_loaded(&self, error: anyhow::Error, data: &Data) -> anyhow::Error {
        // A file that cannot be read says so itself.
        let (Some(stopped), Some(file)) = (error.downcast_ref::<ImportError>(), &self.import) else {
            return error;
        };
        let rest = rest(stopped).filter(|_| !data.is_memory());
        let import = |options: &str| {
            let place = self.configured.options();
            let hash = if self.hash_passwords { "--hash-passwords " } else { "" };
            format!("`flext-ldap directory import {place} {hash}{options} -f {}`", quoted(file))
        };
        let advice = match rest {
            None => "nothing is served, and nothing was kept".to_owned(),
            Some(Rest::There) => format!(
                "nothing is served: leave --import out to serve what the folder has; {} loads what it does not have",
                import("-c")
            ),
            Some(Rest::From { options, mends }) => format!(
                "nothing is served: {}{} loads the rest; then serve without --import",
                if mends { "mend the record, and " } else { "" },
                import(&options)
            ),
        };
        advise(error, &advice)
    }

    async fn start(
        &self,
        config: &Config,
        store: &Store,
        tls: Option<ServerTls>,
        passed: Vec<Passed>,
        reopen: &Reopen,
        readers: &Readers,
    ) -> anyhow::Result<Server> {
        let mut server = Server::builder(Arc::new(store.clone())).limits(config.server.clone());
        if let Some(mode) = config.socket_mode {
            server = server.socket_mode(mode);
        }
        if config.monitor.is_some() {
            server = server.monitor(monitor(store, readers.clone()));
        }
        let access_log = config.log.access.as_deref();
        Listener { urls: &config.listen, passed, tls, access_log }.start(server, reopen).await
    }
}

impl Served {
    /// Reads everything again. What is faulty changes nothing.
    fn reload(&self) {
        notify(&State::Reloading);
        self.reopen.ask();
        match self.settle() {
            Ok(restart) => {
                crate::say(format_args!("the configuration was read again"));
                self.tell_indexes();
                if !restart.is_empty() {
                    let keys: Vec<_> = restart.iter().map(|key| format!("`{key}`")).collect();
                    crate::say(format_args!("changed, but used only after a restart: {}", keys.join(", ")));
                }
            }
            Err(error) => crate::say(format_args!("the configuration stays as it was: {error:#}")),
        }
        notify(&ready(&self.server));
    }

    /// Says which indexes are built and removed from now on.
    fn tell_indexes(&self) {
        match indexes::pending(&self.subject.store) {
            Ok(sentences) => sentences.iter().for_each(|sentence| crate::say(format_args!("{sentence}"))),
            Err(error) => crate::say(format_args!("warning: how far the indexes are is not known: {error}")),
        }
    }

    /// Puts in force what can change. Returns what needs a restart.
    fn settle(&self) -> anyhow::Result<Vec<&'static str>> {
        let Self { arguments, config: started, subject, server, .. } = self;
        let store = &subject.store;
        let mut config = arguments.config()?.settle(Purpose::Reload(store, started))?;
        let mut restart = config.needing_restart(started);
        if config.tls.is_none() && started.tls.is_some() {
            restart.push("tls");
        }
        if config.monitor.is_some() != started.monitor.is_some() {
            restart.push("monitor");
        }
        config.administrator.clone_from(&started.administrator);
        let rules = store.with_schema(|schema| arguments.rules(&config, schema))?;
        let tls = config.tls.as_ref().map(TlsFiles::load).transpose()?;
        let readers =
            config.monitor.iter().map(|some| Known::new(store, some, subject.administrator.as_ref()));
        let readers = readers.collect::<anyhow::Result<Vec<_>>>()?;
        // The last that can be refused: all else is sound.
        if let Some(indexes) = &config.indexes
            && !store.set_indexes(indexes)?
        {
            restart.push("indexes");
        }
        descriptors::provide(&mut config.server, "server.connections", 1);
        readers.into_iter().for_each(|known| self.readers.set(known));
        subject.set_rules(rules);
        store.set_limits(&config.limits);
        store.set_unindexed(config.unindexed);
        store.set_slow(config.log.slow);
        server.set_limits(config.server);
        if let Some(tls) = tls {
            server.set_tls(tls);
        }
        crate::logging::set_level(config.log.level.as_deref());
        Ok(restart)
    }
}

/// What the other `directory` commands ask. The directory is served without it too.
fn control(data: &Data, subject: &Arc<Subject>) -> Option<Control> {
    if data.is_memory() {
        return None;
    }
    Control::start(&data.data, Arc::clone(subject))
        .inspect_err(|error| {
            crate::say(format_args!(
                "warning: no backup, check, explain and access while this is served: {error}"
            ));
        })
        .ok()
}

fn time(text: &str) -> Result<Duration, String> {
    flext_ldap::yaml::time(text).ok_or_else(|| "not a time like `500ms`, `30s` or `1h`".to_owned())
}
