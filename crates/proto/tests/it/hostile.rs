//! What a hostile peer can send, by class of attack. None of it may cost more than the connection it came on.

use std::thread;

use bytes::Bytes;
use flext_ldap_proto::{
    batch::{BatchBuilder, Item},
    ber::{DecodeError, DecodeErrorKind, Reader, Writer, frame_length},
    control::{Control, Controls},
    filter::Filter,
    message::{Envelope, Limits, MessageId, Request},
    oid::Oid,
};

use crate::corpus::{self, tlv};

/// Reads a message in every way there is; the first error, if there is none left that succeeds.
pub(crate) fn decode(bytes: &Bytes, limits: &Limits) -> Result<(), DecodeError> {
    let envelope = Envelope::decode(bytes.clone(), limits)?;
    envelope.controls(limits)?;
    let mut batch = BatchBuilder::over(bytes.clone());
    match batch.add(envelope.op_range(), envelope.controls_range(), limits) {
        Err(DecodeError { kind: DecodeErrorKind::UnknownOperation(_), .. }) => {}
        added => {
            added?;
            for item in batch.build().iter() {
                read(item.get());
            }
        }
    }
    match (envelope.request(limits), envelope.response(limits)) {
        (Ok(_), _) | (_, Ok(_)) => Ok(()),
        (Err(DecodeError { kind: DecodeErrorKind::UnknownOperation(_), .. }), Err(error))
        | (Err(error), _) => Err(error),
    }
}

/// Looks at all of an item.
fn read(item: Item<'_>) -> usize {
    match item {
        Item::Entry(entry) => entry
            .attributes()
            .iter()
            .map(|attribute| {
                attribute.description().len() + attribute.values().map(<[u8]>::len).sum::<usize>()
            })
            .sum(),
        Item::Reference(urls) => urls.len(),
        _ => 0,
    }
}

fn message(op: &[u8]) -> Bytes {
    tlv(0x30, &[b"\x02\x01\x01", op].concat()).into()
}

fn kind(bytes: &Bytes) -> Option<DecodeErrorKind> {
    decode(bytes, &Limits::DEFAULT).err().map(|error| error.kind)
}

/// `levels` values of `tag`, each in the one before. Lengths have five octets, so that the cost is linear.
fn nest(tag: u8, levels: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(levels * 6);
    for level in (0..levels).rev() {
        octets.extend([tag, 0x84]);
        octets.extend(u32::try_from(level * 6).unwrap().to_be_bytes());
    }
    octets
}

/// Runs `body` on a stack that no recursion over a million levels would fit.
fn on_a_small_stack(body: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(64 * 1024).spawn(body).unwrap().join().unwrap();
}

#[test]
fn nested_ber_stack_overflow() {
    on_a_small_stack(|| {
        const LEVELS: usize = 1_000_000;
        for tag in [
            0x30, 0x31, 0x60, 0x61, 0x63, 0x64, 0x65, 0x66, 0x68, 0x6c, 0x6e, 0x73, 0x77, 0x78, 0x79, 0xa0,
            0xa3,
        ] {
            let nested = nest(tag, LEVELS);
            assert!(decode(&message(&nested), &Limits::DEFAULT).is_err(), "operation of 0x{tag:02x}");
            let controls = [b"\x42\x00".as_slice(), &tlv(0xa0, &nested)].concat();
            assert!(decode(&message(&controls), &Limits::DEFAULT).is_err(), "controls of 0x{tag:02x}");
        }
        // By hand, level for level.
        let bytes = Bytes::from(nest(0x30, LEVELS));
        let mut reader = Reader::new(&bytes);
        let mut levels = 0;
        while let Ok(inner) = reader.sequence() {
            reader = inner;
            levels += 1;
        }
        assert_eq!(levels, LEVELS);
    });
}

#[test]
fn filter_nesting_dos() {
    on_a_small_stack(|| {
        for tag in [0xa0, 0xa1, 0xa2] {
            let bytes = Bytes::from(nest(tag, 1_000_000));
            let error = Filter::decode(&mut Reader::new(&bytes), &Limits::DEFAULT).unwrap_err();
            assert_eq!(error, DecodeError { offset: 6 * 1000, kind: DecodeErrorKind::TooDeep });
            // The same in a search and in a control.
            let head = b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00";
            let search = tlv(0x63, &[head, bytes.as_ref(), b"\x30\x00"].concat());
            assert_eq!(kind(&message(&search)), Some(DecodeErrorKind::TooDeep));
            let mut controls = Controls::none();
            controls.push_raw(Control {
                oid: Oid::from_static("1.3.6.1.1.12"),
                critical: true,
                value: Some(bytes),
            });
            let got = controls.get::<flext_ldap_proto::control::Assertion>(&Limits::DEFAULT);
            assert_eq!(got.map_err(|error| error.kind), Err(DecodeErrorKind::TooDeep));
        }
    });
}

