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
/// and presence, value by value for anything else, until `until` if that is given.
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
) -> Result<Truth, Failure> {
    if large.is_empty() {
        return Ok(matcher.evaluate(dn, segments, readable));
    }
    let failure = RefCell::new(None);
    let see = |large| See { context, rows, large, until, failure: &failure };
    let seen: Vec<See<'_>> = large.iter().map(see).collect();
    let seen: Vec<&dyn LargeAttribute> = seen.iter().map(|one| one as &dyn LargeAttribute).collect();
    let truth = matcher.evaluate_with(dn, segments, &seen, readable);
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
        let (mut found, mut looked) = (false, 0_u32);
        let visited = self.large.visit(self.rows, None, &mut |_, value| {
            looked = looked.wrapping_add(1);
            if looked.is_multiple_of(STRIDE) && self.until.is_some_and(|until| Instant::now() >= until) {
                return Err(Failure::Refused(LdapResult::new(ResultCode::TIME_LIMIT_EXCEEDED)));
            }
            found = test(value);
            Ok(if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        if let Err(failure) = visited {
            self.fail(failure);
        }
        found
    }
}
