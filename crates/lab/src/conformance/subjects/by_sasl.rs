//! Servers whose administrator and users have signed in by a mechanism of SASL: inside the security layer that some of
//! them have, everything else is as ever.
//!
//! Servers know people here by `uid`, and the suite names its people by `cn`: they get one when they sign in. The
//! administrator of slapd and 389-ds is an entry too, since a mechanism wants somebody whose password can be looked up.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use anyhow::{Context as _, Result};
use flext_ldap_client::{Connection, Credentials, Kerberos, Mechanism, Sasl, Strength, TlsOptions};
use flext_ldap_directory::{
    Actor, DirectoryExt as _, Request,
    proto::{
        dn::Dn,
        filter::Filter,
        message::{Add, ChangeKind, Modify, Scope, Search},
        secret::Secret,
    },
};
use flext_ldap_server::{Server as Listener, ServerTls};

use super::{
    super::{Server, Subject, bench::attributes, shared::add_suffix},
    PASSWORD, Transport, add_suffix as add_suffix_to_store, administrator, begin_way_to, parsed,
    slapd_options, store_options, suffix,
};
use crate::{Authority, Content, DEFAULT_SUFFIX, Identity, Kdc, NsSlapd, Samba, Slapd};

/// The entry of an administrator, which is that by its name.
const ADMINISTRATOR: &str =
    "objectClass: inetOrgPerson\ncn: admin\nsn: Harker\nuid: admin\nuserPassword: harbour-master";

/// How people sign in to a server.
pub(in super::super) struct SignIn {
    mechanism: Mechanism,
    strength: Strength,
    url: String,
    transport: Transport,
    ca_pem: String,
    /// What the mechanism knows the administrator by, where it lets them in.
    administrator: Option<String>,
    /// Whether it lets users in; if not, they sign in by name and password.
    users: bool,
    kerberos: Option<Realm>,
    certificates: Option<SignCertificate>,
}

type SignCertificate = Box<dyn Fn(&str) -> Result<Identity> + Send + Sync>;

/// Where tickets come from.
struct Realm {
    settings: PathBuf,
    /// MIT's centre, and whom it knows. Samba's knows whom Samba knows.
    kdc: Option<(Arc<Kdc>, Mutex<BTreeSet<String>>)>,
}

