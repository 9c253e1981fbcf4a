//! Our client by Kerberos, on servers that take it: slapd and 389-ds in a realm of MIT's, and Samba, which is a realm.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use flext_ldap_client::{
    Connection, Connector, ConnectorBuilder, Kerberos, Mechanism, Pool, Sasl, Server as _, SharedAccount,
    Strength, TlsOptions,
};
use flext_ldap_directory::{Actor, Deadline, DirectoryExt as _, Error, ErrorKind, Request};
use flext_ldap_lab::{Content, DEFAULT_SUFFIX, Kdc, NsSlapd, Samba, Slapd, SlapdOptions, Tool};
use flext_ldap_proto::{
    message::{Scope, Search},
    result::ResultCode,
};

const RIGHT: &str = "low water 7";
const BOTH: [Mechanism; 2] = [Mechanism::Gssapi, Mechanism::GssSpnego];

fn entries() -> String {
    let people: String = (0..300)
        .map(|number| {
            format!(
                "\ndn: uid=u{number},ou=people,{DEFAULT_SUFFIX}\nobjectClass: inetOrgPerson\nuid: u{number}\ncn: U\nsn: U\n\
                 description: {}\n",
                "long ".repeat(200)
            )
        })
        .collect();
    format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: ou=people,{DEFAULT_SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: uid=ada,ou=people,{DEFAULT_SUFFIX}\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada Byrne\nsn: Byrne\n{people}"
    )
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

/// A variable of the environment of a client.
fn variable(environment: &[(&'static str, OsString)], name: &str) -> String {
    let value = environment.iter().find(|(one, _)| *one == name).map(|(_, value)| value.clone());
    value.unwrap().into_string().unwrap()
}

/// Whoever has signed in there.
fn signed_in(environment: &[(&'static str, OsString)]) -> Kerberos {
    Kerberos::cache(variable(environment, "KRB5CCNAME")).settings(variable(environment, "KRB5_CONFIG"))
}

fn clear(url: &str) -> ConnectorBuilder {
    Connector::builder().clear().url(&url.parse().unwrap())
}

async fn who(connected: Result<Connection, Error>) -> Result<String, Error> {
    let connection = connected?;
    let who = connection.who_am_i(Actor::Service).await?;
    connection.close().await;
    // 389-ds puts a space in front of the name.
    Ok(who.replace("dn: ", "dn:"))
}

/// All people below the suffix, so that much is said inside the layer.
async fn people(connection: &Connection, filter: &str) -> usize {
    let search = Search::new(DEFAULT_SUFFIX.parse().unwrap(), Scope::Subtree, filter.parse().unwrap());
    connection.search_all(Request::new(search, Actor::Service)).await.unwrap().len()
}

#[test]
fn our_client_signs_in_to_slapd() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("ada", RIGHT).unwrap();
    let ada = kdc.sign_in("ada", RIGHT).unwrap();
    let slapd = SlapdOptions { content: Content::Text(entries()), ..kdc.slapd_options() };
    let slapd = Slapd::start(slapd).unwrap();
    let url = slapd.ldap_url().replace("127.0.0.1", "localhost");
    let her = format!("dn:uid=ada,ou=people,{DEFAULT_SUFFIX}");
    let cached = || Sasl::kerberos(signed_in(&ada));
    run(async {
        for mechanism in BOTH {
            for most in [u32::MAX, 1, 0] {
                let sasl = cached().only(mechanism).strength(Strength { least: 0, most });
                let connection = clear(&url).credentials(sasl).build().unwrap().connect().await;
                let connection = connection.unwrap_or_else(|error| panic!("{mechanism:?} {most}: {error}"));
                assert_eq!(people(&connection, "(uid=u*)").await, 300, "{mechanism:?} {most}");
                assert_eq!(who(Ok(connection)).await.unwrap(), her, "{mechanism:?} {most}");
            }
        }
    });
}

#[test]
fn by_a_cache_a_keytab_or_a_password_and_from_a_pool() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("ada", RIGHT).unwrap();
    let ada = kdc.sign_in("ada", RIGHT).unwrap();
    let settings = variable(&ada, "KRB5_CONFIG");
    let keytab = kdc.keytab("ada").unwrap();
    let mut options = SlapdOptions { content: Content::Text(entries()), ..kdc.slapd_options() };
    // It compares what the ticket is bound to with its own certificate.
    options.global_lines.push("sasl-cbinding tls-endpoint".to_owned());
    let slapd = Slapd::start(options).unwrap();
    let ds389 = NsSlapd::start_with(&kdc.server_environment()).unwrap();
    let (url, root) = (ds389.ldap_url(), ds389.root_dn());
    let arguments = ["-x", "-H", &url, "-D", &root, "-w", ds389.root_password()];
    Tool::new("ldapadd").unwrap().args(arguments).input(entries()).run().unwrap().success().unwrap();

    let her = format!("dn:uid=ada,ou=people,{DEFAULT_SUFFIX}");
    let by_name = format!("ada@{}", kdc.realm());
    let ways = || {
        [
            ("a cache", signed_in(&ada)),
            ("a keytab", Kerberos::keytab(&keytab).settings(&settings)),
            ("a keytab and a name", Kerberos::keytab(&keytab).principal("ada").settings(&settings)),
            ("a password", Kerberos::password(&by_name, RIGHT).settings(&settings)),
            ("a password in the default realm", Kerberos::password("ada", RIGHT).settings(&settings)),
        ]
    };
    let servers = [
        ("slapd", slapd.ldap_url(), slapd.ldaps_url(), slapd.ca_pem().clone()),
        ("389-ds", ds389.ldap_url(), ds389.ldaps_url(), ds389.ca_pem().to_owned()),
    ];
    run(async {
        for (name, ldap, ldaps, ca_pem) in servers {
            let [ldap, ldaps] = [ldap, ldaps].map(|url| url.replace("127.0.0.1", "localhost"));
            for (way, kerberos) in ways() {
                // Inside TLS there is no layer, and the ticket is bound to the server's certificate.
                let tls = Connector::builder()
                    .ldaps(TlsOptions::new().ca_pem(ca_pem.as_str()))
                    .url(&ldaps.parse().unwrap());
                for connector in [clear(&ldap), tls] {
                    let connector = connector.credentials(Sasl::kerberos(kerberos.clone())).build().unwrap();
                    let got = who(connector.connect().await).await;
                    assert_eq!(
                        got.unwrap_or_else(|error| panic!("{name}, {way}: {error}")),
                        her,
                        "{name}, {way}"
                    );
                }
            }
            let connector = clear(&ldap).credentials(Sasl::kerberos(signed_in(&ada))).build().unwrap();
            let pool = Pool::builder(connector).min(4).max(4).build().unwrap();
            pool.ready(Deadline::after(Duration::from_secs(20))).await.unwrap();
            let lookups = (0..64).map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.who_am_i(Actor::Service).await })
            });
            for lookup in lookups.collect::<Vec<_>>() {
                assert_eq!(lookup.await.unwrap().unwrap().replace("dn: ", "dn:"), her, "{name}");
            }
            pool.shutdown(Deadline::after(Duration::from_secs(5))).await;
        }
    });
}

