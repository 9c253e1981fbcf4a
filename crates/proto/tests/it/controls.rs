//! The values of controls, octet by octet, both directions.

use std::fmt::Debug;

use bytes::Bytes;
use flext_ldap_proto::{
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    control::{
        ChangeTypes, ControlScope, ControlValue, Controls, DontUseCopy, EntryChangeNotification,
        MatchedValues, OFFSET_RANGE_ERROR, PasswordExpired, PasswordExpiring, PermissiveModify,
        PersistentSearch, ProxiedAuthorization, RelaxRules, ServerSideSort, ServerSideSortResponse, SortKey,
        Subentries, Target, TreeDelete, VirtualListView, VirtualListViewResponse, scope_of,
    },
    filter::Filter,
    message::Limits,
    oid::Oid,
    result::ResultCode,
};
use proptest::{collection::vec, option, prelude::*};

const LIMITS: Limits = Limits::DEFAULT;

fn decode<C: ControlValue>(bytes: &[u8]) -> Result<C, DecodeError> {
    let bytes = Bytes::copy_from_slice(bytes);
    let mut reader = Reader::new(&bytes);
    let value = C::decode(&mut reader, &LIMITS)?;
    reader.finish()?;
    Ok(value)
}

fn encode<C: ControlValue>(value: &C) -> Vec<u8> {
    let mut writer = Writer::new();
    value.encode(&mut writer);
    writer.as_slice().to_vec()
}

/// Checks both directions of a row that is right.
fn both<C: ControlValue + Debug + PartialEq>(bytes: &[u8], value: &C) {
    assert_eq!(decode::<C>(bytes).as_ref(), Ok(value), "{bytes:02x?}");
    assert_eq!(encode(value), bytes, "{value:?}");
}

fn wrong<C: ControlValue + Debug + PartialEq>(rows: &[(&[u8], usize, DecodeErrorKind)]) {
    for (bytes, offset, kind) in rows {
        let error = DecodeError { offset: *offset, kind: *kind };
        assert_eq!(decode::<C>(bytes), Err(error), "{bytes:02x?}");
    }
}

fn unexpected(expected: Tag, found: u8) -> DecodeErrorKind {
    DecodeErrorKind::UnexpectedTag { expected, found: Tag(found) }
}

use DecodeErrorKind::{
    IntegerOutOfRange, InvalidAttributeDescription, InvalidBoolean, InvalidFilter, InvalidUtf8,
    TrailingBytes, Truncated, UnknownEnumerated,
};

#[test]
fn server_side_sort() {
    let key = |text: &str| SortKey::new(text.parse().unwrap());
    both(b"\x30\x06\x30\x04\x04\x02cn", &ServerSideSort(vec![key("cn")]));
    both(
        b"\x30\x14\x30\x07\x04\x02cn\x81\x01\xff\x30\x09\x04\x02sn\x80\x032.5",
        &ServerSideSort(vec![key("cn").reverse(), key("sn").by_rule("2.5")]),
    );
    both(
        b"\x30\x0e\x30\x0c\x04\x02cn\x80\x032.5\x81\x01\xff",
        &ServerSideSort(vec![key("cn").by_rule("2.5").reverse()]),
    );
    // A false that is spelt out is a default all the same.
    assert_eq!(decode(b"\x30\x09\x30\x07\x04\x02cn\x81\x01\x00"), Ok(ServerSideSort(vec![key("cn")])));
    wrong::<ServerSideSort>(&[
        (b"", 0, Truncated),
        (b"\x30\x00", 2, Truncated),
        (b"\x31\x00", 0, unexpected(Tag::SEQUENCE, 0x31)),
        (b"\x30\x02\x30\x00", 4, Truncated),
        (b"\x30\x04\x04\x02cn", 2, unexpected(Tag::SEQUENCE, 4)),
        (b"\x30\x06\x30\x04\x04\x02c*", 4, InvalidAttributeDescription),
        (b"\x30\x06\x30\x04\x04\x02c\xff", 7, InvalidUtf8),
        (b"\x30\x0a\x30\x08\x04\x02cn\x81\x02\x00\x00", 8, InvalidBoolean),
        (b"\x30\x0a\x30\x08\x04\x02cn\x81\x00\x80\x00", 8, InvalidBoolean),
        (b"\x30\x0b\x30\x09\x04\x02cn\x81\x01\xff\x80\x00", 11, TrailingBytes),
        (b"\x30\x06\x30\x04\x04\x02cn\x00", 8, TrailingBytes),
    ]);
    let done = |code, attribute: Option<&str>| ServerSideSortResponse {
        code,
        attribute: attribute.map(str::to_owned),
    };
    both(b"\x30\x03\x0a\x01\x00", &done(ResultCode::SUCCESS, None));
    both(b"\x30\x07\x0a\x01\x10\x80\x02cn", &done(ResultCode::NO_SUCH_ATTRIBUTE, Some("cn")));
    wrong::<ServerSideSortResponse>(&[
        (b"\x30\x00", 2, Truncated),
        (b"\x30\x03\x0a\x01\xff", 2, IntegerOutOfRange),
        (b"\x30\x03\x02\x01\x00", 2, unexpected(Tag::ENUMERATED, 2)),
        (b"\x30\x07\x0a\x01\x10\x04\x02cn", 5, TrailingBytes),
    ]);
}

