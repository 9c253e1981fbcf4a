//! Server-side sorting (RFC 2891): the entries of a search in an order.

use super::{ControlScope, ControlValue, virtual_list_view::decode_code};
use crate::{
    attribute::AttributeDescription,
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    message::Limits,
    oid::Oid,
    result::ResultCode,
};

const ORDERING_RULE: Tag = Tag::context(0);
const REVERSE_ORDER: Tag = Tag::context(1);
const ATTRIBUTE: Tag = Tag::context(0);

/// One key of an order.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 2891")]
pub struct SortKey {
    /// The attribute whose least value counts.
    pub attribute: AttributeDescription,
    /// The ordering rule by name or OID; absent, the attribute's own.
    pub ordering_rule: Option<Box<str>>,
    /// Whether the largest comes first.
    pub reverse: bool,
}

impl SortKey {
    /// By this attribute, in its own order.
    #[must_use]
    pub const fn new(attribute: AttributeDescription) -> Self {
        Self { attribute, ordering_rule: None, reverse: false }
    }

    /// The largest first.
    #[must_use]
    pub const fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// By this rule.
    #[must_use]
    pub fn by_rule(mut self, rule: impl Into<Box<str>>) -> Self {
        self.ordering_rule = Some(rule.into());
        self
    }
}

/// Asks for an order. `SortKeyList ::= SEQUENCE OF SEQUENCE { attributeType, orderingRule [0] OPTIONAL, reverseOrder [1]
/// DEFAULT FALSE }`, the most important key first, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 2891")]
pub struct ServerSideSort(pub Vec<SortKey>);

/// Answers how it went: comes with the end of the search.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of RFC 2891")]
pub struct ServerSideSortResponse {
    /// `success` if the entries are in order; the codes of RFC 2891 §1.2 are those of LDAP.
    pub code: ResultCode,
    /// The attribute that is the reason why not, where one is.
    pub attribute: Option<String>,
}

impl ControlValue for ServerSideSort {
    const OID: Oid = Oid::from_static("1.2.840.113556.1.4.473");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            for key in &self.0 {
                writer.sequence(|writer| {
                    writer.octets(key.attribute.as_str().as_bytes());
                    if let Some(rule) = &key.ordering_rule {
                        writer.primitive(ORDERING_RULE, rule.as_bytes());
                    }
                    if key.reverse {
                        writer.boolean_tagged(REVERSE_ORDER, true);
                    }
                });
            }
        });
    }

    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut list = reader.sequence()?;
        let mut keys = Vec::new();
        if list.is_empty() {
            // `SIZE (1..MAX)`: an order by nothing is none.
            return Err(list.error(DecodeErrorKind::Truncated));
        }
        while !list.is_empty() {
            if keys.len() >= limits.attributes {
                return Err(list.error(DecodeErrorKind::TooManyAttributes));
            }
            let mut key = list.sequence()?;
            let invalid = key.error(DecodeErrorKind::InvalidAttributeDescription);
            let attribute = key.text()?.parse().map_err(|_| invalid)?;
            let ordering_rule = match key.peek() {
                Some(ORDERING_RULE) => Some(key.text_tagged(ORDERING_RULE)?.into()),
                _ => None,
            };
            let reverse = key.peek() == Some(REVERSE_ORDER) && key.boolean_tagged(REVERSE_ORDER)?;
            key.finish()?;
            keys.push(SortKey { attribute, ordering_rule, reverse });
        }
        Ok(Self(keys))
    }
}

impl ControlValue for ServerSideSortResponse {
    const OID: Oid = Oid::from_static("1.2.840.113556.1.4.474");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            writer.integer_tagged(Tag::ENUMERATED, i64::from(self.code.0));
            if let Some(attribute) = &self.attribute {
                writer.primitive(ATTRIBUTE, attribute.as_bytes());
            }
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut response = reader.sequence()?;
        let code = decode_code(&mut response)?;
        let attribute = match response.peek() {
            Some(ATTRIBUTE) => Some(response.text_tagged(ATTRIBUTE)?.to_owned()),
            _ => None,
        };
        response.finish_extensible()?;
        Ok(Self { code, attribute })
    }
}
