//! One client's session: its operations, and its binds.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Outcome, Peer,
    Protection, Reply, Request, Session,
};
use flext_ldap_proto::{
    control::{ControlScope, ControlValue as _, PersistentSearch, ProxiedAuthorization, scope_of},
    result::LdapResult,
};
use tokio::time::timeout_at;

use crate::{
    carried::{self, Carried},
    clients::{Method, Row},
    mark, mechanism, must_change, password,
    proxy::Shared,
    talk::{Talk, User, Who, over},
};

/// A session of a listener's client.
pub(crate) struct ProxySession {
    talk: Arc<Talk>,
    /// Where what the client does is counted.
    row: Mutex<Option<Arc<Row>>>,
    /// Whether a SASL exchange waits for its next step.
    is_exchanging: bool,
}

impl ProxySession {
    pub(crate) fn new(shared: &Arc<Shared>, peer: Peer) -> Self {
        Self {
            talk: Arc::new(Talk::new(Arc::clone(shared), peer)),
            row: Mutex::default(),
            is_exchanging: false,
        }
    }

    fn is_protected(&self) -> bool {
        self.talk.peer.protection != Protection::Clear
    }

    fn row_of(&self, method: &Method, name: &str) -> Arc<Row> {
        self.talk.shared.clients.row(&self.talk.peer, method, name)
    }

    fn count(&self, request: &Request) {
        let mut row = self.row.lock().unwrap_or_else(PoisonError::into_inner);
        row.get_or_insert_with(|| self.row_of(&Method::Anonymous, "")).asked(&request.op);
    }

    /// Takes a step of a bind upstream.
    async fn bind_upstream(&mut self, mut step: BindStep, by: Deadline) -> Result<BindReply, Error> {
        let talk = Arc::clone(&self.talk);
        // What is opened now is of no use to who comes after.
        talk.abort();
        let Ok(_turn) = timeout_at(by.instant(), talk.turn()).await else {
            talk.set(Who::Nobody, None);
            let message = "operations before the bind had not ended in time";
            return Err(Error::new(ErrorKind::Timeout, message).with_applied(Applied::No));
        };
        let goes_on = std::mem::take(&mut self.is_exchanging) && matches!(step, BindStep::Sasl { .. });
        let last = talk.take();
        // Whoever was bound is not any more, whatever comes of this.
        talk.set(Who::Nobody, None);
        if talk.has_ended() {
            return Err(over());
        }
        if let Some(refusal) = mechanism::refusal(&step) {
            return Ok(BindReply::Refused(Outcome::new(refusal)));
        }
        let last = last.and_then(|last| last.into_session());
        if goes_on && last.is_none() {
            let message = "the server that the exchange was begun with is gone: begin it again";
            return Err(Error::new(ErrorKind::Closed, message));
        }
        let is_new = last.is_none();
        let mut session = match last {
            Some(session) => session,
            None => talk.shared.open(&talk.peer, by).await?,
        };
        let asked = talk.shared.settings.proxied_authorization.then(|| must_change::ask(&mut step));
        let mut reply = session.bind(step.clone(), by).await;
        if let Err(error) = &reply
            && was_not_sent(error)
            && !is_new
            && !goes_on
        {
            // It had ended while nobody used it, so the directory has not heard of the bind.
            session = talk.shared.open(&talk.peer, by).await?;
            reply = session.bind(step.clone(), by).await;
        }
        // A server holds who must change their password to that on the connection they have bound on, and nowhere else.
        let must_change = match &mut reply {
            Ok(
                BindReply::Done { outcome, .. }
                | BindReply::Continue { outcome, .. }
                | BindReply::Refused(outcome),
            ) => asked.is_some_and(|asked| must_change::is_said(outcome, asked)),
            Err(_) => false,
        };
        match &reply {
            Ok(BindReply::Done { actor: Actor::User(identity), .. }) => {
                let actor = Actor::User(identity.clone());
                let keeps = talk.shared.settings.keep_passwords && !goes_on;
                let by_proxy = match identity.dn() {
                    Some(_) if keeps && !must_change && talk.shared.can_act_for_others(by).await => {
                        Some(Arc::from(identity.authorization()))
                    }
                    _ => None,
                };
                let proof = keeps.then(|| Arc::new(step));
                // Without a conversation of their own there is room for somebody else's.
                let conversation = by_proxy
                    .is_none()
                    .then(|| talk.conversation(session, actor.clone(), proof.is_none(), None));
                talk.set(Who::User(User { actor, proof, by_proxy }), conversation);
            }
            // Where no more may be kept, one is opened when something is asked.
            Ok(BindReply::Done { .. }) => {
                let loan = talk.shared.anonymous.try_take(&talk);
                talk.set(Who::Nobody, loan.map(|loan| talk.lent(session, loan)));
            }
            Ok(BindReply::Continue { .. }) => {
                let Some(loan) = talk.shared.exchanges.try_take(&talk) else {
                    let message = "as many sign-ins as may be wait for their next step: begin again later";
                    return Err(Error::new(ErrorKind::Overloaded, message));
                };
                self.is_exchanging = true;
                talk.set(Who::Nobody, Some(talk.lent(session, loan)));
            }
            // The next one begins on a conversation that is surely nobody's.
            Ok(BindReply::Refused(_)) | Err(_) => {}
        }
        reply
    }

