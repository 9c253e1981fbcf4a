//! SASL between the two worlds: our client on a real slapd, libldap's tools on our listener, and our client on our
//! listener.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_client::{
    Connection, Connector, Credentials, Mechanism, Pool, Sasl, ScramHash, Server as _, TlsOptions,
};
use flext_ldap_directory::{Actor, Deadline, DirectoryExt as _, Error, ErrorKind};
use flext_ldap_lab::{Authority, Content, NsSlapd, Slapd, SlapdOptions, Tool};
use flext_ldap_proto::channel_binding::BindingKind;
use flext_ldap_server::{Server, ServerTls};
use flext_ldap_store::{ImportOptions, Store, StoreOptions};

const BASE: &str = "dc=harbourlane,dc=example";
const PASSWORD: &str = "low water 7";

/// Ada, with a password in clear text, as slapd wants it for SCRAM.
fn content() -> String {
    format!(
        "dn: {BASE}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: ou=people,{BASE}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: uid=ada,ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada Byrne\nsn: Byrne\nuserPassword: {PASSWORD}\n\n\
         dn: uid=ben,ou=people,{BASE}\nobjectClass: inetOrgPerson\nuid: ben\ncn: Ben Ode\nsn: Ode\n"
    )
}

/// Whom slapd takes the users of mechanisms for.
fn map() -> String {
    format!(r#"authz-regexp "^uid=([^,/@]+)(,cn=[^,]+)?,cn=[^,]+,cn=auth$" "uid=$1,ou=people,{BASE}""#)
}

fn slapd() -> Slapd {
    let lines = ["sasl-host localhost", "sasl-secprops noanonymous", &map()];
    let global_lines = lines.map(str::to_owned).to_vec();
    Slapd::start(SlapdOptions { content: Content::Text(content()), global_lines, ..SlapdOptions::default() })
        .unwrap()
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

async fn who(connected: Result<Connection, Error>) -> Result<String, Error> {
    let connection = connected?;
    let who = connection.who_am_i(Actor::Service).await?;
    connection.close().await;
    Ok(who)
}

fn ada() -> Sasl {
    Sasl::password("ada", PASSWORD)
}

const fn scram(hash: ScramHash, plus: bool) -> Mechanism {
    Mechanism::Scram { hash, plus }
}

#[test]
fn our_client_signs_in_to_slapd() {
    let slapd = slapd();
    run(signs_in_by_each(&slapd.ldap_url(), &slapd.ldaps_url(), &slapd.ca_pem()));
}

/// It calls what SCRAM binds to by a name of its own, so that only its own clients can; with a ticket it is as it should be
/// (`gssapi`).
#[test]
fn slapd_that_binds_to_the_channel_takes_scram_without_it() {
    let lines = ["sasl-host localhost", "sasl-cbinding tls-endpoint", &map()];
    let global_lines = lines.map(str::to_owned).to_vec();
    let options = SlapdOptions { content: Content::Text(content()), global_lines, ..SlapdOptions::default() };
    let slapd = Slapd::start(options).unwrap();
    let url = slapd.ldaps_url().parse().unwrap();
    let connect = async |sasl: Sasl| {
        let tls = TlsOptions::new().ca_pem(slapd.ca_pem());
        let connector = Connector::builder().ldaps(tls).url(&url).credentials(sasl).build().unwrap();
        who(connector.connect().await).await
    };
    run(async {
        let scram_256 = |plus| ada().only(scram(ScramHash::Sha256, plus));
        for sasl in [scram_256(true).binding(BindingKind::TlsServerEndPoint), ada()] {
            let error = connect(sasl).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
            assert!(error.to_string().contains("Expected: ldap, received: tls-"), "{error}");
        }
        let her = format!("dn:uid=ada,ou=people,{BASE}");
        assert_eq!(connect(scram_256(false)).await.unwrap(), her);
    });
}

#[test]
fn our_client_signs_in_to_389_ds() {
    let server = NsSlapd::start().unwrap();
    // It hashes what is set unless told that it is no hash, and of a hash there is nothing to prove.
    let entries = content().replace("userPassword: ", "userPassword: {CLEAR}");
    let (url, root) = (server.ldap_url(), server.root_dn());
    let arguments = ["-x", "-H", &url, "-D", &root, "-w", server.root_password()];
    Tool::new("ldapadd").unwrap().args(arguments).input(entries).run().unwrap().success().unwrap();
    run(signs_in_by_each(&url, &server.ldaps_url(), server.ca_pem()));
}

/// Ada, by each mechanism that these servers offer and the client has, in clear and inside TLS, alone and from a pool.
async fn signs_in_by_each(ldap: &str, ldaps: &str, ca_pem: &str) {
    let (ldap, ldaps) = (ldap.parse().unwrap(), ldaps.parse().unwrap());
    let clear = |sasl: Sasl| Connector::builder().clear().url(&ldap).credentials(sasl).build().unwrap();
    let tls = |sasl: Sasl| {
        let trusting = TlsOptions::new().ca_pem(ca_pem);
        Connector::builder().ldaps(trusting).url(&ldaps).credentials(sasl).build().unwrap()
    };
    // 389-ds puts a space in front of the name.
    let is_ada = |who: &str| who.replace("dn: ", "dn:") == format!("dn:uid=ada,ou=people,{BASE}");
    let hashes = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512];
    let mechanisms = [Mechanism::Plain, Mechanism::DigestMd5].into_iter();
    for mechanism in mechanisms.chain(hashes.map(|hash| scram(hash, false))) {
        for connector in [clear(ada().only(mechanism)), tls(ada().only(mechanism))] {
            let got = who(connector.connect().await).await.unwrap();
            assert!(is_ada(&got), "{mechanism:?}: {got}");
            let pool = Pool::builder(connector).min(2).max(2).build().unwrap();
            pool.ready(Deadline::after(Duration::from_secs(20))).await.unwrap();
            let got = pool.who_am_i(Actor::Service).await.unwrap();
            assert!(is_ada(&got), "{mechanism:?}, from a pool: {got}");
            pool.shutdown(Deadline::after(Duration::from_secs(5))).await;
        }
        let wrong = Sasl::password("ada", "a guess").only(mechanism);
        let error = clear(wrong).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{mechanism:?} {error}");
    }
    // The strongest there is. It knows of channel binding, and says that it was offered none.
    for connector in [clear(ada()), tls(ada())] {
        let got = who(connector.connect().await).await.unwrap();
        assert!(is_ada(&got), "{got}");
    }
}

#[test]
fn a_pool_finds_a_rotated_password_and_sends_the_old_one_once() {
    run(async {
        let authority = Authority::new().unwrap();
        let (_store, server) = ours(&authority).await;
        let connector = Connector::builder().clear().url(&server.urls()[0]).build().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let times = Arc::clone(&asked);
        let source = move || {
            let password = if times.fetch_add(1, Ordering::Relaxed) == 0 { "high water 7" } else { PASSWORD };
            Ok(Sasl::password("ada", password).into())
        };
        let pool = Pool::builder(connector).credentials_from(source).build().unwrap();
        // The first answer may be that of the old password.
        let until = Deadline::after(Duration::from_secs(20));
        while pool.ready(until).await.is_err() {
            assert!(!until.has_passed(), "{:?}", pool.stats());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let got = pool.who_am_i(Actor::Service).await.unwrap();
        assert_eq!(got, format!("dn:uid=ada,ou=people,{BASE}"));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        pool.shutdown(Deadline::after(Duration::from_secs(5))).await;
        server.shutdown(Duration::from_secs(5)).await;
    });
}

/// Passwords are hashed as they come in.
fn clear_passwords() -> ImportOptions {
    let mut options = ImportOptions::default();
    options.hash_clear_passwords = true;
    options
}

/// Our listener over our store, on ldap and ldaps, with Ada in it.
async fn ours(authority: &Authority) -> (Store, Server) {
    let identity = authority.server().unwrap();
    let (chain, key) = (identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes());
    let tls = ServerTls::with_client_authorities(chain, key, authority.pem().as_bytes()).unwrap();
    let options = StoreOptions::memory().suffix(BASE.parse().unwrap()).scram();
    let store = Store::open(options.certificate_rule("subject.cn=uid".parse().unwrap())).unwrap();
    store.import(content().as_bytes(), &clear_passwords(), &mut |_| ()).unwrap();
    let server = Server::builder(Arc::new(store.clone()))
        .listen("ldap://127.0.0.1:0".parse().unwrap())
        .listen("ldaps://127.0.0.1:0".parse().unwrap())
        .tls(tls)
        .start()
        .await
        .unwrap();
    (store, server)
}

#[test]
fn our_client_signs_in_to_our_listener() {
    run(async {
        let authority = Authority::new().unwrap();
        let (_store, server) = ours(&authority).await;
        let (ldap, ldaps) = (&server.urls()[0], &server.urls()[1]);
        let trusting = || TlsOptions::new().ca_pem(authority.pem());
        let name = format!("dn:uid=ada,ou=people,{BASE}");
        let (one, other) = (BindingKind::TlsExporter, BindingKind::TlsServerEndPoint);
        let scram_256 = scram(ScramHash::Sha256, true);
        let sasls =
            [ada(), ada().binding(other), ada().only(scram_256).binding(one), ada().only(Mechanism::Plain)];
        for sasl in sasls.into_iter().chain([ada().only(scram(ScramHash::Sha512, false))]) {
            let at = format!("{sasl:?}");
            for builder in [
                Connector::builder().ldaps(trusting()).url(ldaps),
                Connector::builder().start_tls(trusting()).url(ldap),
            ] {
                let connector = builder.credentials(sasl.clone()).build().unwrap();
                assert_eq!(who(connector.connect().await).await.unwrap(), name, "{at}");
            }
        }
        let clear = |sasl: Sasl| Connector::builder().clear().url(ldap).credentials(sasl).build().unwrap();
        assert_eq!(who(clear(ada()).connect().await).await.unwrap(), name);
        let refused = clear(ada().acting_for("u:ben")).connect().await.unwrap_err();
        assert_eq!(refused.result_code().map(|code| code.0), Some(123), "authorizationDenied: {refused}");
        let wrong = clear(Sasl::password("ada", "a guess")).connect().await.unwrap_err();
        assert_eq!(wrong.result_code().map(|code| code.0), Some(49), "{wrong}");
        let nobody = Credentials::from(Sasl::external());
        let nobody = Connector::builder().clear().url(ldap).credentials(nobody).build().unwrap();
        assert_eq!(nobody.connect().await.unwrap_err().kind(), ErrorKind::Rejected);
        server.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn a_client_certificate_signs_in_to_our_listener() {
    run(async {
        let authority = Authority::new().unwrap();
        let (_store, server) = ours(&authority).await;
        let (ldap, ldaps) = (&server.urls()[0], &server.urls()[1]);
        let trusting = || TlsOptions::new().ca_pem(authority.pem());
        let shown = |authority: &Authority| {
            let identity = authority.client("ada").unwrap();
            trusting()
                .client_certificate_pem(identity.certificate_pem.as_str(), identity.key_pem.as_str().into())
        };
        for builder in [
            Connector::builder().ldaps(shown(&authority)).url(ldaps),
            Connector::builder().start_tls(shown(&authority)).url(ldap),
        ] {
            let connector = builder.credentials(Credentials::External).build().unwrap();
            let name = format!("dn:uid=ada,ou=people,{BASE}");
            assert_eq!(who(connector.connect().await).await.unwrap(), name);
        }
        // None is shown: there is nobody to be. Another authority's ends the handshake.
        let external = |tls| Connector::builder().ldaps(tls).url(ldaps).credentials(Credentials::External);
        let none = external(trusting()).build().unwrap().connect().await.unwrap_err();
        assert_eq!(none.kind(), ErrorKind::Rejected, "{none}");
        let other = external(shown(&Authority::new().unwrap())).build().unwrap().connect().await.unwrap_err();
        assert!(matches!(other.kind(), ErrorKind::Tls | ErrorKind::Closed), "{other}");
        server.shutdown(Duration::from_secs(5)).await;
    });
}

#[test]
fn libldap_signs_in_to_our_listener() {
    run(async {
        let authority = Authority::new().unwrap();
        let (_store, server) = ours(&authority).await;
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let (ldap, ldaps) = (server.urls()[0].to_string(), server.urls()[1].to_string());
        let whoami = async |url: &str, mechanism: &str, password: &str, more: &[&str]| {
            let tool = Tool::new("ldapwhoami").unwrap().trust(&ca);
            let tool = tool.args(["-Q", "-H", url, "-Y", mechanism, "-U", "ada", "-w", password]).args(more);
            let output = tokio::task::spawn_blocking(move || tool.run().unwrap()).await.unwrap();
            (output.code, String::from_utf8_lossy(&output.stdout).trim().to_owned(), output.said())
        };
        let name = format!("dn:uid=ada,ou=people,{BASE}");
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] {
            for url in [&ldap, &ldaps] {
                let more: &[&str] = if *url == ldap { &["-ZZ"] } else { &[] };
                let (code, who, said) = whoami(url, mechanism, PASSWORD, more).await;
                assert_eq!((code, who), (Some(0), name.clone()), "{mechanism} {url}: {said}");
            }
            let (code, _, said) = whoami(&ldaps, mechanism, "a guess", &[]).await;
            assert_eq!(code, Some(49), "{mechanism}: {said}");
        }
        let (code, who, said) = whoami(&ldap, "SCRAM-SHA-512", PASSWORD, &["-X", &name]).await;
        assert_eq!((code, who), (Some(0), name), "{said}");
        server.shutdown(Duration::from_secs(5)).await;
    });
}
