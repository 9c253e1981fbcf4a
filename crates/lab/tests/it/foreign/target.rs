//! Where a foreign client goes: our directory, or slapd with the same content.

use std::{path::PathBuf, sync::Arc};

use flext_ldap_client::{Connector, Pool};
use flext_ldap_lab::{Authority, Content, Slapd, SlapdOptions, Tool};
use flext_ldap_proxy::Proxy;
use flext_ldap_server::{Server, ServerTls};
use flext_ldap_testkit::TestDirectory;
use tempfile::TempDir;

/// The suffix of both.
pub(crate) const BASE: &str = "dc=harbourlane,dc=example";

/// The administrator of both.
pub(crate) const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";

/// The administrator's password.
pub(crate) const PASSWORD: &str = "harbour-master";

/// The company and its people's place.
pub(crate) const COMPANY: &str = "dn: dc=harbourlane,dc=example
objectClass: dcObject
objectClass: organization
dc: harbourlane
o: Harbour Lane Instruments

dn: ou=people,dc=harbourlane,dc=example
objectClass: organizationalUnit
ou: people

";

/// What both hold at the start beside it.
const FORMER: &str = "dn: ou=former,dc=harbourlane,dc=example
objectClass: organizationalUnit
ou: former
";

/// A directory, running.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) ldap: String,
    pub(crate) ldaps: String,
    pub(crate) ldapi: String,
    pub(crate) ca_file: PathBuf,
    _running: Box<dyn std::any::Any>,
}

/// How a client gets there: what it says, and to which URL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Way {
    Plain,
    StartTls,
    Ldaps,
    Ldapi,
}

pub(crate) const WAYS: [Way; 4] = [Way::Plain, Way::StartTls, Way::Ldaps, Way::Ldapi];

impl Target {
    /// Our directory and slapd.
    pub(crate) fn both() -> [Self; 2] {
        [Self::slapd(), Self::ours()]
    }

    pub(crate) fn ours() -> Self {
        let directory = TestDirectory::builder()
            .ldif([COMPANY, FORMER].concat())
            .admin(ADMIN, PASSWORD)
            .anonymous_read()
            .tls()
            .ldapi()
            .start()
            .unwrap();
        let folder = TempDir::new().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, directory.ca_pem().unwrap()).unwrap();
        Self {
            name: "our directory",
            ldap: directory.url().to_owned(),
            ldaps: directory.ldaps_url().unwrap().to_owned(),
            ldapi: directory.ldapi_url().unwrap().to_owned(),
            ca_file,
            _running: Box::new((directory, folder)),
        }
    }

    /// The proxy before our directory.
    pub(crate) fn proxy() -> Self {
        let behind = Self::ours();
        let folder = TempDir::new().unwrap();
        let authority = Authority::new().unwrap();
        let identity = authority.server().unwrap();
        let tls =
            ServerTls::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes()).unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, authority.pem()).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(async {
            let connector = Connector::builder().clear().url(&behind.ldap.parse().unwrap()).build().unwrap();
            let proxy = Proxy::builder(Pool::builder(connector).build().unwrap()).build();
            let server = Server::builder(Arc::new(proxy)).tls(tls);
            let server = server.listen("ldap://127.0.0.1:0".parse().unwrap());
            server.listen("ldaps://127.0.0.1:0".parse().unwrap()).start().await.unwrap()
        });
        let urls: Vec<_> = server.urls().iter().map(ToString::to_string).collect();
        Self {
            name: "the proxy",
            ldap: urls[0].clone(),
            ldaps: urls[1].clone(),
            ldapi: String::new(),
            ca_file,
            _running: Box::new((server, runtime, behind, folder)),
        }
    }

    pub(crate) fn slapd() -> Self {
        let slapd = Slapd::start(SlapdOptions {
            root_password: PASSWORD.to_owned(),
            content: Content::Text([COMPANY, FORMER].concat()),
            ..SlapdOptions::default()
        })
        .unwrap();
        Self {
            name: "slapd",
            ldap: slapd.ldap_url(),
            ldaps: slapd.ldaps_url(),
            ldapi: slapd.ldapi_url(),
            ca_file: slapd.ca_pem_file(),
            _running: Box::new(slapd),
        }
    }

    pub(crate) fn url(&self, way: Way) -> &str {
        match way {
            Way::Plain | Way::StartTls => &self.ldap,
            Way::Ldaps => &self.ldaps,
            Way::Ldapi => &self.ldapi,
        }
    }

    /// One of OpenLDAP's clients, on its way, not yet bound.
    pub(crate) fn tool(&self, name: &str, way: Way) -> Tool {
        let tool = Tool::new(name).unwrap().trust(&self.ca_file).args(["-H", self.url(way)]);
        if way == Way::StartTls { tool.arg("-ZZ") } else { tool }
    }

    /// The same as the administrator.
    pub(crate) fn admin_tool(&self, name: &str, way: Way) -> Tool {
        self.tool(name, way).args(["-x", "-D", ADMIN, "-w", PASSWORD])
    }
}
