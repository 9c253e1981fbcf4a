//! What `check` says of stores whose rows were changed behind their back, and what is derived anew.

use std::path::Path;

use flext_ldap_directory::ErrorKind;
use flext_ldap_store::{ImportOptions, Remedy, Store, StoreOptions};
use redb::{Database, ReadableTable, TableDefinition};

use crate::support::*;

type Table<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Ids as `fill` gives them out.
const PEOPLE: u32 = 2;
const GROUPS: u32 = 3;
const ANNA: u32 = 4;
const BERT: u32 = 5;

fn open(folder: &Path) -> StoreOptions {
    StoreOptions::folder(folder).suffix(dn(SUFFIX))
}

/// Changes one table behind the store's back.
fn tamper(folder: &Path, table: &str, change: impl FnOnce(&mut Table<'_>)) {
    let database = Database::open(folder.join("directory.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
        let mut table = transaction.open_table(definition).unwrap();
        change(&mut table);
    }
    transaction.commit().unwrap();
}

fn get(table: &Table<'_>, key: &[u8]) -> Vec<u8> {
    table.get(key).unwrap().unwrap().value().to_vec()
}

/// The key of the first row whose key holds these octets.
fn find_key(table: &Table<'_>, octets: &[u8]) -> Vec<u8> {
    let mut rows = table.iter().unwrap();
    rows.find_map(|row| {
        let key = row.unwrap().0.value().to_vec();
        key.windows(octets.len()).any(|some| some == octets).then_some(key)
    })
    .unwrap()
}

async fn filled(folder: &Path) {
    let store = Store::open(open(folder)).unwrap();
    fill(&store).await;
    let mut add = person("dora");
    let mut attributes = flext_ldap_proto::attribute::Attributes::builder();
    for one in add.attributes.as_ref().iter() {
        attributes.push(one.description(), one.values());
    }
    attributes.push("userPassword", ["tide tables"]);
    add.attributes = attributes.build();
    ok(&store, add).await;
    let (found, report) = checked(&store);
    assert_eq!(found, [""; 0]);
    assert_eq!((report.entries, report.changes), (7, 7));
    assert!(report.index_rows > 20 && report.csn.len() == 40, "{report:?}");
    store.close();
}

#[tokio::test]
async fn every_kind_of_damage_is_named() {
    type Change = fn(&mut Table<'_>);
    const DORA: u32 = 7;
    // What is changed, a fault that is told, and what mends it.
    let table: &[(&str, Change, &str, Remedy)] = &[
        (
            "node",
            |node| {
                let mut row = get(node, &PEOPLE.to_be_bytes());
                row[4..8].copy_from_slice(&9_u32.to_be_bytes());
                node.insert(PEOPLE.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "node: entry 2 `ou=people,dc=harbourlane,dc=example`: it is to have 9 children, and 4 stand below it",
            Remedy::Rebuild,
        ),
        (
            "node",
            |node| {
                let mut row = get(node, &GROUPS.to_be_bytes());
                row[4..8].copy_from_slice(&1_u32.to_be_bytes());
                node.insert(GROUPS.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "node: entry 3 `ou=groups,dc=harbourlane,dc=example`: it is to have 1 children, and none stands below it",
            Remedy::Rebuild,
        ),
        (
            "node",
            |node| {
                let mut row = get(node, &ANNA.to_be_bytes());
                row[..4].copy_from_slice(&99_u32.to_be_bytes());
                node.insert(ANNA.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "node: entry 4 `uid=anna`: it stands below entry 99, which is not there or cannot be read",
            Remedy::Restore,
        ),
        (
            "node",
            |node| {
                let mut row = get(node, &PEOPLE.to_be_bytes());
                row[..4].copy_from_slice(&PEOPLE.to_be_bytes());
                node.insert(PEOPLE.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "node: entry 4 `uid=anna`: it stands below itself",
            Remedy::Restore,
        ),
        (
            "node",
            |node| drop(node.insert(BERT.to_be_bytes().as_slice(), [0_u8; 3].as_slice()).unwrap()),
            "node: entry 5: the row cannot be read",
            Remedy::Restore,
        ),
        (
            "node",
            |node| drop(node.remove(BERT.to_be_bytes().as_slice()).unwrap()),
            "node: entry 5: it has a row in `entry` or `secret`, and no place",
            Remedy::Restore,
        ),
        (
            "node",
            |node| drop(node.insert([1_u8, 2].as_slice(), [0_u8; 3].as_slice()).unwrap()),
            "node: a key has 2 octets instead of 4",
            Remedy::Restore,
        ),
        (
            "tree",
            |tree| {
                let key = find_key(tree, b"anna");
                tree.remove(key.as_slice()).unwrap();
            },
            "tree: entry 4 `uid=anna,ou=people,dc=harbourlane,dc=example`: no row leads to it",
            Remedy::Rebuild,
        ),
        (
            "tree",
            |tree| {
                let key = find_key(tree, b"anna");
                tree.insert(key.as_slice(), BERT.to_be_bytes().as_slice()).unwrap();
            },
            "tree: entry 4 `uid=anna,ou=people,dc=harbourlane,dc=example`: the row of its name leads to entry 5",
            Remedy::Rebuild,
        ),
        (
            "tree",
            |tree| {
                let mut key = find_key(tree, b"anna");
                key.push(b'x');
                tree.insert(key.as_slice(), 77_u32.to_be_bytes().as_slice()).unwrap();
            },
            "tree: entry 77: a row below entry 2 leads to it, and it is not there",
            Remedy::Rebuild,
        ),
        (
            "entry",
            |entry| drop(entry.remove(ANNA.to_be_bytes().as_slice()).unwrap()),
            "entry: entry 4 `uid=anna,ou=people,dc=harbourlane,dc=example`: there is no row",
            Remedy::Restore,
        ),
        (
            "entry",
            |entry| {
                let row = get(entry, &ANNA.to_be_bytes());
                entry.insert(ANNA.to_be_bytes().as_slice(), &row[..row.len() - 1]).unwrap();
            },
            "entry: entry 4 `uid=anna,ou=people,dc=harbourlane,dc=example`: the row cannot be read",
            Remedy::Restore,
        ),
        (
            "entry",
            |entry| {
                let row = get(entry, &BERT.to_be_bytes());
                entry.insert(ANNA.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "entry: entry 4 `uid=anna,ou=people,dc=harbourlane,dc=example`: ",
            Remedy::Modify,
        ),
        (
            "secret",
            |secret| drop(secret.insert(DORA.to_be_bytes().as_slice(), [9_u8; 5].as_slice()).unwrap()),
            "secret: entry 7 `uid=dora,ou=people,dc=harbourlane,dc=example`: the row cannot be read",
            Remedy::Restore,
        ),
        (
            "secret",
            |secret| drop(secret.insert(88_u32.to_be_bytes().as_slice(), [].as_slice()).unwrap()),
            "secret: entry 88: it belongs to no entry",
            Remedy::Restore,
        ),
        (
            "index",
            |index| {
                let key = find_key(index, b"\x04anna");
                index.remove(key.as_slice()).unwrap();
            },
            "index: entry 4 `uid=anna,ou=people,dc=harbourlane,dc=example`: it is not under `uid=anna`, which it has",
            Remedy::Rebuild,
        ),
        (
            "index",
            |index| {
                let key = find_key(index, b"\x04anna");
                index.insert(key.as_slice(), [0, 4, 0, 5].as_slice()).unwrap();
            },
            "index: entry 5 `uid=bert,ou=people,dc=harbourlane,dc=example`: it is under `uid=anna`, which it does not have",
            Remedy::Rebuild,
        ),
        (
            "index",
            |index| {
                let key = find_key(index, b"\x04anna");
                index.insert(key.as_slice(), [0, 4, 0, 2].as_slice()).unwrap();
            },
            "index: the row `uid=anna",
            Remedy::Rebuild,
        ),
        (
            "index",
            |index| {
                let mut key = find_key(index, b"\x04anna");
                let last = key.len() - 4;
                key[last..].copy_from_slice(&(5_000_000_u32 >> 12).to_be_bytes());
                index.insert(key.as_slice(), [0, 4].as_slice()).unwrap();
            },
            "index: entry 4997124: it is under `uid=anna`, which it does not have",
            Remedy::Rebuild,
        ),
        (
            "change",
            |change| drop(change.remove(3_u64.to_be_bytes().as_slice()).unwrap()),
            "change: change 3 is missing",
            Remedy::Restore,
        ),
        (
            "change",
            |change| drop(change.insert(3_u64.to_be_bytes().as_slice(), [9_u8; 9].as_slice()).unwrap()),
            "change: change 3 cannot be read",
            Remedy::Restore,
        ),
        (
            "change",
            |change| {
                let row = get(change, &2_u64.to_be_bytes());
                change.insert(5_u64.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "change: change 5 has `",
            Remedy::Restore,
        ),
        (
            "change",
            |change| {
                let row = get(change, &2_u64.to_be_bytes());
                change.insert(50_u64.to_be_bytes().as_slice(), row.as_slice()).unwrap();
            },
            "change: change 50 is outside of what the log holds, 1 to 7",
            Remedy::Rebuild,
        ),
        (
            "meta",
            |meta| {
                let mut row = get(meta, b"state");
                row[..4].copy_from_slice(&4_u32.to_be_bytes());
                meta.insert(b"state".as_slice(), row.as_slice()).unwrap();
            },
            "meta: entry 7: the next id to be given out is 4, and this one is taken",
            Remedy::Rebuild,
        ),
    ];
    for (number, (name, change, told, remedy)) in table.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        filled(folder.path()).await;
        tamper(folder.path(), name, change);
        let store = Store::open(open(folder.path())).unwrap();
        let (found, _) = checked(&store);
        let fault = found.iter().find(|fault| fault.starts_with(told));
        let fault = fault.unwrap_or_else(|| panic!("{number}: {told}\nnot in\n{}", found.join("\n")));
        assert!(fault.ends_with(remedy.advice()), "{number}: {fault}");
        drop(store);
        // What can be derived is, unless what it is derived from cannot be read.
        match Store::open(open(folder.path()).rebuild()) {
            Ok(store) => {
                let (left, report) = checked(&store);
                assert_eq!(report.rebuildable, 0, "{number}: {left:?}");
                if *remedy == Remedy::Rebuild {
                    // A change of the log that was taken for a later one leaves a gap.
                    let gap = |fault: &String| fault.starts_with("change: ") && *name == "change";
                    assert!(left.iter().all(gap), "{number}: {left:?}");
                } else {
                    assert!(left.iter().any(|fault| fault.starts_with(told)), "{number}: {left:?}");
                }
            }
            Err(error) => {
                assert_eq!(*remedy, Remedy::Restore, "{number}: {error}");
                assert!(error.to_string().contains("cannot be read"), "{number}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_state_is_derived() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    tamper(folder.path(), "meta", |meta| drop(meta.insert(b"state".as_slice(), [1_u8].as_slice()).unwrap()));
    let error = Store::open(open(folder.path())).unwrap_err();
    assert!(error.to_string().contains("the state of the store cannot be read"), "{error}");
    let store = Store::open(open(folder.path()).rebuild()).unwrap();
    assert_eq!(checked(&store).0, [""; 0]);
    ok(&store, person("eve")).await;
    assert_eq!(checked(&store).0, [""; 0]);
}

#[tokio::test]
async fn two_entries_of_one_name_are_told_and_left() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    tamper(folder.path(), "node", |node| {
        let row = get(node, &ANNA.to_be_bytes());
        node.insert(BERT.to_be_bytes().as_slice(), row.as_slice()).unwrap();
    });
    let told = "node: entry 5 `uid=anna,ou=people,dc=harbourlane,dc=example`: entry 4 has the same name, so this one \
                cannot be reached; restore it from a backup or an export";
    let store = Store::open(open(folder.path())).unwrap();
    assert!(checked(&store).0.contains(&told.to_owned()), "{:?}", checked(&store).0);
    drop(store);
    let store = Store::open(open(folder.path()).rebuild()).unwrap();
    assert!(checked(&store).0.contains(&told.to_owned()), "{:?}", checked(&store).0);
}

#[tokio::test]
async fn a_check_sees_one_commit_while_others_write() {
    let store = small().await;
    let writing = store.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        let mut number = 0;
        while stopped.try_recv().is_err() {
            ok(&writing, person(&format!("crew{number}"))).await;
            number += 1;
        }
        number
    });
    let checking = store.clone();
    tokio::task::spawn_blocking(move || {
        for _ in 0..20 {
            assert_eq!(checked(&checking).0, [""; 0]);
        }
    })
    .await
    .unwrap();
    stop.send(()).unwrap();
    let written = writer.await.unwrap();
    assert_eq!(checked(&store).1.entries, 6 + written);
}

#[tokio::test]
async fn a_store_of_format_1_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = include_bytes!("../fixtures/format-1.redb");
    std::fs::write(folder.path().join("directory.redb"), bytes).unwrap();
    let store = Store::open(StoreOptions::folder(folder.path())).unwrap();
    assert_eq!(store.naming_contexts(), [dn(SUFFIX)]);
    let anna = read(&store, &format!("uid=anna,ou=people,{SUFFIX}")).await.unwrap();
    assert_eq!(anna.text("description"), Some("fällt auf"));
    assert!(bind(&store, &format!("uid=anna,ou=people,{SUFFIX}"), "tide tables").await.is_ok());
    let crew = read(&store, &format!("cn=crew,ou=groups,{SUFFIX}")).await.unwrap();
    assert_eq!(crew.attributes().get("member").unwrap().values().count(), 2);
    let (found, report) = checked(&store);
    assert_eq!(found, [""; 0]);
    assert_eq!(report.entries, 6);
    ok(&store, person("dora")).await;
    assert_eq!(checked(&store).0, [""; 0]);
}

/// Replicas, exports and references by identity tell entries apart by it.
#[tokio::test]
async fn entries_of_one_uuid_are_named_once_each() {
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    let uuid = "7d0e6a5c-3f4b-4b7b-9c25-6a1d6c0b7f10";
    let ldif: String =
        [("a", uuid), ("b", &uuid.to_uppercase()), ("c", uuid), ("d", &uuid.replace('7', "8"))]
            .into_iter()
            .map(|(uid, uuid)| format!("dn: uid={uid},{SUFFIX}\nobjectClass: account\nentryUUID: {uuid}\n\n"))
            .collect();
    let report = store.import(ldif.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(report.applied, 4);
    let id = BERT + 2;
    let fault = |id: u32, uid: &str, other: &str| {
        format!(
            "entry: entry {id} `uid={uid},{SUFFIX}`: its entryUUID is that of `uid={other},{SUFFIX}` too; change the entry"
        )
    };
    let told = faults(&store);
    assert_eq!(told, [fault(id, "a", "b"), fault(id + 1, "b", "a"), fault(id + 2, "c", "a")]);
    for uid in ["b", "c"] {
        ok(&store, flext_ldap_proto::message::Delete { dn: dn(&format!("uid={uid},{SUFFIX}")) }).await;
    }
    clean(&store);
}

#[tokio::test]
async fn a_check_ends_when_nobody_waits_for_it() {
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    for number in 0..300 {
        ok(&store, person(&format!("crew{number}"))).await;
    }
    let all = store.check(&mut |_| {}).unwrap();
    for end in [1, 2] {
        let mut asked = 0;
        let mut goes_on = || {
            asked += 1;
            asked < end
        };
        let error = store.check_while(&mut goes_on, &mut |_| {}).unwrap_err();
        assert_eq!((asked, error.kind()), (end, ErrorKind::Closed), "{error}");
    }
    // Index rows are not compared: those put off are written beside the checks.
    let again = store.check_while(&mut || true, &mut |_| {}).unwrap();
    assert_eq!((again.entries, again.changes, again.faults), (all.entries, all.changes, 0));
}
