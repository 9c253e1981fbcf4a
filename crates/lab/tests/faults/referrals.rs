//! Referrals between directories, followed and not followed.

use std::{net::TcpListener, sync::Arc, time::Duration};

use flext_ldap_client::{Connection, Connector, Credentials, Referrals, ReferralsBuilder, TlsOptions};
use flext_ldap_directory::{
    Actor, Directory as _, DirectoryExt as _, ErrorKind, Layered, Request,
    proto::{
        attribute::Attributes,
        dn::Dn,
        filter::Filter,
        message::{Add, Compare, Delete, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_testkit::TestDirectory;

const COMPANY: &str = "dc=harbourlane,dc=example";
const LISBON: &str = "ou=lisbon,dc=harbourlane,dc=example";

/// The directory of the company, and that of its branch in Lisbon, which the former refers to.
struct Sites {
    company: TestDirectory,
    lisbon: TestDirectory,
}

fn sites() -> Sites {
    let lisbon = TestDirectory::builder()
        .suffix(LISBON)
        .anonymous_read()
        .ldif(format!(
            "dn: {LISBON}\nobjectClass: organizationalUnit\nou: lisbon\n\n\
             dn: ou=desk,{LISBON}\nobjectClass: organizationalUnit\nou: desk\n\n\
             dn: ou=chair,{LISBON}\nobjectClass: organizationalUnit\nou: chair\n"
        ))
        .start()
        .unwrap();
    let company = TestDirectory::builder()
        .ldif(format!(
            "dn: {COMPANY}\nobjectClass: domain\ndc: harbourlane\n\n\
             dn: ou=people,{COMPANY}\nobjectClass: organizationalUnit\nou: people\n"
        ))
        .start()
        .unwrap();
    Sites { company, lisbon }
}

/// Makes `place` in `directory` refer to these URLs.
async fn refer(directory: &TestDirectory, place: &str, urls: &[String]) {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["referral", "extensibleObject"]);
    attributes.push("ref", urls);
    let add = Add::new(place.parse().unwrap(), attributes.build());
    directory.store().call(Request::new(add, Actor::Service).into_any()).outcome().await.unwrap();
}

fn url(directory: &TestDirectory, rest: &str) -> String {
    format!("{}/{rest}", directory.url().trim_end_matches('/'))
}

fn host(directory: &TestDirectory) -> String {
    directory.url().trim_start_matches("ldap://").trim_end_matches('/').to_owned()
}

async fn connect(directory: &TestDirectory) -> Connection {
    let credentials = Credentials::simple(directory.admin_dn().as_str(), directory.admin_password());
    let connector =
        Connector::builder().clear().url(&directory.url().parse().unwrap()).credentials(credentials);
    connector.build().unwrap().connect().await.unwrap()
}

async fn following(
    directory: &TestDirectory,
    build: impl FnOnce(ReferralsBuilder) -> ReferralsBuilder,
) -> Layered<Connection, Referrals> {
    let referrals = build(Referrals::builder(Actor::Service).clear()).build().unwrap();
    Layered::new(connect(directory).await, Arc::new(referrals))
}

fn search(base: &str, scope: Scope) -> Search {
    Search::new(base.parse().unwrap(), scope, Filter::any())
}

/// The names found, the references handed on, and how it ended.
async fn found(
    directory: &impl flext_ldap_directory::Directory,
    search: Search,
) -> (Vec<String>, Vec<String>, Result<(), flext_ldap_directory::Error>) {
    let mut entries = directory.search(Request::new(search, Actor::Service).within(Duration::from_secs(10)));
    let mut names = Vec::new();
    let end = loop {
        match entries.next().await {
            Ok(Some(entry)) => names.push(entry.dn_str().to_owned()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    (names, entries.references().map(str::to_owned).collect(), end)
}

#[tokio::test]
async fn references_are_followed_to_hosts_that_are_allowed() {
    let Sites { company, lisbon } = sites();
    refer(&company, LISBON, &[url(&lisbon, LISBON)]).await;
    let directory = following(&company, |to| to.allow_anonymous(host(&lisbon))).await;

    let (names, references, end) = found(&directory, search(COMPANY, Scope::Subtree)).await;
    end.unwrap();
    let expected = [
        COMPANY.to_owned(),
        format!("ou=people,{COMPANY}"),
        LISBON.to_owned(),
        format!("ou=desk,{LISBON}"),
        format!("ou=chair,{LISBON}"),
    ];
    assert_eq!((names, references), (expected.to_vec(), vec![]));

    // Of one level, the entry that is referred to, and not what is below it.
    let (names, references, end) = found(&directory, search(COMPANY, Scope::One)).await;
    end.unwrap();
    assert_eq!((names, references), (vec![format!("ou=people,{COMPANY}"), LISBON.to_owned()], vec![]));

    // Below the place itself the whole operation is elsewhere.
    let (names, _, end) = found(&directory, search(&format!("ou=desk,{LISBON}"), Scope::Base)).await;
    end.unwrap();
    assert_eq!(names, [format!("ou=desk,{LISBON}")]);
    let compare = Compare {
        dn: format!("ou=desk,{LISBON}").parse().unwrap(),
        attribute: "ou".parse().unwrap(),
        value: "desk".into(),
    };
    let outcome = directory.call(Request::new(compare, Actor::Service).into_any()).outcome().await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::COMPARE_TRUE);
}

#[tokio::test]
async fn a_limit_is_one_of_all_servers_together() {
    let Sites { company, lisbon } = sites();
    refer(&company, LISBON, &[url(&lisbon, LISBON)]).await;
    let directory = following(&company, |to| to.allow_anonymous(host(&lisbon))).await;
    for (limit, count) in [(2, 2), (4, 4), (5, 5)] {
        let mut limited = search(COMPANY, Scope::Subtree);
        limited.size_limit = limit;
        let (names, _, end) = found(&directory, limited).await;
        assert_eq!(names.len(), count, "{limit}");
        let code = end.err().and_then(|error| error.result_code());
        assert_eq!(code, (limit < 5).then_some(ResultCode::SIZE_LIMIT_EXCEEDED), "{limit}");
    }
}

#[tokio::test]
async fn writes_go_where_they_are_sent_with_the_credentials_for_there() {
    let Sites { company, lisbon } = sites();
    refer(&company, LISBON, &[url(&lisbon, "")]).await;
    let desk: Dn = format!("ou=desk,{LISBON}").parse().unwrap();
    let delete = || Request::new(Delete { dn: desk.clone() }, Actor::Service).into_any();

    let anonymous = following(&company, |to| to.allow_anonymous(host(&lisbon))).await;
    let refused = anonymous.call(delete()).outcome().await.unwrap();
    assert_ne!(refused.result.code, ResultCode::SUCCESS);

    let wrong = Credentials::simple(lisbon.admin_dn().as_str(), "not it");
    let directory = following(&company, |to| to.allow(host(&lisbon), wrong)).await;
    let error = directory.call(delete()).outcome().await.unwrap_err();
    assert_eq!(error.applied(), flext_ldap_directory::Applied::No);
    assert!(error.to_string().contains(&host(&lisbon)), "{error}");

    let administrator = Credentials::simple(lisbon.admin_dn().as_str(), lisbon.admin_password());
    let directory = following(&company, |to| to.allow(host(&lisbon), administrator)).await;
    let outcome = directory.call(delete()).outcome().await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    let (names, _, end) = found(&directory, search(LISBON, Scope::Subtree)).await;
    end.unwrap();
    assert_eq!(names, [LISBON.to_owned(), format!("ou=chair,{LISBON}")]);
}

#[tokio::test]
async fn nobody_goes_to_a_host_that_is_not_allowed_or_for_somebody_else() {
    let Sites { company, lisbon } = sites();
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    sink.set_nonblocking(true).unwrap();
    let there = format!("ldap://127.0.0.1:{}/{LISBON}", sink.local_addr().unwrap().port());
    refer(&company, LISBON, std::slice::from_ref(&there)).await;
    let directory = following(&company, |to| to.allow_anonymous(host(&lisbon))).await;
    let (names, references, end) = found(&directory, search(COMPANY, Scope::Subtree)).await;
    end.unwrap();
    assert_eq!((names.len(), references), (2, vec![there]));
    let delete = Delete { dn: LISBON.parse().unwrap() };
    let outcome = directory.call(Request::new(delete, Actor::Service).into_any()).outcome().await.unwrap();
    assert_eq!(outcome.result.code, ResultCode::REFERRAL);

    // Allowed, but these are not the rights of whoever asks.
    let directory =
        following(&company, |to| to.allow_anonymous(sink.local_addr().unwrap().to_string())).await;
    let user = directory.inner().actor().unwrap();
    let search = Request::new(search(COMPANY, Scope::Subtree), user);
    let mut entries = directory.search(search);
    while entries.next().await.unwrap().is_some() {}
    assert_eq!(entries.references().count(), 1);
    assert_eq!(sink.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody went there");
}

#[tokio::test]
async fn circles_end() {
    let Sites { company, lisbon } = sites();
    let (here, there) = (format!("ou=circle,{COMPANY}"), format!("ou=circle,{LISBON}"));
    refer(&company, &here, &[url(&lisbon, &there)]).await;
    refer(&lisbon, &there, &[url(&company, &here)]).await;
    let directory = following(&company, |to| {
        let admin = Credentials::simple(company.admin_dn().as_str(), company.admin_password());
        to.allow_anonymous(host(&lisbon)).allow(host(&company), admin)
    })
    .await;
    let outcome = directory
        .call(Request::new(search(&here, Scope::Subtree), Actor::Service).into_any())
        .outcome()
        .await
        .unwrap();
    assert_eq!(outcome.result.code, ResultCode::REFERRAL);
    assert_eq!(outcome.result.referrals.len(), 1);

    // One hop is not two.
    let directory = following(&company, |to| to.allow_anonymous(host(&lisbon)).hops(0)).await;
    let (_, references, end) = found(&directory, search(COMPANY, Scope::Subtree)).await;
    end.unwrap();
    assert_eq!(references.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_followed_is_an_error_that_names_it() {
    let Sites { company, lisbon } = sites();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dead = format!("ldap://{nobody}/{LISBON}");
    refer(&company, LISBON, std::slice::from_ref(&dead)).await;
    let directory = following(&company, |to| to.allow_anonymous(nobody.to_string())).await;
    let (names, references, end) = found(&directory, search(COMPANY, Scope::Subtree)).await;
    let error = end.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");
    assert_eq!((names.len(), references.len()), (2, 0));

    // Another that says the same is as good.
    let place = format!("ou=branch,{COMPANY}");
    refer(&company, &place, &[dead, url(&lisbon, LISBON)]).await;
    let directory =
        following(&company, |to| to.allow_anonymous(nobody.to_string()).allow_anonymous(host(&lisbon))).await;
    let (names, _, end) = found(&directory, search(&place, Scope::Subtree)).await;
    end.unwrap();
    assert_eq!(names.len(), 3);
}

/// `ldap:` is followed with StartTLS, and a server that has none is sent neither the operation nor the password.
#[tokio::test]
async fn the_way_is_protected_unless_said_otherwise() {
    let Sites { company, lisbon } = sites();
    refer(&company, LISBON, &[url(&lisbon, LISBON)]).await;
    let administrator = Credentials::simple(lisbon.admin_dn().as_str(), lisbon.admin_password());
    let referrals = Referrals::builder(Actor::Service)
        .tls(TlsOptions::new())
        .allow(host(&lisbon), administrator)
        .build()
        .unwrap();
    let directory = Layered::new(connect(&company).await, Arc::new(referrals));
    let (_, _, end) = found(&directory, search(COMPANY, Scope::Subtree)).await;
    let error = end.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls | ErrorKind::Unreachable), "{error}");
}
