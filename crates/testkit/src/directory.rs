//! A running test directory.

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use flext_ldap_directory::{Actor, DirectoryExt as _, Request};
use flext_ldap_proto::{
    dn::Dn,
    filter::Filter,
    message::{Delete, Scope, Search},
    url::{LdapUrl, Scheme},
};
use flext_ldap_server::{Server, StartError};
use flext_ldap_store::{ExportOptions, ImportOptions, Store, StoreOptions};
use tokio::{runtime, sync::oneshot, time::timeout};

use crate::{TestDirectoryBuilder, TestDirectoryError, builder::Contents, tls};

/// How long connections may take to hear that the directory ends.
const GOODBYE: Duration = Duration::from_millis(100);

/// A directory for one test, or for many that [`reset`](Self::reset) it. Ends when it is dropped.
pub struct TestDirectory {
    store: Store,
    urls: Vec<(Scheme, String)>,
    suffix: Dn,
    admin_dn: Dn,
    admin_password: String,
    ca_pem: Option<String>,
    /// What was loaded, with identities and hashes.
    loaded: Vec<u8>,
    handle: runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Holds the Unix socket.
    _folder: Option<tempfile::TempDir>,
}

impl TestDirectory {
    /// A directory that holds the entry `dc=harbourlane,dc=example`, on a free port of 127.0.0.1.
    ///
    /// ```
    /// let directory = flext_ldap_testkit::TestDirectory::start()?;
    /// assert_eq!(directory.base_dn().as_str(), "dc=harbourlane,dc=example");
    /// # Ok::<(), flext_ldap_testkit::TestDirectoryError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the system has no port or thread left.
    pub fn start() -> Result<Self, TestDirectoryError> {
        Self::builder().start()
    }

    /// Says what it shall hold and how it listens.
    pub fn builder() -> TestDirectoryBuilder {
        TestDirectoryBuilder::default()
    }

    pub(crate) fn run(builder: &TestDirectoryBuilder) -> Result<Self, TestDirectoryError> {
        let Contents { suffix, ldif, admin_dn, admin_password } = builder.contents()?;
        let mut options = StoreOptions::memory()
            .suffix(suffix.clone())
            .administrator(admin_dn.clone(), admin_password.as_str().into())
            .policy(Arc::new(builder.policy.clone()));
        if builder.scram {
            options = options.scram();
        }
        if let Some(schema) = &builder.schema {
            options = options.schema(schema.clone());
        }
        if let Some(limits) = &builder.store_limits {
            options = options.limits(limits.clone());
        }
        let folder = if builder.ldapi { Some(tempfile::tempdir()?) } else { None };
        if let Some(folder) = &folder {
            use std::os::unix::fs::MetadataExt as _;
            options = options.peer_administrator(folder.path().metadata()?.uid());
        }
        let store = Store::open(options)?;
        load(&store, ldif.as_bytes())?;
        let mut loaded = Vec::new();
        let mut everything = ExportOptions::default();
        everything.operational = true;
        everything.password_hashes = true;
        store.export(&mut loaded, &everything)?;

        let mut server = Server::builder(Arc::new(store.clone())).limits(builder.server_limits.clone());
        let mut addresses = vec!["ldap://127.0.0.1:0".to_owned()];
        let mut ca_pem = None;
        if builder.tls {
            let (server_tls, authority) = tls::make()?;
            server = server.tls(server_tls);
            ca_pem = Some(authority);
            addresses.push("ldaps://127.0.0.1:0".to_owned());
        }
        if let Some(folder) = &folder {
            addresses.push(ldapi(folder.path()));
        }
        for address in &addresses {
            server = server.listen(address.parse::<LdapUrl>().map_err(std::io::Error::other)?);
        }
        let (stop, stopped) = oneshot::channel();
        let (started, ready) = mpsc::sync_channel(1);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        // The runtime is dropped where it is not inside another one, as the caller's thread may be.
        let thread = std::thread::Builder::new().name("test-directory".to_owned()).spawn(move || {
            runtime.block_on(serve(server, started, stopped));
        })?;
        let mut directory = Self {
            store,
            urls: Vec::new(),
            suffix,
            admin_dn,
            admin_password,
            ca_pem,
            loaded,
            handle,
            stop: Some(stop),
            thread: Some(thread),
            _folder: folder,
        };
        directory.urls = ready.recv().map_err(|_| gone())??;
        Ok(directory)
    }

