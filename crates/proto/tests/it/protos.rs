//! The whole class of wrong encodings, after the PROTOS c06-ldapv3 suite (CERT CA-2001-18): every header of every
//! message of the corpus, replaced by what no honest peer sends. Each gives an error, or a value that means the same
//! after it is written and read again; never a panic.

use bytes::Bytes;
use flext_ldap_proto::{
    batch::{BatchBuilder, Item},
    ber::{Reader, Writer},
    message::{Envelope, Limits, MessageId, encode_item},
};

use crate::{
    corpus::{self, tlv},
    hostile,
};

/// What can stand in place of length octets.
const LENGTHS: &[&[u8]] = &[
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\x81",
    b"\x81\x00",
    b"\x81\x7f",
    b"\x81\xff",
    b"\x82\x00\x01",
    b"\x82\xff\xff",
    b"\x84\x00\x00\x00\x00",
    b"\x84\x7f\xff\xff\xff",
    b"\x84\x80\x00\x00\x00",
    b"\x84\xff\xff\xff\xff",
    b"\x85\x01\x00\x00\x00\x00",
    b"\x88\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x88\x80\x00\x00\x00\x00\x00\x00\x00",
    b"\x88\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x88\xff\xff\xff\xff\xff\xff\xff\xf0",
    b"\x89\x00\x00\x00\x00\x00\x00\x00\x00\x01",
    b"\xfe",
    b"\xff",
];

/// Where the headers of all values of `contents` stand: tag, and length octets. In the order found.
fn headers(contents: &Bytes) -> Vec<(usize, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    let mut open = vec![Reader::new(contents)];
    while let Some(mut reader) = open.pop() {
        let start = reader.position();
        let Ok((tag, inner)) = reader.any() else { continue };
        found.push((start, start + 1..inner.position()));
        open.push(reader);
        if tag.0 & 0x20 != 0 {
            open.push(inner);
        }
    }
    found
}

/// Reads a message, writes what it says, and reads that: the same. Whether there was anything to write.
pub(crate) fn settles(bytes: &Bytes) -> bool {
    let limits = Limits::DEFAULT;
    let Ok(envelope) = Envelope::decode(bytes.clone(), &limits) else { return false };
    let Ok(controls) = envelope.controls(&limits) else { return false };
    let mut writer = Writer::new();
    let mut settled = false;
    if let Ok(request) = envelope.request(&limits) {
        request.encode(envelope.id, &controls, &mut writer);
        let again = Envelope::decode(writer.take(), &limits).unwrap();
        assert_eq!((again.id, again.controls(&limits)), (envelope.id, Ok(controls.clone())), "{bytes:02x?}");
        assert_eq!(again.request(&limits), Ok(request), "{bytes:02x?}");
        settled = true;
    }
    if let Ok(response) = envelope.response(&limits)
        && response != flext_ldap_proto::message::Response::SearchItem
    {
        response.encode(envelope.id, &controls, &mut writer);
        let again = Envelope::decode(writer.take(), &limits).unwrap();
        assert_eq!((again.id, again.controls(&limits)), (envelope.id, Ok(controls.clone())), "{bytes:02x?}");
        assert_eq!(again.response(&limits), Ok(response), "{bytes:02x?}");
        settled = true;
    }
    let mut builder = BatchBuilder::over(bytes.clone());
    if builder.add(envelope.op_range(), envelope.controls_range(), &limits).is_ok() {
        let batch = builder.build();
        let item = batch.iter().next().unwrap();
        assert_eq!(item.controls(), controls, "{bytes:02x?}");
        encode_item(envelope.id, item, &mut writer);
        let again = batch_of(&writer.take());
        let copy = again.iter().next().unwrap();
        assert_eq!((copy.controls(), told(copy.get())), (controls, told(item.get())), "{bytes:02x?}");
        settled = true;
    }
    settled
}

fn batch_of(bytes: &Bytes) -> flext_ldap_proto::batch::Batch {
    let envelope = Envelope::decode(bytes.clone(), &Limits::DEFAULT).unwrap();
    let mut builder = BatchBuilder::over(bytes.clone());
    builder.add(envelope.op_range(), envelope.controls_range(), &Limits::DEFAULT).unwrap();
    builder.build()
}

/// All that an item says.
fn told(item: Item<'_>) -> Vec<Vec<u8>> {
    match item {
        Item::Entry(entry) => {
            let mut said = vec![entry.dn_str().as_bytes().to_vec()];
            for attribute in entry.attributes().iter() {
                said.push(attribute.description().as_bytes().to_vec());
                said.extend(attribute.values().map(<[u8]>::to_vec));
            }
            said
        }
        Item::Reference(urls) => urls.into_iter().map(|url| url.as_bytes().to_vec()).collect(),
        Item::Intermediate(intermediate) => {
            vec![
                format!("{:?}", intermediate.oid).into_bytes(),
                intermediate.value.unwrap_or_default().to_vec(),
            ]
        }
        _ => Vec::new(),
    }
}

#[test]
fn whole_encoding_class_tags() {
    let mut accepted = 0;
    for (_, bytes) in corpus::messages() {
        assert!(settles(&bytes));
        let contents = hostile::contents(&bytes);
        for (at, _) in headers(&contents) {
            let mut changed = contents.to_vec();
            for tag in 0..=0xff {
                changed[at] = tag;
                accepted += usize::from(settles(&tlv(0x30, &changed).into()));
            }
        }
    }
    // The messages themselves are among them.
    assert!(accepted > corpus::messages().len());
}

#[test]
fn whole_encoding_class_lengths() {
    for (_, bytes) in corpus::messages() {
        let contents = hostile::contents(&bytes);
        for (_, length) in headers(&contents) {
            for octets in LENGTHS {
                let (front, back) = (&contents[..length.start], &contents[length.end..]);
                settles(&tlv(0x30, &[front, octets, back].concat()).into());
            }
        }
        for octets in LENGTHS {
            settles(&[b"\x30", *octets, &contents].concat().into());
        }
    }
}

#[test]
fn whole_encoding_class_octets() {
    for (_, bytes) in corpus::messages() {
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            for octet in [0x00, 0x01, 0x20, 0x30, 0x7f, 0x80, 0x84, 0x89, 0xa0, 0xc3, 0xff] {
                changed[at] = octet;
                settles(&changed.clone().into());
            }
            changed.remove(at);
            settles(&changed.into());
        }
    }
}

#[test]
fn message_id_confusion() {
    let id = |octets: &[u8]| {
        let bytes = tlv(0x30, &[tlv(2, octets).as_slice(), b"\x42\x00"].concat());
        Envelope::decode(bytes.into(), &Limits::DEFAULT).map(|envelope| envelope.id).ok()
    };
    let table: &[(&[u8], Option<u32>)] = &[
        (b"", None),
        (b"\x00", Some(0)),
        (b"\x7f", Some(127)),
        (b"\x80", None),
        (b"\x00\x80", Some(128)),
        (b"\x00\x00\x00\x00\x05", Some(5)),
        (b"\x7f\xff\xff\xff", Some(0x7fff_ffff)),
        (b"\x80\x00\x00\x00", None),
        (b"\x00\x80\x00\x00\x00", None),
        (b"\x01\x00\x00\x00\x01", None),
        (b"\x00\x00\x00\x00\x00\x00\x00\x01", Some(1)),
        (b"\x00\x00\x00\x00\x00\x00\x00\x00\x01", None),
        (b"\x01\x00\x00\x00\x00\x00\x00\x00\x01", None),
    ];
    for (octets, want) in table {
        assert_eq!(id(octets), want.map(MessageId), "{octets:02x?}");
    }
}
