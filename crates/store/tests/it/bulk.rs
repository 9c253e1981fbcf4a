//! Import, export, and what large directories cost.

use std::fmt::Write as _;

use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    message::{Rename, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{ExportOptions, ImportFailure, ImportOptions, Store};

use crate::support::*;

const HASH: &str = "{SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0";

/// The suffix, a unit, and as many people in it.
fn ldif(people: usize) -> String {
    let mut text = format!(
        "version: 1\n\ndn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane\n\n\
         dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\n\n"
    );
    for number in 0..people {
        write!(
            text,
            "dn: uid=crew{number},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\ncn: Crew {number}\nsn: Quay\n\
             mail: crew{number}@harbourlane.example\n\n"
        )
        .unwrap();
    }
    text
}

fn import(store: &Store, text: &str, options: &ImportOptions) -> Result<u64, flext_ldap_store::ImportError> {
    store.import(text.as_bytes(), options, &mut |_| {}).map(|report| report.applied)
}

fn export(store: &Store, options: &ExportOptions) -> String {
    let mut text = Vec::new();
    store.export(&mut text, options).unwrap();
    String::from_utf8(text).unwrap()
}

fn everything() -> ExportOptions {
    let mut options = ExportOptions::default();
    options.operational = true;
    options.password_hashes = true;
    options
}

#[tokio::test]
async fn what_is_exported_can_be_imported_and_is_the_same() {
    let store = Store::open(options()).unwrap();
    let mut text = ldif(300);
    write!(text, "dn: cn=keeper,{SUFFIX}\nobjectClass: person\nsn: x\nuserPassword: {HASH}\n\n").unwrap();
    let mut progress = Vec::new();
    let report = store
        .import(text.as_bytes(), &ImportOptions::default(), &mut |applied| progress.push(applied))
        .unwrap();
    assert_eq!((report.applied, report.refused), (303, 0));
    assert_eq!(progress.last(), Some(&303));
    // A move makes a child older than its parent; the export still puts parents first.
    ok(&store, entry(&format!("ou=later,{SUFFIX}"), &["objectClass: organizationalUnit"])).await;
    let moved = Rename {
        dn: dn(&format!("ou=people,{SUFFIX}")),
        new_rdn: "ou=people".parse().unwrap(),
        delete_old_rdn: false,
        new_superior: Some(dn(&format!("ou=later,{SUFFIX}"))),
    };
    ok(&store, moved).await;

    let exported = export(&store, &everything());
    assert!(exported.contains(HASH));
    let again = Store::open(options()).unwrap();
    assert_eq!(import(&again, &exported, &ImportOptions::default()).unwrap(), 304);
    assert_eq!(export(&again, &everything()), exported);

    let plain = export(&store, &ExportOptions::default());
    assert!(!plain.contains("SSHA") && !plain.contains("entryUUID") && !plain.contains("userPassword"));
    let mut below = ExportOptions::default();
    below.base = Some(dn(&format!("ou=later,{SUFFIX}")));
    assert_eq!(export(&store, &below).matches("\ndn: ").count(), 302);
    below.base = Some(dn("ou=nowhere,dc=harbourlane,dc=example"));
    let error = store.export(Vec::new(), &below).unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::NO_SUCH_OBJECT));
}