    /// Remembers what came of a bind.
    fn remember(&self, method: &Method, reply: &Result<BindReply, Error>) {
        let row = match reply {
            Ok(BindReply::Done { actor: Actor::User(identity), .. }) => {
                let name = identity.dn().map_or_else(|| identity.authorization(), |dn| dn.as_str());
                let row = self.row_of(method, name);
                row.bound();
                row
            }
            Ok(BindReply::Done { .. }) => {
                let row = self.row_of(method, "");
                row.bound();
                row
            }
            Ok(BindReply::Continue { .. }) => return,
            Ok(BindReply::Refused(_)) | Err(_) => {
                self.row_of(method, "").refused();
                self.row_of(&Method::Anonymous, "")
            }
        };
        *self.row.lock().unwrap_or_else(PoisonError::into_inner) = Some(row);
    }
}

/// Whether an operation failed without an octet of it having left.
fn was_not_sent(error: &Error) -> bool {
    error.applied() == Applied::No
        && matches!(error.kind(), ErrorKind::Closed | ErrorKind::Unreachable | ErrorKind::Tls)
}

/// Whether a request can go over any connection: not what belongs to one (cookies, what is not known), what says on whose
/// behalf it is, and what stays. Some servers do not look at controls of extended operations, so these cannot either.
fn can_go_anywhere(request: &Request) -> bool {
    let stays = |oid| oid == &PersistentSearch::OID || scope_of(oid) != ControlScope::EndToEnd;
    !matches!(request.op, flext_ldap_directory::Op::Extended(_))
        && !request.controls.iter().any(|control| stays(&control.oid))
}

impl Directory for ProxySession {
    fn call(&self, mut request: Request) -> Reply {
        self.count(&request);
        let Ok(cookies) = mark::take(&mut request) else {
            return carried::cookie_is_foreign();
        };
        if let Who::User(User { actor, by_proxy: Some(who), .. }) = self.talk.who()
            && actor == request.actor
            && can_go_anywhere(&request)
            && !password::is_changed_by(&request.op, &request.actor)
        {
            let root_dse = crate::root_dse::is_read_by(&request.op).then(|| self.is_protected());
            let mut request = request.critical(&ProxiedAuthorization(who.as_ref().to_owned()));
            request.actor = Actor::Service;
            return carried::over_service(self.talk.shared.upstream.call(request), root_dse);
        }
        Carried::start(&self.talk, request, cookies, self.is_protected())
    }
}

impl Session for ProxySession {
    /// # Cancel safety
    ///
    /// If the future is dropped nobody is bound, and the bind may have been sent, and count.
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async move {
            let method = match &step {
                BindStep::Sasl { mechanism, .. } => Method::Sasl(mechanism::known(mechanism).to_owned()),
                BindStep::Simple { name, password, .. } if name.is_empty() && password.is_empty() => {
                    Method::Anonymous
                }
                _ => Method::Simple,
            };
            let reply = self.bind_upstream(step, by).await;
            self.remember(&method, &reply);
            reply
        })
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LdapResult> {
        self.talk.poll_end(cx)
    }
}

impl Drop for ProxySession {
    fn drop(&mut self) {
        self.talk.abort();
    }
}
