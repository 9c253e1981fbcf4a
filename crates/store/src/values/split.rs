//! New entries: what is large of them leaves the row before it is written.

use bytes::Bytes;
use flext_ldap_proto::attribute::{AttributeRef, Attributes, AttributesRef};

use super::{
    Large,
    changes::{Beneath, Changes},
    stays_inline, value_key,
};
use crate::{
    context::Context,
    row::{Id, Stored},
    tables::Failure,
};

impl Stored {
    /// The entry `id` as it is stored: attributes that are large get rows, which are yet to be written. No value of an
    /// attribute may be there twice.
    pub(crate) fn split(self, context: &Context, id: Id) -> Result<Self, Failure> {
        let is_large = |attribute: AttributeRef<'_>| {
            let limits = &context.limits;
            let count = attribute.values().count();
            let octets: usize = attribute.values().map(<[u8]>::len).sum();
            (count > limits.inline_values || octets > limits.inline_octets)
                && !stays_inline(context, attribute.description())
        };
        let segments = [(self.user(), false), (self.operational(), true)];
        // Hardly an entry has one.
        let fits = |segment: AttributesRef<'_>| {
            let least = context.limits.inline_values.saturating_mul(2).min(context.limits.inline_octets);
            segment.as_bytes().len() <= least || !segment.iter().any(is_large)
        };
        if segments.iter().all(|(segment, _)| fits(*segment)) {
            return Ok(self);
        }
        let mut large = Vec::new();
        let mut rest = [Attributes::builder(), Attributes::builder()];
        for ((segment, operational), rest) in segments.into_iter().zip(&mut rest) {
            for attribute in segment.iter() {
                if !is_large(attribute) {
                    rest.push(attribute.description(), attribute.values());
                    continue;
                }
                let mut changes = Changes::anew();
                for value in attribute.values() {
                    let key = value_key(context, attribute.description(), value);
                    changes.insert(&Beneath::NOTHING, key, Bytes::copy_from_slice(value))?;
                }
                large.push(Large::new(context, id, attribute.description(), operational).with(changes));
            }
        }
        let [user, operational] = rest.map(|rest| rest.build());
        Ok(Self::new(user, operational).with_large(large))
    }
}
