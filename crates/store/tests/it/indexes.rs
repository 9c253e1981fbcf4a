//! Which indexes there are, how they come and go while the store serves, and what they cost.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use bytes::Bytes;
use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    filter::Filter,
    message::{Change, ChangeKind, Delete, Modify, Search},
};
use flext_ldap_store::{
    ImportOptions, IndexConfig, IndexKind, IndexProgress, IndexStage, Store, StoreOptions,
};

use crate::support::*;

const CREW: usize = 1_500;

fn crew() -> String {
    let mut text = format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\n\n"
    );
    for number in 0..CREW {
        write!(
            text,
            "dn: uid=crew{number},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: crew{number}\n\
             cn: Crew {number} Quay\nsn: Quay\nmail: crew{number}@harbourlane.example\n\n"
        )
        .unwrap();
    }
    text
}

fn folder(folder: &tempfile::TempDir, config: IndexConfig) -> StoreOptions {
    StoreOptions::folder(folder.path()).suffix(dn(SUFFIX)).indexes(config)
}

/// Opens a store that says through a channel how far its indexes are.
fn open_and_hear(options: StoreOptions) -> (Store, mpsc::Receiver<IndexProgress>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let listener = move |progress: &IndexProgress| {
        let _ = sender.lock().unwrap().send(progress.clone());
    };
    (Store::open(options.index_listener(listener)).unwrap(), receiver)
}

fn is_settled(store: &Store) -> bool {
    store.index_progress().unwrap().iter().all(|one| one.stage == IndexStage::Ready)
}

/// Waits until nothing is to be built or removed any more.
fn settle(store: &Store, heard: &mpsc::Receiver<IndexProgress>) {
    while !is_settled(store) {
        // What is removed is not told of, so it is looked for again.
        let _ = heard.recv_timeout(Duration::from_millis(5));
    }
}

async fn candidates(store: &Store, text: &str) -> Option<u64> {
    store.explain(&subtree(text), &Actor::Service).await.unwrap().candidates
}

fn kinds(store: &Store, attribute: &str) -> Vec<IndexKind> {
    let progress = store.index_progress().unwrap();
    let mut kinds: Vec<_> =
        progress.into_iter().filter(|one| one.attribute == attribute).map(|one| one.kind).collect();
    kinds.sort();
    kinds
}

