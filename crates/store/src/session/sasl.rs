//! SASL binds (RFC 4513 §5.2): PLAIN and SCRAM by what `uid` says, EXTERNAL by what the transport says.
//!
//! Who there is must not be told: names that nobody has are given a salt like any other, always the same one, and what
//! is refused is refused alike and after the same time.

use flext_ldap_directory::{Deadline, External, Identity, Peer, Protection};
use flext_ldap_proto::{
    certificate::CertificateNames,
    channel_binding::ChannelBindings,
    control::{PasswordPolicyError, PasswordPolicyResponse},
    dn::Dn,
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_sasl::{
    Mechanism, SaslError,
    plain::Plain,
    scram::{ScramHash, ScramServer},
};
use tokio::time::Instant;

use super::{Bound, Stepped, StoreSession};
use crate::{
    certificates::CertificateRule,
    context::{Caller, Context},
    credentials::{self, Form},
    hashing::Origin,
    ppolicy::{self, Proven, Purpose, Shown, invalid_credentials},
    proxied::by_user_name,
    row::Id,
    tables::Failure,
};

/// An exchange under way.
pub(super) struct Exchange {
    mechanism: Mechanism,
    asked: Option<Scram>,
}

/// A client of SCRAM that was asked for its proof.
struct Scram {
    server: ScramServer,
    account: Option<Id>,
    authorization: Option<String>,
}

/// What the root DSE lists for a peer, the strongest first.
pub(crate) fn offered(context: &Context, peer: &Peer) -> impl Iterator<Item = Mechanism> {
    let has_keys = context.form == Form::HashAndKeys;
    taken(context, peer).filter(move |mechanism| has_keys || !matches!(mechanism, Mechanism::Scram { .. }))
}

/// What a peer can bind with: what is offered, and SCRAM for those whose keys were imported.
fn taken(context: &Context, peer: &Peer) -> impl Iterator<Item = Mechanism> {
    let is_external = context.offers_external(peer);
    let is_confidential = peer.protection != Protection::Clear;
    let is_bindable = peer.bindings.as_ref().is_some_and(|bindings| !bindings.is_empty());
    let external = is_external.then_some(Mechanism::External);
    let others = Mechanism::BY_STRENGTH.into_iter().filter(move |mechanism| match mechanism {
        Mechanism::Scram { hash: ScramHash::Sha256 | ScramHash::Sha512, plus } => !plus || is_bindable,
        Mechanism::Plain => is_confidential,
        _ => false,
    });
    external.into_iter().chain(others)
}

impl StoreSession {
    /// A step of an exchange: the next one of `exchange` if it goes on by the same mechanism, or else the first of another
    /// (RFC 4513 §5.2.1.2).
    pub(super) async fn sasl(
        &self,
        exchange: Option<Exchange>,
        mechanism: &str,
        credentials: Option<Secret>,
        by: Deadline,
    ) -> Result<Stepped, Failure> {
        let context = &*self.store.context();
        let named = Mechanism::named(mechanism);
        let Some(mechanism) = named.filter(|one| taken(context, &self.peer).any(|other| other == *one))
        else {
            return Err(self.not_offered(context, named));
        };
        let under_way = exchange.filter(|exchange| exchange.mechanism == mechanism);
        if let Some(Exchange { asked: Some(asked), .. }) = under_way {
            return self
                .prove(mechanism, asked, &credentials.unwrap_or_default(), by)
                .await
                .map(Stepped::Bound);
        }
        match (mechanism, credentials) {
            (Mechanism::External, credentials) if self.certificate().is_some() => {
                self.certified(credentials.as_ref()).await.map(Stepped::Bound)
            }
            (Mechanism::External, credentials) => {
                self.external(credentials.as_ref()).map(|actor| Stepped::Bound(Bound::without_entry(actor)))
            }
            // The client speaks first in all others; one that did not is asked to.
            (_, None) => Ok(Stepped::On(Exchange { mechanism, asked: None }, Vec::new())),
            (Mechanism::Scram { hash, plus }, Some(message)) => self.ask(mechanism, hash, plus, &message),
            (_, Some(message)) => self.plain(&message, by).await.map(Stepped::Bound),
        }
    }

    fn not_offered(&self, context: &Context, mechanism: Option<Mechanism>) -> Failure {
        let refused = |code, why: &str| Failure::refused(code, why);
        match mechanism {
            Some(Mechanism::Plain) => {
                refused(ResultCode::CONFIDENTIALITY_REQUIRED, "use TLS before sending a password")
            }
            Some(Mechanism::External) if matches!(self.peer.external, Some(External::UnixUser { .. })) => {
                match self.external(None) {
                    Err(failure) => failure,
                    Ok(_) => invalid_credentials(),
                }
            }
            Some(Mechanism::External) => refused(
                ResultCode::INAPPROPRIATE_AUTHENTICATION,
                "EXTERNAL needs a client certificate that leads to an entry, or a Unix socket that tells who is at its other end",
            ),
            _ => {
                let names = offered(context, &self.peer).map(Mechanism::name);
                let names: Vec<_> = std::iter::once("simple binds").chain(names).collect();
                let why = format!("what there is here: {}", names.join(", "));
                refused(ResultCode::AUTH_METHOD_NOT_SUPPORTED, &why)
            }
        }
    }

    fn certificate(&self) -> Option<&CertificateNames> {
        match &self.peer.external {
            Some(External::Certificate(names)) => Some(names),
            _ => None,
        }
    }

    /// EXTERNAL by a client certificate: the entry that the first rule finds which finds any.
    async fn certified(&self, credentials: Option<&Secret>) -> Result<Bound, Failure> {
        let context = &*self.store.context();
        let mut found = None;
        if let Some(names) = self.certificate() {
            let tables = self.store.snapshot()?;
            for rule in &context.certificate_rules {
                found = rule.find(context, &tables, names)?;
                // Whoever may write an entry must not come to be the administrator by a value in it.
                if *rule != CertificateRule::Subject {
                    let is_own = |key| context.administrator.as_ref().is_some_and(|one| one.key == key);
                    found = found.filter(|(named, _)| !is_own(named.key.clone()));
                }
                if found.is_some() {
                    break;
                }
            }
        }
        let found = found.and_then(|(named, account)| Some((named.dn.parse::<Dn>().ok()?, account)));
        let Some((dn, account)) = found else {
            tracing::debug!(peer = ?self.peer.address, "a client certificate leads to no entry");
            return Err(invalid_credentials());
        };
        if account.map(|id| self.store.is_locked_out(id)).transpose()? == Some(true) {
            return Err(invalid_credentials());
        }
        let (identity, response) = (Identity::from_successful_bind(dn), PasswordPolicyResponse::default());
        let bound = self.admit(Proven { identity, account, stored: None, response }).await?;
        let authorization = credentials.map(|secret| std::str::from_utf8(secret.expose())).transpose();
        let authorization =
            authorization.map_err(|_| refusal(&SaslError::Malformed("a name that is not UTF-8")))?;
        self.assume(bound, authorization.filter(|name| !name.is_empty()))
    }

    /// PLAIN (RFC 4616). The user is a `uid`, or `dn:` and a name.
    async fn plain(&self, message: &Secret, by: Deadline) -> Result<Bound, Failure> {
        let plain = Plain::parse(message.expose()).map_err(|error| refusal(&error))?;
        if plain.password.expose().len() > credentials::LONGEST {
            return Err(invalid_credentials());
        }
        let from = Origin::of(&self.peer);
        let dn = match plain.user.strip_prefix("dn:") {
            Some(dn) => dn.parse::<Dn>().ok(),
            None => self.account(&plain.user)?.map(|(dn, _)| dn),
        };
        let Some(dn) = dn else {
            self.store.verify_nothing(plain.password, from).await?;
            return Err(self.store.refusal(Instant::now()).await?);
        };
        let proven = self.store.authenticate(&dn, plain.password, Purpose::Bind, from, by).await?;
        let bound = self.admit(proven).await?;
        self.assume(bound, plain.authorization.as_deref())
    }

    /// The first message of SCRAM: who it is said to be.
    fn ask(
        &self,
        mechanism: Mechanism,
        hash: ScramHash,
        plus: bool,
        message: &Secret,
    ) -> Result<Stepped, Failure> {
        const NONE: &ChannelBindings = &ChannelBindings::none();
        let context = &*self.store.context();
        // A client that says that it was offered nothing to bind by is right where that is so.
        let has_offered = plus || offered(context, &self.peer).any(|one| one == mechanism);
        let bindings = self.peer.bindings.as_deref().filter(|_| has_offered).unwrap_or(NONE);
        let (mut server, asked) =
            ScramServer::begin(plus, bindings, message.expose()).map_err(|error| refusal(&error))?;
        let account = self.account(&asked.user)?.map(|(_, id)| id);
        let stored = match account {
            Some(id) => self.store.snapshot()?.secrets(id)?,
            None => Vec::new(),
        };
        // In one form for all ways to write it, as names that somebody has.
        let kind = context.schema.attribute_type("uid");
        let name = kind.and_then(|kind| context.schema.normalize(kind, asked.user.as_bytes()).ok());
        let name = name.unwrap_or_else(|| asked.user.as_bytes().into());
        let (keys, found) = credentials::scram_keys(&stored, hash, &context.page_key, &name);
        let nonce = flext_ldap_sasl::nonce().map_err(|error| refusal(&error))?;
        let challenge = server.challenge(keys, &nonce);
        // Whoever has no keys cannot be guessed at, so no failure is theirs.
        let account = account.filter(|_| found);
        let asked = Some(Scram { server, account, authorization: asked.authorization });
        Ok(Stepped::On(Exchange { mechanism, asked }, challenge))
    }

    /// The second message of SCRAM: the proof.
    async fn prove(
        &self,
        mechanism: Mechanism,
        asked: Scram,
        message: &Secret,
        by: Deadline,
    ) -> Result<Bound, Failure> {
        let Scram { server, account, authorization } = asked;
        let proof = server.proof(message.expose()).map_err(|error| {
            if error == SaslError::WrongBinding {
                tracing::debug!(mechanism = mechanism.name(), peer = ?self.peer.address, "{error}");
            }
            refusal(&error)
        })?;
        let last = proof.verify();
        let Some(id) = account else {
            return Err(self.store.refusal(Instant::now()).await?);
        };
        let shown = Shown::Proof { keys: proof.keys().clone(), is_good: last.is_some() };
        let from = Origin::of(&self.peer);
        let proven = self.store.authenticate_entry(id, shown, Purpose::Bind, from, by).await?;
        let bound = self.admit(proven).await?;
        let bound = self.assume(bound, authorization.as_deref())?;
        Ok(Bound { credentials: last.map(Into::into), ..bound })
    }

    /// The one entry with this `uid`, if it may be signed in to by a user's name: the administrator's may not, since whoever
    /// may write it would be the administrator.
    fn account(&self, user: &str) -> Result<Option<(Dn, Id)>, Failure> {
        let context = &*self.store.context();
        let found = by_user_name(context, &*self.store.snapshot()?, user)?;
        let is_own = |key| context.administrator.as_ref().is_some_and(|one| one.key == key);
        Ok(found.and_then(|(named, id)| {
            let dn = named.dn.parse().ok()?;
            Some((dn, id.filter(|_| !is_own(named.key))?))
        }))
    }

    /// Acts as somebody else, where whoever has signed in has the right to act for them (RFC 4513 §5.2.1.8).
    fn assume(&self, bound: Bound, authorization: Option<&str>) -> Result<Bound, Failure> {
        let Some(authorization) = authorization else { return Ok(bound) };
        let mut caller = Caller::new(bound.actor.clone(), self.peer.clone());
        caller.account = bound.account;
        let (actor, account) = self.store.acting_for(authorization, &caller)?;
        if actor == bound.actor {
            return Ok(bound);
        }
        if bound.response.error == Some(PasswordPolicyError::CHANGE_AFTER_RESET) {
            return Err(ppolicy::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                PasswordPolicyError::CHANGE_AFTER_RESET,
                "the password must be changed before it is used to act for somebody else",
            ));
        }
        Ok(Bound { actor, account, ..bound })
    }
}

/// What is answered where an exchange goes wrong.
fn refusal(error: &SaslError) -> Failure {
    let code = match error {
        SaslError::Malformed(_) | SaslError::OutOfTurn(_) => ResultCode::PROTOCOL_ERROR,
        SaslError::NoRandomness => ResultCode::UNAVAILABLE,
        _ => ResultCode::INVALID_CREDENTIALS,
    };
    Failure::refused(code, error.to_string())
}
