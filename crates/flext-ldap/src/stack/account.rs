//! The secret of an account, read anew for each connection.

use flext_ldap_client::{Credentials, CredentialsSource};
use flext_ldap_directory::{BoxFuture, Error, ErrorKind};

use crate::{Account, PasswordError};

/// An account of a configuration.
pub(super) struct OfAccount {
    pub(super) name: String,
    pub(super) account: Account,
}

impl CredentialsSource for OfAccount {
    /// Read where it may take its time: files may be on a network.
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, Error>> {
        let (name, account) = (self.name.clone(), self.account.clone());
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || account.credentials(&name)).await;
            match read {
                Ok(Ok(credentials)) => Ok(credentials),
                Ok(Err(error)) => {
                    let kind = match error {
                        PasswordError::Unreadable { .. } => ErrorKind::Storage,
                        PasswordError::Missing(_) => ErrorKind::Misuse,
                    };
                    Err(Error::new(kind, error.to_string()).with_source(error))
                }
                Err(error) => {
                    Err(Error::new(ErrorKind::Bug, "the secret of an account was not read to the end")
                        .with_source(error))
                }
            }
        })
    }
}
