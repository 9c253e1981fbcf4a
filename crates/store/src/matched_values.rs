//! Matched values (RFC 3876): which values of an entry are returned.

use std::ops::ControlFlow;

use crate::{
    context::Context,
    meter::{Meter, ROW},
    project::too_many,
    tables::Failure,
    values::{Large, ValueRows},
};
use flext_ldap_proto::{
    attribute::Attributes,
    ber::{Tag, Writer},
    dn::Dn,
    filter::{Filter, Matcher, Truth},
};

/// A filter of values made ready for one entry.
pub(crate) struct ValueFilter<'a> {
    matcher: Matcher<'a>,
    searched: &'a dyn Fn(&str) -> bool,
    meter: &'a Meter,
}

impl<'a> ValueFilter<'a> {
    /// `searched` tells which attributes whoever asks may search by.
    pub(crate) fn new(
        context: &'a Context,
        filter: &Filter,
        searched: &'a dyn Fn(&str) -> bool,
        meter: &'a Meter,
    ) -> Self {
        Self { matcher: Matcher::new(filter, &context.schema), searched, meter }
    }

    /// Whether the filter is true of one value, as far as whoever asks may search by it: evaluated as on an entry that
    /// has this value and nothing else. Means nothing once the meter has ended.
    pub(crate) fn passes(&self, description: &str, value: &[u8]) -> bool {
        if !self.meter.spend(value.len().saturating_add(ROW)) {
            return false;
        }
        let mut alone = Attributes::builder();
        alone.push(description, [value]);
        let alone = alone.build();
        let truth = self.matcher.evaluate_with(
            &Dn::root(),
            &[alone.as_ref()],
            &[],
            self.searched,
            &|_| None,
            &|octets| self.meter.spend(octets),
        );
        truth == Truth::True
    }

    /// Fails once the meter has ended.
    ///
    /// # Errors
    ///
    /// Why it has.
    pub(crate) fn settled(&self) -> Result<(), Failure> {
        self.meter.settled()
    }

    /// Writes a large attribute with those of its values that pass, all of which are looked at.
    ///
    /// # Errors
    ///
    /// `adminLimitExceeded` when those that pass are too many for one message, when the meter has ended, or when
    /// storage fails.
    pub(crate) fn write_large(
        &self,
        context: &Context,
        rows: &dyn ValueRows,
        large: &Large,
        writer: &mut Writer,
    ) -> Result<(), Failure> {
        let mut values = Writer::new();
        large.visit(rows, None, &mut |_, value| {
            if self.passes(&large.description, value) {
                values.octets(value);
            }
            self.meter.settled()?;
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
