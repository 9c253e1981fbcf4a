//! Signing in by SASL (RFC 4513 §5.2): which mechanism, and the exchange on a connection.

use std::{fmt, time::SystemTime};

use flext_ldap_directory::{
    BindReply, BindStep, Deadline, DirectoryExt, Error, ErrorKind, Request,
    proto::{
        channel_binding::{BindingKind, ChannelBindings},
        control::Controls,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        secret::Secret,
    },
};
use flext_ldap_kerberos::Credential;
use flext_ldap_sasl::{
    ClientExchange, Mechanism, SaslError,
    digest_md5::{DigestMd5, DigestMd5Client},
    gssapi::{GssSpnego, Gssapi, GssapiOptions, Strength},
    oauth_bearer::OauthBearer,
    plain::Plain,
    scram::{ClientBinding, ScramClient},
};

use crate::{Connection, Kerberos, kerberos};

/// What to sign in with by SASL.
///
/// ```
/// use flext_ldap_client::{Credentials, Mechanism, Sasl, ScramHash};
///
/// // The strongest mechanism that the server offers.
/// let any = Sasl::password("ada", "a password");
/// // This one and no other.
/// let scram = Mechanism::Scram { hash: ScramHash::Sha256, plus: false };
/// let one: Credentials = Sasl::password("ada", "a password").only(scram).acting_for("u:reports").into();
/// ```
#[derive(Clone)]
#[must_use = "make `Credentials` of it"]
pub struct Sasl {
    choice: Choice,
    user: String,
    password: Secret,
    authorization: Option<String>,
    realm: Option<String>,
    binding: Option<BindingKind>,
    hides_password: bool,
    is_guarded: bool,
    kerberos: Option<Kerberos>,
    strength: Strength,
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    /// The strongest that the server offers and this connection can do.
    Strongest,
    Only(Mechanism),
}

impl Sasl {
    /// A user's name, as the server knows it, and their password; by the strongest mechanism that the server's root DSE
    /// offers: SCRAM that binds to the TLS connection, other SCRAM, and PLAIN where nobody can listen.
    pub fn password(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        let (user, password) = (user.into(), password.into());
        Self {
            choice: Choice::Strongest,
            user,
            password,
            authorization: None,
            realm: None,
            binding: None,
            hides_password: false,
            is_guarded: false,
            kerberos: None,
            strength: Strength::ANY,
        }
    }

    /// Whoever the transport says: the client certificate, or the user of a Unix socket.
    pub fn external() -> Self {
        Self::password("", Secret::default()).only(Mechanism::External)
    }

    /// A token of an authorization server, to act as `user` by it (RFC 7628). Like a password it goes out only where nobody
    /// can listen.
    pub fn oauth_bearer(user: impl Into<String>, token: impl Into<Secret>) -> Self {
        Self::password(user, token).only(Mechanism::OauthBearer)
    }

    /// Whoever Kerberos says, by GSSAPI.
    pub fn kerberos(kerberos: Kerberos) -> Self {
        let sasl = Self::password("", Secret::default()).only(Mechanism::Gssapi);
        Self { kerberos: Some(kerberos), ..sasl }
    }

    /// A security layer of this strength, where Kerberos has one to give. Without TLS it is the strongest that both ends
    /// have, unless this is called. Inside TLS and over a Unix socket there is none, and what is least may be.
    pub const fn strength(mut self, strength: Strength) -> Self {
        self.strength = strength;
        self
    }

    /// By this mechanism, whatever the server says it offers.
    pub fn only(mut self, mechanism: Mechanism) -> Self {
        self.choice = Choice::Only(mechanism);
        self
    }

    /// To act as somebody else (RFC 4513 §5.2.1.8): `dn:` and a name, or `u:` and a user's.
    pub fn acting_for(mut self, authorization: impl Into<String>) -> Self {
        self.authorization = Some(authorization.into());
        self
    }

