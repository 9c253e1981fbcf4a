//! That a load leaves what single adds leave, that others get their turn meanwhile, and what is left of one that was
//! interrupted.

use std::{collections::BTreeMap, fmt::Write as _, io, path::Path};

use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    attribute::Attributes,
    ldif::{LdifReader, ReadOptions, Record},
    message::Add,
    result::ResultCode,
};
use flext_ldap_store::{ImportFailure, ImportOptions, Limits, Store, StoreOptions};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{
    durability::{Disk, numbers},
    support::*,
};

const HASH: &str = "{SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0";

/// Units within units, people with values of every kind that is normalised, groups of them.
fn company(people: usize) -> String {
    let mut text = format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\n\n\
         dn: ou=groups,{SUFFIX}\nobjectClass: organizationalUnit\n\n"
    );
    for unit in 0..7 {
        write!(text, "dn: ou=Quay {unit},ou=people,{SUFFIX}\nobjectClass: organizationalUnit\n\n").unwrap();
    }
    for number in 0..people {
        let mixed = number * 7_919 % 10_007;
        write!(
            text,
            "dn: uid=Crew{mixed}, OU=quay {},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\n\
             objectClass: posixAccount\ncn: Crew  {mixed}\ncn;lang-de: Mannschaft {mixed}\nsn: Quäy {}\nuid: crew{mixed}\n\
             uidNumber: {number}\ngidNumber: {}\nhomeDirectory: /home/{mixed}\nmail: Crew{mixed}@harbourlane.example\n\
             telephoneNumber: +1 555-01{:02} {:04}\nmanager: uid=crew0,ou=Quay 0,ou=people,{SUFFIX}\n",
            number % 7,
            number % 40,
            number % 5,
            number % 100,
            number % 977,
        )
        .unwrap();
        if number % 100 == 0 {
            writeln!(text, "userPassword: {HASH}").unwrap();
        }
        text.push('\n');
    }
    for group in 0..people / 100 {
        write!(text, "dn: cn=watch {group},ou=groups,{SUFFIX}\nobjectClass: groupOfNames\n").unwrap();
        // One has so many that each is a row of its own.
        for member in 0..if group == 0 { 90 } else { 50 } {
            let number = group * 50 + member;
            let mixed = number * 7_919 % 10_007;
            let spelt = ["uid=crew", "UID = Crew", "uid=\\63rew"][number % 3];
            writeln!(text, "member: {spelt}{mixed},ou=Quay {},ou=people,{SUFFIX}", number % 7).unwrap();
        }
        text.push('\n');
    }
    text
}

/// A store that has a load take many transactions to a commit.
fn in_steps(options: StoreOptions) -> StoreOptions {
    let mut limits = Limits::default();
    limits.cache = 1 << 20;
    options.for_load().limits(limits)
}

/// Adds every entry of the text on its own.
async fn add_each(store: &Store, text: &str) {
    let mut reader = LdifReader::new(text.as_bytes(), ReadOptions::default());
    while let Some(record) = reader.next_record().unwrap() {
        let Record::Entry(entry) = record else { panic!("an entry") };
        ok(store, Add::try_from(&entry).unwrap()).await;
    }
}

/// All rows of a table of a store that is closed.
fn rows(folder: &Path, table: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let database = Database::open(folder.join("directory.redb")).unwrap();
    let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
    let table = database.begin_read().unwrap().open_table(definition).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (key.value().to_vec(), value.value().to_vec())
    });
    rows.collect()
}

/// An entry without what differs from one store to the next.
async fn lasting(store: &Store, name: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    let entry = read(store, name).await.unwrap();
    let mut attributes: Vec<_> = entry
        .attributes()
        .iter()
        .filter(|one| {
            ![
                "entryUUID",
                "entryCSN",
                "createTimestamp",
                "modifyTimestamp",
                "contextCSN",
                // An import keeps what is given of an account; an add begins one.
                "pwdChangedTime",
            ]
            .contains(&one.description())
        })
        .map(|one| (one.description().to_owned(), one.values().map(<[u8]>::to_vec).collect()))
        .collect();
    attributes.sort();
    attributes
}

