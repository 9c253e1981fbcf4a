//! New entries: what is large of them leaves the row before it is written.

use flext_ldap_proto::attribute::{AttributeRef, Attributes, AttributesRef};

use super::{Large, changes::Changes, normal_key, stays_inline};
use crate::{
    context::{Context, base},
    index::Keys,
    row::{ROOT, Stored},
};

impl Stored {
    /// A new entry as it is stored, save its id, if something of it is large: that gets rows, which are yet to be written, and
    /// the index keys of its values are added to `keys`. No value of an attribute may be there twice.
    pub(crate) fn split(&self, context: &Context, keys: &mut Keys) -> Option<Self> {
        let is_large = |attribute: AttributeRef<'_>| {
            let limits = &context.limits;
            let count = attribute.values().count();
            let octets: usize = attribute.values().map(<[u8]>::len).sum();
            (count > limits.inline_values || octets > limits.inline_octets)
                && !stays_inline(context, attribute.description())
        };
        // Hardly an entry has one.
        let fits = |segment: AttributesRef<'_>| {
            let least = context.limits.inline_values.saturating_mul(2).min(context.limits.inline_octets);
            segment.as_bytes().len() <= least || !segment.iter().any(is_large)
        };
        if fits(self.user()) && fits(self.operational()) {
            return None;
        }
        let mut large = Vec::new();
        let mut rest = [Attributes::builder(), Attributes::builder()];
        for ((segment, rest), operational) in self.segments().iter().zip(&mut rest).zip([false, true]) {
            for attribute in segment.as_ref().iter() {
                if !is_large(attribute) {
                    rest.push(attribute.description(), attribute.values());
                    continue;
                }
                let changes = values(context, segment, attribute, keys);
                large.push(Large::new(context, ROOT, attribute.description(), operational).with(changes));
            }
        }
        let [user, operational] = rest.map(|rest| rest.build());
        Some(Self::new(user, operational).with_large(large))
    }
}

/// The rows of a large attribute of a list.
fn values(context: &Context, segment: &Attributes, attribute: AttributeRef<'_>, keys: &mut Keys) -> Changes {
    let segment = segment.clone().into_bytes();
    let kind = context.schema.attribute_type(base(attribute.description()));
    let mut normalizer = kind.map(|kind| context.schema.normalizer(kind));
    let rows = attribute.values().map(|value| {
        let normal = normalizer.as_mut().and_then(|normalizer| normalizer.normalize(value).ok());
        if let Some(kind) = kind {
            context.indexes.add_value_keys(&context.schema, kind, value, normal.as_deref(), keys);
        }
        (normal_key(normal.as_deref().unwrap_or(value)), segment.slice_ref(value))
    });
    Changes::of_new(rows.collect())
}
