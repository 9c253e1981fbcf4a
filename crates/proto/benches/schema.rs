//! Schema: reading the standard one, normalising values, keys of names, checking an entry.
//!
//! Expected: nothing allocated for a value that is normal already; some 25 allocations to check a person.
//! `cargo bench -p flext-ldap-proto --bench schema`

#![expect(clippy::unwrap_used, reason = "a benchmark's input is its own")]

use std::hint::black_box;

use divan::{AllocProfiler, Bencher, counter::BytesCount, counter::ItemsCount};
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    schema::{MatchingRule, Schema},
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    // Parsed on first use: not what is measured below.
    black_box(Schema::standard());
    divan::main();
}

/// Reads the standard definitions from their subschema entry.
#[divan::bench]
fn read_subschema(bencher: Bencher<'_, '_>) {
    let subschema = Schema::standard().to_subschema();
    bencher.counter(BytesCount::new(subschema.as_ref().as_bytes().len())).bench_local(|| {
        let mut builder = Schema::builder();
        builder.add_subschema(subschema.as_ref());
        builder.build().unwrap()
    });
}

/// Values as they come: normal already, with capitals, beyond ASCII, and of other syntaxes.
#[divan::bench(args = [
    ("caseIgnoreMatch", "harbour lane instruments"),
    ("caseIgnoreMatch", "Harbour Lane Instruments"),
    ("caseIgnoreMatch", "Müller Straße"),
    ("integerMatch", "10042"),
    ("generalizedTimeMatch", "20260131120000Z"),
    ("objectIdentifierMatch", "inetOrgPerson"),
    ("distinguishedNameMatch", "uid=person000042,ou=people,dc=harbourlane,dc=example"),
])]
fn normalize(bencher: Bencher<'_, '_>, (rule, value): (&str, &str)) {
    let rule = MatchingRule::find(rule).unwrap();
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| black_box(rule.normalize(black_box(value.as_bytes())).unwrap().len()));
}

/// The key of a name that is parsed already.
#[divan::bench]
fn dn_key(bencher: Bencher<'_, '_>) {
    let dn: Dn = "uid=person000042,ou=people,dc=harbourlane,dc=example".parse().unwrap();
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| Schema::standard().dn_key(black_box(&dn)).unwrap());
}

/// Checks a person.
#[divan::bench]
fn violations(bencher: Bencher<'_, '_>) {
    let dn: Dn = "uid=person000042,ou=people,dc=harbourlane,dc=example".parse().unwrap();
    let mut person = Attributes::builder();
    for (name, value) in [
        ("uid", "person000042"),
        ("cn", "Ada Byron"),
        ("sn", "Byron"),
        ("givenName", "Ada"),
        ("mail", "person000042@harbourlane.example"),
        ("telephoneNumber", "+31 20 555 0142"),
        ("employeeNumber", "42"),
        ("uidNumber", "10042"),
        ("gidNumber", "10042"),
        ("homeDirectory", "/home/person000042"),
        ("manager", "uid=person000001,ou=people,dc=harbourlane,dc=example"),
        ("departmentNumber", "7"),
    ] {
        person.push(name, [value]);
    }
    person.push("objectClass", ["top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount"]);
    let person = person.build();
    assert_eq!(Schema::standard().violations(&dn, person.as_ref()), []);
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| Schema::standard().violations(black_box(&dn), person.as_ref()));
}