#[tokio::test]
async fn a_load_leaves_what_single_adds_leave() {
    let text = company(2_000);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open = |name: &str| Store::open(StoreOptions::folder(path(name)).suffix(dn(SUFFIX))).unwrap();
    let (single, loaded, in_parts) = (open("single"), open("loaded"), open("parts"));
    let in_steps = Store::open(in_steps(StoreOptions::folder(path("steps")).suffix(dn(SUFFIX)))).unwrap();
    add_each(&single, &text).await;
    let import = |store: &Store, options: &ImportOptions| {
        store.import(text.as_bytes(), options, &mut |_| {}).unwrap().applied
    };
    let mut small = ImportOptions::default();
    small.commit_every = 170;
    assert_eq!(import(&loaded, &ImportOptions::default()), 2_030);
    assert_eq!(import(&in_parts, &small), 2_030);
    assert_eq!(import(&in_steps, &ImportOptions::default()), 2_030);
    assert!(in_parts.counters().commits >= 11, "{:?}", in_parts.counters());

    let mut reader = LdifReader::new(text.as_bytes(), ReadOptions::default());
    while let Some(Record::Entry(entry)) = reader.next_record().unwrap() {
        let name = entry.dn_str();
        let wanted = lasting(&single, name).await;
        assert!(wanted.len() > 4, "{name}");
        assert_eq!(lasting(&loaded, name).await, wanted, "{name}");
        assert_eq!(lasting(&in_parts, name).await, wanted, "{name}");
        assert_eq!(lasting(&in_steps, name).await, wanted, "{name}");
    }
    for store in [single, loaded, in_parts, in_steps] {
        clean(&store);
        store.close();
    }
    for table in ["node", "tree", "value", "secret", "index"] {
        // Every entry has an identifier and time stamps of its own in each store.
        let own: [&[u8]; 4] =
            [b"1.3.6.1.1.16.4\0", b"1.3.6.1.4.1.4203.666.1.7\0", b"2.5.18.1\0", b"2.5.18.2\0"];
        let of = |name: &str| -> BTreeMap<_, _> {
            let rows = rows(&path(name), table);
            rows.into_iter().filter(|(key, _)| !own.iter().any(|own| key.starts_with(own))).collect()
        };
        let (single, loaded) = (of("single"), of("loaded"));
        assert!(of("parts") == loaded, "{table} of the load in parts");
        assert!(of("steps") == loaded, "{table} of the load in steps");
        // Of single adds the last ones' parts of values wait.
        let lasting = |rows: BTreeMap<Vec<u8>, Vec<u8>>| -> BTreeMap<_, _> {
            let is_of_parts = |key: &[u8]| {
                table == "index"
                    && (key.starts_with(b"\0")
                        || key.split(|octet| *octet == 0).nth(1).is_some_and(|rest| rest.starts_with(b"~")))
            };
            rows.into_iter().filter(|(key, _)| !is_of_parts(key)).collect()
        };
        let all = loaded.len();
        let (single, loaded) = (lasting(single), lasting(loaded));
        assert!(single.len() > 15, "{table}");
        assert_eq!(all > loaded.len(), table == "index", "a load leaves parts of values in their index");
        assert!(loaded == single, "{table} of the load");
    }
    assert_eq!(rows(&path("loaded"), "change").len(), 2_030);
}

