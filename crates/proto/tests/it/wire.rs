//! Octets written by hand, both directions, and what peers in the field send.

use bytes::Bytes;
use flext_ldap_proto::{
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer, frame_length},
    control::{Control, ControlScope, Controls, ManageDsaIt, PagedResults, ReadEntry, scope_of},
    extended::{Cancel, ExtendedOperation, PasswordModify, PasswordModifyResponse, StartTls, WhoAmI},
    message::{
        Authentication, BindRequest, Delete, Envelope, ExtendedRequest, ExtendedResponse, Limits, MessageId,
        Request, Response, Scope, Search,
    },
    oid::Oid,
    result::{LdapResult, ResultCode},
};

use crate::corpus::{self, dn, tlv};

const LIMITS: Limits = Limits::DEFAULT;

fn envelope(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    Envelope::decode(Bytes::copy_from_slice(bytes), &LIMITS)
}

fn request(bytes: &[u8]) -> Result<Request, DecodeError> {
    envelope(bytes)?.request(&LIMITS)
}

fn response(bytes: &[u8]) -> Result<Response, DecodeError> {
    envelope(bytes)?.response(&LIMITS)
}

/// A message with id 1.
fn message(behind_the_id: &[u8]) -> Vec<u8> {
    tlv(0x30, &[b"\x02\x01\x01", behind_the_id].concat())
}

