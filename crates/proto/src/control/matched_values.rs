//! Matched values (RFC 3876): of the attributes returned, only the values that match.

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Writer},
    filter::{Extensible, Filter, Node},
    message::Limits,
    oid::Oid,
};

/// `ValuesReturnFilter ::= SEQUENCE OF SimpleFilterItem`: a value is returned if any of the items is true of it.
#[derive(Clone, Debug, PartialEq)]
pub struct MatchedValues(Vec<Filter>);

impl MatchedValues {
    /// Asks for the values of which any of `items` is true. `None` if one is not an item (it joins or negates others, or
    /// looks at names), or there is none.
    #[must_use]
    pub fn new(items: impl IntoIterator<Item = Filter>) -> Option<Self> {
        let items: Vec<_> = items.into_iter().collect();
        (!items.is_empty() && items.iter().all(is_item)).then_some(Self(items))
    }

    /// As RFC 3876 §2 has it in text: `((mail=*@harbourlane.example)(cn=a*))`, or one item alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let or = text.strip_prefix('(').filter(|rest| rest.starts_with('(')).map(|rest| format!("(|{rest}"));
        let filter: Filter = or.as_deref().unwrap_or(text).parse().ok()?;
        let leaves = filter.nodes().iter().skip(usize::from(or.is_some()));
        Self::new(leaves.cloned().map(Filter::leaf).collect::<Option<Vec<_>>>()?)
    }

    /// The items.
    #[must_use]
    pub fn items(&self) -> &[Filter] {
        &self.0
    }

    /// The filter that is true of a value if any of the items is.
    #[must_use]
    pub fn to_filter(&self) -> Filter {
        Filter::or(self.0.iter().cloned())
    }
}

/// Whether a filter is one `SimpleFilterItem`.
fn is_item(filter: &Filter) -> bool {
    match filter.nodes() {
        [Node::And { .. } | Node::Or { .. } | Node::Not] => false,
        [Node::Extensible(Extensible { dn_attributes, .. })] => !dn_attributes,
        [_] => true,
        _ => false,
    }
}

impl ControlValue for MatchedValues {
    const OID: Oid = Oid::from_static("1.2.826.0.1.3344810.2.3");
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| self.0.iter().for_each(|item| item.encode(writer)));
    }

    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut list = reader.sequence()?;
        if list.is_empty() {
            return Err(list.error(DecodeErrorKind::Truncated));
        }
        let mut items = Vec::new();
        // One level: an item holds no others.
        let limits = Limits { depth: 1, ..*limits };
        while !list.is_empty() {
            if items.len() >= limits.attributes {
                return Err(list.error(DecodeErrorKind::TooManyAttributes));
            }
            let invalid = list.error(DecodeErrorKind::InvalidFilter);
            let item = Filter::decode(&mut list, &limits).map_err(|error| match error.kind {
                DecodeErrorKind::TooDeep => invalid,
                _ => error,
            })?;
            if !is_item(&item) {
                return Err(invalid);
            }
            items.push(item);
        }
        Ok(Self(items))
    }
}
