//! Conversations with the store: binds, whom the peer acts for, and what a password that must be changed leaves them.

mod sasl;

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use bytes::Bytes;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, External, Identity, Op,
    Outcome, Peer, PeerAddress, Reply, Request, Session,
};
use flext_ldap_proto::{
    control::{
        Assertion, ControlValue, Controls, PasswordPolicyError, PasswordPolicyResponse, PostRead, PreRead,
        ProxiedAuthorization,
    },
    dn::{Dn, DnKey},
    extended::{ExtendedOperation, PasswordModify, WhoAmI},
    result::{LdapResult, ResultCode},
    secret::Secret,
};
use tokio::time::Instant;

use self::sasl::Exchange;
pub(crate) use self::sasl::offered;
use crate::{
    context::{Caller, base},
    controls::{self, On},
    credentials,
    hashing::Origin,
    ppolicy::{self, Proven, Purpose, invalid_credentials},
    read::Resolved,
    row::Id,
    store::Store,
    tables::Failure,
};

/// What a bind comes to.
struct Bound {
    actor: Actor,
    account: Option<Id>,
    response: PasswordPolicyResponse,
    /// What the mechanism sends along.
    credentials: Option<Bytes>,
}

impl Bound {
    fn without_entry(actor: Actor) -> Self {
        Self { actor, account: None, response: PasswordPolicyResponse::default(), credentials: None }
    }
}

/// What a step of a bind comes to.
enum Stepped {
    Bound(Bound),
    /// The mechanism wants another step, and has sent this.
    On(Exchange, Vec<u8>),
}

/// One conversation.
pub(crate) struct StoreSession {
    store: Store,
    /// What is under way of a SASL bind.
    exchange: Option<Exchange>,
    peer: Peer,
    actor: Actor,
    /// The actor's name as it is compared, once something was asked.
    key: OnceLock<Option<Arc<DnKey>>>,
    /// The entry that the peer has bound as, if it is one. A name can come to be another's.
    account: Option<Id>,
    /// The commit as of which that entry had the actor's name.
    seen: AtomicU64,
    /// Whether the peer was let in to change a password, and for nothing else. Asked anew until it is changed.
    must_change: AtomicBool,
}

impl StoreSession {
    pub(crate) fn new(store: Store, peer: Peer) -> Self {
        let (actor, key) = (Actor::Anonymous, OnceLock::new());
        let (account, seen) = (None, AtomicU64::new(0));
        Self { store, exchange: None, peer, actor, key, account, seen, must_change: AtomicBool::new(false) }
    }

    async fn step(
        &self,
        exchange: Option<Exchange>,
        step: BindStep,
        by: Deadline,
    ) -> Result<Stepped, Failure> {
        match step {
            BindStep::Simple { name, password, controls } => {
                controls::admitted(controls, On::Bind)?;
                self.simple(&name, password, by).await.map(Stepped::Bound)
            }
            BindStep::Sasl { mechanism, credentials, controls } => {
                controls::admitted(controls, On::Bind)?;
                self.sasl(exchange, &mechanism, credentials, by).await
            }
            _ => Err(Failure::refused(ResultCode::AUTH_METHOD_NOT_SUPPORTED, "unknown kind of bind")),
        }
    }

