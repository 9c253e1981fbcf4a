//! Decodes a stream of 100,000 entries as a client does: frame, envelope, batch, then every name and value.
//!
//! Expected: linear in octets; no allocation per entry or value (one for each chunk's batch and its growth).
//! `cargo bench -p flext-ldap-proto --bench decode`

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "the stream is our own")]

use std::hint::black_box;

use bytes::Bytes;
use divan::{
    AllocProfiler, Bencher,
    counter::{BytesCount, ItemsCount},
};
use flext_ldap_proto::{
    batch::{BatchBuilder, BatchWriter},
    ber::{Writer, frame_length},
    control::Controls,
    message::{Envelope, Limits, MessageId, encode_item},
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const ENTRIES: usize = 100_000;
const CHUNK: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// A person of 17 attributes.
fn person(number: usize, writer: &mut BatchWriter) {
    let uid = format!("person{number:06}");
    let dn = format!("uid={uid},ou=people,dc=harbourlane,dc=example");
    writer.entry(&dn, &Controls::none(), |writer| {
        let mut attribute = |name: &str, values: &[&str]| {
            writer.sequence(|writer| {
                writer.octets(name.as_bytes());
                writer.constructed(flext_ldap_proto::ber::Tag::SET, |writer| {
                    values.iter().for_each(|value| writer.octets(value.as_bytes()));
                });
            });
        };
        attribute("objectClass", &["top", "person", "organizationalPerson", "inetOrgPerson"]);
        attribute("uid", &[&uid]);
        attribute("cn", &["Robin Example"]);
        attribute("sn", &["Example"]);
        attribute("givenName", &["Robin"]);
        attribute("displayName", &["Robin Example"]);
        attribute("mail", &[&format!("{uid}@harbourlane.example")]);
        attribute("telephoneNumber", &["+44 20 7946 0018"]);
        attribute("employeeNumber", &[&number.to_string()]);
        attribute("employeeType", &["permanent"]);
        attribute("title", &["Calibration Engineer"]);
        attribute("departmentNumber", &["17"]);
        attribute("l", &["Harbour Lane"]);
        attribute("roomNumber", &["B-204"]);
        attribute("preferredLanguage", &["en-GB"]);
        attribute("entryUUID", &["9f2c6a1e-5b1d-4f0a-8c77-3d2f1b6e0a55"]);
        attribute("modifyTimestamp", &["20260521101530Z"]);
    });
}

/// The stream, cut into the chunks that reads would deliver, each ending with a whole message.
fn chunks() -> Vec<Bytes> {
    let mut writer = Writer::new();
    let mut chunks = Vec::new();
    let mut items = BatchWriter::new();
    for number in 0..ENTRIES {
        person(number, &mut items);
        let batch = items.take();
        encode_item(MessageId(7), batch.iter().next().unwrap(), &mut writer);
        if writer.len() > CHUNK - 700 {
            chunks.push(writer.take());
        }
    }
    chunks.push(writer.take());
    chunks
}

fn octets(chunks: &[Bytes]) -> usize {
    chunks.iter().map(Bytes::len).sum()
}

/// From octets to the name, the attribute names and the values of every entry.
#[divan::bench]
fn entries_to_values(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher.counter(BytesCount::new(octets(&chunks))).counter(ItemsCount::new(ENTRIES)).bench(|| {
        let mut seen = 0;
        for chunk in &chunks {
            let batch = decode(chunk);
            for entry in batch.entries() {
                seen += entry.dn_str().len();
                for attribute in entry.attributes().iter() {
                    seen += attribute.description().len();
                    for value in attribute.values() {
                        seen += black_box(value).len();
                    }
                }
            }
        }
        seen
    });
}

/// Only the checks: what the connection does before it hands a batch over.
#[divan::bench]
fn entries_checked(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher
        .counter(BytesCount::new(octets(&chunks)))
        .counter(ItemsCount::new(ENTRIES))
        .bench(|| chunks.iter().map(|chunk| decode(chunk).len()).sum::<usize>());
}

/// The least that can be done: every header is read, nothing is checked or kept.
#[divan::bench]
fn bare_header_walk(bencher: Bencher<'_, '_>) {
    let chunks = chunks();
    bencher
        .counter(BytesCount::new(octets(&chunks)))
        .counter(ItemsCount::new(ENTRIES))
        .bench(|| chunks.iter().map(|chunk| walk(chunk)).sum::<usize>());
}

fn decode(chunk: &Bytes) -> flext_ldap_proto::batch::Batch {
    let limits = Limits::DEFAULT;
    let mut builder = BatchBuilder::over(chunk.clone());
    let mut start = 0;
    while let Some(length) = frame_length(&chunk[start..], limits.message).unwrap() {
        let envelope = Envelope::decode(chunk.slice(start..start + length), &limits).unwrap();
        let shift = |range: std::ops::Range<usize>| range.start + start..range.end + start;
        builder.add(shift(envelope.op_range()), shift(envelope.controls_range()), &limits).unwrap();
        start += length;
    }
    builder.build()
}

/// Goes into every constructed value and over every primitive one.
fn walk(octets: &[u8]) -> usize {
    let (mut at, mut headers) = (0, 0);
    while let (Some(tag), Some(length)) = (octets.get(at), octets.get(at + 1)) {
        headers += 1;
        at += match length {
            short @ ..0x80 if tag & 0x20 == 0 => 2 + usize::from(*short),
            ..0x80 => 2,
            count => 2 + usize::from(count & 0x7f),
        };
    }
    black_box(headers)
}
