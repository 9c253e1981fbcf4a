//! Whichever mechanism a client has chosen.

use flext_ldap_proto::secret::Secret;

use crate::{
    Mechanism, SaslError,
    digest_md5::DigestMd5Client,
    gssapi::{GssSpnego, Gssapi, SecurityLayer},
    oauth_bearer::OauthBearer,
    plain::Plain,
    scram::ScramClient,
};

/// One exchange, as its client. It begins with [`first`](Self::first); each message of the server that goes on is
/// answered by [`respond`](Self::respond), and its success is taken by [`accept`](Self::accept), which alone says whether
/// the server is to be believed.
#[derive(Debug)]
pub struct ClientExchange(Kind);

#[derive(Debug)]
enum Kind {
    External(Secret),
    Plain(Secret),
    DigestMd5(Box<DigestMd5Client>),
    OauthBearer(OauthBearer),
    Gssapi(Box<Gssapi>),
    GssSpnego(Box<GssSpnego>),
    Scram { mechanism: Mechanism, client: Box<ScramClient> },
}

impl ClientExchange {
    /// Who the transport says, acting as `authorization` if that is given.
    #[must_use]
    pub fn external(authorization: Option<&str>) -> Self {
        Self(Kind::External(Secret::from(authorization.unwrap_or_default())))
    }

    /// A password as it is.
    ///
    /// # Errors
    ///
    /// As [`Plain::to_message`].
    pub fn plain(plain: &Plain) -> Result<Self, SaslError> {
        plain.to_message().map(|message| Self(Kind::Plain(message)))
    }

    /// A password proved by MD5.
    #[must_use]
    pub fn digest_md5(client: DigestMd5Client) -> Self {
        Self(Kind::DigestMd5(Box::new(client)))
    }

    /// A token.
    #[must_use]
    pub const fn oauth_bearer(client: OauthBearer) -> Self {
        Self(Kind::OauthBearer(client))
    }

    /// A ticket of Kerberos.
    #[must_use]
    pub fn gssapi(client: Gssapi) -> Self {
        Self(Kind::Gssapi(Box::new(client)))
    }

    /// A ticket of Kerberos, negotiated.
    #[must_use]
    pub fn gss_spnego(client: GssSpnego) -> Self {
        Self(Kind::GssSpnego(Box::new(client)))
    }

    /// A password proved: `mechanism` is which of the SCRAM mechanisms `client` speaks.
    #[must_use]
    pub fn scram(mechanism: Mechanism, client: ScramClient) -> Self {
        Self(Kind::Scram { mechanism, client: Box::new(client) })
    }

    /// The mechanism.
    #[must_use]
    pub const fn mechanism(&self) -> Mechanism {
        match &self.0 {
            Kind::External(_) => Mechanism::External,
            Kind::Plain(_) => Mechanism::Plain,
            Kind::DigestMd5(_) => Mechanism::DigestMd5,
            Kind::OauthBearer(_) => Mechanism::OauthBearer,
            Kind::Gssapi(_) => Mechanism::Gssapi,
            Kind::GssSpnego(_) => Mechanism::GssSpnego,
            Kind::Scram { mechanism, .. } => *mechanism,
        }
    }

    /// What goes along with the first bind, if anything does.
    #[must_use]
    pub fn first(&self) -> Option<Secret> {
        match &self.0 {
            Kind::External(message) | Kind::Plain(message) => Some(message.clone()),
            // The server speaks first.
            Kind::DigestMd5(_) => None,
            Kind::OauthBearer(client) => Some(client.first()),
            Kind::Gssapi(client) => Some(client.first()),
            Kind::GssSpnego(client) => Some(client.first()),
            Kind::Scram { client, .. } => Some(client.first()),
        }
    }

    /// The answer to a message of the server that goes on. It may take up to a second of work.
    ///
    /// # Errors
    ///
    /// When the server's message is not what it must be.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match &mut self.0 {
            Kind::External(_) | Kind::Plain(_) => {
                Err(SaslError::OutOfTurn("a question, where the mechanism has none"))
            }
            Kind::DigestMd5(client) => client.respond(challenge),
            Kind::OauthBearer(client) => client.respond(),
            Kind::Gssapi(client) => client.respond(challenge),
            Kind::GssSpnego(client) => client.respond(challenge),
            Kind::Scram { client, .. } => client.respond(challenge),
        }
    }

    /// Takes the server's success, with what it sent along. Returns what protects the conversation from there on, if
    /// anything does.
    ///
    /// # Errors
    ///
    /// When the server has not done its part.
    pub fn accept(&mut self, last: Option<&[u8]>) -> Result<Option<SecurityLayer>, SaslError> {
        match &mut self.0 {
            Kind::External(_) | Kind::Plain(_) => Ok(()),
            Kind::DigestMd5(client) => client.accept(last),
            Kind::OauthBearer(client) => client.accept(),
            Kind::Scram { client, .. } => client.accept(last),
            Kind::Gssapi(client) => return client.accept(),
            Kind::GssSpnego(client) => return client.accept(last),
        }
        .map(|()| None)
    }
}
