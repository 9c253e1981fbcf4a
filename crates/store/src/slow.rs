//! The log of slow searches: one warning for each that worked long, with what it did.
//!
//! Time counts in which the search worked or waited for its turn, not in which it waited for its reader.

use std::time::Duration;

use flext_ldap_directory::{Actor, PeerAddress};
use flext_ldap_proto::result::ResultCode;

use crate::{plan, search::Searching};

impl Searching {
    /// Whoever asked, in the words of an access log: who they are, and where they come from. What comes from peers is
    /// logged as a `str`, never by its `Display`: logs of lines quote and escape a `str`, so that nobody forges a line.
    pub(crate) fn asker(&self) -> (&str, String) {
        let caller = self.caller();
        let who = match &caller.actor {
            Actor::User(identity) => identity.authorization(),
            Actor::Anonymous => "anonymous",
            Actor::Service => "service",
        };
        let from = match caller.peer.address {
            _ if self.is_explained => "explain".to_owned(),
            PeerAddress::Tcp(address) => address.to_string(),
            PeerAddress::Unix => "ldapi".to_owned(),
            _ => "local".to_owned(),
        };
        (who, from)
    }

    /// Leaves a warning (target `flext_ldap::slow`) if the search worked too long. Values asserted of passwords are not
    /// in it, and no field is longer than some thousand octets, but for names, whose length is bounded anyway.
    pub(crate) fn note_if_slow(&mut self, worked: Duration, code: Option<ResultCode>) {
        let context = self.store.context();
        let Some(slow) = context.slow else { return };
        if worked < slow || std::mem::replace(&mut self.is_noted, true) {
            return;
        }
        let ended = code.map_or_else(|| "abandoned".to_owned(), |code| code.to_string());
        let (who, from) = self.asker();
        tracing::warn!(
            target: "flext_ldap::slow",
            who,
            from,
            base = self.search.base.as_str(),
            scope = ?self.search.scope,
            filter = plan::one_line(&context, &self.search.filter),
            plan = self.explanation(&context).plan(),
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
