//! The seeds of the fuzz targets, through the same decoders: what fuzzing has found stays found.

use std::{fs, path::Path};

use bytes::Bytes;
use flext_ldap_proto::{
    ber::{Reader, Writer},
    dn::Dn,
    filter::Filter,
    ldif::{LdifReader, LdifWriter, ReadOptions},
    message::Limits,
    schema::Schema,
    url::LdapUrl,
};

use crate::protos;

/// The seeds of one target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{target}");
    seeds
}

/// The names of the seeds that `holds` is false of.
fn refused(target: &str, holds: impl Fn(&[u8]) -> bool) -> Vec<String> {
    seeds(target).into_iter().filter(|(_, seed)| !holds(seed)).map(|(name, _)| name).collect()
}

#[test]
fn message() {
    assert_eq!(
        refused("message", |seed| protos::settles(&Bytes::copy_from_slice(seed))),
        <[&str; 0]>::default()
    );
}

#[test]
fn filter_ber() {
    let settles = |seed: &[u8]| {
        let bytes = Bytes::copy_from_slice(seed);
        let Ok(filter) = Filter::decode(&mut Reader::new(&bytes), &Limits::DEFAULT) else { return false };
        let mut writer = Writer::new();
        filter.encode(&mut writer);
        let again = writer.take();
        assert_eq!(Filter::decode(&mut Reader::new(&again), &Limits::DEFAULT), Ok(filter));
        true
    };
    assert_eq!(refused("filter_ber", settles), ["false-length"]);
}

#[test]
fn filter_text() {
    let settles = |seed: &[u8]| {
        let Ok(filter) = std::str::from_utf8(seed).unwrap().parse::<Filter>() else { return false };
        assert_eq!(filter.to_string().parse(), Ok(filter));
        true
    };
    assert_eq!(refused("filter_text", settles), ["unclosed"]);
}

#[test]
fn dn() {
    let settles = |seed: &[u8]| {
        let Ok(name) = std::str::from_utf8(seed).unwrap().parse::<Dn>() else { return false };
        assert_eq!(name.to_string().parse(), Ok(name));
        true
    };
    assert_eq!(refused("dn", settles), ["extended", "not-utf8", "unfinished"]);
}

#[test]
fn ldif() {
    let reads = |seed: &[u8]| {
        let mut reader = LdifReader::new(seed, ReadOptions::default());
        let mut writer = LdifWriter::new(Vec::new());
        let mut all = true;
        while let Some(record) = reader.next_record().transpose() {
            match record {
                Ok(record) => writer.record(&record).unwrap(),
                Err(_) => all = false,
            }
        }
        all
    };
    assert_eq!(refused("ldif", reads), ["broken", "file"]);
}

#[test]
fn schema() {
    let reads = |seed: &[u8]| {
        let text = std::str::from_utf8(seed).unwrap();
        let [mut openldap, mut ldif] = [Schema::standard().to_builder(), Schema::standard().to_builder()];
        openldap.add_openldap(text);
        ldif.add_ldif(text);
        [openldap, ldif].into_iter().any(|builder| {
            let (schema, errors) = builder.build_lenient();
            errors.is_empty() && schema.object_class("badgeHolder").is_some()
        })
    };
    assert_eq!(refused("schema", reads), ["broken"]);
}

#[test]
fn url() {
    let settles = |seed: &[u8]| {
        let Ok(url) = std::str::from_utf8(seed).unwrap().parse::<LdapUrl>() else { return false };
        assert_eq!(url.to_string().parse(), Ok(url));
        true
    };
    assert_eq!(refused("url", settles), ["broken"]);
}
