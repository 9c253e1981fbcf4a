//! Matched values (RFC 3876): which values of an entry are returned.

use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    filter::{Filter, Matcher, Truth},
};

use crate::context::Context;

/// A filter of values made ready for one entry.
pub(crate) struct ValueFilter<'a> {
    matcher: Matcher<'a>,
    searched: &'a dyn Fn(&str) -> bool,
}

impl<'a> ValueFilter<'a> {
    /// `searched` tells which attributes whoever asks may search by.
    pub(crate) fn new(context: &'a Context, filter: &Filter, searched: &'a dyn Fn(&str) -> bool) -> Self {
        Self { matcher: Matcher::new(filter, &context.schema), searched }
    }

    /// Whether the filter is true of one value, as far as whoever asks may search by it: evaluated as on an entry that
    /// has this value and nothing else.
    pub(crate) fn passes(&self, description: &str, value: &[u8]) -> bool {
        let mut alone = Attributes::builder();
        alone.push(description, [value]);
        let alone = alone.build();
        let truth = self.matcher.evaluate(&Dn::root(), &[alone.as_ref()], self.searched);
        truth == Truth::True
    }
}