#[tokio::test]
async fn what_is_added_changed_renamed_and_deleted_in_one_load_is_done_in_order() {
    let mut text = company(40);
    write!(
        text,
        "dn: ou=later,{SUFFIX}\nchangetype: add\nobjectClass: organizationalUnit\n\n\
         dn: cn=x,ou=later,{SUFFIX}\nchangetype: add\nobjectClass: person\nsn: x\n\n\
         dn: cn=team,{SUFFIX}\nchangetype: add\nobjectClass: groupOfNames\n\
         member: cn=x,ou=later,{SUFFIX}\nmember: cn=w,ou=later,{SUFFIX}\n\n\
         dn: cn=x,ou=later,{SUFFIX}\nchangetype: modify\nreplace: sn\nsn: y\n-\n\n\
         dn: ou=later,{SUFFIX}\nchangetype: modrdn\nnewrdn: ou=sooner\ndeleteoldrdn: 1\n\n\
         dn: cn=z,ou=sooner,{SUFFIX}\nchangetype: add\nobjectClass: person\nsn: z\n\n\
         dn: cn=night team,{SUFFIX}\nchangetype: add\nobjectClass: groupOfNames\nmember: cn=x,ou=sooner,{SUFFIX}\n\n\
         dn: cn=x,ou=sooner,{SUFFIX}\nchangetype: delete\n\n\
         dn: cn=x,ou=sooner,{SUFFIX}\nchangetype: add\nobjectClass: person\nsn: again\n\n"
    )
    .unwrap();
    let store = Store::open(options()).unwrap();
    let report = store.import(text.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(report.applied, 59);
    assert!(read(&store, &format!("ou=later,{SUFFIX}")).await.is_none());
    assert_eq!(
        find(&store, subtree("(sn=again)"), Actor::Service).await.0,
        [format!("cn=x,ou=sooner,{SUFFIX}")]
    );
    assert_eq!(find(&store, subtree("(|(sn=x)(sn=y))"), Actor::Service).await.0, [""; 0]);
    assert_eq!(find(&store, subtree("(cn=z)"), Actor::Service).await.0, [format!("cn=z,ou=sooner,{SUFFIX}")]);
    // What refers to an entry is found whether it was added before the first change or after it.
    for (group, left) in [("team", format!("cn=w,ou=later,{SUFFIX}")), ("night team", "cn=nobody".to_owned())]
    {
        let entry = read(&store, &format!("cn={group},{SUFFIX}")).await.unwrap();
        let members = entry.attributes().get("member").unwrap();
        assert_eq!(members.values().collect::<Vec<_>>(), [left.as_bytes()], "{group}");
    }
    clean(&store);
}

#[tokio::test]
async fn refusals_come_with_their_lines_in_order_and_what_follows_them_is_left_out() {
    let mut text = company(300);
    let mut lines = Vec::new();
    for number in 0..5 {
        lines.push(text.lines().count() as u64 + 1);
        match number % 3 {
            // There already, in this very load.
            0 => write!(text, "dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\n\n").unwrap(),
            1 => write!(text, "dn: cn=x,ou=nowhere,{SUFFIX}\nobjectClass: person\nsn: x\n\n").unwrap(),
            _ => write!(text, "dn: cn=x,ou=people,{SUFFIX}\nobjectClass: person\n\n").unwrap(),
        }
        write!(text, "dn: cn=after {number},ou=people,{SUFFIX}\nobjectClass: person\nsn: x\n\n").unwrap();
    }
    let store = Store::open(options()).unwrap();
    let mut options = ImportOptions::default();
    options.continue_on_error = true;
    let report = store.import(text.as_bytes(), &options, &mut |_| {}).unwrap();
    assert_eq!((report.applied, report.refused), (318, 5));
    assert_eq!(report.refusals.iter().map(|(line, _)| *line).collect::<Vec<_>>(), lines);
    assert!(report.refusals[0].1.contains("already"), "{:?}", report.refusals);
    assert!(report.refusals[1].1.contains("noSuchObject"), "{:?}", report.refusals);
    assert!(report.refusals[2].1.contains("`sn`"), "{:?}", report.refusals);
    assert_eq!(find(&store, subtree("(cn=after*)"), Actor::Service).await.0.len(), 5);

    let other = Store::open(crate::support::options()).unwrap();
    let error = other.import(text.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap_err();
    assert_eq!((error.line, error.applied), (lines[0], 313));
    assert!(matches!(error.reason, ImportFailure::Refused(_)), "{error}");
    assert_eq!(find(&other, subtree("(cn=after*)"), Actor::Service).await.0, [""; 0]);
    clean(&other);
}

/// An input that fails is no record that could be passed over.
#[tokio::test]
async fn an_input_that_fails_ends_a_load() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let store = Store::open(options()).unwrap();
    let text = company(3);
    let mut options = ImportOptions::default();
    options.continue_on_error = true;
    let input = io::BufReader::new(io::Read::chain(text.as_bytes(), Broken));
    let error = store.import(input, &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error.reason, ImportFailure::Ldif(_)), "{error}");
    assert!(error.applied >= 10, "{error}");
    clean(&store);
}

/// The power fails again and again while people are loaded: whatever was reported is there, all of it agrees, and going
/// on where the import says leads to what an import in one go gives.
#[tokio::test]
async fn a_load_that_was_interrupted_goes_on_where_it_says() {
    const PEOPLE: usize = 240;
    let text = company(PEOPLE);
    let mut interrupted = 0;
    for round in 1..=5 {
        let mut random = numbers(round);
        let mut disk = Disk::default();
        drop(Store::open_on(disk.clone(), options()).unwrap());
        let mut from = 0;
        for attempt in 0.. {
            assert!(attempt < 100, "round {round} gets no further than line {from}");
            let mut options = ImportOptions::default();
            options.commit_every = 50;
            options.start_line = from;
            // What was committed without an answer is there already.
            options.continue_on_error = true;
            let store = Store::open_on(disk.clone(), crate::support::options()).unwrap();
            disk.fail_after(u32::try_from(random() % 40).unwrap());
            let mut reported = 0;
            let result = store.import(text.as_bytes(), &options, &mut |applied| reported = applied);
            drop(store);
            let again = disk.after_power_failure(|| random().is_multiple_of(2));
            let store = Store::open_on(again.clone(), crate::support::options()).unwrap();
            clean(&store);
            match result {
                Ok(_) => break,
                Err(error) => {
                    interrupted += 1;
                    assert!(matches!(error.reason, ImportFailure::Storage(_)), "{error}");
                    assert_eq!(error.applied, reported, "round {round}");
                    assert!(error.line >= from, "round {round}: back to {}", error.line);
                    from = error.line;
                    disk = again;
                }
            }
        }
        let store = Store::open_on(disk.after_power_failure(|| true), options()).unwrap();
        let found = find(&store, subtree("(uidNumber=*)"), Actor::Service).await.0.len();
        assert_eq!(found, PEOPLE, "round {round}");
        clean(&store);
    }
    assert!(interrupted > 5, "the power failed {interrupted} times only");
}

