//! Large attributes as filters see them.

use std::{cell::RefCell, ops::ControlFlow};

use flext_ldap_proto::{
    attribute::AttributesRef,
    dn::Dn,
    filter::{LargeAttribute, Matcher, Truth},
    result::{LdapResult, ResultCode},
    schema::MatchingRule,
};
use tokio::time::Instant;

use super::{Large, ValueRows, normal_key};
use crate::{
    context::{Context, base},
    tables::Failure,
};

/// Values that are looked at between two looks at the clock.
const STRIDE: u32 = 1_024;

/// Ends going through values when time is up.
pub(crate) struct Clock {
    until: Option<Instant>,
    looked: u32,
}

impl Clock {
    pub(crate) fn new(until: Option<Instant>) -> Self {
        Self { until, looked: 0 }
    }

    /// To be called for each value.
    ///
    /// # Errors
    ///
    /// `timeLimitExceeded`.
    pub(crate) fn look(&mut self) -> Result<(), Failure> {
        self.looked = self.looked.wrapping_add(1);
        if self.looked.is_multiple_of(STRIDE) && self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(Failure::Refused(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED)));
        }
        Ok(())
    }
}

/// A large attribute that a filter is evaluated on.
struct See<'a> {
    context: &'a Context,
    rows: &'a dyn ValueRows,
    large: &'a Large,
    /// When looking at one value after another ends with `timeLimitExceeded`.
    until: Option<Instant>,
    /// Why the outcome of the evaluation means nothing.
    failure: &'a RefCell<Option<Failure>>,
}

/// What a filter says of an entry with large attributes. These are looked at in `rows`: by one look-up each for equality
/// and presence, value by value for anything else, until `until` if that is given. `known` is asked before all that, as
/// [`Matcher::evaluate_with`] says.
///
/// # Errors
///
/// When storage fails, or `timeLimitExceeded`.
#[expect(clippy::too_many_arguments, reason = "an entry in all its parts, and who looks at it")]
pub(crate) fn evaluate(
    context: &Context,
    rows: &dyn ValueRows,
    matcher: &Matcher<'_>,
    dn: &Dn,
    segments: &[AttributesRef<'_>],
    large: &[Large],
    until: Option<Instant>,
    readable: &dyn Fn(&str) -> bool,
    known: &dyn Fn(usize) -> Option<Truth>,
) -> Result<Truth, Failure> {
    if large.is_empty() {
        return Ok(matcher.evaluate_with(dn, segments, &[], readable, known));
    }
    let failure = RefCell::new(None);
    let see = |large| See { context, rows, large, until, failure: &failure };
    let seen: Vec<See<'_>> = large.iter().map(see).collect();
    let seen: Vec<&dyn LargeAttribute> = seen.iter().map(|one| one as &dyn LargeAttribute).collect();
    let truth = matcher.evaluate_with(dn, segments, &seen, readable, known);
    failure.take().map_or(Ok(truth), Err)
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
        let (mut found, mut clock) = (false, Clock::new(self.until));
        let visited = self.large.visit(self.rows, None, &mut |_, value| {
            clock.look()?;
            found = test(value);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        if let Err(failure) = visited {
            self.fail(failure);
        }
        found
    }
}