/// A service account is read anew for each connection, so that a new secret needs no restart. Its tickets are not.
#[test]
fn a_ticket_is_asked_for_once_and_again_before_its_end() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("ada", RIGHT).unwrap();
    kdc.add_brief_principal("anna", RIGHT, 25).unwrap();
    let settings = variable(&kdc.client_environment("ada"), "KRB5_CONFIG");
    let keytab = kdc.keytab("ada").unwrap();
    let slapd = SlapdOptions { content: Content::Text(entries()), ..kdc.slapd_options() };
    let slapd = Slapd::start(slapd).unwrap();
    let url = slapd.ldap_url().replace("127.0.0.1", "localhost");
    let by_keytab = {
        let settings = settings.clone();
        SharedAccount::new(move || Ok(Sasl::kerberos(Kerberos::keytab(&keytab).settings(&settings)).into()))
    };
    let brief = SharedAccount::new(move || {
        Ok(Sasl::kerberos(Kerberos::password("anna", RIGHT).settings(&settings)).into())
    });
    run(async {
        let soon = || Deadline::after(Duration::from_secs(20));
        let connect = async |account: &SharedAccount, connections| {
            let pool = Pool::builder(clear(&url).build().unwrap()).account(account);
            let pool = pool.min(connections).max(connections).build().unwrap();
            pool.ready(soon()).await.unwrap();
            pool.shutdown(soon()).await;
            kdc.given()
        };
        assert_eq!(connect(&by_keytab, 4).await, (1, 1));
        assert_eq!(connect(&by_keytab, 4).await, (1, 1));
        // Those of 25 seconds are never good for the time that a ticket must last.
        assert_eq!(connect(&brief, 1).await, (2, 2));
        assert_eq!(connect(&brief, 1).await, (3, 3));
    });
}

