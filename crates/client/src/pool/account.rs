//! The account that pools of several servers sign in as: what one server has refused, none of them sends again too soon.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_directory::{Deadline, Error, ErrorKind};
use tokio::time::{Instant, timeout_at};

use super::recovery::{Recovery, is_refusal};
use crate::{Credentials, CredentialsSource, Kerberos};

/// By how much the others go before the server that has refused: what one does not know yet, another may.
const OTHERS_FIRST: Duration = Duration::from_secs(1);

/// An account that several pools share, with where its secret is: for servers that hold the same directory.
///
/// Each of them counts a wrong secret towards the lockout of the account. So one of them is asked first; what it
/// refuses is sent by none of the pools more often than a [`Pool`](crate::Pool) sends it alone: once more after five seconds,
/// then after half an hour and more, unless it has changed. Once a server has taken it, all are asked at once.
///
/// Tickets of Kerberos are kept as long as its secret stays the same, also where it is read anew for each connection: they
/// are asked for once, by one connection for all, and again shortly before they end.
///
/// ```
/// # use flext_ldap_client::{Connector, Credentials, Pool, SharedAccount};
/// # async fn example(connectors: Vec<Connector>) -> Result<(), flext_ldap_directory::Error> {
/// let account = SharedAccount::new(|| Ok(Credentials::simple("cn=reader,dc=harbourlane,dc=example", "a password")));
/// for connector in connectors {
///     let pool = Pool::builder(connector).account(&account).build()?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SharedAccount(Arc<Inner>);

struct Inner {
    source: Box<dyn CredentialsSource>,
    pools: AtomicUsize,
    /// Held while a secret is sent that no server has taken so far.
    flight: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
    /// What holds the tickets.
    kerberos: Mutex<Option<Kerberos>>,
}

struct Known {
    accepted: Option<Credentials>,
    recovery: Recovery,
    /// Who has refused it last.
    by: String,
}

impl SharedAccount {
    /// An account with this secret.
    pub fn new(source: impl CredentialsSource) -> Self {
        Self(Arc::new(Inner {
            source: Box::new(source),
            pools: AtomicUsize::new(0),
            flight: tokio::sync::Mutex::new(()),
            known: Mutex::new(Known { accepted: None, recovery: Recovery::new(), by: String::new() }),
            kerberos: Mutex::default(),
        }))
    }

    /// One more pool signs in as it.
    pub(super) fn join(&self) {
        self.0.pools.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) async fn credentials(&self) -> Result<Credentials, Error> {
        let mut credentials = self.0.source.credentials().await?;
        if let Credentials::Sasl(sasl) = &mut credentials
            && let Some(kerberos) = sasl.by_kerberos()
        {
            let mut last = self.0.kerberos.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = &*last {
                kerberos.keep_tickets_of(last);
            }
            *last = Some(kerberos.clone());
        }
        Ok(credentials)
    }

    /// Whether this server may be sent these now, as far as the others go.
    ///
    /// # Errors
    ///
    /// Who has refused them, and until when they are not sent.
    pub(super) fn may_send(&self, server: &str, credentials: &Credentials) -> Result<(), Error> {
        let known = self.known();
        let Some(refused) = known.recovery.refused().filter(|_| self.is_shared()) else { return Ok(()) };
        let now = Instant::now();
        let handicap = if known.by == server { OTHERS_FIRST } else { Duration::ZERO };
        if refused.lets_through(credentials, now.checked_sub(handicap).unwrap_or(now)) {
            return Ok(());
        }
        let left = refused.not_before.saturating_duration_since(now).as_secs().saturating_add(1);
        let message = format!(
            "{} has refused this program's own credentials, which are sent to no other server for another {left} s, so that \
             the account is not locked; correct the secret, or the account",
            known.by
        );
        Err(Error::new(ErrorKind::Unreachable, message))
    }

    /// Waits until these may be sent. Others wait until what this gives is dropped, unless they are known to be good.
    pub(crate) async fn turn(
        &self,
        server: &str,
        credentials: &Credentials,
        by: Deadline,
    ) -> Result<Option<tokio::sync::MutexGuard<'_, ()>>, Error> {
        if !self.is_shared() || self.is_accepted(credentials) {
            return Ok(None);
        }
        let flight = timeout_at(by.instant(), self.0.flight.lock()).await.map_err(|_| {
            let message = format!("{server} was not signed in to in time: another server was asked first");
            Error::new(ErrorKind::Timeout, message)
        })?;
        if self.is_accepted(credentials) {
            return Ok(None);
        }
        self.may_send(server, credentials)?;
        Ok(Some(flight))
    }

    /// A server has taken them.
    pub(crate) fn accepted(&self, credentials: &Credentials) {
        let mut known = self.known();
        known.accepted = Some(credentials.clone());
        known.recovery.succeeded();
    }

    /// A server has said this of them.
    pub(crate) fn answered(&self, server: &str, credentials: &Credentials, error: &Error) {
        if is_refusal(error) {
            let mut known = self.known();
            known.accepted = None;
            server.clone_into(&mut known.by);
            let _next = known.recovery.refuse(error.clone(), credentials.clone(), Instant::now());
        }
    }

    fn is_shared(&self) -> bool {
        self.0.pools.load(Ordering::Relaxed) > 1
    }

    fn is_accepted(&self, credentials: &Credentials) -> bool {
        self.known().accepted.as_ref().is_some_and(|accepted| accepted.are_those_of(credentials))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedAccount")
            .field("refused", &self.known().recovery.refused())
            .finish_non_exhaustive()
    }
}
