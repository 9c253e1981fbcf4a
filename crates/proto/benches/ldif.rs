//! LDIF: how fast 10,000 people are read and written, and what that allocates.
//!
//! `cargo bench -p flext-ldap-proto --bench ldif`

#![expect(clippy::unwrap_used, reason = "a benchmark's input is its own")]

use std::{fmt::Write as _, io::BufReader, io::sink};

use divan::{AllocProfiler, Bencher, counter::BytesCount, counter::ItemsCount};
use flext_ldap_proto::ldif::{LdifReader, LdifWriter, ReadOptions, Record};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const PEOPLE: usize = 10_000;

fn main() {
    divan::main();
}

/// Reads people as `ldapsearch -o ldif-wrap=no` writes them. Expected: a handful of allocations for each.
#[divan::bench(sample_count = 20)]
fn read(bencher: Bencher<'_, '_>) {
    read_text(bencher, &people(0));
}

/// Reads people folded at 40 columns, so that many lines have to be put together.
#[divan::bench(sample_count = 20)]
fn read_folded(bencher: Bencher<'_, '_>) {
    read_text(bencher, &people(40));
}

fn read_text(bencher: Bencher<'_, '_>, text: &str) {
    bencher.counter(BytesCount::of_str(text)).counter(ItemsCount::new(PEOPLE)).bench(|| {
        let mut reader =
            LdifReader::new(BufReader::with_capacity(1 << 16, text.as_bytes()), ReadOptions::default());
        let mut count = 0_usize;
        while reader.next_record().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, PEOPLE);
    });
}

/// Writes people, folded at 76 columns. Expected: no allocation.
#[divan::bench(sample_count = 20)]
fn write(bencher: Bencher<'_, '_>) {
    let text = people(76);
    let records = records(&text);
    bencher.counter(BytesCount::of_str(&text)).counter(ItemsCount::new(PEOPLE)).bench(|| {
        let mut writer = LdifWriter::new(sink());
        for record in &records {
            writer.record(record).unwrap();
        }
    });
}

fn records(text: &str) -> Vec<Record> {
    let mut reader = LdifReader::new(text.as_bytes(), ReadOptions::default());
    std::iter::from_fn(|| reader.next_record().unwrap()).collect()
}

/// 10,000 invented people of 15 attributes, some with values in base64, folded at `width`.
fn people(width: usize) -> String {
    let mut text = String::new();
    for number in 0..PEOPLE {
        let unit = number % 40;
        write!(
            text,
            "dn: uid=p{number:05},ou=Unit {unit:02},ou=people,dc=harbourlane,dc=example\n\
             objectClass: top\nobjectClass: person\nobjectClass: organizationalPerson\nobjectClass: inetOrgPerson\n\
             uid: p{number:05}\ncn: Person Number {number}\nsn: Number {number}\ngivenName: Person\n\
             displayName:: UGVyc29uIE7DvG1iZXI=\nmail: p{number:05}@harbourlane.example\n\
             mail: person.number.{number}@harbourlane.example\ntelephoneNumber: +1 555 {number:07}\n\
             departmentNumber: {unit}\nemployeeNumber: {number}\ntitle: Instrument Maker\nl: Brightwater\n\
             street: {number} Harbour Lane\nmanager: uid=p{unit:05},ou=Unit {unit:02},ou=people,dc=harbourlane,dc=example\n\
             description: Makes instruments that measure light, and writes down what they show every day.\n\n"
        )
        .unwrap();
    }
    let mut writer = LdifWriter::new(Vec::new()).width(width);
    for record in records(&text) {
        writer.record(&record).unwrap();
    }
    String::from_utf8(writer.into_inner()).unwrap()
}
