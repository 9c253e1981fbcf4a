//! Matched values (RFC 3876): which values of an entry are returned.

use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    filter::{Filter, Matcher, Truth},
};

use crate::{
    context::{Access, Context},
    read::Named,
};

/// A filter of values made ready for one entry.
pub(crate) struct ValueFilter<'a> {
    matcher: Matcher<'a>,
    access: &'a Access<'a>,
    named: &'a Named,
}

impl<'a> ValueFilter<'a> {
    pub(crate) fn new(
        context: &'a Context,
        filter: &Filter,
        access: &'a Access<'a>,
        named: &'a Named,
    ) -> Self {
        Self { matcher: Matcher::new(filter, &context.schema), access, named }
    }

    /// Whether the filter is true of one value, as far as whoever asks may search by it: evaluated as on an entry that
    /// has this value and nothing else.
    pub(crate) fn passes(&self, description: &str, value: &[u8]) -> bool {
        let mut alone = Attributes::builder();
        alone.push(description, [value]);
        let alone = alone.build();
        let truth = self.matcher.evaluate(&Dn::root(), &[alone.as_ref()], &|attribute| {
            self.access.attribute(self.named, attribute, AttributeRight::Search)
        });
        truth == Truth::True
    }
}
