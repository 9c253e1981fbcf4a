//! Keys of values made anew, where a schema compares otherwise than the one before it did.

use flext_ldap_directory::{Error, ErrorKind};

use super::{Large, ValueRows as _, value_key};
use crate::{
    context::Context,
    tables::{Failure, Name, Writable},
};

/// Rows that are held at a time.
const AT_ONCE: usize = 1_000;

/// What keys start with while they wait for theirs. It sorts behind what keys start with.
const WAITING: &[u8] = b"~";

/// Gives each value of an attribute the key that it has by the schema of `context`. To be done for every large attribute
/// when a schema has come to compare otherwise. Rows that have the right key already are read and not written.
///
/// # Errors
///
/// When two values that differ by the schema they were stored with are one by this schema.
pub(crate) fn rekey(context: &Context, tables: &mut Writable<'_>, large: &Large) -> Result<(), Failure> {
    let twice = || {
        Failure::Failed(Error::new(
            ErrorKind::Misuse,
            format!(
                "by the schema given, an entry has a value of `{}` twice; open the store with its own",
                large.description
            ),
        ))
    };
    let whole = |parts: &[&[u8]]| [&[large.prefix()], parts].concat().concat();
    // A new key can be another value's old one, so all that move are set aside before any is put back.
    let mut after: Option<Vec<u8>> = None;
    loop {
        let page = large.page(tables, after.as_deref(), AT_ONCE)?;
        after = page.last().map(|(key, _)| key.clone());
        let ended = page.is_empty();
        for (old, value) in page.into_iter().take_while(|(key, _)| !key.starts_with(WAITING)) {
            let new = value_key(context, &large.description, &value);
            if new == old {
                continue;
            }
            let aside = whole(&[WAITING, &new]);
            if tables.value(&aside)?.is_some() {
                return Err(twice());
            }
            tables.put(Name::Value, &whole(&[&old]), None)?;
            tables.put(Name::Value, &aside, Some(&value))?;
        }
        if ended || after.as_ref().is_some_and(|key| key.starts_with(WAITING)) {
            break;
        }
    }
    loop {
        let page = large.page(tables, Some(WAITING), AT_ONCE)?;
        if page.is_empty() {
            return Ok(());
        }
        for (key, value) in page {
            let new = key.strip_prefix(WAITING).unwrap_or_default();
            if tables.value(&whole(&[new]))?.is_some() {
                return Err(twice());
            }
            tables.put(Name::Value, &whole(&[&key]), None)?;
            tables.put(Name::Value, &whole(&[new]), Some(&value))?;
        }
    }
}
