//! What a test directory is, holds, resets to and says.

use std::{io::Write as _, net::TcpStream, os::unix::net::UnixStream, sync::Arc};

use flext_ldap_proto::{
    extended::{ExtendedOperation as _, StartTls},
    message::{Request, Response},
    result::ResultCode,
    url::LdapUrl,
};
use flext_ldap_testkit::{TestDirectory, TestDirectoryError};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

use crate::client::{Client, administrator, connect};

const LDIF: &str = "\
version: 1

dn: o=Harbour Lane Instruments
objectClass: organization
o: Harbour Lane Instruments

dn: ou=people,o=Harbour Lane Instruments
objectClass: organizationalUnit
ou: people

dn: uid=ada,ou=people,o=Harbour Lane Instruments
objectClass: inetOrgPerson
uid: ada
cn: Ada Example
sn: Example
userPassword: brass sextant
";

#[test]
fn one_line() {
    let directory = TestDirectory::start().unwrap();
    let mut client = administrator(&directory);
    assert_eq!(client.who_am_i(), "dn:cn=admin,dc=harbourlane,dc=example");
    let found = client.search(directory.base_dn(), "dc").unwrap();
    assert_eq!(found, [("dc=harbourlane,dc=example".to_owned(), Some("harbourlane".to_owned()))]);
    assert_eq!((directory.ldaps_url(), directory.ldapi_url(), directory.ca_pem()), (None, None, None));
}

#[tokio::test]
async fn one_line_where_a_runtime_runs_already() {
    let directory = TestDirectory::builder().ldif(LDIF).start().unwrap();
    assert_eq!(connect(&directory).who_am_i(), "");
    directory.reset().unwrap();
    drop(directory);
}

#[test]
fn ldif_from_text_or_file_says_the_suffix() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(LDIF.as_bytes()).unwrap();
    for builder in [TestDirectory::builder().ldif(LDIF), TestDirectory::builder().ldif_file(file.path())] {
        let directory = builder.admin("cn=Boss", "halyard").start().unwrap();
        assert_eq!(directory.base_dn().as_str(), "o=Harbour Lane Instruments");
        assert_eq!((directory.admin_dn().as_str(), directory.admin_password()), ("cn=Boss", "halyard"));
        assert_eq!(administrator(&directory).search(directory.base_dn(), "uid").unwrap().len(), 3);
        let ada = "uid=ada,ou=people,o=Harbour Lane Instruments";
        assert_eq!(connect(&directory).bind(ada, "brass sextant"), ResultCode::SUCCESS);
        assert_eq!(connect(&directory).bind(ada, "tin sextant"), ResultCode::INVALID_CREDENTIALS);
    }
}

#[test]
fn strangers_read_only_where_they_may() {
    let closed = TestDirectory::builder().ldif(LDIF).start().unwrap();
    assert!(connect(&closed).search(closed.base_dn(), "uid").is_err());
    let open = TestDirectory::builder().ldif(LDIF).anonymous_read().start().unwrap();
    assert_eq!(connect(&open).search(open.base_dn(), "uid").unwrap().len(), 3);
}

#[test]
fn reset_brings_back_what_was_loaded() {
    let directory = TestDirectory::builder().ldif(LDIF).start().unwrap();
    let mut client = administrator(&directory);
    let before = client.search(directory.base_dn(), "entryUUID").unwrap();
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|(_, uuid)| uuid.as_ref().is_some_and(|uuid| uuid.len() == 36)), "{before:?}");
    let ada = "uid=ada,ou=people,o=Harbour Lane Instruments";
    for _ in 0..2 {
        assert_eq!(client.delete(ada), ResultCode::SUCCESS);
        assert_eq!(client.delete("ou=people,o=Harbour Lane Instruments"), ResultCode::SUCCESS);
        assert_eq!(client.delete("o=Harbour Lane Instruments"), ResultCode::SUCCESS);
        directory.reset().unwrap();
        assert_eq!(client.search(directory.base_dn(), "entryUUID").unwrap(), before);
        assert_eq!(connect(&directory).bind(ada, "brass sextant"), ResultCode::SUCCESS);
    }
}

