//! Large attributes as filters see them.

use std::{cell::RefCell, ops::ControlFlow};

use super::{Large, ValueRows, normal_key};
use crate::{
    context::{Context, base},
    meter::Meter,
    tables::Failure,
};
use flext_ldap_proto::{
    attribute::AttributesRef,
    dn::Dn,
    filter::{LargeAttribute, Matcher, Truth},
    schema::MatchingRule,
};

/// A large attribute that a filter is evaluated on.
struct See<'a> {
    context: &'a Context,
    rows: &'a dyn ValueRows,
    large: &'a Large,
    /// Why the outcome of the evaluation means nothing.
    failure: &'a RefCell<Option<Failure>>,
}

/// What a filter says of an entry with large attributes. These are looked at in `rows`: by one look-up each for equality
/// and presence, value by value for anything else, as long as `meter` lets it. `known` is asked before all that, as
/// [`Matcher::evaluate_with`] says.
///
/// # Errors
///
/// When storage fails, or `meter` has ended.
#[expect(clippy::too_many_arguments, reason = "an entry in all its parts, and who looks at it")]
pub(crate) fn evaluate(
    context: &Context,
    rows: &dyn ValueRows,
    matcher: &Matcher<'_>,
    dn: &Dn,
    segments: &[AttributesRef<'_>],
    large: &[Large],
    meter: &Meter,
    readable: &dyn Fn(&str) -> bool,
    known: &dyn Fn(usize) -> Option<Truth>,
) -> Result<Truth, Failure> {
    if large.is_empty() {
        let truth = matcher.evaluate_with(dn, segments, &[], readable, known, &|octets| meter.spend(octets));
        return meter.settled().map(|()| truth);
    }
    let failure = RefCell::new(None);
    let see = |large| See { context, rows, large, failure: &failure };
    let seen: Vec<See<'_>> = large.iter().map(see).collect();
    let seen: Vec<&dyn LargeAttribute> = seen.iter().map(|one| one as &dyn LargeAttribute).collect();
    let truth = matcher.evaluate_with(dn, segments, &seen, readable, known, &|octets| meter.spend(octets));
    failure.take().map_or(Ok(()), Err)?;
    meter.settled().map(|()| truth)
}

impl See<'_> {
    fn fail(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
    }
}

impl LargeAttribute for See<'_> {
    fn description(&self) -> &str {
        &self.large.description
    }

    fn contains(&self, rule: MatchingRule, normal: &[u8]) -> Option<bool> {
        let kind = self.context.schema.attribute_type(base(&self.large.description))?;
        if kind.equality != Some(rule) {
            return None;
        }
        match self.large.get(self.rows, &normal_key(normal)) {
            Ok(value) => Some(value.is_some()),
            Err(failure) => {
                self.fail(failure);
                Some(false)
            }
        }
    }

    fn any(&self, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        if self.failure.borrow().is_some() {
            return false;
        }
        let mut found = false;
        let visited = self.large.visit(self.rows, None, &mut |_, value| {
            found = test(value);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        if let Err(failure) = visited {
            self.fail(failure);
        }
        found
    }
}
