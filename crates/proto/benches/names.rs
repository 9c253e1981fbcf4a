//! Parsing of names and filters, and evaluation of filters.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    filter::{Filter, Matcher},
    schema::Schema,
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const FIVE: &str = "uid=ana.brandt,ou=people,ou=bremen,dc=harbourlane,dc=example";

const NAMES: &[&str] = &[
    "dc=example",
    FIVE,
    r"CN=Brandt\, Ana + UID=ana , OU=Lu\C4\8Di\C4\87 , OU=people ; DC=harbourlane , DC=example",
];

const MATCHED: &[&str] =
    &["(objectClass=person)", "(&(objectClass=person)(uid=ana.brandt))", "(name=*brandt*)", "(manager=*)"];

const FILTERS: &[&str] = &[
    "(uid=ana.brandt)",
    "(&(objectClass=person)(|(uid=ana.brandt)(mail=ana.brandt@harbourlane.example)))",
    "(&(objectClass=person)(cn=*ana*br*)(!(userAccountControl:1.2.840.113556.1.4.803:=2)))",
];

fn main() {
    divan::main();
}

/// Parses a name. Expected: linear in its length, two allocations.
#[divan::bench(args = NAMES)]
fn parse_name(bencher: Bencher<'_, '_>, text: &str) {
    bencher.counter(BytesCount::of_str(text)).bench(|| black_box(text).parse::<Dn>());
}

/// The parent of a name of five components. Expected: two allocations.
#[divan::bench]
fn parent(bencher: Bencher<'_, '_>) {
    let name = FIVE.parse::<Dn>();
    bencher.bench(|| black_box(&name).as_ref().map(Dn::parent));
}

/// Parses a filter. Expected: linear in its length; one allocation for each value, one for a name that is
/// not well known, those of the list, and one to share it.
#[divan::bench(args = FILTERS)]
fn parse_filter(bencher: Bencher<'_, '_>, text: &str) {
    bencher.counter(BytesCount::of_str(text)).bench(|| black_box(text).parse::<Filter>());
}

/// Makes a filter ready. Expected: a pass over the attribute types for each attribute in it.
#[divan::bench(args = MATCHED)]
fn matcher(bencher: Bencher<'_, '_>, text: &str) {
    let (filter, schema) = (text.parse().unwrap_or_else(|_| Filter::any()), Schema::standard());
    bencher.bench(|| drop(black_box(Matcher::new(black_box(&filter), schema))));
}

/// Evaluates a filter on an entry of twelve attributes. Expected: no allocation for a value that is already in its
/// normal form, one for a list.
#[divan::bench(args = MATCHED)]
fn evaluate(bencher: Bencher<'_, '_>, text: &str) {
    let (filter, name) =
        (text.parse().unwrap_or_else(|_| Filter::any()), FIVE.parse().unwrap_or_else(|_| Dn::root()));
    let entry = person();
    let segments = [entry.as_ref()];
    let matcher = Matcher::new(&filter, Schema::standard());
    bencher.bench(|| matcher.evaluate(&name, black_box(&segments), &|_| true));
}

fn person() -> Attributes {
    let mut person = Attributes::builder();
    person.push("objectClass", ["top", "person", "organizationalPerson", "inetOrgPerson"]);
    person.push("cn", ["Ana Brandt"]);
    person.push("givenName", ["Ana"]);
    person.push("sn", ["Brandt"]);
    person.push("displayName", ["Ana Brandt"]);
    person.push("employeeNumber", ["4711"]);
    person.push("title", ["Instrument Maker"]);
    person.push("l", ["Bremen"]);
    person.push("telephoneNumber", ["+49 421 555 01"]);
    person.push("mail", ["ana.brandt@harbourlane.example"]);
    person.push("manager", ["uid=kai,ou=people,dc=harbourlane,dc=example"]);
    person.push("uid", ["ana.brandt"]);
    person.build()
}