#[test]
fn many_in_parallel() {
    let threads: Vec<_> = (0..8)
        .map(|number| {
            std::thread::spawn(move || {
                let suffix = format!("dc=test{number}");
                let directory = TestDirectory::builder().suffix(&suffix).start().unwrap();
                let mut client = administrator(&directory);
                assert_eq!(client.search(directory.base_dn(), "dc").unwrap()[0].0, suffix);
                assert_eq!(client.delete(&suffix), ResultCode::SUCCESS);
                directory
            })
        })
        .collect();
    let directories: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut urls: Vec<_> = directories.iter().map(TestDirectory::url).collect();
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 8);
}

#[test]
fn it_ends_when_it_is_dropped() {
    let directory = TestDirectory::start().unwrap();
    let mut client = administrator(&directory);
    let url: LdapUrl = directory.url().parse().unwrap();
    drop(directory);
    // A notice, then the end.
    let (_, envelope) = client.receive().expect("a notice");
    assert_eq!(envelope.id.0, 0);
    assert!(client.receive().is_none());
    assert!(TcpStream::connect(("127.0.0.1", url.port())).is_err());
}

fn tls(directory: &TestDirectory, stream: TcpStream) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    let ca = directory.ca_pem().unwrap();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection =
        ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap()).unwrap();
    Client::new(StreamOwned::new(connection, stream))
}

#[test]
fn tls_by_port_and_by_start_tls() {
    let directory = TestDirectory::builder().tls().start().unwrap();
    let url: LdapUrl = directory.ldaps_url().unwrap().parse().unwrap();
    let mut client = tls(&directory, TcpStream::connect(("127.0.0.1", url.port())).unwrap());
    assert_eq!(client.bind(directory.admin_dn().as_str(), directory.admin_password()), ResultCode::SUCCESS);
    let mut clear = connect(&directory);
    let Response::Extended(answer) = clear.ask(&Request::Extended(StartTls.request())) else {
        panic!("no answer")
    };
    assert_eq!(answer.result.code, ResultCode::SUCCESS);
    let mut client = tls(&directory, clear.0);
    assert_eq!(client.bind(directory.admin_dn().as_str(), directory.admin_password()), ResultCode::SUCCESS);
}

#[test]
fn whoever_runs_the_test_is_the_administrator_on_the_unix_socket() {
    let directory = TestDirectory::builder().ldapi().start().unwrap();
    let url: LdapUrl = directory.ldapi_url().unwrap().parse().unwrap();
    let mut client = Client::new(UnixStream::connect(&url.host).unwrap());
    assert_eq!(client.external(), ResultCode::SUCCESS);
    assert_eq!(client.who_am_i(), "dn:cn=admin,dc=harbourlane,dc=example");
    drop(directory);
    assert!(!std::path::Path::new(&url.host).exists());
}

#[test]
fn mistakes_are_named() {
    let error = TestDirectory::builder().suffix("nonsense").start().unwrap_err();
    assert!(matches!(error, TestDirectoryError::Dn { .. }), "{error}");
    let error = TestDirectory::builder().suffix("cn=x").start().unwrap_err();
    assert_eq!(
        error.to_string(),
        "no entry can be made for the suffix `cn=x`; give LDIF that starts with it"
    );
    let error = TestDirectory::builder().ldif("# nothing\n").start().unwrap_err();
    assert!(matches!(error, TestDirectoryError::NoSuffix), "{error}");
    let error = TestDirectory::builder().ldif_file("/no/such/file").start().unwrap_err();
    assert_eq!(error.to_string(), "cannot read `/no/such/file`");
    let bad = format!("{LDIF}\ndn: cn=x,o=Nowhere\nobjectClass: device\ncn: x\n");
    let error = TestDirectory::builder().ldif(bad).start().unwrap_err();
    let TestDirectoryError::Load(load) = error else { panic!("{error}") };
    assert_eq!((load.line, load.applied), (18, 3));
}

#[test]
fn a_reset_is_not_held_up_by_the_limits_of_searches() {
    let mut limits = flext_ldap_store::Limits::default();
    limits.size = 1;
    let directory = TestDirectory::builder().ldif(LDIF).store_limits(limits).start().unwrap();
    directory.reset().unwrap();
}
