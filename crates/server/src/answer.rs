//! Which answer belongs to which request. The mapping is made once, here, so that a compare cannot be answered with a
//! search result.

use flext_ldap_directory::{OpKind, Outcome};
use flext_ldap_proto::{
    ber::{DecodeErrorKind, Tag},
    control::Controls,
    extended::NOTICE_OF_DISCONNECTION,
    message::{BindResponse, ExtendedResponse, Response},
    result::{LdapResult, ResultCode},
};

/// The answer that ends an operation of this kind, and the controls that go with it.
pub(crate) fn last(kind: OpKind, outcome: Outcome) -> (Response, Controls) {
    let Outcome { result, controls, oid, value } = outcome;
    let response = match kind {
        OpKind::Search => Response::SearchDone(result),
        OpKind::Compare => Response::Compare(result),
        OpKind::Add => Response::Add(result),
        OpKind::Modify => Response::Modify(result),
        OpKind::Delete => Response::Delete(result),
        OpKind::Rename => Response::Rename(result),
        OpKind::Extended => Response::Extended(ExtendedResponse { result, oid, value }),
    };
    (response, controls)
}

/// The answer to a bind.
pub(crate) fn bind(result: LdapResult) -> Response {
    Response::Bind(BindResponse { result, server_credentials: None })
}

/// The answer to an extended operation that the listener itself answers.
pub(crate) fn extended(result: LdapResult) -> Response {
    Response::Extended(ExtendedResponse { result, oid: None, value: None })
}

/// A request that could not be read, by the tag of its operation: its name, and the answer that refuses it. `None`
/// for what has no answer.
pub(crate) fn refusal(tag: Tag, result: LdapResult) -> Option<(&'static str, Response)> {
    const BIND: Tag = Tag::application_constructed(0);
    const SEARCH: Tag = Tag::application_constructed(3);
    const MODIFY: Tag = Tag::application_constructed(6);
    const ADD: Tag = Tag::application_constructed(8);
    const DELETE: Tag = Tag::application(10);
    const RENAME: Tag = Tag::application_constructed(12);
    const COMPARE: Tag = Tag::application_constructed(14);
    const EXTENDED: Tag = Tag::application_constructed(23);
    let kind = match tag {
        BIND => return Some(("bind", bind(result))),
        SEARCH => OpKind::Search,
        MODIFY => OpKind::Modify,
        ADD => OpKind::Add,
        DELETE => OpKind::Delete,
        RENAME => OpKind::Rename,
        COMPARE => OpKind::Compare,
        EXTENDED => OpKind::Extended,
        _ => return None,
    };
    Some((kind.name(), last(kind, Outcome::new(result)).0))
}

/// The result for a request whose encoding is sound but whose contents are not; `None` where the encoding itself is
/// wrong, which ends the conversation (RFC 4511 §4.1.1).
pub(crate) fn contents(kind: DecodeErrorKind) -> Option<ResultCode> {
    match kind {
        DecodeErrorKind::InvalidDn => Some(ResultCode::INVALID_DN_SYNTAX),
        DecodeErrorKind::InvalidAttributeDescription
        | DecodeErrorKind::InvalidFilter
        | DecodeErrorKind::InvalidOid
        | DecodeErrorKind::UnknownEnumerated(_) => Some(ResultCode::PROTOCOL_ERROR),
        DecodeErrorKind::TooDeep
        | DecodeErrorKind::TooManyControls
        | DecodeErrorKind::TooManyAttributes
        | DecodeErrorKind::TooManyValues => Some(ResultCode::ADMIN_LIMIT_EXCEEDED),
        kind if kind.is_operation_error() => Some(ResultCode::PROTOCOL_ERROR),
        _ => None,
    }
}

/// A Notice of Disconnection (RFC 4511 §4.4.1).
pub(crate) fn notice(result: LdapResult) -> Response {
    Response::Extended(ExtendedResponse { result, oid: Some(NOTICE_OF_DISCONNECTION), value: None })
}
