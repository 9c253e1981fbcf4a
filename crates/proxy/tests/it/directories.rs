//! Behind a listener, over real directories, asked by a client.

use std::{sync::Arc, time::Duration};

use flext_ldap_client::{Connection, Connector, Credentials, Pool, Server as _, ServerSet};
use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, Deadline, DirectoryExt as _, Error, ErrorKind, Request,
    Session as _, SessionExt as _,
    proto::{
        attribute::{Attributes, Selection},
        control::Controls,
        dn::Dn,
        filter::Filter,
        message::{Add, ChangeKind, Modify, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_proxy::{Clients, Proxy, ProxyBuilder};
use flext_ldap_server::Server;
use flext_ldap_testkit::TestDirectory;

const PASSWORD: &str = "morgens um sieben";

/// Two directories with the same people, and a proxy before them.
struct World {
    directories: Vec<TestDirectory>,
    pools: Vec<Pool>,
    set: Arc<ServerSet>,
    _server: Server,
    clients: Clients,
    connector: Connector,
}

fn ldif() -> String {
    let mut ldif = String::from(
        "dn: dc=harbourlane,dc=example\nobjectClass: domain\ndc: harbourlane\n\n\
         dn: ou=people,dc=harbourlane,dc=example\nobjectClass: organizationalUnit\nou: people\n",
    );
    for name in ["maja", "nils", "olga", "pavel", "quentin", "rosa", "sven"] {
        ldif.push_str(&format!(
            "\ndn: {}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: Example\nuserPassword: {PASSWORD}\n",
            dn(name)
        ));
    }
    ldif
}

fn dn(name: &str) -> String {
    format!("uid={name},ou=people,dc=harbourlane,dc=example")
}

impl World {
    async fn start(build: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> Self {
        let directories: Vec<_> =
            (0..2).map(|_| TestDirectory::builder().ldif(ldif()).start().unwrap()).collect();
        let mut set = ServerSet::builder("directories");
        let mut pools = Vec::new();
        for directory in &directories {
            let credentials = Credentials::simple(directory.admin_dn().as_str(), directory.admin_password());
            let connector =
                Connector::builder().clear().url(&directory.url().parse().unwrap()).credentials(credentials);
            let pool = Pool::builder(connector.build().unwrap()).build().unwrap();
            pools.push(pool.clone());
            set = set.server(Arc::new(pool));
        }
        let set = Arc::new(set.build().unwrap());
        let proxy = build(Proxy::builder(Arc::clone(&set))).build();
        let clients = proxy.clients();
        let server = Server::builder(Arc::new(proxy)).listen("ldap://127.0.0.1:0".parse().unwrap());
        let server = server.start().await.unwrap();
        let connector = Connector::builder().clear().url(&server.urls()[0]).build().unwrap();
        Self { directories, pools, set, _server: server, clients, connector }
    }

    async fn plain() -> Self {
        Self::start(|proxy| proxy).await
    }

    async fn sign_in(&self, name: &str) -> (Connection, Actor) {
        let mut connection = self.connector.connect().await.unwrap();
        let actor = bind(&mut connection, BindStep::simple(dn(name), PASSWORD.into())).await.unwrap();
        (connection, actor)
    }
}

async fn bind(connection: &mut Connection, step: BindStep) -> Result<Actor, Error> {
    match connection.bind(step, Deadline::after(Duration::from_secs(30))).await? {
        BindReply::Done { actor, .. } => Ok(actor),
        BindReply::Refused(outcome) => Err(Error::rejected(outcome)),
        BindReply::Continue { .. } => panic!("a bind in several steps"),
    }
}

fn everybody(actor: &Actor) -> Request<Search> {
    let search = Search::new(people(), Scope::One, "(uid=*)".parse::<Filter>().unwrap());
    Request::new(search, actor.clone()).within(Duration::from_secs(20))
}

fn people() -> Dn {
    "ou=people,dc=harbourlane,dc=example".parse().unwrap()
}

fn describe(name: &str, text: &str, actor: &Actor) -> Request<Modify> {
    let modify = Modify::new(dn(name).parse().unwrap());
    Request::new(modify.change(ChangeKind::Replace, "description".parse().unwrap(), [text]), actor.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_who_they_are() {
    let world = World::plain().await;
    let (maja, as_maja) = world.sign_in("maja").await;
    let (nils, as_nils) = world.sign_in("nils").await;
    let nobody = world.connector.connect().await.unwrap();
    assert_eq!(maja.who_am_i(as_maja.clone()).await.unwrap(), format!("dn:{}", dn("maja")));
    assert_eq!(nils.who_am_i(as_nils.clone()).await.unwrap(), format!("dn:{}", dn("nils")));
    assert_eq!(nobody.who_am_i(Actor::Anonymous).await.unwrap(), "");
    assert_eq!(maja.search_all(everybody(&as_maja)).await.unwrap().len(), 7);
    assert!(nobody.search_all(everybody(&Actor::Anonymous)).await.is_err(), "nobody sees nothing");
    // What users may not do, the proxy's own account could.
    let error = maja.modify(describe("nils", "x", &as_maja)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_costs_no_client_its_connection() {
    let mut world = World::plain().await;
    let (maja, as_maja) = world.sign_in("maja").await;
    assert_eq!(maja.search_all(everybody(&as_maja)).await.unwrap().len(), 7);
    drop(world.directories.remove(0));
    for _ in 0..20 {
        assert_eq!(maja.search_all(everybody(&as_maja)).await.unwrap().len(), 7);
    }
    assert_eq!(maja.who_am_i(as_maja).await.unwrap(), format!("dn:{}", dn("maja")));
    assert!(!maja.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_end_with_the_server_that_gave_them() {
    let mut world = World::plain().await;
    let (maja, as_maja) = world.sign_in("maja").await;
    let mut pages = maja.search_pages(everybody(&as_maja), 2);
    let mut found = 0;
    while pages.next().await.unwrap().is_some() {
        found += 1;
    }
    assert_eq!(found, 7);
    drop(pages);
    let mut pages = maja.search_pages(everybody(&as_maja), 2);
    pages.next().await.unwrap().unwrap();
    pages.next().await.unwrap().unwrap();
    drop(world.directories.remove(0));
    let error = loop {
        match pages.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a result that was cut off"),
            Err(error) => break error,
        }
    };
    drop(pages);
    assert!(
        matches!(error.result_code(), Some(ResultCode::UNWILLING_TO_PERFORM | ResultCode::UNAVAILABLE)),
        "{error}"
    );
    assert_eq!(maja.search_all(everybody(&as_maja)).await.unwrap().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_wrong_on_the_next_server_ends_the_connection() {
    let mut world = World::plain().await;
    let (maja, as_maja) = world.sign_in("maja").await;
    maja.search_all(everybody(&as_maja)).await.unwrap();
    let other = &world.directories[1];
    let changed = Modify::new(dn("maja").parse().unwrap()).change(
        ChangeKind::Replace,
        "userPassword".parse().unwrap(),
        ["something else"],
    );
    other.store().modify(Request::new(changed, Actor::Service)).await.unwrap();
    let before = other.store().counters().passwords_verified;
    drop(world.directories.remove(0));
    let error = loop {
        match maja.search_all(everybody(&as_maja)).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error.kind(), ErrorKind::Rejected | ErrorKind::Closed), "{error}");
    let end = tokio::time::timeout(Duration::from_secs(10), maja.closed()).await.unwrap();
    assert!(end.to_string().contains("Notice of Disconnection"), "{end}");
    assert!(end.to_string().contains("bind again"), "{end}");
    // It was looked at once, and is not again.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.directories[0].store().counters().passwords_verified - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_password_is_one_bind_upstream() {
    let world = World::plain().await;
    let counted = || -> u64 {
        world.directories.iter().map(|directory| directory.store().counters().passwords_verified).sum()
    };
    let before = counted();
    let mut connection = world.connector.connect().await.unwrap();
    for tries in 1..4 {
        let error = bind(&mut connection, BindStep::simple(dn("maja"), "wrong".into())).await.unwrap_err();
        assert_eq!(error.result_code(), Some(ResultCode::INVALID_CREDENTIALS));
        assert_eq!(counted() - before, tries);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_carried_is_not_offered() {
    let world = World::plain().await;
    let mut connection = world.connector.connect().await.unwrap();
    let root = Search::new(Dn::root(), Scope::Base, Filter::any()).attributes(Selection::everything());
    let root = connection.search_one(Request::new(root, Actor::Anonymous)).await.unwrap();
    let mechanisms = root.attributes().get("supportedSASLMechanisms");
    assert!(!mechanisms.is_some_and(|all| all.values().any(|one| one == b"EXTERNAL")));
    let step = |mechanism: &str| BindStep::Sasl {
        mechanism: mechanism.to_owned(),
        credentials: None,
        controls: Controls::none(),
    };
    for mechanism in ["EXTERNAL", "GSSAPI", "SCRAM-SHA-256-PLUS"] {
        let error = bind(&mut connection, step(mechanism)).await.unwrap_err();
        assert_eq!(error.result_code(), Some(ResultCode::AUTH_METHOD_NOT_SUPPORTED), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_gone_a_bind_says_so_soon() {
    let mut world = World::plain().await;
    let (maja, as_maja) = world.sign_in("maja").await;
    world.directories.clear();
    let began = std::time::Instant::now();
    let error = maja.search_all(everybody(&as_maja)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNAVAILABLE), "{error}");
    // As long as a probe, for others may come back.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let began = std::time::Instant::now();
    let mut connection = world.connector.connect().await.unwrap();
    let step = BindStep::simple(dn("maja"), PASSWORD.into());
    let error = bind(&mut connection, step).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNAVAILABLE), "{error}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(!connection.is_closed() && !maja.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_done_as_the_user_and_told() {
    let world = World::plain().await;
    let mut connection = world.connector.connect().await.unwrap();
    let admin = &world.directories[0];
    let step = BindStep::simple(admin.admin_dn().as_str(), admin.admin_password().into());
    let actor = bind(&mut connection, step).await.unwrap();
    let mut person = Attributes::builder();
    person.push("objectClass", ["person"]);
    person.push("sn", ["x"]);
    let entry = Add::new(format!("cn=new,{}", people()).parse().unwrap(), person.build());
    connection.add(Request::new(entry.clone(), actor.clone())).await.unwrap();
    let error = connection.add(Request::new(entry, actor)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::ENTRY_ALREADY_EXISTS));
    assert_eq!(error.applied(), Applied::No);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_remembered_without_what_is_secret() {
    let world = World::plain().await;
    let (maja, as_maja) = world.sign_in("maja").await;
    let search = Search::new(people(), Scope::One, "(uid=planted-value)".parse().unwrap());
    for _ in 0..3 {
        maja.search_all(Request::new(search.clone(), as_maja.clone())).await.unwrap();
    }
    let mut other = world.connector.connect().await.unwrap();
    bind(
        &mut other,
        BindStep::simple("uid=planted-name,dc=harbourlane,dc=example", "planted-password".into()),
    )
    .await
    .unwrap_err();
    let records = world.clients.records();
    let named = records.iter().find(|record| record.name == dn("maja")).unwrap();
    assert_eq!(
        (named.address.as_str(), named.protection.as_str(), named.method.as_str()),
        ("127.0.0.1", "clear", "simple")
    );
    assert_eq!((named.binds, named.operations), (1, 3));
    assert_eq!((named.searches[0].filter.as_str(), named.searches[0].count), ("(uid=?)", 3));
    assert_eq!(records.iter().map(|record| record.refused).sum::<u64>(), 1);
    assert!(!format!("{records:?}").contains("planted"), "{records:?}");
    world.set.shutdown(Deadline::after(Duration::from_secs(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxied_authorization_needs_no_conversation_and_gives_no_rights() {
    let mut world = World::start(|proxy| proxy.proxied_authorization(true)).await;
    let (maja, as_maja) = world.sign_in("maja").await;
    let conversations = || world.pools.iter().map(|pool| pool.stats().binds.conversations).sum::<usize>();
    assert_eq!(maja.search_all(everybody(&as_maja)).await.unwrap().len(), 7);
    assert_eq!(conversations(), 0);
    let error = maja.modify(describe("nils", "x", &as_maja)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
    // What is not the user's own right is nobody's: who has not bound has no part in the account's.
    let nobody = world.connector.connect().await.unwrap();
    assert!(nobody.search_all(everybody(&Actor::Anonymous)).await.is_err());
    drop(nobody);
    // Pages and extended operations have a conversation, as the same user.
    assert_eq!(maja.who_am_i(as_maja.clone()).await.unwrap(), format!("dn:{}", dn("maja")));
    assert_eq!(conversations(), 1);
    let mut pages = maja.search_pages(everybody(&as_maja), 2);
    let mut found = 0;
    while pages.next().await.unwrap().is_some() {
        found += 1;
    }
    drop(pages);
    assert_eq!(found, 7);
    drop(world.directories.remove(0));
    assert_eq!(maja.search_all(everybody(&as_maja)).await.unwrap().len(), 7);
    assert_eq!(maja.who_am_i(as_maja).await.unwrap(), format!("dn:{}", dn("maja")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_must_change_their_password_first_is_held_to_it_by_proxied_authorization_too() {
    let world = World::start(|proxy| proxy.proxied_authorization(true)).await;
    let mut policy = Attributes::builder();
    policy.push("objectClass", ["device", "pwdPolicy"]);
    policy.push("pwdAttribute", ["userPassword"]);
    policy.push("pwdMustChange", ["TRUE"]);
    let policy = policy.build();
    let strict = "cn=strict,dc=harbourlane,dc=example";
    for directory in &world.directories {
        let store = directory.store();
        let entry = Add::new(strict.parse().unwrap(), policy.clone());
        store.add(Request::new(entry, Actor::Service)).await.unwrap();
        let change = |name: &str, value: &str| {
            let modify = Modify::new(dn("maja").parse().unwrap());
            let change = modify.change(ChangeKind::Replace, name.parse().unwrap(), [value.to_owned()]);
            store.modify(Request::new(change, Actor::Service))
        };
        change("pwdPolicySubentry", strict).await.unwrap();
        change("pwdReset", "TRUE").await.unwrap();
    }
    let (maja, as_maja) = world.sign_in("maja").await;
    let error = maja.search_all(everybody(&as_maja)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS), "{error}");
    let error = maja.modify(describe("maja", "x", &as_maja)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS), "{error}");
    // The client has not asked for what the policy says, and is not told.
    assert!(maja.bind_outcome().unwrap().controls.is_empty());
    let (nils, as_nils) = world.sign_in("nils").await;
    assert_eq!(nils.search_all(everybody(&as_nils)).await.unwrap().len(), 7);
    assert!(nils.bind_outcome().unwrap().controls.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn invented_mechanisms_are_remembered_under_one_name() {
    let world = World::plain().await;
    let mut connection = world.connector.connect().await.unwrap();
    for number in 0..50 {
        let mechanism = format!("X-{number}\u{1b}[2J{}", "A".repeat(20_000));
        let step = BindStep::Sasl { mechanism, credentials: None, controls: Controls::none() };
        let error = bind(&mut connection, step).await.unwrap_err();
        assert_eq!(error.result_code(), Some(ResultCode::AUTH_METHOD_NOT_SUPPORTED), "{error}");
    }
    let records = world.clients.records();
    let refused: Vec<_> = records.iter().filter(|record| record.refused > 0).collect();
    assert_eq!(refused.len(), 1, "{} rows", records.len());
    assert_eq!((refused[0].method.as_str(), refused[0].refused), ("UNKNOWN", 50));
}
