//! PasswordModify (RFC 3062).

use super::ExtendedOperation;
use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    message::{ExtendedRequest, ExtendedResponse},
    oid::Oid,
    secret::Secret,
};

const USER: Tag = Tag::context(0);
const OLD: Tag = Tag::context(1);
const NEW: Tag = Tag::context(2);
const GENERATED: Tag = Tag::context(0);

/// Asks for a password to be changed.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the parameters of RFC 3062")]
pub struct PasswordModify {
    /// Whose password, as sent: a DN or another name the server understands; absent, the one who asks.
    pub user: Option<String>,
    /// The present password.
    pub old: Option<Secret>,
    /// The new one; absent, the server makes one up.
    pub new: Option<Secret>,
}

impl ExtendedOperation for PasswordModify {
    const OID: Oid = Oid::from_static("1.3.6.1.4.1.4203.1.11.1");
    type Response = PasswordModifyResponse;

    fn encode(&self, writer: &mut Writer) -> bool {
        if self.user.is_none() && self.old.is_none() && self.new.is_none() {
            return false;
        }
        writer.sequence(|writer| {
            if let Some(user) = &self.user {
                writer.primitive(USER, user.as_bytes());
            }
            if let Some(old) = &self.old {
                writer.primitive(OLD, old.expose());
            }
            if let Some(new) = &self.new {
                writer.primitive(NEW, new.expose());
            }
        });
        true
    }

    fn decode(request: &ExtendedRequest) -> Result<Self, DecodeError> {
        let Some(value) = &request.value else { return Ok(Self::default()) };
        let mut reader = Reader::new(value);
        let mut sequence = reader.sequence()?;
        let user = match sequence.peek() {
            Some(USER) => Some(sequence.text_tagged(USER)?.to_owned()),
            _ => None,
        };
        let old = secret(&mut sequence, OLD)?;
        let new = secret(&mut sequence, NEW)?;
        sequence.finish_extensible()?;
        reader.finish()?;
        Ok(Self { user, old, new })
    }

    fn decode_response(response: &ExtendedResponse) -> Result<Self::Response, DecodeError> {
        let Some(value) = &response.value else { return Ok(PasswordModifyResponse::default()) };
        let mut reader = Reader::new(value);
        let mut sequence = reader.sequence()?;
        let generated = secret(&mut sequence, GENERATED)?;
        sequence.finish_extensible()?;
        reader.finish()?;
        Ok(PasswordModifyResponse { generated })
    }
}

/// Reads a secret with `tag`, if there is one.
fn secret(sequence: &mut Reader<'_>, tag: Tag) -> Result<Option<Secret>, DecodeError> {
    if sequence.peek() == Some(tag) {
        sequence.primitive_slice(tag).map(Secret::new).map(Some)
    } else {
        Ok(None)
    }
}

/// The answer to a [`PasswordModify`].
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "the answer of RFC 3062")]
pub struct PasswordModifyResponse {
    /// The password the server made up, if it did.
    pub generated: Option<Secret>,
}

impl PasswordModifyResponse {
    /// Writes the value of the answer; `false` if there is none.
    pub fn encode(&self, writer: &mut Writer) -> bool {
        let Some(generated) = &self.generated else { return false };
        writer.sequence(|writer| writer.primitive(GENERATED, generated.expose()));
        true
    }
}
