//! Matched values (RFC 3876): which values of an entry are returned.

use std::ops::ControlFlow;

use flext_ldap_proto::{
    attribute::Attributes,
    ber::{Tag, Writer},
    dn::Dn,
    filter::{Filter, Matcher, Truth},
};
use tokio::time::Instant;

use crate::{
    context::Context,
    project::too_many,
    tables::Failure,
    values::{Clock, Large, ValueRows},
};

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

    /// Writes a large attribute with those of its values that pass, all of which are looked at until `until`.
    ///
    /// # Errors
    ///
    /// `adminLimitExceeded` when those that pass are too many for one message, `timeLimitExceeded`, or when storage
    /// fails.
    pub(crate) fn write_large(
        &self,
        context: &Context,
        rows: &dyn ValueRows,
        large: &Large,
        until: Option<Instant>,
        writer: &mut Writer,
    ) -> Result<(), Failure> {
        let mut values = Writer::new();
        let mut clock = Clock::new(until);
        large.visit(rows, None, &mut |_, value| {
            clock.look()?;
            if self.passes(&large.description, value) {
                values.octets(value);
            }
            if values.len() > context.limits.entry {
                return Err(too_many(large));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        writer.sequence(|writer| {
            writer.octets(large.description.as_bytes());
            writer.constructed(Tag::SET, |writer| writer.raw(values.as_slice()));
        });
        Ok(())
    }
}
