//! Spans of a stack of servers: what they tell of a search, and what they do not.

use std::{net::TcpListener, time::Duration};

use flext_ldap::{
    Stack,
    client::{Connector, Credentials, Server as _},
    directory::{
        Actor, BindStep, Deadline, DirectoryExt as _, Peer, Request, Sessions as _,
        proto::{
            filter::Filter,
            message::{Compare, Scope, Search},
            url::LdapUrl,
        },
    },
};
use flext_ldap_otlp::{Export, Options};
use flext_ldap_testkit::TestDirectory;
use tracing_subscriber::prelude::*;

use crate::collector::Collector;

const LDIF: &str = "\
dn: dc=harbourlane,dc=example
objectClass: domain
dc: harbourlane

dn: uid=tarn,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: tarn
cn: Tarn Okafor
sn: Okafor
userPassword: slack water 3
";

fn directory() -> TestDirectory {
    let directory = TestDirectory::builder().suffix("dc=harbourlane,dc=example").ldif(LDIF);
    directory.anonymous_read().start().unwrap()
}

fn tarn() -> Request<Search> {
    let filter: Filter = "(&(objectClass=person)(uid=tarn))".parse().unwrap();
    let search = Search::new("dc=harbourlane,dc=example".parse().unwrap(), Scope::Subtree, filter);
    Request::new(search.size_limit(1), Actor::Service).within(Duration::from_secs(10))
}

fn connector(url: &str) -> flext_ldap::client::ConnectorBuilder {
    let url: LdapUrl = url.parse().unwrap();
    Connector::builder().clear().url(&url)
}

#[tokio::test]
async fn a_search_that_goes_on_at_another_server() {
    let collector = Collector::start();
    let away = {
        let away = TcpListener::bind("127.0.0.1:0").unwrap();
        away.local_addr().unwrap().port()
    };
    let directory = directory();
    let here = directory.url().rsplit_once(':').unwrap().1.trim_end_matches('/');
    let export = Export::new();
    let subscriber = tracing_subscriber::registry().with(export.layer());
    let guard = tracing::subscriber::set_default(subscriber);
    export.start(Options::of("staff-sync", "1").endpoint(collector.url())).unwrap();
    let stack = Stack::of([connector(&format!("ldap://127.0.0.1:{away}")), connector(directory.url())])
        .credentials(Credentials::simple("uid=tarn,dc=harbourlane,dc=example", "slack water 3"))
        .for_one_command()
        .build()
        .unwrap();
    stack.search_one(tarn()).await.unwrap();
    // The connection is there now.
    let dn = "uid=tarn,dc=harbourlane,dc=example".parse().unwrap();
    let compare = Compare { dn, attribute: "sn".parse().unwrap(), value: "Planted".into() };
    let is_so = stack.compare(Request::new(compare, Actor::Service)).await.unwrap();
    assert!(!is_so);
    let mut session = stack.open(Peer::in_process()).await.unwrap();
    let step = BindStep::simple("uid=tarn,dc=harbourlane,dc=example", "planted 9".into());
    session.bind(step, Deadline::after(Duration::from_secs(10))).await.unwrap();
    drop(session);
    stack.shutdown(Deadline::after(Duration::from_secs(5))).await;
    drop(guard);
    let statistics =
        tokio::task::spawn_blocking(move || export.finish(Duration::from_secs(5))).await.unwrap();
    assert_eq!(statistics.lost, 0, "{statistics:?}");
    let want = format!(
        "\
ldap.search db.namespace=other flext_ldap.retries=1 db.response.returned_rows=1 db.response.status_code=success
  ldap.search! db.namespace=other server.port={away} db.response.returned_rows=0 error.type=unreachable
    ldap.wait! server.port={away} error.type=unreachable
      ldap.open! server.port={away} error.type=unreachable
        ldap.resolve server.port={away}
        ldap.connect! server.port={away} error.type=unreachable
  ldap.search db.namespace=other server.port={here} db.response.returned_rows=1 db.response.status_code=success
    ldap.wait server.port={here}
      ldap.open server.port={here}
        ldap.resolve server.port={here}
        ldap.connect server.port={here}
        ldap.bind server.port={here}
"
    );
    let compared = format!(
        "\
ldap.compare db.response.status_code=compareFalse
  ldap.compare server.port={here} db.response.status_code=compareFalse
"
    );
    // Among them are also connections that are opened for nobody.
    let trees = collector.trees();
    for tree in [want, compared, format!("ldap.bind! server.port={here} error.type=invalidCredentials\n")] {
        assert!(trees.contains(&tree), "{tree} is not in\n{}", trees.concat());
    }
    let octets = collector.octets();
    for secret in ["slack", "planted", "Planted", "tarn", "Okafor", "uid", "objectClass", "dc=harbourlane"] {
        let found = octets.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "`{secret}` was sent");
    }
}