#[tokio::test]
async fn an_index_is_built_while_the_store_serves_and_removed_when_it_is_not_wanted() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(folder(&place, IndexConfig::none())).unwrap();
    store.import(crew().as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(candidates(&store, "(uid=crew7)").await, None);
    assert_eq!(kinds(&store, "objectClass"), [IndexKind::Equality]);
    drop(store);

    let (store, heard) = open_and_hear(folder(&place, IndexConfig::default()));
    // It serves and changes at once; what is not ready is not asked.
    assert_eq!(find(&store, subtree("(cn=*crew 77 q*)"), Actor::Service).await.0.len(), 1);
    ok(&store, person("late")).await;
    let describe = Change {
        kind: ChangeKind::Replace,
        attribute: attribute("sn"),
        values: vec![Bytes::from("Harbourmaster")],
    };
    let last = dn(&format!("uid=crew{},ou=people,{SUFFIX}", CREW - 1));
    ok(&store, Modify { dn: last.clone(), changes: vec![describe] }).await;
    ok(&store, Delete { dn: dn(&format!("uid=crew0,ou=people,{SUFFIX}")) }).await;
    settle(&store, &heard);
    assert_eq!(kinds(&store, "cn"), [IndexKind::Equality, IndexKind::Substring]);
    let table = [
        ("(uid=crew7)", Some(1), 1),
        ("(uid=late)", Some(1), 1),
        ("(sn=*rbourmas*)", Some(1), 1),
        ("(sn=quay)", Some(CREW as u64 - 1), CREW - 1),
        ("(cn=*crew 77 q*)", Some(1), 1),
        ("(uid=crew0)", Some(0), 0),
        ("(mail=crew149*)", Some(11), 11),
        ("(description=x)", None, 0),
    ];
    for (text, expected, found) in table {
        let (names, _) = find(&store, subtree(text), Actor::Service).await;
        assert_eq!(names.len(), found, "{text}");
        let asked = candidates(&store, text).await;
        // Three octets at a time leave over some that do not match.
        let close = asked.zip(expected).is_some_and(|(asked, expected)| asked <= expected + 2);
        assert!(asked == expected || close, "{text}: {asked:?}");
    }
    drop(store);

    let config = IndexConfig::default().index("cn", []).index("description", [IndexKind::Presence]);
    let (store, heard) = open_and_hear(folder(&place, config.clone()));
    assert_eq!(candidates(&store, "(cn=crew 7 quay)").await, None);
    settle(&store, &heard);
    assert_eq!(kinds(&store, "cn"), []);
    assert_eq!(candidates(&store, "(description=*)").await, Some(0));
    assert_eq!(candidates(&store, "(uid=crew7)").await, Some(1));
    drop(store);
    // What is as it is wanted is left alone.
    let store = Store::open(folder(&place, config)).unwrap();
    assert!(is_settled(&store));
    assert_eq!(store.counters().commits, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_indexes_are_wanted_while_the_store_serves() {
    let place = tempfile::tempdir().unwrap();
    let (store, heard) = open_and_hear(folder(&place, IndexConfig::default()));
    store.import(crew().as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    let with = || {
        let described =
            IndexConfig::default().index("description", [IndexKind::Equality, IndexKind::Substring]);
        described.index("cn", [IndexKind::Presence])
    };
    // Somebody writes all the while: some of it before, some while, some after an index is built.
    let other = store.clone();
    let writing = tokio::spawn(async move {
        for number in (0..CREW).take(600) {
            let describe = Change {
                kind: ChangeKind::Replace,
                attribute: attribute("description"),
                values: vec![Bytes::from(format!("berth {number}"))],
            };
            let name = dn(&format!("uid=crew{number},ou=people,{SUFFIX}"));
            ok(&other, Modify { dn: name, changes: vec![describe] }).await;
        }
    });
    for round in 0..8 {
        let config = if round % 2 == 0 { with() } else { IndexConfig::default() };
        assert!(tokio::task::block_in_place(|| store.set_indexes(&config)).unwrap());
        assert_eq!(find(&store, subtree("(cn=crew 77 quay)"), Actor::Service).await.0.len(), 1);
        let report = tokio::task::block_in_place(|| store.check(&mut |_| {})).unwrap();
        assert_eq!(report.faults, 0, "round {round}");
    }
    writing.await.unwrap();
    assert!(store.set_indexes(&with()).unwrap());
    settle(&store, &heard);
    assert_eq!(kinds(&store, "cn"), [IndexKind::Presence]);
    assert_eq!(candidates(&store, "(cn=crew 77 quay)").await, None, "nearly all have one");
    assert_eq!(candidates(&store, "(description=berth 599)").await, Some(1));
    assert_eq!(find(&store, subtree("(description=*rth 599)"), Actor::Service).await.0.len(), 1);
    assert_eq!(store.check(&mut |_| {}).unwrap().faults, 0);

    // What is as it is wanted is left alone; what cannot be is refused, and changes nothing.
    let commits = store.counters().commits;
    assert!(store.set_indexes(&with()).unwrap());
    assert!(!store.set_indexes(&IndexConfig::none()).unwrap(), "members would be looked up without an index");
    let wrong = store.set_indexes(&with().index("nonesuch", [IndexKind::Equality])).unwrap_err();
    assert_eq!(wrong.to_string(), "the index of `nonesuch`: unknown attribute `nonesuch`");
    assert_eq!(store.counters().commits, commits);
    assert_eq!(kinds(&store, "description"), [IndexKind::Equality, IndexKind::Substring]);
    store.close();
    store.set_indexes(&with()).unwrap_err();
    drop(store);

    // They are those of the store, whoever opens it next.
    let store = Store::open(StoreOptions::folder(place.path())).unwrap();
    assert!(is_settled(&store));
    assert_eq!(candidates(&store, "(description=berth 599)").await, Some(1));
}

#[tokio::test]
async fn building_goes_on_where_it_was() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(folder(&place, IndexConfig::none())).unwrap();
    store.import(crew().as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    drop(store);
    let mut reached = 0;
    let mut rounds = 0;
    loop {
        rounds += 1;
        let (store, heard) = open_and_hear(folder(&place, IndexConfig::default()));
        let building = store.index_progress().unwrap().into_iter().find_map(|one| match one.stage {
            IndexStage::Building { done, .. } => Some(done),
            _ => None,
        });
        let Some(done) = building else { break };
        assert!(done >= reached, "{done} after {reached}");
        // One slice, and the store is closed under it.
        let progress = heard.recv_timeout(Duration::from_secs(60)).unwrap();
        if let IndexStage::Building { done, total } = progress.stage {
            assert_eq!(total as usize, CREW + 2);
            reached = reached.max(done);
        }
        store.close();
    }
    assert!(rounds > 1);
    let store = Store::open(folder(&place, IndexConfig::default())).unwrap();
    for number in [0, 1, CREW / 2, CREW - 1] {
        assert_eq!(candidates(&store, &format!("(uid=crew{number})")).await, Some(1), "{number}");
    }
    assert_eq!(candidates(&store, "(cn=crew*)").await, Some(CREW as u64));
}

#[test]
fn what_the_schema_does_not_allow_is_refused() {
    let table = [
        ("nonesuch", IndexKind::Equality, "unknown attribute `nonesuch`"),
        (
            "userPassword",
            IndexKind::Equality,
            "the attribute is not stored with its entry, so it cannot have one",
        ),
        ("entryDN", IndexKind::Equality, "the attribute is not stored with its entry, so it cannot have one"),
        ("cn", IndexKind::Ordering, "the attribute has no rule for `ord`; it can have `pres`, `eq`, `sub`"),
        ("jpegPhoto", IndexKind::Substring, "the attribute has no rule for `sub`; it can have `pres`"),
    ];
    for (name, kind, expected) in table {
        let config = IndexConfig::default().index(name, [kind]);
        let error = Store::open(options().indexes(config)).unwrap_err();
        assert_eq!(error.to_string(), format!("the index of `{}`: {expected}", name.to_ascii_lowercase()));
    }
}

#[tokio::test]
async fn changes_of_parts_wait_and_are_found() {
    let store = small().await;
    let before = store.counters();
    for number in 0..40 {
        ok(&store, person(&format!("crew{number}"))).await;
    }
    let rows = (store.counters().rows_written - before.rows_written) / 40;
    assert!(rows <= 28, "{rows} rows for each add");
    assert_eq!(candidates(&store, "(cn=crew3*)").await, Some(11));
    // So many that they are moved into the index.
    for number in 40..700 {
        ok(&store, person(&format!("crew{number}"))).await;
    }
    for number in (0..700).step_by(7) {
        ok(&store, Delete { dn: dn(&format!("uid=crew{number},ou=people,{SUFFIX}")) }).await;
    }
    for (text, want) in [("(cn=crew6*)", 111), ("(uid=*9)", 70), ("(mail=crew12*)", 11), ("(cn=*ew 1*)", 0)] {
        let matching = |number: &usize| match text {
            "(cn=crew6*)" => number.to_string().starts_with('6'),
            "(uid=*9)" => number % 10 == 9,
            "(mail=crew12*)" => number.to_string().starts_with("12"),
            _ => false,
        };
        assert_eq!((0..700).filter(matching).count(), want, "{text}");
        let left = (0..700).filter(|number| number % 7 != 0).filter(matching).count();
        let (names, _) = find(&store, subtree(text), Actor::Service).await;
        assert_eq!(names.len(), left, "{text}");
        let asked = candidates(&store, text).await.unwrap();
        assert!(asked <= want as u64 * 2 + 10, "{text}: {asked} candidates");
    }
}

#[tokio::test]
async fn parts_of_long_and_short_values() {
    let store = small().await;
    let long = format!("{}needle{}", "x".repeat(300), "y".repeat(300));
    ok(
        &store,
        entry(
            &format!("cn=long,{SUFFIX}"),
            &["objectClass: person", "cn: long", &format!("cn: {long}"), "cn: Q", "sn: Li"],
        ),
    )
    .await;
    for text in
        ["(cn=*needle*)", "(cn=q*)", "(cn=*Q)", "(cn=*q*)", "(sn=l*)", "(sn=*i)", "(sn=*li*)", "(sn=l*i)"]
    {
        let (names, _) = find(&store, subtree(text), Actor::Service).await;
        assert!(names.contains(&format!("cn=long,{SUFFIX}")), "{text}");
    }
    assert_eq!(candidates(&store, "(sn=l*)").await, Some(1));
    assert_eq!(candidates(&store, "(cn=*needle*)").await, Some(1));
}

#[tokio::test]
async fn a_word_for_word_configuration() {
    let words = |text: &str| text.split(',').map(|word| word.parse().unwrap()).collect::<Vec<IndexKind>>();
    let config = IndexConfig::none().index("cn", words("pres,approx")).index("UIDNumber", words("ord"));
    let store = Store::open(options().indexes(config)).unwrap();
    fill(&store).await;
    assert_eq!(kinds(&store, "cn"), [IndexKind::Presence, IndexKind::Equality]);
    assert_eq!(kinds(&store, "uidNumber"), [IndexKind::Ordering]);
    assert_eq!(candidates(&store, "(cn~=anna quay)").await, Some(1));
    assert_eq!(candidates(&store, "(uidNumber=7)").await, Some(0));
    assert_eq!(candidates(&store, "(cn=a*)").await, Some(3), "by presence");
}

#[test]
fn searches_are_values() {
    fn is<T: Send + Sync + 'static>() {}
    is::<IndexProgress>();
    is::<Arc<Store>>();
    let _: fn(Filter) -> Search =
        |filter| Search::new(dn(SUFFIX), flext_ldap_proto::message::Scope::Base, filter);
}
