//! Parsing of names and filters.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use flext_ldap_proto::{dn::Dn, filter::Filter};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const FIVE: &str = "uid=ana.brandt,ou=people,ou=bremen,dc=harbourlane,dc=example";

const NAMES: &[&str] = &[
    "dc=example",
    FIVE,
    r"CN=Brandt\, Ana + UID=ana , OU=Lu\C4\8Di\C4\87 , OU=people ; DC=harbourlane , DC=example",
];

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

/// Parses a filter. Expected: linear in its length; two allocations for each leaf, and those of the list.
#[divan::bench(args = FILTERS)]
fn parse_filter(bencher: Bencher<'_, '_>, text: &str) {
    bencher.counter(BytesCount::of_str(text)).bench(|| black_box(text).parse::<Filter>());
}