impl SignIn {
    /// The administrator, signed in; `None` where the mechanism has no way to.
    pub(in super::super) async fn administrator(&self, password: &Secret) -> Result<Option<Connection>> {
        match &self.administrator {
            Some(name) => self.connect(name, password.clone()).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether users sign in by the mechanism.
    pub(in super::super) const fn takes_users(&self) -> bool {
        self.users
    }

    /// A user with this `uid`, signed in.
    pub(in super::super) async fn user(&self, uid: &str, password: &str) -> Result<Connection> {
        if let Some((kdc, known)) = self.kerberos.as_ref().and_then(|realm| realm.kdc.as_ref()) {
            let is_new = known.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
            if is_new {
                kdc.add_principal(uid, password)?;
            }
        }
        self.connect(uid, password.into()).await
    }

    async fn connect(&self, name: &str, password: Secret) -> Result<Connection> {
        let sasl = match (&self.kerberos, self.mechanism) {
            (Some(realm), _) => Sasl::kerberos(Kerberos::password(name, password).settings(&realm.settings)),
            (None, Mechanism::External) => Sasl::external(),
            (None, _) => Sasl::password(name, password),
        };
        let mut tls = TlsOptions::new().ca_pem(self.ca_pem.as_str());
        if let Some(sign) = &self.certificates {
            let identity = sign(name)?;
            tls = tls.client_certificate_pem(identity.certificate_pem, identity.key_pem.as_str().into());
        }
        let (builder, _) = begin_way_to(&parsed(&self.url)?, self.transport, tls);
        let credentials = Credentials::from(sasl.only(self.mechanism).strength(self.strength));
        let connection = builder.credentials(credentials).build()?.connect().await;
        connection.with_context(|| format!("{name} cannot sign in by {}", self.mechanism.name()))
    }
}

/// A server that people sign in to by this mechanism, with a security layer of at most this strength: 0 for none, 1 for one that
/// signs, and more for one that seals.
///
/// # Errors
/// The server is not to be had, does not start, or nobody can sign in so.
pub async fn by_sasl(server: Server, mechanism: &str, transport: Transport, most: u32) -> Result<Subject> {
    let mechanism = Mechanism::named(mechanism).with_context(|| format!("no mechanism {mechanism}"))?;
    let strength = Strength { least: most.min(1), most };
    let begin = |url: String, ca_pem: String| SignIn {
        mechanism,
        strength,
        url: url.replace("127.0.0.1", "localhost"),
        transport,
        ca_pem,
        administrator: Some("admin".to_owned()),
        users: true,
        kerberos: None,
        certificates: None,
    };
    let (sign_in, root, keep): (_, _, Box<dyn std::any::Any + Send + Sync>) = match server {
        Server::Embedded => {
            let (listener, authority, folder) = ours(transport).await?;
            let url = listener.urls().first().context("a server without URL")?.to_string();
            let sign_in = begin(url, authority.pem());
            let name = match (mechanism, transport) {
                (Mechanism::External, Transport::Ldapi) | (Mechanism::Plain, _) => {
                    Some(format!("dn:{}", administrator()?.0))
                }
                // Whoever may write an entry must not become the administrator by it: ours signs in by name.
                _ => None,
            };
            let shown = (mechanism == Mechanism::External && transport != Transport::Ldapi)
                .then(|| Box::new(move |name: &str| authority.client(name)) as SignCertificate);
            let sign_in = SignIn { administrator: name, certificates: shown, ..sign_in };
            (sign_in, administrator()?, Box::new((listener, folder)))
        }
        Server::OpenLdap => {
            let shared = shared_slapd()?;
            let url = match transport {
                Transport::Plain | Transport::StartTls => shared.server.ldap_url(),
                Transport::Ldaps => shared.server.ldaps_url(),
                Transport::Ldapi => shared.server.ldapi_url(),
            };
            let mut sign_in = begin(url, shared.server.ca_pem());
            if mechanism == Mechanism::External && transport != Transport::Ldapi {
                let signing = Arc::clone(&shared);
                sign_in.certificates = Some(Box::new(move |name| signing.server.authority().client(name)));
            }
            sign_in.kerberos = mechanism.is_kerberos().then(|| shared.realm()).transpose()?;
            let root = (shared.server.root_dn().parse()?, Secret::from(shared.server.root_password()));
            (sign_in, root, Box::new(shared))
        }
        Server::Ds389 => {
            let shared = shared_ns_slapd().await?;
            let url = match transport {
                Transport::Plain | Transport::StartTls => shared.server.ldap_url(),
                Transport::Ldaps => shared.server.ldaps_url(),
                Transport::Ldapi => shared.server.ldapi_url(),
            };
            let mut sign_in = begin(url, shared.server.ca_pem().to_owned());
            sign_in.kerberos = mechanism.is_kerberos().then(|| shared.realm()).transpose()?;
            let root = (shared.server.root_dn().parse()?, Secret::from(shared.server.root_password()));
            (sign_in, root, Box::new(shared))
        }
        Server::Samba => {
            let shared = Samba::shared()?;
            let mut sign_in = SignIn {
                administrator: Some("Administrator".to_owned()),
                // The suite's people have no password that it knows.
                users: false,
                ..begin(
                    if transport == Transport::Ldaps { shared.ldaps_url() } else { shared.ldap_url() },
                    shared.ca_pem(),
                )
            };
            let settings = settings_of(&shared.sign_in("Administrator", shared.root_password())?)?;
            sign_in.kerberos = Some(Realm { settings, kdc: None });
            let root = (shared.root_dn().parse()?, Secret::from(shared.root_password()));
            (sign_in, root, Box::new(shared))
        }
    };
    // Whoever comes by a socket is always the one user.
    let users = sign_in.users && !(mechanism == Mechanism::External && transport == Transport::Ldapi);
    let sign_in = SignIn { users, ..sign_in };
    let (builder, peer) =
        begin_way_to(&parsed(&sign_in.url)?, transport, TlsOptions::new().ca_pem(sign_in.ca_pem.as_str()));
    let name = format!("{server:?} by {}, {transport:?}, strength {most}", mechanism.name());
    // Short: Samba has names of at most 64 letters.
    let tag = match (server, mechanism) {
        (Server::Samba, Mechanism::Gssapi) => format!("!g{}", most.min(2)),
        (Server::Samba, _) => format!("!n{}", most.min(2)),
        _ => format!("-{}-{transport:?}-{}", mechanism.name(), most.min(2)).to_lowercase(),
    };
    let way = (builder.build()?, peer);
    Ok(Subject::new(name, server, way, suffix()?, root, keep).tagged(tag).signed_in(sign_in))
}

/// The mechanisms that a subject's server lists on its transport.
///
/// # Errors
/// Its root DSE cannot be read.
pub async fn offered(subject: &Subject) -> Result<BTreeSet<String>> {
    const OFFERED: &str = "supportedSASLMechanisms";
    let session = subject.sessions().open(subject.peer().clone()).await?;
    let every = Filter::present("objectClass".parse()?);
    let search = Search::new(Dn::root(), Scope::Base, every).attributes([OFFERED]);
    let root = session.search_one(Request::new(search, Actor::Anonymous)).await?;
    let values = root.attributes().get(OFFERED).map(|one| one.values().collect::<Vec<_>>());
    Ok(values
        .unwrap_or_default()
        .into_iter()
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect())
}

/// Our listener over a store that keeps keys for SCRAM and knows client certificates.
async fn ours(transport: Transport) -> Result<(Listener, Authority, tempfile::TempDir)> {
    let folder = tempfile::TempDir::with_prefix("listener-").context("cannot make a folder for a socket")?;
    let url = match transport {
        Transport::Plain | Transport::StartTls => "ldap://127.0.0.1:0".to_owned(),
        Transport::Ldaps => "ldaps://127.0.0.1:0".to_owned(),
        Transport::Ldapi => crate::slapd::ldapi_url(folder.path()),
    };
    let authority = Authority::new()?;
    let identity = authority.server()?;
    let (chain, key) = (identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
    let tls = ServerTls::with_client_authorities(chain, key, authority.pem().as_bytes())?;
    let rule = "subject.cn=uid".parse().map_err(|error| anyhow::anyhow!("{error}"))?;
    let store = flext_ldap_store::Store::open(store_options()?.scram().certificate_rule(rule))?;
    add_suffix_to_store(&store).await?;
    let listener = Listener::builder(Arc::new(store)).listen(parsed(&url)?).tls(tls).start().await?;
    Ok((listener, authority, folder))
}

/// A server that is a service of a realm.
struct InRealm<S> {
    // Before the realm: it needs it.
    server: S,
    kdc: Arc<Kdc>,
}

impl<S> InRealm<S> {
    fn realm(&self) -> Result<Realm> {
        let settings = settings_of(&self.kdc.client_environment("settings"))?;
        Ok(Realm { settings, kdc: Some((Arc::clone(&self.kdc), Mutex::default())) })
    }
}

fn settings_of(environment: &[(&'static str, OsString)]) -> Result<PathBuf> {
    let found = environment.iter().find(|(name, _)| *name == "KRB5_CONFIG");
    found.map(|(_, path)| path.into()).context("no settings of Kerberos")
}

fn realm_with_administrator() -> Result<Arc<Kdc>> {
    let kdc = Kdc::start()?;
    kdc.add_principal("admin", PASSWORD)?;
    Ok(Arc::new(kdc))
}

/// The one that runs, or a new one, which keeps passwords in clear text: without them nothing is proved. It ends with the
/// last who holds it.
fn shared_slapd() -> Result<Arc<InRealm<Slapd>>> {
    static RUNNING: Mutex<Weak<InRealm<Slapd>>> = Mutex::new(Weak::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shared) = running.upgrade() {
        return Ok(shared);
    }
    let kdc = realm_with_administrator()?;
    let mut options = slapd_options();
    if let Content::Text(text) = &mut options.content {
        text.push_str(&format!("\ndn: cn=admin,{DEFAULT_SUFFIX}\n{ADMINISTRATOR}\n"));
    }
    let by_uid = format!("ldap:///{DEFAULT_SUFFIX}??sub?(uid=$1)");
    options.global_lines = vec![
        "sasl-host localhost".to_owned(),
        format!("sasl-realm {}", kdc.realm()),
        format!("authz-regexp \"^(uid=admin,.*cn=auth|cn=admin,o=lab)$\" \"cn=admin,{DEFAULT_SUFFIX}\""),
        format!("authz-regexp \"^cn=([^,]+),o=lab$\" \"{by_uid}\""),
        format!("authz-regexp \"^uid=([^,/@]+)(@[^,]*)?(,cn=[^,]+)?,cn=[^,]+,cn=auth$\" \"{by_uid}\""),
    ];
    options.environment = kdc.server_environment();
    let started = Arc::new(InRealm { server: Slapd::start(options)?, kdc });
    *running = Arc::downgrade(&started);
    Ok(started)
}

/// The one that runs, or a new one, which keeps passwords as they come. It ends with the last who holds it.
async fn shared_ns_slapd() -> Result<Arc<InRealm<NsSlapd>>> {
    static RUNNING: tokio::sync::Mutex<Weak<InRealm<NsSlapd>>> = tokio::sync::Mutex::const_new(Weak::new());
    let mut running = RUNNING.lock().await;
    if let Some(shared) = running.upgrade() {
        return Ok(shared);
    }
    let kdc = realm_with_administrator()?;
    let server = NsSlapd::start_one_by_one_with(&kdc.server_environment())?;
    let (connection, administrator) = add_suffix(&server).await?;
    let hashing = Modify::new("cn=config".parse()?).change(
        ChangeKind::Replace,
        "passwordStorageScheme".parse()?,
        ["CLEAR"],
    );
    connection.modify(Request::new(hashing, administrator.clone())).await.context("cannot keep passwords")?;
    let entry = Add::new(format!("cn=admin,{DEFAULT_SUFFIX}").parse()?, attributes(ADMINISTRATOR));
    connection.add(Request::new(entry, administrator)).await.context("cannot add the administrator")?;
    let started = Arc::new(InRealm { server, kdc });
    *running = Arc::downgrade(&started);
    Ok(started)
}
