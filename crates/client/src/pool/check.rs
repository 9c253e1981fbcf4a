//! Asking a server whether it is well.

use std::time::Duration;

use flext_ldap_directory::{
    Actor, Deadline, Error, ErrorKind, Event, Reply, Request,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};

/// What a check asks, and how long it waits.
#[derive(Clone, Debug)]
pub(super) struct Check {
    /// The entry that must be there; without one any answer for the root DSE will do.
    pub(super) entry: Option<Dn>,
    pub(super) timeout: Duration,
}

impl Check {
    pub(super) fn request(&self, by: Deadline) -> Request {
        let base = self.entry.clone().unwrap_or_else(Dn::root);
        let search =
            Search::new(base, Scope::Base, Filter::any()).attributes(Selection::none()).size_limit(1);
        Request::new(search, Actor::Service).until(by.earlier(Deadline::after(self.timeout))).into_any()
    }

    /// Reads the answer to the end, and says what it means.
    pub(super) async fn judge(&self, server: &str, mut reply: Reply) -> Result<(), Error> {
        let mut entries = 0;
        let outcome = loop {
            match reply.next().await? {
                Event::Batch(batch) => entries += batch.len(),
                Event::Done(outcome) => break outcome,
            }
        };
        let code = outcome.result.code;
        match &self.entry {
            Some(entry) if code == ResultCode::SUCCESS && entries == 0 => Err(Error::new(
                ErrorKind::NoEntry,
                format!("{server} does not show `{entry}`, which it is checked by"),
            )),
            Some(_) if code != ResultCode::SUCCESS => Err(Error::rejected(outcome)),
            None if is_trouble(code) => Err(Error::rejected(outcome)),
            // Who may not read the root DSE is answered all the same.
            _ => Ok(()),
        }
    }
}

/// Whether an answer says that the server, or the connection, is in trouble.
pub(super) const fn is_trouble(code: ResultCode) -> bool {
    matches!(code, ResultCode::BUSY | ResultCode::UNAVAILABLE | ResultCode::OTHER)
}