#[test]
fn length_overflow_or_truncation() {
    use DecodeErrorKind::{
        IndefiniteLength, LengthTooLong, LongTag, MessageTooLarge, Truncated, UnexpectedTag,
    };
    fn err<T>(offset: usize, kind: DecodeErrorKind) -> Result<T, DecodeError> {
        Err(DecodeError { offset, kind })
    }
    let sequence = flext_ldap_proto::ber::Tag::SEQUENCE;
    let found = |tag| UnexpectedTag { expected: sequence, found: flext_ldap_proto::ber::Tag(tag) };
    // The frame, the same as a value inside a buffer.
    type Row = (&'static str, &'static [u8], Result<Option<usize>, DecodeError>, Result<(), DecodeError>);
    let table: &[Row] = &[
        ("nothing yet", b"", Ok(None), err(0, Truncated)),
        ("a tag", b"\x30", Ok(None), err(1, Truncated)),
        ("half a length", b"\x30\x82\x01", Ok(None), err(3, Truncated)),
        ("seven octets of eight", b"\x30\x88\0\0\0\0\0\0\0", Ok(None), err(9, Truncated)),
        ("empty", b"\x30\x00", Ok(Some(2)), Ok(())),
        ("short form, largest", b"\x30\x7f", Ok(Some(129)), err(1, Truncated)),
        ("long form", b"\x30\x82\x01\x00", Ok(Some(260)), err(1, Truncated)),
        ("long form, padded", b"\x30\x82\x00\x7f", Ok(Some(131)), err(1, Truncated)),
        ("padded to eight octets", b"\x30\x88\0\0\0\0\0\0\0\0", Ok(Some(10)), Ok(())),
        ("as large as allowed", b"\x30\x84\x01\x3f\xff\xfa", Ok(Some(20 << 20)), err(1, Truncated)),
        ("one octet too large", b"\x30\x84\x01\x3f\xff\xfb", err(1, MessageTooLarge), err(1, Truncated)),
        ("2 GiB", b"\x30\x84\x7f\xff\xff\xff", err(1, MessageTooLarge), err(1, Truncated)),
        (
            "eight octets of ones",
            b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff",
            err(1, MessageTooLarge),
            err(1, Truncated),
        ),
        ("the highest bit", b"\x30\x88\x80\0\0\0\0\0\0\0", err(1, MessageTooLarge), err(1, Truncated)),
        (
            "wraps when added",
            b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xf6",
            err(1, MessageTooLarge),
            err(1, Truncated),
        ),
        ("nine octets", b"\x30\x89\0\0\0\0\0\0\0\0\x01", err(1, LengthTooLong), err(1, LengthTooLong)),
        ("nine octets, not there yet", b"\x30\x89", err(1, LengthTooLong), err(1, LengthTooLong)),
        ("reserved", b"\x30\xff", err(1, LengthTooLong), err(1, LengthTooLong)),
        ("indefinite", b"\x30\x80\x02\x01\x01\x00\x00", err(1, IndefiniteLength), err(1, IndefiniteLength)),
        ("a set", b"\x31\x00", err(0, found(0x31)), err(0, found(0x31))),
        ("text", b"GET / HTTP/1.1", err(0, found(b'G')), err(0, found(b'G'))),
        ("a TLS hello", b"\x16\x03\x01", err(0, found(0x16)), err(0, found(0x16))),
        ("a long tag", b"\x3f\x10\x00", err(0, found(0x3f)), err(0, LongTag)),
    ];
    for (name, bytes, frame, value) in table {
        assert_eq!(frame_length(bytes, Limits::DEFAULT.message), *frame, "{name}");
        let bytes = Bytes::copy_from_slice(bytes);
        assert_eq!(Reader::new(&bytes).sequence().map(|_| ()), *value, "{name}");
    }
}

#[test]
fn unbounded_buffering() {
    // What would not be accepted is refused at its header, and again where a message is handed in whole.
    let limits = Limits::DEFAULT.with_message(64);
    assert_eq!(frame_length(b"\x30\x3e", limits.message), Ok(Some(64)));
    let too_large = |offset| DecodeError { offset, kind: DecodeErrorKind::MessageTooLarge };
    assert_eq!(frame_length(b"\x30\x3f", limits.message), Err(too_large(1)));
    let bytes = message(&tlv(0x4a, &[b'a'; 64]));
    assert_eq!(Envelope::decode(bytes, &limits).map(drop), Err(too_large(0)));
}