#[test]
fn virtual_list_view() {
    let view = |target, context: Option<&'static [u8]>| VirtualListView {
        before: 1,
        after: 2,
        target,
        context: context.map(Bytes::from_static),
    };
    let place = Target::Offset { offset: 3, content_count: 4 };
    both(b"\x30\x0e\x02\x01\x01\x02\x01\x02\xa0\x06\x02\x01\x03\x02\x01\x04", &view(place.clone(), None));
    both(
        b"\x30\x11\x02\x01\x01\x02\x01\x02\xa0\x06\x02\x01\x03\x02\x01\x04\x04\x01c",
        &view(place, Some(b"c")),
    );
    let value = Target::GreaterThanOrEqual(Bytes::from_static(b"ad"));
    both(b"\x30\x0a\x02\x01\x01\x02\x01\x02\x81\x02ad", &view(value, None));
    wrong::<VirtualListView>(&[
        (b"\x30\x00", 2, Truncated),
        (b"\x30\x03\x02\x01\xff", 2, IntegerOutOfRange),
        (b"\x30\x06\x02\x01\x01\x02\x01\x02", 8, Truncated),
        (b"\x30\x08\x02\x01\x01\x02\x01\x02\xa2\x00", 8, unexpected(Tag::context_constructed(0), 0xa2)),
        (b"\x30\x0b\x02\x01\x01\x02\x01\x02\xa0\x03\x02\x01\x03", 13, Truncated),
        (b"\x30\x10\x02\x01\x01\x02\x01\x02\xa0\x08\x02\x01\x03\x02\x01\x04\x05\x00", 16, TrailingBytes),
        (b"\x30\x0c\x02\x01\x01\x02\x01\x02\x81\x02ad\x05\x00", 12, TrailingBytes),
    ]);
    both(
        b"\x30\x0c\x02\x01\x03\x02\x01\x09\x0a\x01\x00\x04\x01c",
        &VirtualListViewResponse {
            target_position: 3,
            content_count: 9,
            code: ResultCode::SUCCESS,
            context: Some(Bytes::from_static(b"c")),
        },
    );
    both(
        b"\x30\x09\x02\x01\x00\x02\x01\x00\x0a\x01\x3d",
        &VirtualListViewResponse {
            target_position: 0,
            content_count: 0,
            code: OFFSET_RANGE_ERROR,
            context: None,
        },
    );
    wrong::<VirtualListViewResponse>(&[
        (b"\x30\x06\x02\x01\x03\x02\x01\x09", 8, Truncated),
        (b"\x30\x09\x02\x01\x03\x02\x01\x09\x0a\x01\x80", 8, IntegerOutOfRange),
    ]);
}

