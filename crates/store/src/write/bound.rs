//! How much one operation may have the writer do, which all others wait for.
//!
//! Counted are values, and refused is before any is written: what a request names when it comes, and what becomes of large
//! attributes when that is known, for one word of a request can remove a million values. What remains is linear in the size
//! of a request, and of the entry it aims at as far as that is in one row.

use flext_ldap_proto::{attribute::AttributeRef, result::ResultCode};

use super::{Effect, Write, WriteOp, values::ValueRowsEffect};
use crate::{
    context::{Access, Context},
    tables::Failure,
    values::stays_inline,
};

/// Values that one operation may put or remove; nothing for those who are not bound.
#[derive(Clone, Copy)]
pub(super) struct Bound(Option<u64>);

impl Bound {
    /// Administrators, the program itself and imports are not bound.
    pub(super) fn of(context: &Context, write: &Write, access: &Access<'_>) -> Self {
        let is_free = access.all || write.keep_operational;
        Self((!is_free).then_some(context.limits.written_values))
    }

    /// Refuses more values than one operation may put or remove.
    ///
    /// # Errors
    ///
    /// `adminLimitExceeded`.
    pub(super) fn admit(self, values: u64) -> Result<(), Failure> {
        match self.0 {
            Some(most) if values > most => Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!(
                    "the operation would put or remove more than {most} values (limit `written_values`); name fewer in \
                     each of several requests, or ask the administrator"
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Write {
    /// The values it names.
    pub(super) fn values(&self) -> u64 {
        match &self.op {
            WriteOp::Add(op) => op.attributes.as_ref().iter().map(|one| one.values().count() as u64).sum(),
            WriteOp::Modify(op) => op.changes.iter().map(|change| change.values.len() as u64).sum(),
            WriteOp::Delete(_) | WriteOp::Rename(_) | WriteOp::SignIn(_) => 0,
        }
    }
}

impl Effect {
    /// Values of large attributes that are put or removed, each as often as rows are looked at for it.
    pub(super) fn large_values(&self) -> u64 {
        self.values.iter().map(ValueRowsEffect::looks).fold(0, u64::saturating_add)
    }
}

/// Refuses more values of an attribute than can be in the row of an entry, where it cannot be elsewhere.
///
/// # Errors
///
/// `adminLimitExceeded`.
pub(crate) fn fits_row(context: &Context, description: &str, values: usize) -> Result<(), Failure> {
    let most = context.limits.kept_inline;
    if values <= most || !stays_inline(context, description) {
        return Ok(());
    }
    Err(Failure::refused(
        ResultCode::ADMIN_LIMIT_EXCEEDED,
        format!("`{description}` would have {values} values, and may have {most} (limit `kept_inline`)"),
    ))
}

/// The same for an attribute of a new entry. Most are counted at a glance.
pub(super) fn given_fits_row(context: &Context, attribute: AttributeRef<'_>) -> Result<(), Failure> {
    // A value takes two octets at least.
    if attribute.values().as_bytes().len() / 2 <= context.limits.kept_inline {
        return Ok(());
    }
    fits_row(context, attribute.description(), attribute.values().count())
}
