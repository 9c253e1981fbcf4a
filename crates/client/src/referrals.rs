//! Referrals: going where a directory says the answer is (RFC 4511 §4.1.10 and §4.5.3).
//!
//! Nobody follows one unless this layer is put around a directory, and the layer goes to nobody who was not named: where a
//! referral leads is said by a server, or by whoever may write to it, and going there with a password is how passwords are
//! lost. So each host is allowed by name, with credentials of its own, over TLS, and so many times on the way to one answer.
//!
//! What is not followed is handed on as it came. Binds never get here: they belong to sessions.

mod following;
mod target;

use std::{fmt, sync::Arc};

use flext_ldap_directory::{
    Actor, Directory, Error, Layer, OpKind, Reply, Request,
    proto::control::{ControlScope, scope_of},
};

use self::{
    following::Following,
    target::{Allowed, Targets},
};
use crate::{Credentials, SharedAccount, TlsOptions};

/// A layer that follows referrals to the hosts it is told.
///
/// ```
/// use std::sync::Arc;
///
/// use flext_ldap_client::{Connection, Credentials, Referrals, TlsOptions};
/// use flext_ldap_directory::{Actor, Layered};
///
/// # fn example(connection: Connection) -> Result<(), Box<dyn std::error::Error>> {
/// let referrals = Referrals::builder(Actor::Service)
///     .tls(TlsOptions::new().ca_file("/etc/ssl/harbourlane.pem"))
///     .allow_anonymous("ldap.lisbon.harbourlane.example")
///     .allow("*.berlin.harbourlane.example", Credentials::simple("cn=reader,dc=berlin", "a password"))
///     .build()?;
/// let directory = Layered::new(connection, Arc::new(referrals));
/// # Ok(())
/// # }
/// ```
///
/// # What is followed
///
/// Searches, compares and writes of the actor it was built for, with controls that mean the same everywhere; not what
/// pages, stays or acts for somebody else. A referral in place of a result is followed at once, the references among the
/// entries of a search after its own entries. Of several URLs that say the same the first whose server is well is used.
///
/// A write goes to another server only because the one before said that it did not do it. It is sent once.
///
/// # Errors
///
/// A search whose references cannot all be followed fails, after what it has found: it would be a part that looks like the
/// whole. An answer that is no ends it with that answer.
#[derive(Clone)]
pub struct Referrals(Arc<Settings>);

struct Settings {
    actor: Actor,
    hops: usize,
    targets: Targets,
}

/// Collects what [`Referrals`] need to know.
#[derive(Clone)]
#[must_use = "call `build` to get the layer"]
pub struct ReferralsBuilder {
    actor: Actor,
    hops: usize,
    /// `None`: in clear.
    tls: Option<TlsOptions>,
    allowed: Vec<(String, Option<SharedAccount>)>,
}

impl Referrals {
    /// Begins with whose operations are followed: those of the actor that the credentials of [`allow`] stand for, most
    /// often [`Actor::Service`]. Referrals that others get are handed on.
    ///
    /// [`allow`]: ReferralsBuilder::allow
    pub fn builder(actor: Actor) -> ReferralsBuilder {
        ReferralsBuilder { actor, hops: 5, tls: Some(TlsOptions::new()), allowed: Vec::new() }
    }

    fn follows(&self, request: &Request) -> bool {
        request.actor == self.0.actor
            && request.op.kind() != OpKind::Extended
            && request.controls.iter().all(|control| scope_of(&control.oid) == ControlScope::EndToEnd)
    }
}

impl fmt::Debug for Referrals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Referrals")
            .field("actor", &self.0.actor)
            .field("hops", &self.0.hops)
            .finish_non_exhaustive()
    }
}

impl Layer for Referrals {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        if !self.follows(&request) {
            return next.call(request);
        }
        let first = next.call(request.clone());
        Reply::events(Following::new(Arc::clone(&self.0), request, first))
    }
}

impl ReferralsBuilder {
    /// How the way to other servers is protected: `ldap:` by StartTLS, which must succeed, `ldaps:` from the first octet
    /// on. With the certificates that this machine trusts, unless this is called.
    pub fn tls(mut self, options: TlsOptions) -> Self {
        self.tls = Some(options);
        self
    }

    /// Follows `ldap:` in clear: for who reaches the first server in clear too. Passwords go to loopback addresses only;
    /// `ldaps:` stays TLS.
    pub fn clear(mut self) -> Self {
        self.tls = None;
        self
    }

    /// Goes to this host, as this. `ldap.harbourlane.example` is one host, `*.harbourlane.example` each below that name;
    /// at ports 389, 636, 3268 and 3269, or at the one that is added: `ldap.harbourlane.example:1389`. The first that
    /// fits counts.
    pub fn allow(self, host: impl Into<String>, credentials: Credentials) -> Self {
        self.allow_as(host, &SharedAccount::new(move || Ok(credentials.clone())))
    }

    /// The same, as an account whose secret is read anew for each connection.
    pub fn allow_as(mut self, host: impl Into<String>, account: &SharedAccount) -> Self {
        self.allowed.push((host.into(), Some(account.clone())));
        self
    }

    /// The same, as nobody.
    pub fn allow_anonymous(mut self, host: impl Into<String>) -> Self {
        self.allowed.push((host.into(), None));
        self
    }

    /// Referrals on the way to one answer, one after the other. 5.
    pub const fn hops(mut self, most: usize) -> Self {
        self.hops = most;
        self
    }

    /// The layer. Operations that follow need a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`](flext_ldap_directory::ErrorKind::Misuse): what was allowed is no host, or a file of the
    /// [`TlsOptions`] is of no use.
    pub fn build(self) -> Result<Referrals, Error> {
        let allowed = self
            .allowed
            .into_iter()
            .map(|(host, account)| Allowed::new(&host, account))
            .collect::<Result<_, _>>()?;
        let targets = Targets::new(self.tls, allowed)?;
        Ok(Referrals(Arc::new(Settings { actor: self.actor, hops: self.hops, targets })))
    }
}