    /// Where it listens, e.g. `ldap://127.0.0.1:40001`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url_of(Scheme::Ldap).unwrap_or_default()
    }

    /// Where it listens for TLS from the first octet, after [`tls`](TestDirectoryBuilder::tls).
    #[must_use]
    pub fn ldaps_url(&self) -> Option<&str> {
        self.url_of(Scheme::Ldaps)
    }

    /// Its Unix socket, after [`ldapi`](TestDirectoryBuilder::ldapi).
    #[must_use]
    pub fn ldapi_url(&self) -> Option<&str> {
        self.url_of(Scheme::Ldapi)
    }

    fn url_of(&self, scheme: Scheme) -> Option<&str> {
        self.urls.iter().find(|(found, _)| *found == scheme).map(|(_, url)| url.as_str())
    }

    /// The certificate of the authority to trust, in PEM, after [`tls`](TestDirectoryBuilder::tls). The server's is
    /// good for `localhost`, `127.0.0.1` and `::1`.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// The suffix.
    #[must_use]
    pub fn base_dn(&self) -> &Dn {
        &self.suffix
    }

    /// Who may do everything.
    #[must_use]
    pub fn admin_dn(&self) -> &Dn {
        &self.admin_dn
    }

    /// The administrator's password.
    #[must_use]
    pub fn admin_password(&self) -> &str {
        &self.admin_password
    }

    /// The directory itself, without a wire: to look at what a program has done.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Makes the contents what they were when it started, entryUUID, time stamps and passwords included. Connections
    /// stay open. Blocks until it is done.
    ///
    /// # Errors
    ///
    /// When the directory fails.
    pub fn reset(&self) -> Result<(), TestDirectoryError> {
        let (store, suffix) = (self.store.clone(), self.suffix.clone());
        let (emptied, wait) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            // Nobody waits any more if it cannot be sent.
            let _ = emptied.send(empty(&store, suffix).await);
        });
        wait.recv().map_err(|_| gone())??;
        load(&self.store, &self.loaded)
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // It has ended already if it cannot be told.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A panic there was printed there.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for TestDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestDirectory")
            .field("urls", &self.urls)
            .field("suffix", &self.suffix)
            .finish_non_exhaustive()
    }
}

type Started = Result<Vec<(Scheme, String)>, StartError>;

/// Serves until told to stop, or until nobody is left to tell.
async fn serve(
    server: flext_ldap_server::ServerBuilder,
    started: mpsc::SyncSender<Started>,
    stopped: oneshot::Receiver<()>,
) {
    let server = match server.start().await {
        Ok(server) => server,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let urls = server.urls().iter().map(|url| (url.scheme, url.to_string())).collect();
    if started.send(Ok(urls)).is_ok() {
        let _ = stopped.await;
    }
    // Who does not listen is not waited for.
    let _ = timeout(GOODBYE, server.shutdown(Duration::ZERO)).await;
}

fn load(store: &Store, ldif: &[u8]) -> Result<(), TestDirectoryError> {
    let mut options = ImportOptions::default();
    options.hash_clear_passwords = true;
    store.import(ldif, &options, &mut |_| ())?;
    Ok(())
}

/// Deletes everything, children before parents.
async fn empty(store: &Store, suffix: Dn) -> Result<(), TestDirectoryError> {
    let search = Search::new(suffix, Scope::Subtree, Filter::any()).attributes(["1.1"]);
    let mut entries = store.search(Request::new(search, Actor::Service));
    let mut names = Vec::new();
    loop {
        match entries.next().await {
            Ok(Some(entry)) => names.push(entry.dn().map_err(std::io::Error::other)?),
            Ok(None) => break,
            Err(error)
                if error.result_code() == Some(flext_ldap_proto::result::ResultCode::NO_SUCH_OBJECT) =>
            {
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    names.sort_by_key(|name| std::cmp::Reverse(name.depth()));
    for dn in names {
        store.delete(Request::new(Delete { dn }, Actor::Service)).await?;
    }
    Ok(())
}

fn ldapi(folder: &std::path::Path) -> String {
    use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _};
    let mut url = "ldapi://".to_owned();
    for octet in folder.join("ldapi").as_os_str().as_bytes() {
        // Printing into a `String` cannot fail.
        let _ = match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                write!(url, "{}", char::from(*octet))
            }
            _ => write!(url, "%{octet:02X}"),
        };
    }
    url
}

fn gone() -> std::io::Error {
    std::io::Error::other("the thread of the test directory has ended")
}
