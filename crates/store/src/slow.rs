//! The log of slow searches: one warning for each that worked long, with what it did.
//!
//! Time counts in which the search worked or waited for its turn, not in which it waited for its reader.

use std::time::Duration;

use flext_ldap_proto::result::ResultCode;

use crate::{plan, search::Searching};

impl Searching {
    /// Leaves a warning (target `flext_ldap::slow`) if the search worked too long. Values asserted of passwords are not
    /// in it, and no field is longer than some thousand octets, but for the base, whose length is bounded as any name's.
    pub(crate) fn note_if_slow(&mut self, worked: Duration, code: Option<ResultCode>) {
        let context = self.store.context();
        let Some(slow) = context.slow else { return };
        if worked < slow || std::mem::replace(&mut self.is_noted, true) {
            return;
        }
        let ended = code.map_or_else(|| "abandoned".to_owned(), |code| code.to_string());
        tracing::warn!(
            target: "flext_ldap::slow",
            base = %self.search.base,
            scope = ?self.search.scope,
            filter = %plan::one_line(&context, &self.search.filter),
            plan = %self.explanation(&context).plan(),
            looked_at = self.looked,
            returned = self.sent,
            milliseconds = u64::try_from(worked.as_millis()).unwrap_or(u64::MAX),
            ended,
            "a search was slow"
        );
    }
}

impl Drop for Searching {
    fn drop(&mut self) {
        // One that ended has been noted.
        if !self.has_ended {
            self.note_if_slow(self.worked, None);
        }
    }
}