/// What a key distribution centre has written of requests for a first ticket by a proof.
fn failures(settings: &str) -> usize {
    let log = PathBuf::from(settings).with_file_name("kdc.log");
    fs::read_to_string(log).unwrap().lines().filter(|line| line.contains("PREAUTH_FAILED")).count()
}

#[test]
fn what_is_wrong_is_said_and_a_wrong_password_is_sent_once() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("ada", RIGHT).unwrap();
    let settings = variable(&kdc.client_environment("ada"), "KRB5_CONFIG");
    let slapd = SlapdOptions { content: Content::Text(entries()), ..kdc.slapd_options() };
    let slapd = Slapd::start(slapd).unwrap();
    let url = slapd.ldap_url().replace("127.0.0.1", "localhost");
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("krb5.conf");
    // A centre that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let realm = kdc.realm();
    let write = |kdc: &str| {
        let text =
            format!("[libdefaults]\ndefault_realm = {realm}\n[realms]\n{realm} = {{\nkdc = {kdc}\n}}\n");
        fs::write(&place, text).unwrap();
    };
    run(async {
        let connect =
            |kerberos: Kerberos, url: &str| clear(url).credentials(Sasl::kerberos(kerberos)).build();
        let fails = async |kerberos: Kerberos, url: &str| {
            connect(kerberos.settings(&settings), url).unwrap().connect().await.unwrap_err()
        };
        let error = fails(Kerberos::password("ada", "high water 7"), &url).await;
        assert_eq!(error.result_code(), Some(ResultCode::INVALID_CREDENTIALS), "{error}");
        let text = format!("{error}");
        assert!(text.contains(&format!("the password, or key, of ada@{realm} is wrong")), "{text}");
        assert!(!text.contains("high water"), "{text}");

        let error = fails(Kerberos::password("nobody", RIGHT), &url).await;
        assert!(error.to_string().contains(&format!("the realm knows no nobody@{realm}")), "{error}");
        let error = fails(Kerberos::password("ada", RIGHT), &slapd.ldap_url()).await;
        let service = format!("the realm knows no service ldap/127.0.0.1@{realm}");
        assert!(error.kind() == ErrorKind::Misuse && error.to_string().contains(&service), "{error}");
        let error = fails(Kerberos::cache("FILE:/nonexistent/tickets"), &url).await;
        assert!(error.to_string().contains("call `kinit`"), "{error}");
        let error = fails(Kerberos::cache("KEYRING:persistent:0"), &url).await;
        assert!(error.to_string().contains("the cache `KEYRING:persistent:0` is KEYRING"), "{error}");
        let error = connect(Kerberos::password("ada", ""), &url).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::EmptyPassword);

        // One that is silent, and one that is not there: within the time there is for connecting.
        for (place_of, want) in
            [(format!("127.0.0.1:{port}"), "in the time allowed"), ("127.0.0.1:1".to_owned(), "answered")]
        {
            write(&place_of);
            let kerberos = Kerberos::password("ada", RIGHT).settings(&place);
            let connector =
                clear(&url).connect_timeout(Duration::from_secs(1)).credentials(Sasl::kerberos(kerberos));
            let began = Instant::now();
            let error = connector.build().unwrap().connect().await.unwrap_err();
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
            assert!(matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Unreachable), "{error}");
            assert!(
                error.to_string().contains(want) || error.to_string().contains("did not answer"),
                "{error}"
            );
        }

        // A pool tries it once and then leaves it.
        let before = failures(&settings);
        let wrong = Kerberos::password("ada", "high water 7").settings(&settings);
        let pool = Pool::builder(connect(wrong, &url).unwrap()).min(4).max(4).build().unwrap();
        assert!(pool.ready(Deadline::after(Duration::from_secs(2))).await.is_err());
        pool.shutdown(Deadline::after(Duration::from_secs(5))).await;
        let tries = failures(&settings).saturating_sub(before);
        assert!(tries <= 2, "{tries}");
    });
}

