//! How the servers and accounts of a configuration are reached, one by one.

use flext_ldap_client::{Connector, ConnectorBuilder, Credentials, Kerberos, Mechanism, Sasl};

use super::{Account, Address, Config, Protection, Server, TicketSource};
use crate::password::PasswordError;

impl Account {
    /// What it signs in with; the password is read anew each time. It may block for as long as a file takes to be read. A keytab
    /// and a cache are read when a ticket is needed.
    ///
    /// # Errors
    ///
    /// The password is not where it should be. `name` is the account's, for the message.
    pub fn credentials(&self, name: &str) -> Result<Credentials, PasswordError> {
        match self {
            Self::External => Ok(Credentials::External),
            Self::Kerberos { mechanism, user, tickets } => {
                let kerberos = match tickets {
                    TicketSource::Keytab(path) => Kerberos::keytab(path),
                    TicketSource::Cache(path) => Kerberos::cache(format!("FILE:{}", path.display())),
                };
                let kerberos = match user {
                    Some(user) => kerberos.principal(user),
                    None => kerberos,
                };
                Ok(Sasl::kerberos(kerberos).only(*mechanism).into())
            }
            Self::Simple { dn, password } => {
                let password = password.read(&format!("the account `{name}`'s"))?;
                Ok(Credentials::simple(dn.to_string(), password))
            }
            Self::Sasl { user, mechanism, password } => {
                let password = password.read(&format!("the account `{name}`'s"))?;
                let sasl = match mechanism {
                    Some(Mechanism::OauthBearer) => Sasl::oauth_bearer(user, password),
                    Some(mechanism) if mechanism.is_kerberos() => {
                        Sasl::kerberos(Kerberos::password(user, password)).only(*mechanism)
                    }
                    Some(mechanism) => Sasl::password(user, password).only(*mechanism),
                    None => Sasl::password(user, password),
                };
                Ok(sasl.into())
            }
        }
    }
}

impl Config {
    /// What reaches this server, as nobody so far.
    pub fn connector(&self, server: &Server) -> ConnectorBuilder {
        let builder = Connector::builder();
        let builder = match server.protection {
            Protection::Ldaps => builder.ldaps(server.tls.clone()),
            Protection::StartTls => builder.start_tls(server.tls.clone()),
            Protection::None => builder.clear(),
        };
        let builder = match &server.address {
            Address::Tcp { host, port } => builder.address(host.as_str(), *port),
            Address::Socket(path) => builder.socket(path),
        };
        let builder = builder.connect_timeout(self.connection_timeout);
        if self.dangerous_clear_passwords { builder.dangerous_clear_passwords() } else { builder }
    }
}
