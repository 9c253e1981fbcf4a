//! Conversations with the store: binds, and whom the peer acts for.

use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, External, Identity,
    Outcome, Peer, PeerAddress, Reply, Request, Session,
};
use flext_ldap_proto::{
    dn::Dn,
    result::{LdapResult, ResultCode},
    secret::Secret,
};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{controls, credentials, read::Resolved, store::Store, tables::Failure};

/// One conversation.
pub(crate) struct StoreSession {
    store: Store,
    peer: Peer,
    actor: Actor,
}

impl StoreSession {
    pub(crate) fn new(store: Store, peer: Peer) -> Self {
        Self { store, peer, actor: Actor::Anonymous }
    }

    async fn step(&self, step: BindStep) -> Result<Actor, Failure> {
        match step {
            BindStep::Simple { name, password, controls } => {
                controls::check(&controls, &[])?;
                self.simple(&name, password).await
            }
            BindStep::Sasl { mechanism, credentials, controls } => {
                controls::check(&controls, &[])?;
                if !mechanism.eq_ignore_ascii_case("EXTERNAL") {
                    return Err(Failure::refused(
                        ResultCode::AUTH_METHOD_NOT_SUPPORTED,
                        "only EXTERNAL over a Unix socket, and simple binds",
                    ));
                }
                self.external(credentials.as_ref())
            }
            _ => Err(Failure::refused(ResultCode::AUTH_METHOD_NOT_SUPPORTED, "unknown kind of bind")),
        }
    }

    /// RFC 4513 §5.1.
    async fn simple(&self, name: &str, password: Secret) -> Result<Actor, Failure> {
        if password.is_empty() {
            if name.is_empty() {
                return Ok(Actor::Anonymous);
            }
            return Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                "a name without a password proves nothing",
            ));
        }
        let dn: Dn = name
            .parse()
            .map_err(|error| Failure::refused(ResultCode::INVALID_DN_SYNTAX, format!("{error}")))?;
        if password.expose().len() > credentials::LONGEST {
            return Err(invalid_credentials());
        }
        let identity = self.store.authenticate(&dn, password).await?.ok_or_else(invalid_credentials)?;
        if !self.store.may_authenticate(&identity, &self.peer)? {
            // As with a wrong password: it is not told that this one was right.
            return Err(invalid_credentials());
        }
        Ok(Actor::User(identity))
    }

    /// RFC 4422 appendix A: who the Unix socket says. Root and whom the options name are the administrator.
    fn external(&self, credentials: Option<&Secret>) -> Result<Actor, Failure> {
        let Some(External::UnixUser { uid, .. }) = self.peer.external else {
            return Err(Failure::refused(
                ResultCode::INAPPROPRIATE_AUTHENTICATION,
                "EXTERNAL needs a Unix socket that tells who is at its other end",
            ));
        };
        let context = &*self.store.context();
        let trusted = uid == 0 || context.peer_administrators.contains(&uid);
        let Some(administrator) = context.administrator.as_ref().filter(|_| trusted) else {
            return Err(invalid_credentials());
        };
        let asked = credentials.map(Secret::expose).unwrap_or_default();
        if !asked.is_empty() {
            let named = std::str::from_utf8(asked)
                .ok()
                .and_then(|asked| asked.strip_prefix("dn:")?.parse::<Dn>().ok())
                .and_then(|dn| context.schema.dn_key(&dn).ok());
            if named.as_ref() != Some(&administrator.key) {
                return Err(Failure::refused(
                    ResultCode::INVALID_CREDENTIALS,
                    "whoever this is may not act for somebody else",
                ));
            }
        }
        Ok(Actor::User(Identity::from_successful_bind(administrator.dn.clone())))
    }
}

impl Store {
    /// Verifies a password. Takes as long whether the name is there or not.
    pub(crate) async fn authenticate(&self, dn: &Dn, password: Secret) -> Result<Option<Identity>, Failure> {
        let context = &*self.context();
        let key = context.schema.dn_key(dn).ok();
        let mut stored = Vec::new();
        let mut entry = None;
        if let Some(key) = &key {
            self.reading("a bind", || {
                let tables = self.snapshot()?;
                if let Resolved::Found(id) = context.resolve(&tables, key)? {
                    stored = tables.secrets(id)?;
                    entry = Some(tables.named(id)?.dn);
                }
                Ok(())
            })?;
        }
        let administrator = context.administrator.as_ref().filter(|one| Some(&one.key) == key.as_ref());
        let is_administrator: bool = administrator.is_some_and(|one| {
            let digest = Sha256::new().chain_update(&one.salt).chain_update(password.expose()).finalize();
            digest.as_slice().ct_eq(&one.digest).into()
        });
        let verified =
            self.hashers().run(move || credentials::verify(&stored, password.expose()).is_some()).await?;
        if is_administrator {
            return Ok(administrator.map(|one| Identity::from_successful_bind(one.dn.clone())));
        }
        // As it is written in the directory, however it was spelt by the one who binds.
        let name = entry.and_then(|name| name.parse::<Dn>().ok());
        Ok(name.filter(|_| verified).map(Identity::from_successful_bind))
    }
}

impl Directory for StoreSession {
    fn call(&self, request: Request) -> Reply {
        // Whoever asks from inside the program vouches for its actor; a peer acts for whom it has bound as.
        if self.peer.address != PeerAddress::InProcess && request.actor != self.actor {
            return Reply::ready(Err(Error::new(
                ErrorKind::NotCarried,
                "this conversation acts for whoever has bound on it, and for nobody else",
            )));
        }
        self.store.answer(request, self.peer.clone())
    }
}

impl Session for StoreSession {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        self.actor = Actor::Anonymous;
        Box::pin(async move {
            let bound = tokio::time::timeout_at(by.instant(), self.step(step)).await.map_err(|_| {
                Error::new(ErrorKind::Timeout, "the deadline passed before the bind was done")
            })?;
            match bound {
                Ok(actor) => {
                    self.actor = actor.clone();
                    Ok(BindReply::Done { actor, outcome: Outcome::success(), credentials: None })
                }
                Err(Failure::Refused(result)) => Ok(BindReply::Refused(Outcome::new(result))),
                Err(Failure::Failed(error)) => Err(error),
            }
        })
    }
}

fn invalid_credentials() -> Failure {
    Failure::Refused(LdapResult::new(ResultCode::INVALID_CREDENTIALS))
}
