//! The seam between the store and the library that reads its pages.
//!
//! A page whose octets were changed behind the store's back is found by its checksum when the file is recovered or
//! [verified](crate::StoreOptions::verify_pages), not on every read, and reading one may panic below us. Whoever reads
//! or writes tables does it in here: a panic becomes an error that says so, the process and all connections live, and
//! where the writer met it nothing is written any more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use flext_ldap_directory::{Error, ErrorKind};

use crate::tables::Failure;

/// Does `work`; a panic in it is an error. What `work` changes beyond the tables must not be used after one: nothing
/// that outlives an operation is.
pub(crate) fn contained<R>(
    what: &'static str,
    work: impl FnOnce() -> Result<R, Failure>,
) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Failure::Failed(damaged(what, &panic))))
}

/// What a panic below means.
pub(crate) fn damaged(what: &'static str, panic: &(dyn std::any::Any + Send)) -> Error {
    let said = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!(said, "{what} met a page that cannot be read");
    Error::new(
        ErrorKind::Storage,
        format!(
            "{what} met a page that cannot be read: the store is damaged, or this is a bug; stop it, and see what \
             `directory check` says"
        ),
    )
}