#[test]
fn matched_values() {
    let items =
        |filters: &[&str]| MatchedValues::new(filters.iter().map(|filter| filter.parse::<Filter>().unwrap()));
    both(b"\x30\x04\x87\x02cn", &items(&["(cn=*)"]).unwrap());
    both(
        b"\x30\x12\xa3\x07\x04\x02cn\x04\x01A\xa9\x07\x82\x02cn\x83\x01B",
        &items(&["(cn=A)", "(cn:=B)"]).unwrap(),
    );
    assert_eq!(MatchedValues::parse("((cn=A)(cn:=B))"), items(&["(cn=A)", "(cn:=B)"]));
    assert_eq!(MatchedValues::parse("(cn=A)"), items(&["(cn=A)"]));
    assert_eq!(MatchedValues::parse("cn=A"), items(&["(cn=A)"]));
    for text in ["", "()", "(&(cn=A))", "(!(cn=A))", "((cn=A)(|(sn=B)))", "(cn:dn:=A)", "((cn=A)"] {
        assert_eq!(MatchedValues::parse(text), None, "{text}");
    }
    assert_eq!(items(&[]), None);
    wrong::<MatchedValues>(&[
        (b"\x30\x00", 2, Truncated),
        (b"\x87\x02cn", 0, unexpected(Tag::SEQUENCE, 0x87)),
        (b"\x30\x06\xa0\x04\x87\x02cn", 2, InvalidFilter),
        (b"\x30\x06\xa2\x04\x87\x02cn", 2, InvalidFilter),
        (b"\x30\x02\xa0\x00", 2, InvalidFilter),
        (b"\x30\x06\x87\x02cn\xa1\x00", 6, InvalidFilter),
        (b"\x30\x0c\xa9\x0a\x82\x02cn\x83\x01B\x84\x01\xff", 2, InvalidFilter),
        (b"\x30\x03\x87\x02c", 3, Truncated),
    ]);
}

#[test]
fn persistent_search() {
    let value = PersistentSearch {
        change_types: ChangeTypes::ADD | ChangeTypes::MOD_DN,
        changes_only: true,
        return_ecs: false,
    };
    both(b"\x30\x09\x02\x01\x09\x01\x01\xff\x01\x01\x00", &value);
    wrong::<PersistentSearch>(&[
        (b"\x30\x00", 2, Truncated),
        (b"\x30\x09\x02\x01\x10\x01\x01\xff\x01\x01\x00", 2, IntegerOutOfRange),
        (b"\x30\x06\x02\x01\x09\x01\x01\xff", 8, Truncated),
        (b"\x30\x0a\x02\x01\x09\x01\x01\xff\x01\x02\x00\x00", 8, InvalidBoolean),
        (b"\x30\x0b\x02\x01\x09\x01\x01\xff\x01\x01\x00\x05\x00", 11, TrailingBytes),
    ]);
    let change = |change_type, previous_dn: Option<&str>, change_number| EntryChangeNotification {
        change_type,
        previous_dn: previous_dn.map(str::to_owned),
        change_number,
    };
    both(b"\x30\x03\x0a\x01\x01", &change(ChangeTypes::ADD, None, None));
    both(b"\x30\x09\x0a\x01\x08\x04\x04cn=a", &change(ChangeTypes::MOD_DN, Some("cn=a"), None));
    both(b"\x30\x06\x0a\x01\x02\x02\x01\x07", &change(ChangeTypes::DELETE, None, Some(7)));
    wrong::<EntryChangeNotification>(&[
        (b"\x30\x00", 2, Truncated),
        (b"\x30\x03\x0a\x01\x00", 2, UnknownEnumerated(0)),
        (b"\x30\x03\x0a\x01\x03", 2, UnknownEnumerated(3)),
        (b"\x30\x06\x0a\x01\x02\x04\x01\xff", 7, InvalidUtf8),
        (b"\x30\x06\x0a\x01\x02\x02\x01\xff", 5, IntegerOutOfRange),
    ]);
    assert!(ChangeTypes::ANY.contains(ChangeTypes::DELETE));
    assert!(!(ChangeTypes::ADD | ChangeTypes::MODIFY).contains(ChangeTypes::DELETE));
    assert_eq!(ChangeTypes::from_bits(16), None);
}