#[tokio::test]
async fn an_import_that_stops_says_where_and_goes_on_from_there() {
    let store = Store::open(options()).unwrap();
    let mut text = ldif(10);
    let bad_line = text.lines().count() as u64 + 1;
    write!(
        text,
        "dn: cn=x,{SUFFIX}\nobjectClass: person\ncn: x\n\ndn: cn=y,{SUFFIX}\nobjectClass: person\nsn: y\n\n"
    )
    .unwrap();
    let mut options = ImportOptions::default();
    options.commit_every = 4;
    let error = import(&store, &text, &options).unwrap_err();
    assert_eq!((error.line, error.applied), (bad_line, 12));
    assert!(matches!(error.reason, ImportFailure::Refused(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains("`sn`") && said.starts_with(&format!("line {bad_line}: ")), "{said}");
    assert!(read(&store, &format!("cn=y,{SUFFIX}")).await.is_none());

    let orphan = format!("dn: cn=z,ou=nowhere,{SUFFIX}\nobjectClass: person\ncn: z\nsn: z\n");
    let said = import(&store, &orphan, &ImportOptions::default()).unwrap_err().to_string();
    assert!(said.contains(&format!("noSuchObject (32): of this name there is only `{SUFFIX}`")), "{said}");

    let mended = text.replace("\ncn: x\n", "\nsn: x\n");
    options.start_line = error.line;
    assert_eq!(import(&store, &mended, &options).unwrap(), 2);

    let other = Store::open(crate::support::options()).unwrap();
    let mut options = ImportOptions::default();
    options.continue_on_error = true;
    let report = other.import(text.as_bytes(), &options, &mut |_| {}).unwrap();
    assert_eq!((report.applied, report.refused), (13, 1));
    assert_eq!(report.refusals.first().unwrap().0, bad_line);
}

#[tokio::test]
async fn passwords_in_clear_text_are_refused_unless_hashing_is_asked_for() {
    let store = Store::open(options()).unwrap();
    let mut text = ldif(0);
    write!(text, "dn: cn=keeper,{SUFFIX}\nobjectClass: person\nsn: x\nuserPassword: low water\n\n").unwrap();
    let error = import(&store, &text, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error.reason, ImportFailure::ClearPassword(_)), "{error}");
    assert!(!error.to_string().contains("low water"));
    let mut options = ImportOptions::default();
    options.hash_clear_passwords = true;
    options.start_line = error.line;
    assert_eq!(import(&store, &text, &options).unwrap(), 1);
    assert!(bind(&store, &format!("cn=keeper,{SUFFIX}"), "low water").await.is_ok());
    assert!(!export(&store, &everything()).contains("low water"));
}

#[tokio::test]
async fn what_is_not_ldif_stops_an_import_at_its_line() {
    let store = Store::open(options()).unwrap();
    let text = format!("{}dn: cn=x,{SUFFIX}\nobjectClass person\n\n", ldif(3));
    let lines = text.lines().count() as u64;
    let error = import(&store, &text, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error.reason, ImportFailure::Ldif(_)), "{error}");
    assert_eq!((error.line, error.applied), (lines - 1, 5));
    let behind = format!("{text}dn: cn=y,{SUFFIX}\nobjectClass: person\nsn: y\n\n");
    let mut options = ImportOptions::default();
    options.start_line = lines + 1;
    assert_eq!(
        import(&store, &behind, &options).unwrap(),
        1,
        "what stands before is left out, whatever it is"
    );
    let file = format!("dn: cn=x,{SUFFIX}\nobjectClass: person\nsn:< file:///etc/passwd\n\n");
    let error = import(&store, &file, &ImportOptions::default()).unwrap_err();
    assert!(matches!(error.reason, ImportFailure::Ldif(_)), "{error}");
}

#[tokio::test]
async fn renaming_a_large_subtree_writes_a_handful_of_rows() {
    const PEOPLE: usize = 100_000;
    let store = Store::open(options()).unwrap();
    let mut text = ldif(0);
    for number in 0..PEOPLE {
        write!(text, "dn: uid=crew{number},ou=people,{SUFFIX}\nobjectClass: account\nuid: crew{number}\n\n")
            .unwrap();
    }
    assert_eq!(import(&store, &text, &ImportOptions::default()).unwrap(), PEOPLE as u64 + 2);
    ok(&store, entry(&format!("ou=crews,{SUFFIX}"), &["objectClass: organizationalUnit"])).await;
    let before = store.counters();
    let rename = Rename {
        dn: dn(&format!("ou=people,{SUFFIX}")),
        new_rdn: "ou=crew".parse().unwrap(),
        delete_old_rdn: true,
        new_superior: Some(dn(&format!("ou=crews,{SUFFIX}"))),
    };
    ok(&store, rename).await;
    let rows = store.counters().rows_written - before.rows_written;
    assert!(rows <= 20, "{rows} rows");
    let found = format!("uid=crew77777,ou=crew,ou=crews,{SUFFIX}");
    assert!(read(&store, &found).await.is_some());
    let before = store.counters();
    assert_eq!(find(&store, subtree("(&(objectClass=*)(uid=crew77777))"), Actor::Service).await.0, [found]);
    assert_eq!(store.counters().entries_read - before.entries_read, 1);
    // All of it comes out again, batch by batch.
    let search = Search::new(dn(SUFFIX), Scope::Subtree, filter("(objectClass=account)")).attributes(["1.1"]);
    let mut reply = flext_ldap_directory::Directory::call(
        &store,
        flext_ldap_directory::Request::new(search, Actor::Service).into_any(),
    );
    let mut found = 0;
    loop {
        match reply.next().await.unwrap() {
            flext_ldap_directory::Event::Batch(batch) => {
                assert!(batch.len() <= 256 && batch.size() <= 128 << 10);
                found += batch.len();
            }
            flext_ldap_directory::Event::Done(outcome) => {
                assert_eq!(outcome.result.code, ResultCode::SUCCESS);
                break;
            }
        }
    }
    assert_eq!(found, PEOPLE);
}
