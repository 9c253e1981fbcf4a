//! `ExtendedRequest` and `ExtendedResponse` (RFC 4511 §4.12).

use bytes::Bytes;

use crate::{oid::Oid, result::LdapResult};

/// An operation named by an object identifier. Typed ones are in [`crate::extended`].
///
/// The value can hold a password, so `Debug` does not show it.
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the request of RFC 4511")]
pub struct ExtendedRequest {
    /// Which operation.
    pub oid: Oid,
    /// Its parameters.
    pub value: Option<Bytes>,
}

impl std::fmt::Debug for ExtendedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtendedRequest").field("oid", &self.oid).finish_non_exhaustive()
    }
}

/// The answer to an extended operation, or a notice (with id 0).
#[derive(Clone, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the response of RFC 4511")]
pub struct ExtendedResponse {
    /// The result.
    pub result: LdapResult,
    /// Which response.
    pub oid: Option<Oid>,
    /// Its contents; may hold a generated password.
    pub value: Option<Bytes>,
}

impl std::fmt::Debug for ExtendedResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExtendedResponse")
            .field("result", &self.result)
            .field("oid", &self.oid)
            .finish_non_exhaustive()
    }
}
