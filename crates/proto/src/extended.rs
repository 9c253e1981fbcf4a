//! Extended operations (RFC 4511 §4.12) whose syntax is known, one file each.

mod cancel;
mod password_modify;
mod start_tls;
mod who_am_i;

pub use self::{
    cancel::Cancel,
    password_modify::{PasswordModify, PasswordModifyResponse},
    start_tls::StartTls,
    who_am_i::WhoAmI,
};
use crate::{
    ber::{DecodeError, Writer},
    message::{ExtendedRequest, ExtendedResponse},
    oid::Oid,
};

/// The OID of the Notice of Disconnection (RFC 4511 §4.4.1).
pub const NOTICE_OF_DISCONNECTION: Oid = Oid::from_static("1.3.6.1.4.1.1466.20036");

/// An extended operation whose OID, parameters and answer are known.
pub trait ExtendedOperation: Sized {
    /// Which operation.
    const OID: Oid;
    /// What a successful answer holds.
    type Response;

    /// Writes the parameters.
    ///
    /// Returns whether there are any: an operation without parameters has no value at all.
    fn encode(&self, writer: &mut Writer) -> bool;

    /// Reads the parameters: what a server does.
    ///
    /// # Errors
    ///
    /// When they are not what the operation's syntax says.
    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError>;

    /// Reads a successful answer: what a client does.
    ///
    /// # Errors
    ///
    /// When it is not what the operation's syntax says.
    fn decode_response(response: &ExtendedResponse) -> Result<Self::Response, DecodeError>;

    /// The request.
    #[must_use]
    fn request(&self) -> ExtendedRequest {
        let mut writer = Writer::new();
        let has_value = self.encode(&mut writer);
        ExtendedRequest { oid: Self::OID, value: has_value.then(|| writer.take()) }
    }
}
