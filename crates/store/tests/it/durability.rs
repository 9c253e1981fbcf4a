//! What survives: power that fails, disks that fill, processes that end.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use flext_ldap_directory::{Actor, Applied, Directory, ErrorKind, Request};
use flext_ldap_proto::{
    control::{Controls, TreeDelete},
    message::Delete,
    result::ResultCode,
};
use flext_ldap_store::{Store, StoreOptions};
use redb::StorageBackend;

use crate::support::*;

/// Storage with a cache of its own that is lost when the power fails: some of what was written since the last sync is
/// then there and some is not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
pub(crate) struct Platter {
    /// What is safe.
    synced: Vec<u8>,
    /// What a reader sees.
    seen: Vec<u8>,
    /// Writes since the last sync, in order.
    unsynced: Vec<(usize, Vec<u8>)>,
    /// Operations until the power fails.
    operations_left: Option<u32>,
    /// Octets until the disk is full.
    octets_left: Option<usize>,
    /// What does not work at present, and how it fails.
    failing: Option<(Failing, io::ErrorKind)>,
}

/// What of a disk does not work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failing {
    Writes,
    /// As after a remount: neither writes nor syncs.
    All,
    Syncs,
    /// A failed sync drops what was not synced, and later syncs say that all is well: as Linux does.
    SyncsThatDrop,
    Reads,
}

impl Disk {
    /// The disk after the power failed: of what was not synced, what `survives` says, in whatever order.
    pub(crate) fn after_power_failure(&self, mut survives: impl FnMut() -> bool) -> Self {
        let platter = self.0.lock().unwrap();
        let mut synced = platter.synced.clone();
        for (offset, data) in &platter.unsynced {
            // A sector survives or does not.
            for (number, sector) in data.chunks(512).enumerate() {
                let start = offset + number * 512;
                if survives() && start + sector.len() <= synced.len() {
                    synced[start..start + sector.len()].copy_from_slice(sector);
                }
            }
        }
        Self(Arc::new(Mutex::new(Platter { seen: synced.clone(), synced, ..Platter::default() })))
    }

    /// From now on this fails; or nothing.
    pub(crate) fn failing(&self, failing: Option<(Failing, io::ErrorKind)>) {
        self.0.lock().unwrap().failing = failing;
    }

    /// Scribbles over what is stored, as no program would.
    pub(crate) fn scribble(&self, offset: usize, octets: &[u8]) {
        let platter = &mut *self.0.lock().unwrap();
        platter.seen[offset..offset + octets.len()].copy_from_slice(octets);
        platter.synced[offset..offset + octets.len()].copy_from_slice(octets);
    }

    pub(crate) fn copy(&self) -> Vec<u8> {
        self.0.lock().unwrap().seen.clone()
    }

    pub(crate) fn fail_after(&self, operations: u32) {
        self.0.lock().unwrap().operations_left = Some(operations);
    }

    pub(crate) fn full_after(&self, octets: usize) {
        self.0.lock().unwrap().octets_left = Some(octets);
    }
}

impl From<Vec<u8>> for Disk {
    fn from(octets: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Platter { seen: octets.clone(), synced: octets, ..Platter::default() })))
    }
}

impl Platter {
    fn fails(&self, what: &[Failing]) -> io::Result<()> {
        match self.failing {
            Some((failing, kind)) if what.contains(&failing) => Err(kind.into()),
            _ => Ok(()),
        }
    }