/// The power fails between the steps of a load, and whatever steps there were are undone: the load begins anew.
#[tokio::test]
async fn the_steps_of_a_load_that_was_interrupted_leave_nothing() {
    const PEOPLE: usize = 3_500;
    let text = company(PEOPLE);
    let options = || in_steps(options());
    let mut random = numbers(7);
    let mut interrupted = 0;
    for _ in 0..12 {
        let disk = Disk::default();
        drop(Store::open_on(disk.clone(), options()).unwrap());
        let store = Store::open_on(disk.clone(), options()).unwrap();
        disk.fail_after(u32::try_from(random() % 60).unwrap());
        let result = store.import(text.as_bytes(), &ImportOptions::default(), &mut |_| {});
        if let Err(error) = &result {
            interrupted += 1;
            assert_eq!((error.applied, error.line), (0, 1), "{error}");
            assert!(matches!(error.reason, ImportFailure::Storage(_)), "{error}");
            let refused = store.import(text.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap_err();
            assert!(refused.to_string().contains("opened again"), "{refused}");
        }
        drop(store);
        let store =
            Store::open_on(disk.after_power_failure(|| random().is_multiple_of(2)), options()).unwrap();
        clean(&store);
        let found = find(&store, subtree("(uidNumber=*)"), Actor::Service).await.0.len();
        // The last sync may have failed after all was there.
        assert!(found == PEOPLE || found == 0 && result.is_err(), "{found}");
    }
    assert!(interrupted > 3, "the power failed {interrupted} times only");
}

/// What the steps of a load left when it came to no end is put in order when the store is opened.
#[test]
fn steps_without_an_end_are_put_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = || StoreOptions::folder(folder.path()).suffix(dn(SUFFIX));
    let store = Store::open(options()).unwrap();
    store.import(company(200).as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    drop(store);
    let database = Database::open(folder.path().join("directory.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    let definition = |name: &'static str| TableDefinition::<&[u8], &[u8]>::new(name);
    transaction.open_table(definition("meta")).unwrap().insert(&b"steps"[..], &b""[..]).unwrap();
    for table in ["tree", "index"] {
        transaction.open_table(definition(table)).unwrap().retain(|_, _| false).unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    for _ in 0..2 {
        let store = Store::open(options()).unwrap();
        clean(&store);
        store.close();
    }
    assert_eq!(rows(folder.path(), "tree").len(), 212);
    assert!(rows(folder.path(), "index").len() > 1_000);
    assert!(!rows(folder.path(), "meta").contains_key(&b"steps"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_while_a_load_goes_on() {
    /// Input that ends when somebody else has written.
    struct Until<'a> {
        text: Vec<u8>,
        place: usize,
        done: &'a std::sync::atomic::AtomicBool,
        next: usize,
    }
    impl io::Read for Until<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            if self.place == self.text.len() {
                if self.done.load(std::sync::atomic::Ordering::Acquire) {
                    return Ok(0);
                }
                self.place = 0;
                self.text = format!(
                    "dn: uid=load{0},ou=people,{SUFFIX}\nobjectClass: account\nuid: load{0}\n\n",
                    self.next
                )
                .into_bytes();
                self.next += 1;
            }
            let count = out.len().min(self.text.len() - self.place);
            out[..count].copy_from_slice(&self.text[self.place..self.place + count]);
            self.place += count;
            Ok(count)
        }
    }
    let store = small().await;
    let done = std::sync::atomic::AtomicBool::new(false);
    let applied = std::thread::scope(|scope| {
        let import = scope.spawn(|| {
            let input = io::BufReader::new(Until { text: Vec::new(), place: 0, done: &done, next: 0 });
            store.import(input, &ImportOptions::default(), &mut |_| {}).unwrap().applied
        });
        let writes = tokio::runtime::Handle::current();
        let (store, done) = (&store, &done);
        scope.spawn(move || {
            writes.block_on(async {
                for number in 0..20 {
                    let mut attributes = Attributes::builder();
                    attributes.push("objectClass", ["account"]);
                    let name = dn(&format!("uid=other{number},ou=people,{SUFFIX}"));
                    let outcome =
                        ask(store, Add::new(name, attributes.build()), Actor::Service).await.unwrap();
                    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
                }
            });
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        import.join().unwrap()
    });
    assert_eq!(find(&store, subtree("(uid=other*)"), Actor::Service).await.0.len(), 20);
    let search = subtree("(uid=load*)");
    let (found, outcome) = find(&store, search, Actor::Service).await;
    assert!(found.len() as u64 == applied || outcome.result.code == ResultCode::SIZE_LIMIT_EXCEEDED);
    clean(&store);
}
