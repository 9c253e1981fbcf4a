//! Our client by Kerberos, on servers that take it: slapd and 389-ds in a realm of MIT's, and Samba, which is a realm.

use std::{
    ffi::OsString,
    fs,
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use flext_ldap_client::{
    Connection, Connector, ConnectorBuilder, Kerberos, Mechanism, Pool, Sasl, Server as _, Strength, TlsOptions,
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
