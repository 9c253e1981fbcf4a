//! Disks that fail and come back: writes fail clearly, reads go on, nothing acknowledged is lost, writing resumes.

use std::{
    io,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use flext_ldap_directory::{Actor, Applied, Directory as _, ErrorKind, Event, Request};
use flext_ldap_proto::result::ResultCode;
use flext_ldap_store::{IndexConfig, IndexKind, Limits, Store};

use crate::{
    durability::{Disk, Failing},
    support::*,
};

/// Asks until it is written. What fails meanwhile must say that nothing was done.
async fn written_at_last(store: &Store, uid: &str) {
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        match ask(store, person(uid), Actor::Service).await {
            Ok(outcome) => {
                assert_eq!(outcome.result.code, ResultCode::SUCCESS);
                return;
            }
            Err(error) => {
                assert_eq!((error.kind(), error.applied()), (ErrorKind::Storage, Applied::No), "{error}");
                assert!(Instant::now() < patience, "writing does not resume: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test]
async fn writing_resumes_when_storage_can_be_written_again() {
    let table = [
        (Failing::Writes, io::ErrorKind::StorageFull, "no space is left"),
        (Failing::Writes, io::ErrorKind::Other, "cannot be read or written"),
        (Failing::Syncs, io::ErrorKind::Other, "cannot be read or written"),
        (Failing::Syncs, io::ErrorKind::StorageFull, "no space is left"),
        (Failing::SyncsThatDrop, io::ErrorKind::Other, "cannot be read or written"),
        (Failing::All, io::ErrorKind::ReadOnlyFilesystem, "read-only filesystem"),
    ];
    for (failing, kind, said) in table {
        let disk = Disk::default();
        let store = Store::open_on(disk.clone(), options()).unwrap();
        fill(&store).await;
        for round in 0..3 {
            ok(&store, person(&format!("before{round}"))).await;
            disk.failing(Some((failing, kind)));
            let error = ask(&store, person(&format!("lost{round}")), Actor::Service).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Storage, "{failing:?}");
            assert!(error.to_string().contains(said), "{failing:?}: {error}");
            // It is not there for readers, and all that was is.
            assert!(read(&store, &format!("uid=lost{round},ou=people,{SUFFIX}")).await.is_none());
            assert!(read(&store, &format!("uid=before{round},ou=people,{SUFFIX}")).await.is_some());
            assert_eq!(find(&store, subtree("(uid=anna)"), Actor::Service).await.0.len(), 1);
            clean(&store);
            let again = ask(&store, person("refused"), Actor::Service).await.unwrap_err();
            assert_eq!(again.applied(), Applied::No);
            assert!(again.to_string().contains("storage can be used again"), "{again}");

            disk.failing(None);
            written_at_last(&store, &format!("after{round}")).await;
            clean(&store);
            // The power fails now: what was acknowledged is on disk.
            let after = Store::open_on(disk.after_power_failure(|| false), options()).unwrap();
            for uid in ["before", "after"] {
                let name = format!("uid={uid}{round},ou=people,{SUFFIX}");
                assert!(read(&after, &name).await.is_some(), "{failing:?}: {name} is lost");
            }
            clean(&after);
        }
    }
}

/// Whether other indexes were taken or not: what is written afterwards is under those there are.
#[tokio::test]
async fn a_disk_that_fails_while_other_indexes_are_wanted_leaves_no_wrong_index() {
    let other = || IndexConfig::default().index("cn", []).index("description", [IndexKind::Equality]);
    for failing in [Failing::Writes, Failing::Syncs, Failing::SyncsThatDrop, Failing::All] {
        let disk = Disk::default();
        let store = Store::open_on(disk.clone(), options().indexes(IndexConfig::default())).unwrap();
        fill(&store).await;
        let mut wanted = true;
        for round in 0..4 {
            let config = if wanted { other() } else { IndexConfig::default() };
            disk.failing(Some((failing, io::ErrorKind::StorageFull)));
            assert_eq!(store.set_indexes(&config).unwrap_err().kind(), ErrorKind::Storage, "{failing:?}");
            clean(&store);
            disk.failing(None);
            written_at_last(&store, &format!("after{round}")).await;
            clean(&store);
            assert!(store.set_indexes(&config).unwrap(), "{failing:?}");
            ok(&store, person(&format!("more{round}"))).await;
            clean(&store);
            wanted = !wanted;
        }
        for config in [None, Some(other()), Some(IndexConfig::default())] {
            let options = config.map_or_else(options, |config| options().indexes(config));
            let after = Store::open_on(disk.after_power_failure(|| false), options).unwrap();
            for text in ["(cn=*)", "(uid=after3)", "(uid=more3)", "(description=*)"] {
                let (found, _) = find(&after, subtree(text), Actor::Service).await;
                assert_eq!(found, find(&store, subtree(text), Actor::Service).await.0, "{text}");
            }
            clean(&after);
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_anywhere_in_a_commit_loses_nothing() {
    for failing in [Failing::Writes, Failing::Syncs, Failing::SyncsThatDrop] {
        let disk = Disk::default();
        let store = Store::open_on(disk.clone(), options()).unwrap();
        fill(&store).await;
        let mut acknowledged = Vec::new();
        for number in 0..40 {
            let uid = format!("crew{number}");
            let writing = ask(&store, person(&uid), Actor::Service);
            // It fails for as long as it takes others to look at it, at whatever step the commit has come to.
            let looking = async {
                for _ in 0..number {
                    tokio::task::yield_now().await;
                }
                disk.failing(Some((failing, io::ErrorKind::Other)));
                read(&store, &format!("uid=anna,ou=people,{SUFFIX}")).await.unwrap();
                disk.failing(None);
            };
            match tokio::join!(writing, looking).0 {
                Ok(_) => acknowledged.push(uid),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Storage),
            }
            written_at_last(&store, &format!("more{number}")).await;
            acknowledged.push(format!("more{number}"));
        }
        clean(&store);
        let after = Store::open_on(disk.after_power_failure(|| false), options()).unwrap();
        for uid in &acknowledged {
            assert!(read(&after, &format!("uid={uid},ou=people,{SUFFIX}")).await.is_some(), "{uid} is lost");
        }
        clean(&after);
    }
}

#[tokio::test]
async fn a_read_that_fails_is_an_error_and_the_next_one_works() {
    let disk = Disk::default();
    let mut limits = Limits::default();
    limits.cache = 0;
    let store = Store::open_on(disk.clone(), options().limits(limits)).unwrap();
    fill(&store).await;
    disk.failing(Some((Failing::Reads, io::ErrorKind::Other)));
    let mut reply = store.call(Request::new(subtree("(sn=Quay)"), Actor::Service).into_any());
    let error = loop {
        match reply.next().await {
            Ok(Event::Batch(_)) => {}
            Ok(Event::Done(outcome)) => panic!("a disk that cannot be read answers: {outcome:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    disk.failing(None);
    written_at_last(&store, "more").await;
    assert_eq!(find(&store, subtree("(uid=*)"), Actor::Service).await.0.len(), 4);
    clean(&store);
}

/// Whether a store on this disk answers everything in some way.
async fn survives(disk: Disk) -> (usize, usize) {
    let mut limits = Limits::default();
    limits.cache = 0;
    let Ok(store) = Store::open_on(disk, options().limits(limits)) else { return (0, 1) };
    let (mut answers, mut errors) = (0, 0);
    for text in ["(uid=anna)", "(objectClass=*)", "(sn=Quay)", "(description=none)"] {
        let mut reply = store.call(Request::new(subtree(text), Actor::Service).into_any());
        loop {
            match reply.next().await {
                Ok(Event::Batch(_)) => {}
                Ok(Event::Done(_)) => {
                    answers += 1;
                    break;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
                    errors += 1;
                    break;
                }
            }
        }
    }
    match store.check(&mut |_| {}) {
        Ok(_) => answers += 1,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Storage);
            errors += 1;
        }
    }
    match ask(&store, person("dora"), Actor::Service).await {
        Ok(_) => answers += 1,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Storage);
            errors += 1;
        }
    }
    store.close();
    (answers, errors)
}

#[tokio::test]
async fn a_damaged_page_is_an_error_and_never_a_panic() {
    const PAGE: usize = 4_096;
    let disk = Disk::default();
    let store = Store::open_on(disk.clone(), options()).unwrap();
    fill(&store).await;
    store.close();
    drop(store);
    let whole = disk.copy();
    let (mut answers, mut errors) = (0, 0);
    for offset in (0..whole.len()).step_by(PAGE) {
        if whole[offset..offset + PAGE].iter().all(|octet| *octet == 0) {
            continue;
        }
        for scribbled in [[0_u8; PAGE], [0xff; PAGE], std::array::from_fn(|at| whole[offset + at] ^ 0x55)] {
            let damaged = Disk::from(whole.clone());
            damaged.scribble(offset, &scribbled);
            let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
                std::thread::scope(|scope| {
                    scope
                        .spawn(|| {
                            tokio::runtime::Builder::new_current_thread()
                                .enable_all()
                                .build()
                                .unwrap()
                                .block_on(survives(damaged))
                        })
                        .join()
                        .unwrap()
                })
            }));
            let (some, others) = told.unwrap_or_else(|_| panic!("a page at {offset} ends the caller"));
            answers += some;
            errors += others;
        }
    }
    // Pages nobody asks for, and pages that matter.
    assert!(answers > 0 && errors > 10, "{answers} answers, {errors} errors");
}

#[tokio::test]
async fn a_damaged_page_is_found_when_pages_are_verified() {
    const PAGE: usize = 4_096;
    let disk = Disk::default();
    let store = Store::open_on(disk.clone(), options()).unwrap();
    fill(&store).await;
    drop(store);
    let whole = disk.copy();
    // A value within an entry, such as no form of a row tells.
    let at = whole.windows(8).rposition(|octets| octets == b"cleo Qua").unwrap();
    assert!(at > PAGE);
    let damaged = Disk::from(whole);
    damaged.scribble(at, b"CLEO");
    drop(Store::open_on(damaged.clone(), options()).unwrap());
    let error = Store::open_on(damaged, options().verify_pages()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("damaged"), "{error}");
    drop(Store::open_on(disk, options().verify_pages()).unwrap());
}
