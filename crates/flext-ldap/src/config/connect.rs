//! Connections as a configuration describes them. There is no pool here: one connection, to the first server that answers.

use flext_ldap_client::{Connection, Connector, ConnectorBuilder, Credentials, Mechanism, Sasl};
use flext_ldap_directory::{Deadline, Error, ErrorKind};

use super::{Account, Address, Config, Protection, Server};
use crate::password::PasswordError;

impl Account {
    /// What it signs in with; the password is read anew each time. It may block for as long as a file takes to be read.
    ///
    /// # Errors
    ///
    /// The password is not where it should be. `name` is the account's, for the message.
    pub fn credentials(&self, name: &str) -> Result<Credentials, PasswordError> {
        match self {
            Self::External => Ok(Credentials::External),
            Self::Simple { dn, password } => {
                let password = password.read(&format!("the account `{name}`'s"))?;
                Ok(Credentials::simple(dn.to_string(), password))
            }
            Self::Sasl { user, mechanism, password } => {
                let password = password.read(&format!("the account `{name}`'s"))?;
                let sasl = match mechanism {
                    Some(Mechanism::OauthBearer) => Sasl::oauth_bearer(user, password),
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

    /// Connects to the first server that answers, all of them together within the connection timeout. `prepare` says of
    /// each connector what else it needs: credentials, another timeout, which counts for this server alone.
    ///
    /// A server that refuses the credentials has answered: they are sent to no other.
    ///
    /// # Errors
    ///
    /// No server answers, or one says no.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, it leaves nothing behind; a bind may have been sent.
    pub async fn connect(
        &self,
        prepare: impl Fn(ConnectorBuilder) -> ConnectorBuilder,
    ) -> Result<Connection, Error> {
        let by = Deadline::after(self.connection_timeout);
        let mut failures: Vec<Error> = Vec::new();
        let mut left = u32::try_from(self.servers.len()).unwrap_or(u32::MAX);
        for server in &self.servers {
            let share = by.remaining() / left.max(1);
            left = left.saturating_sub(1);
            let connector = prepare(self.connector(server).connect_timeout(share)).build()?;
            match connector.connect().await {
                Ok(connection) => return Ok(connection),
                Err(error) if !error.is_connection_usable() || error.kind() == ErrorKind::Timeout => {
                    failures.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        let message = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        match failures.pop() {
            Some(only) if failures.is_empty() => Err(only),
            Some(last) => {
                let kind =
                    if last.kind() == ErrorKind::Rejected { ErrorKind::Unreachable } else { last.kind() };
                Err(Error::new(kind, format!("none of the servers answered: {message}")).with_source(last))
            }
            None => Err(Error::new(ErrorKind::Bug, "a configuration without servers")),
        }
    }
}