#[test]
fn our_client_signs_in_to_samba() {
    // The one wants SASL to sign or seal, which it then forbids inside TLS; the other takes what there is.
    let (demanding, lenient) = (Samba::start_demanding().unwrap(), Samba::shared().unwrap());
    let of = |samba: &Samba| {
        let administrator = samba.sign_in("Administrator", samba.root_password()).unwrap();
        let settings = variable(&administrator, "KRB5_CONFIG");
        let password = Kerberos::password("Administrator", samba.root_password()).settings(settings);
        [signed_in(&administrator), password]
    };
    let base = |kerberos: Sasl, url: String, tls: bool| {
        let ca_pem = lenient.ca_pem();
        async move {
            let url = url.parse().unwrap();
            let connector = match tls {
                true => Connector::builder().ldaps(TlsOptions::new().ca_pem(ca_pem.as_str())).url(&url),
                false => Connector::builder().clear().url(&url),
            };
            let connection = connector.credentials(kerberos).build()?.connect().await?;
            let filter = "(sAMAccountName=Administrator)".parse().unwrap();
            let search = Search::new(DEFAULT_SUFFIX.parse().unwrap(), Scope::Subtree, filter);
            let found = connection.search_all(Request::new(search, Actor::Service)).await;
            connection.close().await;
            found.map(|entries| entries.len())
        }
    };
    run(async {
        for mechanism in BOTH {
            let by = |kerberos: Kerberos| Sasl::kerberos(kerberos).only(mechanism);
            let cases = [
                (&demanding, demanding.ldap_url(), u32::MAX),
                (&demanding, demanding.ldap_url(), 1),
                (&*lenient, lenient.ldap_url(), u32::MAX),
                (&*lenient, lenient.ldap_url(), 0),
                (&*lenient, lenient.ldaps_url(), u32::MAX),
            ];
            for (samba, url, most) in cases {
                for kerberos in of(samba) {
                    let tls = url.starts_with("ldaps");
                    let sasl = by(kerberos.clone()).strength(Strength { least: 0, most });
                    let found = base(sasl, url.clone(), tls).await;
                    let found = found.unwrap_or_else(|error| panic!("{mechanism:?} {most} {tls}: {error}"));
                    assert_eq!(found, 1, "{mechanism:?} {most} {tls}");
                }
            }
            let [cached, _] = of(&demanding);
            let error =
                base(by(cached).strength(Strength::NONE), demanding.ldap_url(), false).await.unwrap_err();
            assert_eq!(
                error.result_code(),
                Some(ResultCode::STRONGER_AUTH_REQUIRED),
                "{mechanism:?} {error}"
            );
        }
    });
}
