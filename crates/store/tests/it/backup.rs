//! Backups of stores in use, stores made of them, and files made small.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use flext_ldap_directory::ErrorKind;
use flext_ldap_proto::message::Delete;
use flext_ldap_store::{ExportOptions, RestoreOptions, Store, StoreOptions, compact, restore};

use crate::support::*;

fn open(folder: &Path) -> StoreOptions {
    StoreOptions::folder(folder).suffix(dn(SUFFIX))
}

/// All that is in a store.
fn ldif(store: &Store) -> String {
    let mut options = ExportOptions::default();
    options.operational = true;
    options.password_hashes = true;
    let mut out = Vec::new();
    store.export(&mut out, &options).unwrap();
    String::from_utf8(out).unwrap()
}

async fn backup() -> (Store, Vec<u8>) {
    let store = small().await;
    let mut octets = Vec::new();
    let report = store.backup(&mut octets).unwrap();
    assert_eq!(report.octets, octets.len() as u64);
    assert_eq!(report.manifest.entries(), 6);
    assert_eq!(report.manifest.contexts, [SUFFIX]);
    let sum: String = octets[octets.len() - 32..].iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(report.sha256, sum);
    (store, octets)
}

#[tokio::test]
async fn a_backup_is_restored_as_it_was() {
    let (store, octets) = backup().await;
    let before = ldif(&store);
    ok(&store, person("later")).await;
    let folder = tempfile::tempdir().unwrap();
    let report = restore(&mut octets.as_slice(), open(folder.path()), &RestoreOptions::default()).unwrap();
    assert_eq!((report.manifest.entries(), report.check.entries, report.check.faults), (6, 6, 0));
    let again = Store::open(open(folder.path())).unwrap();
    assert_eq!(ldif(&again), before);
    assert_eq!(faults(&again), [""; 0]);
    ok(&again, person("later")).await;
    drop(again);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(folder.path().join("directory.redb").metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn backups_of_a_store_in_use_are_each_of_one_commit() {
    let store = small().await;
    let writing = store.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::spawn(async move {
        for number in 0.. {
            if stopped.try_recv().is_ok() {
                return;
            }
            let (new, old) = (format!("crew{number}"), format!("crew{}", number - 3));
            ok(&writing, person(&new)).await;
            if number >= 3 {
                ok(&writing, Delete { dn: dn(&format!("uid={old},ou=people,{SUFFIX}")) }).await;
            }
        }
    });
    let backing = store.clone();
    tokio::task::spawn_blocking(move || {
        for _ in 0..5 {
            let mut octets = Vec::new();
            backing.backup(&mut octets).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let report =
                restore(&mut octets.as_slice(), open(folder.path()), &RestoreOptions::default()).unwrap();
            assert_eq!(report.check.faults, 0);
            assert!((6..=10).contains(&report.check.entries), "{report:?}");
        }
    })
    .await
    .unwrap();
    stop.send(()).unwrap();
    writer.await.unwrap();
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_and_leaves_nothing() {
    let (_store, octets) = backup().await;
    let refused = |octets: &[u8], why: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mut input = octets;
        let error = restore(&mut input, open(folder.path()), &RestoreOptions::default()).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        let left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    };
    for length in [0, 1, 100, octets.len() / 2, octets.len() - 33, octets.len() - 32, octets.len() - 1] {
        refused(&octets[..length], "it ends too early");
    }
    let mut longer = octets.clone();
    longer.push(b'\n');
    refused(&longer, "something follows its end");
    refused(b"dn: dc=harbourlane,dc=example\n", "this is no backup");
    let text = String::from_utf8_lossy(&octets).into_owned();
    let start = text.find("rows").unwrap();
    let replaced = |from: &str, to: &str| {
        let at = text.find(from).unwrap();
        assert!(at <= start && from.len() == to.len());
        let mut changed = octets.clone();
        changed[at..at + from.len()].copy_from_slice(to.as_bytes());
        changed
    };
    refused(&replaced("format 2", "format 9"), "it has format 9");
    refused(&replaced("rows meta", "rows mela"), "`mela`");
    refused(&replaced("csn 2", "csn 3"), "its checksum is wrong");
    // A row that changes its length, its order, or a value.
    for step in 1..24 {
        let mut changed = octets.clone();
        let at = start + (octets.len() - start) * step / 24;
        changed[at.min(octets.len() - 1)] ^= 0x04;
        let folder = tempfile::tempdir().unwrap();
        let error = restore(&mut changed.as_slice(), open(folder.path()), &RestoreOptions::default());
        assert!(error.is_err(), "a changed octet at {at} is not seen");
        assert!(!folder.path().join("directory.redb").exists());
    }
}

#[tokio::test]
async fn a_folder_that_holds_a_directory_is_kept_unless_told() {
    let (_store, octets) = backup().await;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(open(folder.path())).unwrap();
    let mut replace = RestoreOptions::default();
    replace.replace = true;
    let error = restore(&mut octets.as_slice(), open(folder.path()), &replace).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(store);
    let error = restore(&mut octets.as_slice(), open(folder.path()), &RestoreOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert!(error.to_string().contains("holds a directory already"), "{error}");
    // One that fails leaves what was there.
    restore(&mut &octets[..octets.len() - 1], open(folder.path()), &replace).unwrap_err();
    assert!(
        Store::open(open(folder.path())).unwrap().export(io::sink(), &ExportOptions::default()).unwrap() == 0
    );
    restore(&mut octets.as_slice(), open(folder.path()), &replace).unwrap();
    let store = Store::open(open(folder.path())).unwrap();
    assert_eq!(store.export(io::sink(), &ExportOptions::default()).unwrap(), 6);
}

#[tokio::test]
async fn a_backup_has_its_name_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = small().await;
    let path = folder.path().join("monday");
    let report = store.backup_to(&path).unwrap();
    assert_eq!(path.metadata().unwrap().len(), report.octets);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let error = store.backup_to(&path).unwrap_err();
    assert!(error.to_string().contains("is there already"), "{error}");
    let error = flext_ldap_store::save(&folder.path().join("tuesday"), |output| {
        output.write_all(b"half").unwrap();
        assert!(!folder.path().join("tuesday").exists());
        Err::<(), _>(store.backup(&mut Full).unwrap_err())
    })
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("the backup cannot be written"), "{error}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["monday"]);
    // The store has nothing to do with it.
    ok(&store, person("later")).await;
}

struct Full;

impl io::Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_compacted_store_is_smaller_and_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(open(folder.path())).unwrap();
    fill(&store).await;
    for number in 0..200 {
        let mut add = person(&format!("crew{number}"));
        let mut attributes = flext_ldap_proto::attribute::Attributes::builder();
        for one in add.attributes.as_ref().iter() {
            attributes.push(one.description(), one.values());
        }
        attributes.push("description", ["x".repeat(20_000)]);
        add.attributes = attributes.build();
        ok(&store, add).await;
    }
    for number in 0..190 {
        ok(&store, Delete { dn: dn(&format!("uid=crew{number},ou=people,{SUFFIX}")) }).await;
    }
    let before = ldif(&store);
    let error = compact(folder.path()).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    drop(store);
    let report = compact(folder.path()).unwrap();
    assert!(report.after * 4 < report.before, "{report:?}");
    assert_eq!(report.after, folder.path().join("directory.redb").metadata().unwrap().len());
    let store = Store::open(open(folder.path())).unwrap();
    assert_eq!(ldif(&store), before);
    assert_eq!(faults(&store), [""; 0]);
    ok(&store, person("later")).await;
    drop(store);
    let nowhere = folder.path().join("nowhere");
    assert!(compact(&nowhere).is_err() && !nowhere.exists());
}
