//! Values of controls and extended operations: what is read is the same after it is written and read again.

use std::fmt::Debug;

use bytes::Bytes;
use flext_ldap_proto::{
    ber::{Reader, Writer},
    control::{
        Assertion, ControlValue, Controls, DontUseCopy, EntryChangeNotification, ManageDsaIt, MatchedValues,
        PagedResults, PasswordExpired, PasswordExpiring, PasswordPolicyRequest, PasswordPolicyResponse,
        PermissiveModify, PersistentSearch, PostRead, PreRead, ProxiedAuthorization, ReadEntry, RelaxRules,
        ServerSideSort, ServerSideSortResponse, Subentries, TreeDelete, VirtualListView,
        VirtualListViewResponse,
    },
    extended::{Cancel, ExtendedOperation, PasswordModify, PasswordModifyResponse, StartTls, WhoAmI},
    message::{ExtendedRequest, ExtendedResponse, Limits},
    result::LdapResult,
    secret::Secret,
};

/// Every control value that is understood, in an order that seeds depend on: add at the end.
const CONTROLS: [fn(&Bytes) -> bool; 23] = [
    settles::<Assertion>,
    settles::<DontUseCopy>,
    settles::<EntryChangeNotification>,
    settles::<ManageDsaIt>,
    settles::<MatchedValues>,
    settles::<PagedResults>,
    settles::<PasswordPolicyRequest>,
    settles::<PasswordPolicyResponse>,
    settles::<PermissiveModify>,
    settles::<PersistentSearch>,
    settles::<PostRead>,
    settles::<PreRead>,
    settles::<ProxiedAuthorization>,
    read_entry,
    settles::<RelaxRules>,
    settles::<ServerSideSort>,
    settles::<ServerSideSortResponse>,
    settles::<Subentries>,
    settles::<TreeDelete>,
    settles::<VirtualListView>,
    settles::<VirtualListViewResponse>,
    settles::<PasswordExpired>,
    settles::<PasswordExpiring>,
];

/// Every extended operation that is understood: add at the end.
const OPERATIONS: [fn(ExtendedRequest) -> bool; 4] =
    [operation::<Cancel>, operation::<PasswordModify>, operation::<StartTls>, operation::<WhoAmI>];

/// The value of a control: the first octet says of which.
pub fn value(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    CONTROLS[usize::from(*kind) % CONTROLS.len()](&Bytes::copy_from_slice(rest))
}

/// The value of an extended operation: the first octet says of which, and whether it is a request or its answer.
pub fn extended(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    let value = (kind & 0x80 == 0).then(|| Bytes::copy_from_slice(rest));
    let place = usize::from(kind & 0x7f) % (OPERATIONS.len() + 1);
    match OPERATIONS.get(place) {
        Some(operation) => operation(ExtendedRequest { oid: WhoAmI::OID, value }),
        None => generated(value),
    }
}

fn settles<C: ControlValue + Debug + PartialEq>(bytes: &Bytes) -> bool {
    let limits = Limits::DEFAULT;
    let mut reader = Reader::new(bytes);
    let Ok(value) = C::decode(&mut reader, &limits) else { return false };
    if C::HAS_VALUE && reader.finish().is_err() {
        return false;
    }
    let encoded = encode(&value);
    let mut reader = Reader::new(&encoded);
    let again = C::decode(&mut reader, &limits).unwrap();
    reader.finish().unwrap();
    assert_eq!(again, value, "{bytes:02x?}");
    assert_eq!(encode(&again), encoded, "{value:?}");
    // What a message carries is the same as the value alone.
    assert_eq!(Controls::none().critical(&value).get::<C>(&limits), Ok(Some(value)));
    true
}

fn encode<C: ControlValue>(value: &C) -> Bytes {
    let mut writer = Writer::new();
    value.encode(&mut writer);
    writer.take()
}

/// The answer to a pre-read or post-read control, which is no control value of its own.
fn read_entry(bytes: &Bytes) -> bool {
    let limits = Limits::DEFAULT;
    let Ok(entry) = ReadEntry::decode(&mut Reader::new(bytes), &limits) else { return false };
    let mut writer = Writer::new();
    entry.encode(&mut writer);
    let encoded = writer.take();
    let again = ReadEntry::decode(&mut Reader::new(&encoded), &limits).unwrap();
    assert!(again == entry, "{bytes:02x?}");
    true
}

fn operation<O: ExtendedOperation>(request: ExtendedRequest) -> bool {
    let request = ExtendedRequest { oid: O::OID, ..request };
    let Ok(operation) = O::decode(&request) else { return false };
    let encoded = operation.request();
    let again = O::decode(&encoded).unwrap();
    // Secrets are not compared; what is written is.
    assert_eq!(again.request(), encoded);
    true
}

/// The answer to Password Modify.
fn generated(value: Option<Bytes>) -> bool {
    let oid = None;
    let answer = |value| ExtendedResponse { result: LdapResult::success(), oid: oid.clone(), value };
    let Ok(response) = PasswordModify::decode_response(&answer(value)) else { return false };
    let mut writer = Writer::new();
    let encoded = response.encode(&mut writer).then(|| writer.take());
    let again: PasswordModifyResponse = PasswordModify::decode_response(&answer(encoded)).unwrap();
    let octets = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_vec());
    assert_eq!(octets(&again.generated), octets(&response.generated));
    true
}