#[test]
fn requests_by_hand() {
    let bind = Request::Bind(BindRequest {
        version: 3,
        name: "cn=a".to_owned(),
        authentication: Authentication::Simple("pw".into()),
    });
    let search = Search::new(dn(""), Scope::Base, "(objectClass=*)".parse().unwrap()).attributes(["1.1"]);
    let table: &[(&str, &[u8], Request)] = &[
        ("bind", b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw", bind),
        ("unbind", b"\x30\x05\x02\x01\x01\x42\x00", Request::Unbind),
        ("delete", b"\x30\x09\x02\x01\x01\x4a\x04cn=a", Request::Delete(Delete { dn: dn("cn=a") })),
        ("abandon", b"\x30\x07\x02\x01\x01\x50\x02\x00\x80", Request::Abandon(MessageId(128))),
        (
            "search",
            b"\x30\x2a\x02\x01\x01\x63\x25\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\
              \x87\x0bobjectClass\x30\x05\x04\x031.1",
            Request::Search(search),
        ),
        (
            "StartTLS",
            b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
            Request::Extended(StartTls.request()),
        ),
    ];
    for (name, bytes, want) in table {
        assert_eq!(request(bytes).as_ref(), Ok(want), "{name}");
        let mut writer = Writer::new();
        want.encode(MessageId(1), &Controls::none(), &mut writer);
        assert_eq!(writer.as_slice(), *bytes, "{name}");
    }
}

#[test]
fn errors_by_hand() {
    use DecodeErrorKind::{
        IntegerOutOfRange, InvalidBoolean, InvalidDn, InvalidOid, InvalidUtf8, TrailingBytes, Truncated,
        UnexpectedTag, UnknownEnumerated, UnknownOperation,
    };
    let unexpected = |expected, found| UnexpectedTag { expected, found: Tag(found) };
    let search = |head: &[u8]| message(&tlv(0x63, &[head, b"\x87\x02cn\x30\x00"].concat()));
    let table: &[(&str, Vec<u8>, usize, DecodeErrorKind)] = &[
        ("nothing", vec![], 0, Truncated),
        ("no id", b"\x30\x00".to_vec(), 2, Truncated),
        ("no operation", b"\x30\x03\x02\x01\x01".to_vec(), 5, Truncated),
        ("behind the message", b"\x30\x05\x02\x01\x01\x42\x00\x00".to_vec(), 7, TrailingBytes),
        ("negative id", b"\x30\x05\x02\x01\xff\x42\x00".to_vec(), 2, IntegerOutOfRange),
        ("empty id", b"\x30\x04\x02\x00\x42\x00".to_vec(), 2, IntegerOutOfRange),
        ("id above 2^31-1", b"\x30\x09\x02\x05\x00\x80\x00\x00\x00\x42\x00".to_vec(), 2, IntegerOutOfRange),
        ("id of nine octets", tlv(0x30, b"\x02\x09\0\0\0\0\0\0\0\0\x01\x42\x00"), 2, IntegerOutOfRange),
        (
            "an answer where a request is awaited",
            message(b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00"),
            5,
            UnknownOperation(Tag(0x61)),
        ),
        ("operation cut short", message(b"\x60\x03\x02\x01"), 6, Truncated),
        ("unbind with contents", message(b"\x42\x01\x00"), 7, TrailingBytes),
        ("controls twice", message(b"\x42\x00\xa0\x00\xa0\x00"), 9, TrailingBytes),
        ("a sequence behind the operation", message(b"\x42\x00\x30\x00"), 7, TrailingBytes),
        ("bind name not UTF-8", message(b"\x60\x09\x02\x01\x03\x04\x02\xc3\x28\x80\x00"), 12, InvalidUtf8),
        ("bind without proof", message(b"\x60\x05\x02\x01\x03\x04\x00"), 12, Truncated),
        (
            "bind with a universal proof",
            message(b"\x60\x07\x02\x01\x03\x04\x00\x04\x00"),
            12,
            unexpected(Tag::context(0), 4),
        ),
        ("delete of no name", message(b"\x4a\x02cn"), 9, InvalidDn),
        (
            "a long boolean",
            search(b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x02\x00\x00"),
            21,
            InvalidBoolean,
        ),
        (
            "scope 4",
            search(b"\x04\x00\x0a\x01\x04\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00"),
            9,
            UnknownEnumerated(4),
        ),
        (
            "deref 9",
            search(b"\x04\x00\x0a\x01\x00\x0a\x01\x09\x02\x01\x00\x02\x01\x00\x01\x01\x00"),
            12,
            UnknownEnumerated(9),
        ),
        (
            "negative size limit",
            search(b"\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x80\x02\x01\x00\x01\x01\x00"),
            15,
            IntegerOutOfRange,
        ),
        ("extended without a name", message(b"\x77\x00"), 7, Truncated),
        ("extended named by a word", message(b"\x77\x04\x80\x02hi"), 7, InvalidOid),
    ];
    for (name, bytes, offset, kind) in table {
        assert_eq!(request(bytes), Err(DecodeError { offset: *offset, kind: *kind }), "{name}");
    }
}

/// A wrong name is answered, but only in a message that is right otherwise.
#[test]
fn operation_errors_come_last() {
    let name = b"\x04\x04=bad".as_slice();
    let compare = |assertion: &[u8]| message(&tlv(0x6e, &[name, &tlv(0x30, assertion)].concat()));
    let modify = |kind: u8, attribute: &[u8]| {
        let modification = tlv(0x30, &[&tlv(4, attribute), b"\x31\x00".as_slice()].concat());
        let change = tlv(0x30, &[&[0x0a, 1, kind], modification.as_slice()].concat());
        message(&tlv(0x66, &[b"\x04\x00", tlv(0x30, &change).as_slice()].concat()))
    };
    let rename = |rdn: &[u8], delete: &[u8]| {
        message(&tlv(0x6c, &[b"\x04\x00", tlv(4, rdn).as_slice(), delete].concat()))
    };
    let add = |list: &[u8]| message(&tlv(0x68, &[name, list].concat()));
    let table: &[(&str, Vec<u8>, Option<ResultCode>)] = &[
        ("compare", compare(b"\x04\x02cn\x04\x01x"), Some(ResultCode::INVALID_DN_SYNTAX)),
        ("compare without a value", compare(b"\x04\x02cn"), None),
        ("add", add(b"\x30\x00"), Some(ResultCode::INVALID_DN_SYNTAX)),
        ("add without a list", add(b""), None),
        ("add with a malformed list", add(b"\x30\x02\x04\x00"), None),
        ("modify of a strange kind", modify(9, b"cn"), Some(ResultCode::PROTOCOL_ERROR)),
        ("modify of a strange attribute", modify(0, b"c n"), Some(ResultCode::UNDEFINED_ATTRIBUTE_TYPE)),
        (
            "rename to two components",
            rename(b"a=b,c=d", b"\x01\x01\xff"),
            Some(ResultCode::INVALID_DN_SYNTAX),
        ),
        ("rename without a boolean", rename(b"a=b,c=d", b""), None),
        ("delete", message(b"\x4a\x03bad"), Some(ResultCode::INVALID_DN_SYNTAX)),
    ];
    for (name, bytes, want) in table {
        let kind = request(bytes).unwrap_err().kind;
        assert_eq!(kind.is_operation_error().then(|| kind.result_code()), *want, "{name}: {kind}");
    }
}

#[test]
fn answers_of_peers_in_the_field() {
    let ok = b"\x0a\x01\x00\x04\x00\x04\x00".as_slice();
    let notice = |result: &[u8], inside: &[u8], outside: &[u8]| {
        let op = tlv(0x78, &[result, inside].concat());
        tlv(0x30, &[b"\x02\x01\x00", op.as_slice(), outside].concat())
    };
    let oid = tlv(0x8a, b"1.3.6.1.4.1.1466.20036");
    let unavailable = LdapResult::new(ResultCode::UNAVAILABLE);
    let gone = b"\x0a\x01\x34\x04\x00\x04\x00".as_slice();
    let extended = |oid: Option<&'static str>| {
        Response::Extended(ExtendedResponse {
            result: unavailable.clone(),
            oid: oid.map(Oid::from_static),
            value: None,
        })
    };
    // Active Directory puts the name behind the operation, or leaves it out.
    let name = Some("1.3.6.1.4.1.1466.20036");
    assert_eq!(response(&notice(gone, &oid, b"")), Ok(extended(name)));
    assert_eq!(response(&notice(gone, b"", &oid)), Ok(extended(name)));
    assert_eq!(response(&notice(gone, b"", b"")), Ok(extended(None)));
    assert_eq!(envelope(&notice(gone, b"", &oid)).unwrap().id, MessageId::UNSOLICITED);

    // Parts of later standards, at the end of a result and of a message, are passed over.
    let unknown = b"\x8f\x03abc\xbf".get(..5).unwrap();
    let done = message(&[tlv(0x65, &[ok, unknown].concat()).as_slice(), unknown].concat());
    assert_eq!(response(&done), Ok(Response::SearchDone(LdapResult::success())));
    // Parts in another order.
    let bind = message(&tlv(0x61, &[ok, b"\x87\x01c\xa3\x03\x04\x01u"].concat()));
    let Ok(Response::Bind(bind)) = response(&bind) else { panic!("not a bind response") };
    assert_eq!(bind.server_credentials.as_deref(), Some(b"c".as_slice()));
    assert_eq!(bind.result.referrals, ["u"]);
    // A text for people in another character set.
    let latin = message(&tlv(0x65, b"\x0a\x01\x31\x04\x00\x04\x04sch\xf6"));
    let Ok(Response::SearchDone(result)) = response(&latin) else { panic!("not a result") };
    assert_eq!((result.code, result.diagnostic.as_str()), (ResultCode::INVALID_CREDENTIALS, "sch\u{fffd}"));
    // Long lengths where short ones would do, as BER allows.
    let padded =
        b"\x30\x84\x00\x00\x00\x11\x02\x01\x01\x65\x84\x00\x00\x00\x08\x0a\x01\x00\x04\x00\x04\x81\x00";
    assert_eq!(response(padded), Ok(Response::SearchDone(LdapResult::success())));
    assert_eq!(frame_length(padded, 1000), Ok(Some(padded.len())));
    // A search item is not looked into.
    assert_eq!(response(&message(b"\x64\x01\xff")), Ok(Response::SearchItem));
    // Windows asks for NTLM in a choice of its own.
    let sicily = message(b"\x60\x0b\x02\x01\x03\x04\x00\x89\x04NTLM");
    let Ok(Request::Bind(bind)) = request(&sicily) else { panic!("not a bind request") };
    assert_eq!(bind.authentication, Authentication::Unknown(Tag(0x89)));
}

#[test]
fn controls_by_hand() {
    let decode = |bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        Controls::decode(Reader::new(&bytes), &LIMITS)
    };
    let one = |critical, value: Option<&'static [u8]>| {
        let mut controls = Controls::none();
        controls.push_raw(Control {
            oid: Oid::from_static("1.2"),
            critical,
            value: value.map(Bytes::from_static),
        });
        controls
    };
    fn err<T>(offset: usize, kind: DecodeErrorKind) -> Result<T, DecodeError> {
        Err(DecodeError { offset, kind })
    }
    let table: &[(&str, &[u8], Result<Controls, DecodeError>)] = &[
        ("none", b"", Ok(Controls::none())),
        ("name only", b"\x30\x05\x04\x031.2", Ok(one(false, None))),
        ("critical", b"\x30\x08\x04\x031.2\x01\x01\xff", Ok(one(true, None))),
        ("explicitly not critical", b"\x30\x08\x04\x031.2\x01\x01\x00", Ok(one(false, None))),
        ("value", b"\x30\x08\x04\x031.2\x04\x01v", Ok(one(false, Some(b"v")))),
        ("empty value", b"\x30\x0a\x04\x031.2\x01\x01\x01\x04\x00", Ok(one(true, Some(b"")))),
        ("no name", b"\x30\x00", err(2, DecodeErrorKind::Truncated)),
        ("named by a word", b"\x30\x04\x04\x02hi", err(2, DecodeErrorKind::InvalidOid)),
        ("two values", b"\x30\x09\x04\x031.2\x04\x00\x04\x00", err(9, DecodeErrorKind::TrailingBytes)),
    ];
    for (name, bytes, want) in table {
        assert_eq!(decode(bytes), *want, "{name}");
    }

    let paged = PagedResults { size: 7, cookie: Bytes::from_static(b"c") };
    let mut controls = Controls::none().critical(&paged).optional(&ManageDsaIt);
    assert_eq!(controls.get::<PagedResults>(&LIMITS), Ok(Some(paged)));
    assert_eq!(controls.get::<ManageDsaIt>(&LIMITS), Ok(Some(ManageDsaIt)));
    let oid = Oid::from_static("1.2.840.113556.1.4.319");
    assert_eq!(controls.remove(&oid).map(|control| control.critical), Some(true));
    assert_eq!((controls.remove(&oid), controls.get::<PagedResults>(&LIMITS)), (None, Ok(None)));
    controls.push_raw(Control {
        oid: oid.clone(),
        critical: false,
        value: Some(Bytes::from_static(b"\x30\x05\x02\x01\x00\x04\x00x")),
    });
    assert_eq!(controls.get::<PagedResults>(&LIMITS), err(7, DecodeErrorKind::TrailingBytes));

    assert_eq!(scope_of(&oid), ControlScope::Connection);
    assert_eq!(scope_of(&Oid::from_static("1.3.6.1.1.12")), ControlScope::EndToEnd);
    assert_eq!(scope_of(&Oid::from_static("2.16.840.1.113730.3.4.18")), ControlScope::Identity);
    assert_eq!(scope_of(&Oid::from_static("1.2.3")), ControlScope::Connection);
}