#[test]
fn inner_truncation_is_a_hang() {
    for (name, bytes) in corpus::messages() {
        let envelope = Envelope::decode(bytes.clone(), &Limits::DEFAULT).unwrap();
        assert_eq!(decode(&bytes, &Limits::DEFAULT), Ok(()), "{name}");
        let contents = contents(&bytes);
        let whole_op = envelope.op_range().end - (bytes.len() - contents.len());
        for end in 0..contents.len() {
            let cut = Bytes::from(tlv(0x30, &contents[..end]));
            // Cut behind the operation it is a message again: one without controls.
            assert_eq!(decode(&cut, &Limits::DEFAULT).is_ok(), end == whole_op, "{name}, first {end} octets");
        }
    }
}

/// The contents of the outermost value.
pub(crate) fn contents(bytes: &Bytes) -> Bytes {
    Reader::new(bytes).sequence().unwrap().rest()
}

#[test]
fn too_many_controls_or_attributes() {
    const MANY: usize = 100_000;
    let repeat = |element: &[u8]| element.repeat(MANY);
    let mut limits = Limits::DEFAULT;
    limits.values = 50_000;
    let entry = |list: &[u8]| tlv(0x64, &[b"\x04\x00", tlv(0x30, list).as_slice()].concat());
    let value = tlv(4, b"v");
    let attribute = tlv(0x30, b"\x04\x02cn\x31\x00");
    let change = tlv(0x30, &[b"\x0a\x01\x00", attribute.as_slice()].concat());
    let values = tlv(0x30, &[b"\x04\x02cn", tlv(0x31, &repeat(&value)).as_slice()].concat());
    let one_change = tlv(0x30, &[b"\x0a\x01\x00", values.as_slice()].concat());
    let in_op = |tag, list: &[u8]| tlv(tag, &[b"\x04\x00", tlv(0x30, list).as_slice()].concat());
    let search = b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x02cn";
    let control = tlv(0x30, b"\x04\x031.2");
    let with_controls = |op: &[u8]| [op, tlv(0xa0, &repeat(&control)).as_slice()].concat();
    let table = [
        ("controls of a request", with_controls(b"\x42\x00"), DecodeErrorKind::TooManyControls),
        ("controls of an entry", with_controls(&entry(b"")), DecodeErrorKind::TooManyControls),
        ("attributes of an entry", entry(&repeat(&attribute)), DecodeErrorKind::TooManyAttributes),
        ("values of an entry", entry(&values), DecodeErrorKind::TooManyValues),
        ("URLs of a reference", tlv(0x73, &repeat(&value)), DecodeErrorKind::TooManyValues),
        ("attributes to add", in_op(0x68, &repeat(&attribute)), DecodeErrorKind::TooManyAttributes),
        ("values to add", in_op(0x68, &values), DecodeErrorKind::TooManyValues),
        ("changes", in_op(0x66, &repeat(&change)), DecodeErrorKind::TooManyAttributes),
        ("values of changes", in_op(0x66, &one_change), DecodeErrorKind::TooManyValues),
        (
            "attributes to return",
            tlv(0x63, &[search, tlv(0x30, &repeat(&value)).as_slice()].concat()),
            DecodeErrorKind::TooManyAttributes,
        ),
        (
            "referrals",
            tlv(0x65, &[b"\x0a\x01\x0a\x04\x00\x04\x00", tlv(0xa3, &repeat(&value)).as_slice()].concat()),
            DecodeErrorKind::TooManyValues,
        ),
    ];
    for (name, op, want) in table {
        assert_eq!(decode(&message(&op), &limits).map_err(|error| error.kind), Err(want), "{name}");
    }
    // What a modify asks for is kept value by value, so it is counted more strictly than what stays in wire form.
    let empty =
        |count: usize| tlv(0x30, &[b"\x04\x02cn", tlv(0x31, &b"\x04\x00".repeat(count)).as_slice()].concat());
    let modify = |count: usize| in_op(0x66, &tlv(0x30, &[b"\x0a\x01\x00", empty(count).as_slice()].concat()));
    assert_eq!(kind(&message(&modify(1 << 20))), None);
    assert_eq!(kind(&message(&modify((1 << 20) + 1))), Some(DecodeErrorKind::TooManyValues));
    assert_eq!(kind(&message(&in_op(0x68, &empty((1 << 20) + 1)))), None);
}

