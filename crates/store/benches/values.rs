//! Large attributes: one member more in groups of a hundred, of 50,000 and of a million; a whole group read; a whole
//! group deleted.
//!
//! Expected: a member costs the same in a group of any size, save for the depth of a tree. All in memory, so that work is
//! measured and not the disk. `cargo bench -p flext-ldap-store --bench values`

#![expect(clippy::unwrap_used, reason = "a benchmark's input is its own")]

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{LazyLock, Mutex},
    time::Duration,
};

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use flext_ldap_directory::{Actor, Directory, Event, Op, Request};
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    filter::Filter,
    message::{Add, Change, ChangeKind, Delete, Modify, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{Limits, Store, StoreOptions};

const SUFFIX: &str = "dc=harbourlane,dc=example";
const SIZES: [u32; 3] = [100, 50_000, 1_000_000];

fn main() {
    divan::main();
}

/// A store with one group of each size, made once.
static STORE: LazyLock<(Store, tokio::runtime::Runtime)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut limits = Limits::default();
    limits.entry = 1 << 30;
    let store = Store::open(StoreOptions::memory().suffix(dn(SUFFIX)).limits(limits)).unwrap();
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["organization", "dcObject"]);
    attributes.push("o", ["Harbour Lane Instruments"]);
    ask(&store, &runtime, Add::new(dn(SUFFIX), attributes.build()).into());
    for size in SIZES {
        fill(&store, &runtime, &format!("crew{size}"), size);
    }
    (store, runtime)
});

fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

fn group(name: &str) -> Dn {
    dn(&format!("cn={name},{SUFFIX}"))
}

fn ask(store: &Store, runtime: &tokio::runtime::Runtime, op: Op) {
    // To fill or to delete a group of a million takes longer than a request may.
    let request = Request::new(op, Actor::Service).within(Duration::from_secs(3_600));
    let outcome = runtime.block_on(store.call(request).outcome()).unwrap();
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
}

fn members(from: u32, to: u32) -> Vec<Bytes> {
    (from..to).map(|number| Bytes::from(format!("uid=crew{number},ou=people,{SUFFIX}"))).collect()
}

fn change(name: &str, kind: ChangeKind, values: Vec<Bytes>) -> Op {
    Modify { dn: group(name), changes: vec![Change { kind, attribute: "member".parse().unwrap(), values }] }
        .into()
}

fn fill(store: &Store, runtime: &tokio::runtime::Runtime, name: &str, size: u32) {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["groupOfNames"]);
    attributes.push("member", members(0, 1));
    ask(store, runtime, Add::new(group(name), attributes.build()).into());
    let mut from = 1;
    while from < size {
        let to = size.min(from + 100_000);
        ask(store, runtime, change(name, ChangeKind::Add, members(from, to)));
        from = to;
    }
}

/// One member more: a modify, its commit, its answer.
#[divan::bench(args = SIZES)]
fn add_a_member(bencher: Bencher<'_, '_>, size: u32) {
    static NEXT: Mutex<Option<HashMap<u32, u32>>> = Mutex::new(None);
    let (store, runtime) = &*STORE;
    let name = format!("crew{size}");
    bencher.bench_local(|| {
        let number = {
            let mut next = NEXT.lock().unwrap();
            let next = next.get_or_insert_default().entry(size).or_insert(2_000_000);
            *next += 1;
            *next
        };
        ask(store, runtime, change(&name, ChangeKind::Add, members(number, number + 1)));
    });
}

/// All members, as one entry.
#[divan::bench(args = SIZES)]
fn read_all_members(bencher: Bencher<'_, '_>, size: u32) {
    let (store, runtime) = &*STORE;
    bencher.counter(ItemsCount::new(size)).bench_local(|| {
        let search = Search::new(group(&format!("crew{size}")), Scope::Base, Filter::any());
        runtime.block_on(async {
            let mut reply = store.call(Request::new(search, Actor::Service).into_any());
            while let Event::Batch(batch) = reply.next().await.unwrap() {
                black_box(batch.size());
            }
        });
    });
}

/// The name of a group, members not asked for.
#[divan::bench(args = SIZES)]
fn read_the_name(bencher: Bencher<'_, '_>, size: u32) {
    let (store, runtime) = &*STORE;
    bencher.bench_local(|| {
        let base = group(&format!("crew{size}"));
        let search = Search::new(base, Scope::Base, Filter::any()).attributes(["cn"]);
        runtime.block_on(async {
            let mut reply = store.call(Request::new(search, Actor::Service).into_any());
            while let Event::Batch(batch) = reply.next().await.unwrap() {
                black_box(batch.size());
            }
        });
    });
}

/// A whole group goes, in one transaction.
#[divan::bench(args = [50_000, 1_000_000], sample_count = 3, sample_size = 1)]
fn delete_a_group(bencher: Bencher<'_, '_>, size: u32) {
    let (store, runtime) = &*STORE;
    bencher
        .counter(ItemsCount::new(size))
        .with_inputs(|| fill(store, runtime, "gone", size))
        .bench_local_values(|()| ask(store, runtime, Delete { dn: group("gone") }.into()));
}