#[test]
fn read_entry_with_either_tag() {
    let entry = flext_ldap_proto::entry::Entry::new(&dn(corpus::NAME), corpus::attributes());
    let mut writer = Writer::new();
    ReadEntry(entry.clone()).encode(&mut writer);
    let bytes = writer.take();
    assert_eq!(ReadEntry::decode(&mut Reader::new(&bytes), &LIMITS), Ok(ReadEntry(entry.clone())));
    let mut plain = bytes.to_vec();
    plain[0] = 0x30;
    assert_eq!(ReadEntry::decode(&mut Reader::new(&plain.into()), &LIMITS), Ok(ReadEntry(entry)));
}

#[test]
fn extended_operations_by_hand() {
    let request =
        |oid, value: Option<&'static [u8]>| ExtendedRequest { oid, value: value.map(Bytes::from_static) };
    let answer = |value: Option<&'static [u8]>| ExtendedResponse {
        result: LdapResult::success(),
        oid: None,
        value: value.map(Bytes::from_static),
    };
    let truncated = |offset| DecodeError { offset, kind: DecodeErrorKind::Truncated };

    assert_eq!(Cancel(MessageId(5)).request(), request(Cancel::OID, Some(b"\x30\x03\x02\x01\x05")));
    assert_eq!(
        Cancel::decode(&request(Cancel::OID, Some(b"\x30\x03\x02\x01\x05"))),
        Ok(Cancel(MessageId(5)))
    );
    assert_eq!(Cancel::decode(&request(Cancel::OID, None)), Err(truncated(0)));

    assert_eq!(StartTls.request(), request(StartTls::OID, None));
    let trailing = Err(DecodeError { offset: 0, kind: DecodeErrorKind::TrailingBytes });
    assert_eq!(StartTls::decode(&request(StartTls::OID, Some(b"x"))), trailing);

    assert_eq!(WhoAmI::decode_response(&answer(Some(b"dn:cn=a"))).as_deref(), Ok("dn:cn=a"));
    assert_eq!(WhoAmI::decode_response(&answer(None)).as_deref(), Ok(""));

    let change = PasswordModify { user: Some("u".to_owned()), old: Some("o".into()), new: Some("n".into()) };
    let encoded = request(PasswordModify::OID, Some(b"\x30\x09\x80\x01u\x81\x01o\x82\x01n"));
    assert_eq!(change.request(), encoded);
    let decoded = PasswordModify::decode(&encoded).unwrap();
    assert_eq!(decoded.user.as_deref(), Some("u"));
    assert_eq!(decoded.old.unwrap().expose(), b"o");
    assert_eq!(decoded.new.unwrap().expose(), b"n");
    assert_eq!(PasswordModify::default().request(), request(PasswordModify::OID, None));
    assert!(PasswordModify::decode(&request(PasswordModify::OID, None)).unwrap().user.is_none());

    let mut writer = Writer::new();
    assert!(PasswordModifyResponse { generated: Some("g".into()) }.encode(&mut writer));
    assert_eq!(writer.as_slice(), b"\x30\x03\x80\x01g");
    let answered = PasswordModify::decode_response(&answer(Some(b"\x30\x03\x80\x01g"))).unwrap();
    assert_eq!(answered.generated.unwrap().expose(), b"g");
    assert!(!PasswordModifyResponse::default().encode(&mut writer));
}
