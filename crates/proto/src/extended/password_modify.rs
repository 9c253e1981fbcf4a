//! PasswordModify (RFC 3062).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Writer},
    message::{ExtendedRequest, ExtendedResponse},
    oid::Oid,
};

/// Asks for a password to be changed.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 3062")]
pub struct PasswordModify {
    /// Whose password, as sent: a DN or another name the server understands; absent, the one who asks.
    pub user: Option<String>,
    /// The present password.
    pub old: Option<crate::secret::Secret>,
    /// The new one; absent, the server makes one up.
    pub new: Option<crate::secret::Secret>,
}

impl ExtendedOperation for PasswordModify {
    const OID: Oid = Oid::from_static("1.3.6.1.4.1.4203.1.11.1");
    type Response = PasswordModifyResponse;

    fn encode(&self, writer: &mut Writer) -> bool {
        let _ = writer;
        todo!()
    }

    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError> {
        todo!("{request:?}")
    }

    fn decode_response(response: &ExtendedResponse) -> Result<Self::Response, DecodeError> {
        todo!("{response:?}")
    }
}

/// The answer to a [`PasswordModify`].
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the answer of RFC 3062")]
pub struct PasswordModifyResponse {
    /// The password the server made up, if it did.
    pub generated: Option<crate::secret::Secret>,
}

impl PasswordModifyResponse {
    /// Writes the value of the answer; `false` if there is none.
    pub fn encode(&self, writer: &mut Writer) -> bool {
        let _ = writer;
        todo!()
    }
}