#[test]
fn small_ones() {
    both(b"\x01\x01\xff", &Subentries { visible: true });
    both(b"\x01\x01\x00", &Subentries { visible: false });
    wrong::<Subentries>(&[
        (b"", 0, Truncated),
        (b"\x01\x00", 0, InvalidBoolean),
        (b"\x30\x03\x01\x01\xff", 0, unexpected(Tag::BOOLEAN, 0x30)),
        (b"\x01\x01\xff\x00", 3, TrailingBytes),
    ]);
    both(b"", &ProxiedAuthorization::default());
    both(b"u:ada", &ProxiedAuthorization("u:ada".to_owned()));
    wrong::<ProxiedAuthorization>(&[(b"u:\xff", 2, InvalidUtf8)]);
    both(b"0", &PasswordExpired);
    both(b"86399", &PasswordExpiring(86_399));
    assert_eq!(decode::<PasswordExpired>(b"anything"), Ok(PasswordExpired));
    assert_eq!(decode::<PasswordExpiring>(b"60\0"), Ok(PasswordExpiring(60)));
    wrong::<PasswordExpiring>(&[
        (b"", 0, IntegerOutOfRange),
        (b"-1", 0, IntegerOutOfRange),
        (b"soon", 0, IntegerOutOfRange),
        (b"4294967296", 0, IntegerOutOfRange),
        (b"\xff", 0, IntegerOutOfRange),
    ]);
    // Those without a value have none.
    let controls = Controls::none()
        .critical(&TreeDelete)
        .critical(&RelaxRules)
        .critical(&DontUseCopy)
        .critical(&PermissiveModify);
    assert!(controls.iter().all(|control| control.value.is_none() && control.critical));
    assert_eq!(controls.get::<TreeDelete>(&LIMITS), Ok(Some(TreeDelete)));
    for (oid, scope) in [
        (ProxiedAuthorization::OID, ControlScope::Identity),
        (Oid::from_static("2.16.840.1.113730.3.4.12"), ControlScope::Identity),
        (VirtualListView::OID, ControlScope::Connection),
        (ServerSideSort::OID, ControlScope::EndToEnd),
        (PersistentSearch::OID, ControlScope::EndToEnd),
    ] {
        assert_eq!(scope_of(&oid), scope, "{oid}");
    }
}

fn again<C: ControlValue + Debug + PartialEq>(value: &C) {
    assert_eq!(decode::<C>(&encode(value)).as_ref(), Ok(value));
}

proptest! {
    /// Whatever can be said is read as it was written.
    #[test]
    fn round_trips(
        keys in vec(("[a-z]{1,9}(;[a-z]{1,4})?", option::of("[a-z0-9.]{1,9}"), any::<bool>()), 1..5),
        numbers in (0..1_u32 << 31, 0..1_u32 << 31, 0..1_u32 << 31, 0..1_u32 << 31),
        value in option::of(vec(any::<u8>(), 0..200)),
        context in option::of(vec(any::<u8>(), 0..200)),
        text in ".{0,40}",
        kinds in 0_u32..16,
        kind in 0_u32..4,
    ) {
        again(&ServerSideSort(
            keys.iter()
                .map(|(name, rule, reverse)| SortKey {
                    attribute: name.parse().unwrap(),
                    ordering_rule: rule.clone().map(Into::into),
                    reverse: *reverse,
                })
                .collect(),
        ));
        let (before, after, offset, content_count) = numbers;
        let target = match value {
            Some(value) => Target::GreaterThanOrEqual(value.into()),
            None => Target::Offset { offset, content_count },
        };
        let context = context.map(Bytes::from);
        again(&VirtualListView { before, after, target, context: context.clone() });
        let code = ResultCode(kinds);
        again(&VirtualListViewResponse { target_position: before, content_count, code, context });
        again(&ServerSideSortResponse { code, attribute: Some(text.clone()) });
        again(&ProxiedAuthorization(text.clone()));
        again(&PersistentSearch {
            change_types: ChangeTypes::from_bits(kinds).unwrap(),
            changes_only: kinds % 2 == 0,
            return_ecs: kinds % 3 == 0,
        });
        again(&EntryChangeNotification {
            change_type: ChangeTypes::from_bits(1 << kind).unwrap(),
            previous_dn: Some(text),
            change_number: Some(after),
        });
        let items = keys.iter().map(|(name, _, _)| Filter::present(name.parse().unwrap()));
        again(&MatchedValues::new(items).unwrap());
    }

    /// No octets make a decoder do anything but answer.
    #[test]
    fn octets_are_answered(octets in vec(any::<u8>(), 0..60)) {
        let _ = decode::<ServerSideSort>(&octets);
        let _ = decode::<ServerSideSortResponse>(&octets);
        let _ = decode::<VirtualListView>(&octets);
        let _ = decode::<VirtualListViewResponse>(&octets);
        let _ = decode::<MatchedValues>(&octets);
        let _ = decode::<PersistentSearch>(&octets);
        let _ = decode::<EntryChangeNotification>(&octets);
        let _ = decode::<Subentries>(&octets);
        let _ = decode::<ProxiedAuthorization>(&octets);
    }
}