    /// The realm of the user, for DIGEST-MD5: the first that the server names unless this is called.
    pub fn realm(mut self, realm: impl Into<String>) -> Self {
        self.realm = Some(realm.into());
        self
    }

    /// Binds by this kind, where the mechanism binds to the TLS connection at all. Otherwise by `tls-exporter` with TLS
    /// 1.3, and by `tls-server-end-point` with 1.2.
    pub const fn binding(mut self, kind: BindingKind) -> Self {
        self.binding = Some(kind);
        self
    }

    /// Never by a mechanism that shows the password to the server, even where nobody else can listen.
    pub const fn never_showing_password(mut self) -> Self {
        self.hides_password = true;
        self
    }

    /// Only where nobody can listen: inside TLS, over a Unix socket, or to a loopback address.
    pub const fn guarded(mut self) -> Self {
        self.is_guarded = true;
        self
    }

    /// Refuses what no server could take, or what some take for success.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if matches!(self.choice, Choice::Only(Mechanism::External)) {
            return Ok(());
        }
        if self.hides_password && self.shows_password() {
            return Err(Error::new(
                ErrorKind::Misuse,
                "this mechanism shows the password to the server, which is ruled out: choose another, or allow it",
            ));
        }
        if matches!(self.choice, Choice::Only(mechanism) if mechanism.is_kerberos())
            || self.kerberos.is_some()
        {
            let is_whole =
                matches!((&self.kerberos, self.choice), (Some(_), Choice::Only(one)) if one.is_kerberos());
            return match &self.kerberos {
                Some(kerberos) if is_whole => kerberos.check(),
                _ => Err(Error::new(
                    ErrorKind::Misuse,
                    "Kerberos goes with GSSAPI or GSS-SPNEGO, and they go with nothing else: use `Sasl::kerberos`",
                )),
            };
        }
        if self.password.expose().iter().all(|octet| *octet == 0) {
            return Err(Error::new(
                ErrorKind::EmptyPassword,
                "the password is empty: give a password, or bind anonymously",
            ));
        }
        let is_named = !matches!(self.choice, Choice::Only(Mechanism::OauthBearer));
        if is_named && self.user.trim().is_empty() {
            return Err(Error::new(ErrorKind::Misuse, "a password without a user: say whose password it is"));
        }
        Ok(())
    }

    /// Whether the two would prove the same user by the same password.
    pub(crate) fn is_that_of(&self, other: &Self) -> bool {
        let names = |one: &Self| (one.user.clone(), one.authorization.clone(), one.realm.clone());
        let kerberos = match (&self.kerberos, &other.kerberos) {
            (Some(one), Some(other)) => one.is_that_of(other),
            (None, None) => true,
            _ => false,
        };
        names(self) == names(other) && self.password.expose() == other.password.expose() && kerberos
    }

    /// What Kerberos it is by, if it is.
    pub(crate) const fn by_kerberos(&mut self) -> Option<&mut Kerberos> {
        self.kerberos.as_mut()
    }

    /// Whether the password goes out as it is, whatever the server offers.
    pub(crate) const fn shows_password(&self) -> bool {
        matches!(self.choice, Choice::Only(mechanism) if mechanism.shows_password())
    }

    fn begin(
        &self,
        at: (&str, u16),
        mechanism: Mechanism,
        offered: Option<&[String]>,
        to: &ChannelBindings,
    ) -> Result<ClientExchange, SaslError> {
        let (hash, plus) = match mechanism {
            Mechanism::External => return Ok(ClientExchange::external(self.authorization.as_deref())),
            Mechanism::Plain => {
                return ClientExchange::plain(&Plain {
                    authorization: self.authorization.clone(),
                    user: self.user.clone(),
                    password: self.password.clone(),
                });
            }
            Mechanism::DigestMd5 => {
                let who = DigestMd5 {
                    user: self.user.clone(),
                    password: self.password.clone(),
                    realm: self.realm.clone(),
                    authorization: self.authorization.clone(),
                    uri: format!("ldap/{}", at.0),
                };
                return DigestMd5Client::new(who, flext_ldap_sasl::nonce()?).map(ClientExchange::digest_md5);
            }
            Mechanism::OauthBearer => {
                let authorization = self.authorization.as_deref().unwrap_or(&self.user);
                let authorization = Some(authorization).filter(|name| !name.is_empty());
                let client = OauthBearer::new(&self.password, authorization, at.0, at.1)?;
                return Ok(ClientExchange::oauth_bearer(client));
            }
            Mechanism::Scram { hash, plus } => (hash, plus),
            _ => return Err(SaslError::Unsendable("a password")),
        };
        let binding = if plus {
            let best = || BindingKind::ALL.into_iter().find(|kind| to.get(*kind).is_some());
            let kind = self.binding.or_else(best).ok_or(SaslError::NothingToBind)?;
            ClientBinding::To(kind, to.clone())
        } else if offered.is_some() && !to.is_empty() {
            // It is not offered, or it would have been chosen. A server that knows better says so.
            ClientBinding::NotOffered
        } else {
            ClientBinding::Unable
        };
        let nonce = flext_ldap_sasl::nonce()?;
        let (user, password) = (self.user.as_str(), self.password.clone());
        let client = ScramClient::new(hash, user, password, self.authorization.as_deref(), &binding, nonce)?;
        Ok(ClientExchange::scram(mechanism, client))
    }
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("choice", &self.choice)
            .field("user", &self.user)
            .field("authorization", &self.authorization)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// The whole exchange, on the server at this host and port. An error leaves a connection that is good for nothing.
    pub(crate) async fn sign_in(
        &mut self,
        at: (&str, u16),
        sasl: &Sasl,
        controls: &Controls,
        by: Deadline,
    ) -> Result<BindReply, Error> {
        sasl.check()?;
        if sasl.is_guarded && !self.is_guarded() {
            return Err(Error::new(
                ErrorKind::Confidentiality,
                "the conversation could be listened to, which is ruled out: use ldaps or StartTLS",
            ));
        }
        let (mechanism, offered) = match sasl.choice {
            Choice::Only(mechanism) => (mechanism, None),
            Choice::Strongest => {
                let offered = self.mechanisms(by).await?;
                (self.strongest(sasl, &offered)?, Some(offered))
            }
        };
        tracing::debug!(mechanism = mechanism.name(), "signing in by SASL");
        let failed = |error| failure(mechanism, error);
        if let Some(kerberos) = sasl.kerberos.as_ref().filter(|_| mechanism.is_kerberos()) {
            let ticket = kerberos.ticket(at.0, by).await?;
            let exchange = self.begin_by_kerberos(sasl, mechanism, &ticket).map_err(failed)?;
            let reply = self.exchange(exchange, controls, by).await;
            if matches!(reply, Ok(BindReply::Refused(_))) {
                kerberos.forget(&ticket).await;
            }
            return reply;
        }
        let exchange = sasl.begin(at, mechanism, offered.as_deref(), self.bindings()).map_err(failed)?;
        self.exchange(exchange, controls, by).await
    }

    fn begin_by_kerberos(
        &self,
        sasl: &Sasl,
        mechanism: Mechanism,
        ticket: &Credential,
    ) -> Result<ClientExchange, SaslError> {
        let options = GssapiOptions {
            authorization: sasl.authorization.as_deref(),
            // What protects the conversation already does it better.
            strength: if self.is_bare() { sasl.strength } else { Strength::NONE },
            binding: self.bindings().get(BindingKind::TlsServerEndPoint),
            now: SystemTime::now(),
        };
        self.await_layer();
        match mechanism {
            Mechanism::GssSpnego => GssSpnego::new(ticket, &options).map(ClientExchange::gss_spnego),
            _ => Gssapi::new(ticket, &options).map(ClientExchange::gssapi),
        }
    }

    /// Step by step to the end.
    async fn exchange(
        &mut self,
        mut exchange: ClientExchange,
        controls: &Controls,
        by: Deadline,
    ) -> Result<BindReply, Error> {
        let mechanism = exchange.mechanism();
        let failed = |error| failure(mechanism, error);
        let mut credentials = exchange.first();
        loop {
            let controls = controls.clone();
            let step = BindStep::Sasl { mechanism: mechanism.name().to_owned(), credentials, controls };
            let mut believe = |last: Option<&[u8]>| exchange.accept(last).map_err(failed);
            match self.bind_on_wire(step, by, &mut believe).await? {
                BindReply::Continue { credentials: challenge, .. } => {
                    let answer;
                    (exchange, answer) = respond(exchange, challenge.unwrap_or_default()).await?;
                    credentials = Some(answer.map_err(failed)?);
                }
                over => return Ok(over),
            }
        }
    }

    /// What the server says it offers on this connection.
    async fn mechanisms(&self, by: Deadline) -> Result<Vec<String>, Error> {
        const OFFERED: &str = "supportedSASLMechanisms";
        let every = "objectClass".parse().map(Filter::present);
        let filter = every.map_err(|error| Error::new(ErrorKind::Bug, "no filter").with_source(error))?;
        let search = Search::new(Dn::root(), Scope::Base, filter).attributes([OFFERED]);
        let root =
            self.search_one(Request::new(search, flext_ldap_directory::Actor::Service).until(by)).await?;
        let values = root.attributes().get(OFFERED).map(|one| one.values().collect::<Vec<_>>());
        let names = values.unwrap_or_default().into_iter().filter_map(|name| std::str::from_utf8(name).ok());
        Ok(names.map(str::to_owned).collect())
    }

    fn strongest(&self, sasl: &Sasl, offered: &[String]) -> Result<Mechanism, Error> {
        let can = |mechanism: &Mechanism| match mechanism {
            Mechanism::Scram { plus: true, .. } => !self.bindings().is_empty(),
            one => !one.shows_password() || (self.is_guarded() && !sasl.hides_password),
        };
        let is_offered =
            |mechanism: &Mechanism| offered.iter().any(|name| name.eq_ignore_ascii_case(mechanism.name()));
        Mechanism::BY_STRENGTH.into_iter().find(|one| can(one) && is_offered(one)).ok_or_else(|| {
            let offered = if offered.is_empty() { "none at all".to_owned() } else { offered.join(", ") };
            let message = format!(
                "the server offers no mechanism that takes a password here ({offered}): sign in by TLS, or by a name and a \
                 password"
            );
            Error::new(ErrorKind::Misuse, message)
        })
    }
}

/// Has the mechanism work, on a thread where that may take a while.
async fn respond(
    mut exchange: ClientExchange,
    challenge: bytes::Bytes,
) -> Result<(ClientExchange, Result<Secret, SaslError>), Error> {
    let work = move || {
        let answer = exchange.respond(&challenge);
        (exchange, answer)
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::new(ErrorKind::Bug, "a SASL mechanism did not answer").with_source(error))
}

fn failure(mechanism: Mechanism, error: SaslError) -> Error {
    if let SaslError::Kerberos(error) = error {
        return kerberos::failed(error);
    }
    let kind = match error {
        SaslError::NoLayer | SaslError::NothingToBind | SaslError::Unsendable(_) => ErrorKind::Misuse,
        SaslError::NoRandomness => ErrorKind::Overloaded,
        _ => ErrorKind::Protocol,
    };
    let advice = match error {
        SaslError::ServerNotProven => {
            ": it may be another server than it seems, so nothing else is sent to it"
        }
        SaslError::NoLayer => ": use TLS, or ask for less",
        SaslError::NothingToBind => ": use TLS, or the mechanism without `-PLUS`",
        _ => "",
    };
    Error::new(kind, format!("no sign-in by {}: {error}{advice}", mechanism.name())).with_source(error)
}