    fn operate(&mut self) -> io::Result<()> {
        match &mut self.operations_left {
            Some(0) => Err(io::Error::other("the power failed")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn grow(&mut self, octets: usize) -> io::Result<()> {
        match &mut self.octets_left {
            Some(left) if *left < octets => {
                *left = 0;
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(left) => {
                *left -= octets;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.0.lock().unwrap();
        platter.fails(&[Failing::Reads])?;
        let start = usize::try_from(offset).unwrap();
        let found = platter.seen.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.operate()?;
        platter.fails(&[Failing::Writes, Failing::All])?;
        let len = usize::try_from(len).unwrap();
        let grown = len.saturating_sub(platter.seen.len());
        platter.grow(grown)?;
        platter.seen.resize(len, 0);
        // The length of a file is kept by its file system.
        platter.synced.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.operate()?;
        if platter.fails(&[Failing::SyncsThatDrop]).is_err() {
            platter.seen = platter.synced.clone();
            platter.unsynced.clear();
        }
        platter.fails(&[Failing::Syncs, Failing::All, Failing::SyncsThatDrop])?;
        platter.synced = platter.seen.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.0.lock().unwrap();
        platter.operate()?;
        platter.fails(&[Failing::Writes, Failing::All])?;
        let start = usize::try_from(offset).unwrap();
        platter.seen[start..start + data.len()].copy_from_slice(data);
        platter.unsynced.push((start, data.to_vec()));
        Ok(())
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// Whatever is left of a store whose making was interrupted, one can be made there.
#[tokio::test]
async fn a_store_that_was_being_made_when_the_power_failed_is_made_anew() {
    let mut unfinished = 0;
    for operations in 0..40 {
        let mut random = numbers(operations.into());
        let disk = Disk::default();
        disk.fail_after(operations);
        drop(Store::open_on(disk.clone(), options()));
        let disk = disk.after_power_failure(|| random().is_multiple_of(2));
        let left = disk.copy();
        unfinished += u32::from(!left.is_empty() && left[..9] == [0; 9]);
        let store = Store::open_on(disk, options()).unwrap();
        fill(&store).await;
        clean(&store);
    }
    assert!(unfinished > 1, "the power failed {unfinished} times before there was a store");
}

/// What has anything in it is nobody's to be emptied.
#[tokio::test]
async fn a_store_whose_beginning_is_lost_is_left_as_it_is() {
    let disk = Disk::default();
    let store = Store::open_on(disk.clone(), options()).unwrap();
    fill(&store).await;
    drop(store);
    disk.scribble(0, &[0; 4096]);
    let left = disk.copy();
    let error = Store::open_on(disk.clone(), options()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert_eq!(disk.copy(), left);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_the_power_failed() {
    const ROUNDS: u64 = 60;
    let mut stopped = 0;
    for round in 0..ROUNDS {
        let mut random = numbers(round + 1);
        let disk = Disk::default();
        let store = Store::open_on(disk.clone(), options()).unwrap();
        fill(&store).await;
        disk.fail_after(u32::try_from(random() % 120).unwrap());
        let mut acknowledged = Vec::new();
        let mut unknown = Vec::new();
        for number in 0..40 {
            let uid = format!("crew{number}");
            match ask(&store, person(&uid), Actor::Service).await {
                Ok(outcome) => {
                    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
                    acknowledged.push(uid);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Storage);
                    if error.applied() == Applied::Unknown {
                        unknown.push(uid);
                    }
                    stopped += 1;
                    break;
                }
            }
        }
        drop(store);
        let after = disk.after_power_failure(|| random().is_multiple_of(2));
        let store = Store::open_on(after, options()).unwrap();
        for uid in &acknowledged {
            let name = format!("uid={uid},ou=people,{SUFFIX}");
            assert!(read(&store, &name).await.is_some(), "round {round}: {uid} is lost");
        }
        let (names, _) = find(&store, subtree("(uid=crew*)"), Actor::Service).await;
        assert!(names.len() <= acknowledged.len() + unknown.len(), "round {round}");
        ok(&store, person("after")).await;
    }
    assert!(stopped > ROUNDS / 3, "the power failed in {stopped} rounds only");
}

#[tokio::test]
async fn a_full_disk_stops_writes_and_reads_go_on() {
    let disk = Disk::default();
    let store = Store::open_on(disk.clone(), options()).unwrap();
    fill(&store).await;
    disk.full_after(300_000);
    let mut written = 0;
    let error = loop {
        let uid = format!("crew{written}");
        let mut add = person(&uid);
        add.attributes = {
            let mut attributes = flext_ldap_proto::attribute::Attributes::builder();
            for one in add.attributes.as_ref().iter() {
                attributes.push(one.description(), one.values());
            }
            attributes.push("description", ["x".repeat(100_000)]);
            attributes.build()
        };
        match ask(&store, add, Actor::Service).await {
            Ok(outcome) => assert_eq!(outcome.result.code, ResultCode::SUCCESS),
            Err(error) => break error,
        }
        written += 1;
        assert!(written < 1_000, "the disk is never full");
    };
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("no space is left"), "{error}");
    // Everything acknowledged is still read, by name and by index.
    for number in 0..written {
        let found = find(&store, subtree(&format!("(uid=crew{number})")), Actor::Service).await.0;
        assert_eq!(found.len(), 1, "crew{number}");
    }
    assert_eq!(find(&store, subtree("(uid=anna)"), Actor::Service).await.0.len(), 1);
    let error = ask(&store, person("more"), Actor::Service).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Storage, Applied::No));
    assert!(error.to_string().contains("no space is left"), "{error}");
    // With room it goes on, as it is, and so does a store that is opened then.
    disk.full_after(usize::MAX);
    while ask(&store, person("goes-on"), Actor::Service).await.is_err() {
        tokio::task::yield_now().await;
    }
    drop(store);
    let store = Store::open_on(disk, options()).unwrap();
    assert!(read(&store, &format!("uid=goes-on,ou=people,{SUFFIX}")).await.is_some());
    assert_eq!(find(&store, subtree("(uid=crew*)"), Actor::Service).await.0.len(), written);
    ok(&store, person("more")).await;
}

#[tokio::test]
async fn a_folder_is_kept_and_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    let options = || StoreOptions::folder(&path).suffix(dn(SUFFIX));
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in path.read_dir().unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
    let error = Store::open(options()).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("in use") && said.contains(&format!("process {}", std::process::id())), "{said}");
    let csn = read(&store, SUFFIX).await.unwrap().text("contextCSN").unwrap().to_owned();
    drop(store);
    // What is stored is served without being named.
    let store = Store::open(StoreOptions::folder(&path)).unwrap();
    assert_eq!(store.naming_contexts(), [dn(SUFFIX)]);
    assert_eq!(find(&store, subtree("(uid=*)"), Actor::Service).await.0.len(), 3);
    ok(&store, person("dora")).await;
    let later = read(&store, SUFFIX).await.unwrap().text("contextCSN").unwrap().to_owned();
    assert!(later > csn);
}

/// A folder can be emptied and filled again by who names no suffix.
#[tokio::test]
async fn suffixes_are_known_after_their_last_entry() {
    const GULL: &str = "o=Gull Rock";
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(StoreOptions::folder(folder.path())).unwrap();
    let gull = || entry(GULL, &["objectClass: organization"]);
    let store = Store::open(StoreOptions::folder(folder.path()).suffix(dn(SUFFIX)).suffix(dn(GULL))).unwrap();
    fill(&store).await;
    ok(&store, gull()).await;
    for round in 0..2 {
        ok(&store, Delete { dn: dn(GULL) }).await;
        if round == 1 {
            let tree = Controls::none().critical(&TreeDelete);
            let mut request = Request::new(Delete { dn: dn(SUFFIX) }, Actor::Service);
            request.controls = tree;
            let outcome = store.call(request.into_any()).outcome().await.unwrap();
            assert_eq!(outcome.result.code, ResultCode::SUCCESS);
        }
        ok(&store, gull()).await;
    }
    ok(&store, Delete { dn: dn(GULL) }).await;
    clean(&store);
    drop(store);
    let store = open();
    assert_eq!(store.naming_contexts(), [dn(GULL), dn(SUFFIX)]);
    fill(&store).await;
    clean(&store);
    drop(store);
    assert_eq!(open().naming_contexts(), [dn(SUFFIX), dn(GULL)]);
    // Who names some has these, and what entries have.
    let below = Store::open(StoreOptions::folder(folder.path()).suffix(dn("ou=crew,o=Gull Rock"))).unwrap();
    assert_eq!(below.naming_contexts(), [dn("ou=crew,o=Gull Rock"), dn(SUFFIX)]);
    ok(&below, entry("ou=crew,o=Gull Rock", &["objectClass: organizationalUnit"])).await;
    drop(below);
    assert_eq!(open().naming_contexts(), [dn("ou=crew,o=Gull Rock"), dn(SUFFIX)]);
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused() {
    let table = [
        StoreOptions::memory().suffix(dn("dc=example")).suffix(dn("dc=a,dc=example")),
        StoreOptions::memory().suffix(dn("")),
        StoreOptions::memory().suffix(dn("nonesuch=x")),
        StoreOptions::memory().administrator(dn(ADMIN), "".into()),
    ];
    for options in table {
        let error = Store::open(options.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{options:?}: {error}");
    }
    let twice = StoreOptions::memory().suffix(dn(SUFFIX)).suffix(dn("DC=HarbourLane,DC=Example"));
    assert_eq!(Store::open(twice).unwrap().naming_contexts().len(), 1);
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let disk = Disk::default();
    drop(Store::open_on(disk.clone(), options()).unwrap());
    {
        let database = redb::Database::builder().create_with_backend(disk.clone()).unwrap();
        let transaction = database.begin_write().unwrap();
        {
            let meta: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("meta");
            let mut meta = transaction.open_table(meta).unwrap();
            meta.insert(b"format".as_slice(), 99_u32.to_be_bytes().as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    }
    let error = Store::open_on(disk, options()).unwrap_err();
    assert!(error.to_string().contains("format 99"), "{error}");
}

#[tokio::test]
async fn a_write_goes_on_when_nobody_waits_for_it() {
    let store = small().await;
    let request = Request::new(person("dora"), Actor::Service).within(Duration::from_secs(30)).into_any();
    let mut reply = Box::pin(store.call(request).outcome());
    // Polled once, so that it is under way; then dropped.
    let waker = std::task::Waker::noop();
    let _ = Future::poll(reply.as_mut(), &mut std::task::Context::from_waker(waker));
    drop(reply);
    ok(&store, person("eve")).await;
    assert!(read(&store, &format!("uid=dora,ou=people,{SUFFIX}")).await.is_some());
}

#[tokio::test]
async fn a_store_that_was_idle_needs_no_recovery_after_a_crash() {
    let disk = Disk::default();
    let store = Store::open_on(disk.clone(), options()).unwrap();
    fill(&store).await;
    // What a crash would leave, looked at again and again until the store has been idle for long enough.
    let patience = std::time::Instant::now() + Duration::from_secs(120);
    loop {
        let crashed = disk.after_power_failure(|| false);
        let mut builder = redb::Database::builder();
        let opened = builder.set_repair_callback(redb::RepairSession::abort).create_with_backend(crashed);
        match opened {
            Ok(_) => break,
            Err(redb::DatabaseError::RepairAborted) => assert!(std::time::Instant::now() < patience),
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
    // It is the whole store.
    let after = Store::open_on(disk.after_power_failure(|| false), options()).unwrap();
    assert_eq!(find(&after, subtree("(uid=*)"), Actor::Service).await.0.len(), 3);
    ok(&store, person("dora")).await;
}

fn locks_after(most: usize) -> StoreOptions {
    let mut rules = flext_ldap_store::PasswordPolicy::default();
    (rules.lockout, rules.max_failure) = (true, most);
    options().password_policy(rules)
}

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";

async fn with_password(disk: &Disk, most: usize) -> Store {
    use flext_ldap_proto::message::{Change, ChangeKind, Modify};
    let store = Store::open_on(disk.clone(), locks_after(most)).unwrap();
    fill(&store).await;
    let attribute = attribute("userPassword");
    let change = Change { kind: ChangeKind::Replace, attribute, values: vec!["ebb".into()] };
    ok(&store, Modify { dn: dn(ANNA), changes: vec![change] }).await;
    store
}

#[tokio::test]
async fn failed_binds_are_counted_across_a_power_failure() {
    let disk = Disk::default();
    let store = with_password(&disk, 5).await;
    for _ in 0..4 {
        assert_eq!(bind(&store, ANNA, "flood").await, Err(ResultCode::INVALID_CREDENTIALS));
    }
    // Nothing of what was not synced survives, and the store is not closed.
    let after = disk.after_power_failure(|| false);
    let again = Store::open_on(after.clone(), locks_after(5)).unwrap();
    let before = again.counters().passwords_verified;
    assert_eq!(bind(&again, ANNA, "flood").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(bind(&again, ANNA, "ebb").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(again.counters().passwords_verified - before, 1);
    let locked = Store::open_on(after.after_power_failure(|| false), locks_after(5)).unwrap();
    assert_eq!(bind(&locked, ANNA, "ebb").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(locked.counters().passwords_verified, 0);
}

#[tokio::test]
async fn storage_that_fails_gives_nobody_more_guesses() {
    use flext_ldap_directory::{BindStep, Deadline};
    let disk = Disk::default();
    let store = with_password(&disk, 3).await;
    disk.fail_after(0);
    let step = |password: &str| BindStep::simple(ANNA, password.into());
    let by = || Deadline::after(Duration::from_secs(30));
    for _ in 0..3 {
        let error = session(&store).await.bind(step("flood"), by()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    }
    assert_eq!(store.counters().passwords_verified, 3);
    assert_eq!(bind(&store, ANNA, "ebb").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(store.counters().passwords_verified, 3);
}
