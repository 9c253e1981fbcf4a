//! `LDAPResult` (RFC 4511 §4.1.9) and what the answers that extend it put behind it.

use bytes::Bytes;

use super::{
    Limits,
    bind::SERVER_SASL_CREDS,
    extended::{RESPONSE_NAME, RESPONSE_VALUE},
};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    control::decode_oid,
    oid::Oid,
    result::{LdapResult, ResultCode},
};

const REFERRAL: Tag = Tag::context_constructed(3);

/// A result and the optional parts of any answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) result: LdapResult,
    /// `serverSaslCreds [7]` of a bind.
    pub(super) credentials: Option<Bytes>,
    /// `responseName [10]` of an extended operation.
    pub(super) name: Option<Oid>,
    /// `responseValue [11]` of an extended operation.
    pub(super) value: Option<Bytes>,
}

impl Answer {
    /// Reads the contents of an answer.
    ///
    /// The optional parts are taken in any order, and context-specific ones that are not known are passed over
    /// (RFC 4511 §4). The diagnostic message is for people: octets of it that are not UTF-8, such as older servers
    /// send in the language of their administrator, are replaced rather than refused.
    pub(super) fn decode(mut reader: Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let negative = reader.error(DecodeErrorKind::IntegerOutOfRange);
        let code = u32::try_from(reader.enumerated()?).map_err(|_| negative)?;
        let matched_dn = reader.text()?.to_owned();
        let diagnostic = String::from_utf8_lossy(reader.primitive_slice(Tag::OCTET_STRING)?).into_owned();
        let result = LdapResult { code: ResultCode(code), matched_dn, diagnostic, referrals: Vec::new() };
        let mut answer = Self { result, credentials: None, name: None, value: None };
        while let Some(tag) = reader.peek() {
            match tag {
                REFERRAL => {
                    let mut urls = reader.constructed(tag)?;
                    while !urls.is_empty() {
                        if answer.result.referrals.len() >= limits.attributes {
                            return Err(urls.error(DecodeErrorKind::TooManyValues));
                        }
                        answer.result.referrals.push(urls.text()?.to_owned());
                    }
                }
                SERVER_SASL_CREDS => answer.credentials = Some(reader.primitive(tag)?),
                RESPONSE_NAME => answer.name = Some(decode_oid(&mut reader, tag)?),
                RESPONSE_VALUE => answer.value = Some(reader.primitive(tag)?),
                tag if tag.is_context() => _ = reader.any()?,
                _ => return Err(reader.error(DecodeErrorKind::TrailingBytes)),
            }
        }
        Ok(answer)
    }
}

/// Writes the parts of an `LDAPResult`.
pub(super) fn encode_result(result: &LdapResult, writer: &mut Writer) {
    writer.integer_tagged(Tag::ENUMERATED, i64::from(result.code.0));
    writer.octets(result.matched_dn.as_bytes());
    writer.octets(result.diagnostic.as_bytes());
    if !result.referrals.is_empty() {
        writer.constructed(REFERRAL, |writer| {
            for url in &result.referrals {
                writer.octets(url.as_bytes());
            }
        });
    }
}
