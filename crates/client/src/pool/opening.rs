//! Opening a service connection: with which credentials, and whether it is good for anything.

use std::time::Duration;

use flext_ldap_directory::{BoxFuture, Deadline, Directory, Error, ErrorKind};
use tokio::time::{Instant, timeout};

use super::{
    account::SharedAccount,
    check::Check,
    recovery::{Refused, is_refusal},
};
use crate::{Connection, Connector, Credentials};

/// Where a pool gets the credentials of its own connections from: asked each time one is opened, and every five seconds
/// while the server refuses what was given last. So a secret that is replaced is found without a restart.
///
/// A closure is one:
///
/// ```
/// use flext_ldap_client::{Credentials, CredentialsSource};
/// use flext_ldap_directory::{Error, ErrorKind};
///
/// fn from_file() -> impl CredentialsSource {
///     || {
///         let path = "/run/credentials/reader";
///         let password = std::fs::read_to_string(path).map_err(|error| {
///             Error::new(ErrorKind::Unreachable, format!("the secret in {path} cannot be read")).with_source(error)
///         })?;
///         Ok(Credentials::simple("cn=reader,dc=harbourlane,dc=example", password.trim_end()))
///     }
/// }
/// # let _ = from_file();
/// ```
///
/// A closure must not take long, for it runs on the thread of a runtime; what does implements the trait itself.
pub trait CredentialsSource: Send + Sync + 'static {
    /// The credentials as they are now.
    ///
    /// # Errors
    ///
    /// Why there are none. No connection is opened then, and it is tried again soon; so it is after ten seconds without
    /// an answer.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any time.
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, Error>>;
}

impl<F: Fn() -> Result<Credentials, Error> + Send + Sync + 'static> CredentialsSource for F {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, Error>> {
        let credentials = self();
        Box::pin(std::future::ready(credentials))
    }
}

/// How long a source may take.
const READING: Duration = Duration::from_secs(10);

/// Opens service connections, one at a time: so a refused secret is never sent by two at once.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) connector: Connector,
    /// In place of the connector's own.
    pub(super) source: Option<SharedAccount>,
    pub(super) server: String,
    /// What a new connection is checked by, if it is.
    pub(super) check: Option<Check>,
}

/// What came of it.
pub(super) enum Opened {
    Ready(Box<Connection>),
    Failed(Error),
    Refused(Error, Credentials),
    /// Nothing was sent: another server has refused the secret, for this reason.
    Held(Error),
    /// Nothing was sent: the secret is still the one that was refused.
    Unchanged,
}

impl Opener {
    pub(super) async fn open(self, refused: Option<Refused>) -> Opened {
        let credentials = match &self.source {
            Some(source) => match timeout(READING, source.credentials()).await {
                Ok(Ok(credentials)) => credentials,
                Ok(Err(error)) => return Opened::Failed(error),
                Err(_) => {
                    let message =
                        format!("the credentials for {} were not there in ten seconds", self.server);
                    return Opened::Failed(Error::new(ErrorKind::Timeout, message));
                }
            },
            None => self.connector.credentials().clone(),
        };
        if refused.is_some_and(|refused| !refused.lets_through(&credentials, Instant::now())) {
            return Opened::Unchanged;
        }
        if let Some(Err(error)) =
            self.source.as_ref().map(|account| account.may_send(&self.server, &credentials))
        {
            return Opened::Held(error);
        }
        let connection = match self.connector.connect_for(self.source.as_ref(), &credentials).await {
            Ok(connection) => connection,
            Err(error) if is_refusal(&error) => return Opened::Refused(error, credentials),
            Err(error) => return Opened::Failed(error),
        };
        let Some(check) = &self.check else { return Opened::Ready(Box::new(connection)) };
        let request = check.request(Deadline::after(check.timeout));
        match check.judge(&self.server, connection.call(request)).await {
            Ok(()) => Opened::Ready(Box::new(connection)),
            Err(error) => Opened::Failed(error),
        }
    }
}
