//! Permissive modify (MS-ADTS §3.1.1.3.4.1.8): what is as wanted already is left out of a change, so that it is no
//! error.

use std::{borrow::Cow, collections::HashSet};

use flext_ldap_proto::message::{Change, ChangeKind};

use super::Write;
use crate::{
    context::{Context, base},
    modify::Draft,
    tables::Failure,
};

/// What is left of a change of attributes, if anything: all of it where the write is not permissive.
pub(super) fn values<'c>(
    context: &Context,
    write: &Write,
    change: &'c Change,
    draft: &Draft<'_>,
) -> Result<Option<Cow<'c, Change>>, Failure> {
    let name = change.attribute.as_str();
    let kind = context.schema.attribute_type(base(name));
    let form = |value: &[u8]| {
        // A value that fits no form is refused later, for itself.
        let normal = kind.and_then(|kind| context.schema.normalize(kind, value).ok());
        normal.map_or_else(|| value.to_vec(), Cow::into_owned)
    };
    left(write, change, form, |value| draft.has(context, name, value), || !draft.is_present(context, name))
}

/// The same for passwords, which are hashed before they come here.
pub(super) fn secrets<'c>(
    write: &Write,
    change: &'c Change,
    secrets: &[Vec<u8>],
) -> Result<Option<Cow<'c, Change>>, Failure> {
    left(
        write,
        change,
        <[u8]>::to_vec,
        |value| Ok(secrets.iter().any(|secret| secret == value)),
        || secrets.is_empty(),
    )
}

fn left<'c>(
    write: &Write,
    change: &'c Change,
    form: impl Fn(&[u8]) -> Vec<u8>,
    has: impl Fn(&[u8]) -> Result<bool, Failure>,
    is_empty: impl Fn() -> bool,
) -> Result<Option<Cow<'c, Change>>, Failure> {
    let counts: &dyn Fn(&[u8]) -> Result<bool, Failure> = match change.kind {
        _ if !write.controls.permissive => return Ok(Some(Cow::Borrowed(change))),
        ChangeKind::Delete if is_empty() => return Ok(None),
        _ if change.values.is_empty() => return Ok(Some(Cow::Borrowed(change))),
        ChangeKind::Add => &|value| has(value).map(|has| !has),
        ChangeKind::Delete => &has,
        ChangeKind::Replace => &|_| Ok(true),
        _ => return Ok(Some(Cow::Borrowed(change))),
    };
    let mut left = Change { values: Vec::new(), ..change.clone() };
    let mut given = HashSet::new();
    for value in &change.values {
        if counts(value)? && given.insert(form(value)) {
            left.values.push(value.clone());
        }
    }
    Ok((!left.values.is_empty()).then_some(Cow::Owned(left)))
}