    /// RFC 4513 §5.1.
    async fn simple(&self, name: &str, password: Secret, by: Deadline) -> Result<Bound, Failure> {
        if password.is_empty() {
            if name.is_empty() {
                return Ok(Bound::without_entry(Actor::Anonymous));
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
        let from = Origin::of(&self.peer);
        let proven = self.store.authenticate(&dn, password, Purpose::Bind, from, by).await?;
        self.admit(proven).await
    }

    /// Lets in who has shown a password, if the access rules let them sign in from here.
    async fn admit(&self, proven: Proven) -> Result<Bound, Failure> {
        let Proven { identity, account, response, .. } = proven;
        if !self.store.may_authenticate(&identity, &self.peer)? {
            // As with a wrong password: it is not told that this one was right.
            return Err(self.store.refusal(Instant::now()).await?);
        }
        Ok(Bound { actor: Actor::User(identity), account, response, credentials: None })
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
        let Some(administrator) = &context.administrator else {
            self.tell_refused(uid, "there is no administrator, and nobody else is signed in so");
            return Err(invalid_credentials());
        };
        if uid != 0 && !context.peer_administrators.contains(&uid) {
            self.tell_refused(
                uid,
                "only root and the user who serves are somebody by it, the administrator; others bind with a password",
            );
            return Err(invalid_credentials());
        }
        let asked = credentials.map(Secret::expose).unwrap_or_default();
        if !asked.is_empty() {
            let named = std::str::from_utf8(asked)
                .ok()
                .and_then(|asked| asked.strip_prefix("dn:")?.parse::<Dn>().ok())
                .and_then(|dn| context.schema.dn_key(&dn).ok());
            if named.as_ref() != Some(&administrator.key) {
                self.tell_refused(uid, "it asks to act for somebody else than the administrator");
                return Err(Failure::refused(
                    ResultCode::INVALID_CREDENTIALS,
                    "whoever this is may not act for somebody else",
                ));
            }
        }
        Ok(Actor::User(Identity::from_successful_bind(administrator.dn.clone())))
    }

    /// Says in the log why a user of this machine was not let in, which they themselves are not told. Not each time: they
    /// can ask as often as they like.
    fn tell_refused(&self, uid: u32, why: &str) {
        if self.store.tells_of_external() {
            tracing::warn!(uid, why, "a bind by EXTERNAL over a Unix socket is refused");
        }
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
        let mut caller = Caller::new(request.actor.clone(), self.peer.clone());
        if request.actor == self.actor {
            caller.key = self.key.get_or_init(|| self.store.context().key_of(&self.actor)).clone();
            caller.account = self.account;
            if let Some(refusal) = self.stand_in(caller.key.as_deref()).or_else(|| self.confine(&request)) {
                return Reply::ready(refusal);
            }
        }
        self.store.answer(request, caller)
    }
}

impl StoreSession {
    /// What is answered once the entry that the peer has bound as is gone or has another name: whoever has the name now is
    /// somebody else.
    fn stand_in(&self, key: Option<&DnKey>) -> Option<Result<Outcome, Error>> {
        let account = self.account?;
        let generation = self.store.generation();
        if self.seen.load(Ordering::Relaxed) == generation {
            return None;
        }
        let context = self.store.context();
        let found = key.map_or(Ok(false), |key| {
            let tables = self.store.snapshot()?;
            Ok(matches!(context.resolve(&tables, key)?, Resolved::Found(id) if id == account))
        });
        match found {
            Ok(true) => {
                self.seen.store(generation, Ordering::Relaxed);
                None
            }
            Ok(false) => Some(gone().into_reply()),
            Err(failure) => Some(Failure::into_reply(failure)),
        }
    }

    /// What one who must change their password is answered to anything else (draft-behera-10 §8.1).
    fn confine(&self, request: &Request) -> Option<Result<Outcome, Error>> {
        if !self.must_change.load(Ordering::Relaxed) {
            return None;
        }
        match self.store.is_confined(&self.actor) {
            Ok(true) if self.changes_own_password(&request.op) && !tells_more(&request.controls) => None,
            Ok(true) => {
                let refusal = ppolicy::refused(
                    ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                    PasswordPolicyError::CHANGE_AFTER_RESET,
                    "the password must be changed before anything else is done",
                );
                let asked = ppolicy::is_asked(&request.controls);
                Some(refusal.into_reply().map(|outcome| ppolicy::told(outcome, asked)))
            }
            Ok(false) => {
                self.must_change.store(false, Ordering::Relaxed);
                None
            }
            Err(failure) => Some(failure.into_reply()),
        }
    }

    /// A change of the peer's own password and of nothing else, or the question who they are.
    fn changes_own_password(&self, op: &Op) -> bool {
        let context = &*self.store.context();
        let key = |dn: &Dn| context.schema.dn_key(dn).ok();
        let Actor::User(identity) = &self.actor else { return false };
        let is_own = |dn: &Dn| identity.dn().and_then(key).is_some_and(|own| key(dn) == Some(own));
        match op {
            Op::Modify(modify) => {
                is_own(&modify.dn)
                    && !modify.changes.is_empty()
                    && modify
                        .changes
                        .iter()
                        .all(|change| context.preferred(base(change.attribute.as_str())) == "userPassword")
            }
            Op::Extended(request) if request.oid == WhoAmI::OID => true,
            Op::Extended(request) if request.oid == PasswordModify::OID => {
                // One that cannot be read is refused where it is done.
                PasswordModify::decode(request).ok().and_then(|asked| asked.user).is_none_or(|user| {
                    user.strip_prefix("dn:").unwrap_or(&user).parse().is_ok_and(|dn| is_own(&dn))
                })
            }
            _ => false,
        }
    }
}

/// What is answered to one whose entry is another's or nobody's.
pub(crate) fn gone() -> Failure {
    Failure::refused(
        ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
        "the entry that this connection has bound as was deleted or renamed: bind again",
    )
}

/// Whether controls ask for more than the operation does: what the entry holds, or that it is done for another.
fn tells_more(controls: &Controls) -> bool {
    let more = [PreRead::OID, PostRead::OID, Assertion::OID, ProxiedAuthorization::OID];
    controls.iter().any(|control| more.contains(&control.oid))
}

fn controls_of(step: &BindStep) -> &Controls {
    const NONE: &Controls = &Controls::none();
    match step {
        BindStep::Simple { controls, .. } | BindStep::Sasl { controls, .. } => controls,
        _ => NONE,
    }
}

impl Session for StoreSession {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        self.actor = Actor::Anonymous;
        self.key = OnceLock::new();
        self.account = None;
        *self.must_change.get_mut() = false;
        let exchange = self.exchange.take();
        Box::pin(async move {
            let asked = ppolicy::is_asked(controls_of(&step));
            let bound = tokio::time::timeout_at(
                by.instant(),
                self.store.contained("a bind", self.step(exchange, step, by)),
            )
            .await
            .map_err(|_| Error::new(ErrorKind::Timeout, "the deadline passed before the bind was done"))?;
            match bound {
                Ok(Stepped::On(exchange, credentials)) => {
                    self.exchange = Some(exchange);
                    let outcome = Outcome::new(LdapResult::new(ResultCode::SASL_BIND_IN_PROGRESS));
                    Ok(BindReply::Continue { credentials: Some(credentials.into()), outcome })
                }
                Ok(Stepped::Bound(Bound { actor, account, response, credentials })) => {
                    self.actor = actor.clone();
                    // Not known of any commit yet.
                    (self.account, self.seen) = (account, AtomicU64::new(u64::MAX));
                    *self.must_change.get_mut() =
                        response.error == Some(PasswordPolicyError::CHANGE_AFTER_RESET);
                    let outcome = Outcome { controls: ppolicy::said(response), ..Outcome::success() };
                    let outcome = ppolicy::told(outcome, asked);
                    Ok(BindReply::Done { actor, outcome, credentials })
                }
                Err(failure) => {
                    let mut outcome = failure.into_reply()?;
                    if outcome.controls.is_empty() {
                        // Who asks is answered, whether there is such an account or not.
                        outcome.controls = ppolicy::said(PasswordPolicyResponse::default());
                    }
                    Ok(BindReply::Refused(ppolicy::told(outcome, asked)))
                }
            }
        })
    }
}