#[test]
fn utf8_edge() {
    let bad: [(&str, &[u8], usize); 7] = [
        ("a lone continuation", b"a\x80", 1),
        ("overlong", b"\xc0\xaf", 0),
        ("overlong in three octets", b"ab\xe0\x80\xaf", 2),
        ("a surrogate", b"\xed\xa0\x80", 0),
        ("above the last character", b"\xf4\x90\x80\x80", 0),
        ("cut short", b"abc\xe2\x82", 3),
        ("0xff", b"\xff", 0),
    ];
    let ok = b"\x0a\x01\x00".as_slice();
    type Place = (&'static str, fn(&[u8], &[u8]) -> Vec<u8>);
    let places: [Place; 13] = [
        ("bind name", |text, _| tlv(0x60, &[b"\x02\x01\x03", text, b"\x80\x00"].concat())),
        ("SASL mechanism", |text, _| {
            tlv(0x60, &[b"\x02\x01\x03\x04\x00", tlv(0xa3, text).as_slice()].concat())
        }),
        ("base", |text, _| {
            tlv(
                0x63,
                &[text, b"\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x02cn\x30\x00"]
                    .concat(),
            )
        }),
        ("selection", |text, _| {
            let head = b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x02cn";
            tlv(0x63, &[head.as_slice(), &tlv(0x30, text)].concat())
        }),
        ("name to add", |text, _| tlv(0x68, &[text, b"\x30\x00"].concat())),
        ("attribute to add", |text, _| {
            let list = tlv(0x30, &tlv(0x30, &[text, b"\x31\x00"].concat()));
            tlv(0x68, &[b"\x04\x00".as_slice(), &list].concat())
        }),
        ("attribute to modify", |text, _| {
            let modification = tlv(0x30, &[text, b"\x31\x00"].concat());
            let change = tlv(0x30, &tlv(0x30, &[b"\x0a\x01\x00".as_slice(), &modification].concat()));
            tlv(0x66, &[b"\x04\x00".as_slice(), &change].concat())
        }),
        ("new name", |text, _| tlv(0x6c, &[b"\x04\x00", text, b"\x01\x01\x00"].concat())),
        ("attribute to compare", |text, _| {
            tlv(0x6e, &[b"\x04\x00", tlv(0x30, &[text, b"\x04\x00"].concat()).as_slice()].concat())
        }),
        ("matched name", |text, ok| tlv(0x65, &[ok, text, b"\x04\x00"].concat())),
        ("referral", |text, ok| tlv(0x65, &[ok, b"\x04\x00\x04\x00", &tlv(0xa3, text)].concat())),
        ("name of an entry", |text, _| tlv(0x64, &[text, b"\x30\x00"].concat())),
        ("URL of a reference", |text, _| tlv(0x73, text)),
    ];
    for (how, octets, valid) in bad {
        let text = tlv(4, octets);
        for (place, build) in places {
            let bytes = message(&build(&text, ok));
            let start = bytes.windows(text.len()).position(|window| window == text).unwrap() + 2;
            let want = DecodeError { offset: start + valid, kind: DecodeErrorKind::InvalidUtf8 };
            assert_eq!(decode(&bytes, &Limits::DEFAULT), Err(want), "{place}, {how}");
        }
    }
}

#[test]
fn secrets_in_logs() {
    for (name, request, _) in corpus::requests() {
        assert!(!format!("{request:?}{request:#?}").contains("Pferd"), "{name}");
    }
    for (name, bytes) in corpus::messages() {
        let envelope = Envelope::decode(bytes.clone(), &Limits::DEFAULT).unwrap();
        let batch = BatchBuilder::over(bytes.clone());
        let shown = format!(
            "{envelope:?}{batch:?}{:?}{:?}",
            Reader::new(&bytes),
            envelope.controls(&Limits::DEFAULT)
        );
        assert!(!shown.contains("Pferd") && !shown.contains("Byrne"), "{name}");
    }
    let mut writer = Writer::new();
    for (_, request, controls) in corpus::requests() {
        if matches!(request, Request::Bind(_)) {
            request.encode(MessageId(1), &controls, &mut writer);
        }
    }
    assert!(writer.as_slice().windows(5).any(|window| window == b"Pferd"));
    assert!(!format!("{writer:?}").contains("Pferd"));
    writer.wipe();
    assert!(writer.is_empty());
}
