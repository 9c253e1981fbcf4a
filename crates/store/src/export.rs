//! Writing everything out as LDIF, parents before children.

use std::io::Write;

use flext_ldap_directory::Error;
use flext_ldap_proto::dn::Dn;

use crate::Store;

/// What is exported.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ExportOptions {
    /// This entry and all below it; everything if absent.
    pub base: Option<Dn>,
    /// Operational attributes too, so that an import restores entryUUID and time stamps.
    pub operational: bool,
    /// Password hashes too. The output is then as secret as the passwords.
    pub password_hashes: bool,
}

impl Store {
    /// Writes entries as LDIF, parents before children, and returns how many. Memory does not grow with their number.
    ///
    /// Blocks the thread. Each batch is a view of its own: entries that change meanwhile are written as they were or as
    /// they are.
    ///
    /// # Errors
    ///
    /// When storage or the output fails, or the base is not there.
    pub fn export(&self, output: impl Write, options: &ExportOptions) -> Result<u64, Error> {
        let _ = (output, options);
        todo!()
    }
}
