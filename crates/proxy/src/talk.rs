//! The upstream conversation of one session: whose it is, whether it is there, and how it gets another.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use flext_ldap_directory::{
    Actor, Applied, BindStep, BoxFuture, Deadline, Error, ErrorKind, Peer, Reply, Request, Session,
};
use flext_ldap_proto::result::{LdapResult, ResultCode};
use tokio::{
    sync::{Mutex as AsyncMutex, oneshot},
    task::JoinSet,
    time::Instant,
};

use crate::{
    lent::Loan,
    mark::Mark,
    proxy::{Shared, root_dse},
};

/// What a session and its replies share.
pub(crate) struct Talk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) peer: Peer,
    state: Mutex<State>,
    /// Held by who opens or binds: one at a time.
    turn: Arc<AsyncMutex<()>>,
    /// What opens and binds again goes on when the operation that asked for it is abandoned: a bind that was sent counts.
    /// Ended with the session.
    openings: Mutex<JoinSet<()>>,
    end: Mutex<End>,
    /// Binds that were sent again since the last one that succeeded, and had no answer.
    pub(crate) unanswered: AtomicU32,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Conversation>>,
    who: Who,
}

#[derive(Default)]
struct End {
    why: Option<LdapResult>,
    waker: Option<Waker>,
}

/// Who the client has proved to be.
#[derive(Clone, Default)]
pub(crate) enum Who {
    #[default]
    Nobody,
    User(User),
}

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) actor: Actor,
    /// What proves it once more, if it is kept and one step is enough.
    pub(crate) proof: Option<Arc<BindStep>>,
    /// As whom the upstream's own connections can act: an authorization id.
    pub(crate) by_proxy: Option<Arc<str>>,
}

/// A conversation with one server.
pub(crate) struct Conversation {
    pub(crate) mark: Mark,
    session: Box<dyn Session>,
    /// Of who has not signed in. Given back after the session.
    loan: Option<Arc<Loan>>,
    actor: Actor,
    /// Whether there is nothing left that would open the next one as this one is.
    is_last: AtomicBool,
    is_lost: AtomicBool,
    is_probed: AtomicBool,
    /// Searches of which something was delivered and is not asked for more: while there are any, the connection may be
    /// held back, and that it says nothing means nothing.
    pub(crate) held: AtomicUsize,
    heard: Mutex<Instant>,
}

impl Talk {
    pub(crate) fn new(shared: Arc<Shared>, peer: Peer) -> Self {
        Self {
            shared,
            peer,
            state: Mutex::default(),
            turn: Arc::default(),
            openings: Mutex::default(),
            end: Mutex::default(),
            unanswered: AtomicU32::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn who(&self) -> Who {
        self.state().who.clone()
    }

    /// Says who the client is from now on, and which conversation is theirs.
    pub(crate) fn set(&self, who: Who, current: Option<Arc<Conversation>>) {
        let former = std::mem::replace(&mut *self.state(), State { current, who });
        drop(former);
    }

    /// Whose conversation this is has, or may have, another password than the one that is kept: sent again it would count as
    /// a wrong one.
    pub(crate) fn forget_proof(&self, of: &Conversation) {
        let mut state = self.state();
        match &mut state.who {
            Who::User(user) if user.actor == of.actor => user.proof = None,
            _ => return,
        }
        if let Some(current) = &state.current {
            current.is_last.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the conversation away.
    pub(crate) fn take(&self) -> Option<Arc<Conversation>> {
        self.state().current.take()
    }

    /// The conversation, if there is one.
    pub(crate) fn current(&self) -> Option<Arc<Conversation>> {
        self.state().current.clone().filter(|current| !current.is_lost())
    }

    /// Since when a conversation that was lent has been there for nothing, if it is.
    pub(crate) fn rests_since(&self) -> Option<Instant> {
        let state = self.state();
        let current = state.current.as_ref().filter(|current| is_at_rest(current))?;
        let heard = current.heard.lock().unwrap_or_else(PoisonError::into_inner);
        Some(*heard)
    }

    /// Gives a conversation back that was lent, and is there for nothing.
    pub(crate) fn give_back(&self) {
        let given = self.state().current.take_if(|current| is_at_rest(current));
        drop(given);
    }

    /// What the conversation that was lost was lent by.
    fn loan(&self) -> Option<Arc<Loan>> {
        self.state().current.as_ref()?.loan.clone()
    }

    /// Waits until nobody else opens or binds.
    pub(crate) fn turn(&self) -> impl Future<Output = tokio::sync::OwnedMutexGuard<()>> + Send + 'static {
        Arc::clone(&self.turn).lock_owned()
    }

    /// The conversation: the one there is, or a new one that is bound as the last one was.
    pub(crate) fn obtain(
        self: &Arc<Self>,
        by: Deadline,
    ) -> BoxFuture<'static, Result<Arc<Conversation>, Error>> {
        let talk = Arc::clone(self);
        Box::pin(async move {
            let obtained = tokio::time::timeout_at(by.instant(), talk.obtain_in_turn(by)).await;
            let obtained = obtained.unwrap_or_else(|_| {
                let message = "the conversation with a server that the operation needs was not there in time";
                Err(Error::new(ErrorKind::Timeout, message))
            });
            // What may have been done is the bind, not the operation.
            obtained.map_err(|error| error.with_applied(Applied::No))
        })
    }

    async fn obtain_in_turn(self: &Arc<Self>, by: Deadline) -> Result<Arc<Conversation>, Error> {
        let turn = self.turn().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if self.end().why.is_some() {
            return Err(over());
        }
        // Waited for here, and not in the task below: who goes waits for nothing any more.
        let loan = match (self.who(), self.loan()) {
            (Who::User(_), _) => None,
            (Who::Nobody, Some(loan)) => Some(loan),
            (Who::Nobody, None) => Some(Arc::new(self.shared.anonymous.take(self, by).await?)),
        };
        let (tell, told) = oneshot::channel();
        let talk = Arc::clone(self);
        {
            let mut openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
            while openings.try_join_next().is_some() {}
            openings.spawn(async move {
                let opened = talk.establish(loan).await;
                if let Ok(conversation) = &opened {
                    talk.state().current = Some(Arc::clone(conversation));
                }
                drop(turn);
                // Who asked for it may have gone: then it is there for the next.
                let _: Result<(), _> = tell.send(opened);
            });
        }
        told.await.unwrap_or_else(|_| match self.has_ended() {
            true => Err(over()),
            false => Err(Error::new(ErrorKind::Closed, "the client has bound anew, or has gone")),
        })
    }

    /// A conversation over this session.
    pub(crate) fn conversation(
        &self,
        session: Box<dyn Session>,
        actor: Actor,
        is_last: bool,
        loan: Option<Arc<Loan>>,
    ) -> Arc<Conversation> {
        Arc::new(Conversation {
            mark: self.shared.marks.next(),
            session,
            loan,
            actor,
            is_last: AtomicBool::new(is_last),
            is_lost: AtomicBool::new(false),
            is_probed: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            heard: Mutex::new(Instant::now()),
        })
    }

    /// A conversation of nobody.
    pub(crate) fn lent(&self, session: Box<dyn Session>, loan: Loan) -> Arc<Conversation> {
        self.conversation(session, Actor::Anonymous, false, Some(Arc::new(loan)))
    }

    /// A conversation was lost. Where there can be no other like it the session is over.
    pub(crate) fn lost(&self, conversation: &Conversation) {
        conversation.is_lost.store(true, Ordering::Relaxed);
        if conversation.is_last() {
            self.end_with(
                ResultCode::UNAVAILABLE,
                "the server behind this proxy is gone, and the proxy cannot sign you in elsewhere: connect and bind again",
            );
        }
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the session: its peer is told this.
    pub(crate) fn end_with(&self, code: ResultCode, why: impl Into<String>) {
        let mut end = self.end();
        if end.why.is_none() {
            end.why = Some(LdapResult::with_diagnostic(code, why));
        }
        let waker = end.waker.take();
        drop(end);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll_end(&self, cx: &Context<'_>) -> Poll<LdapResult> {
        let mut end = self.end();
        match &end.why {
            Some(why) => Poll::Ready(why.clone()),
            None => {
                if !end.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    end.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Whether the session is over.
    pub(crate) fn has_ended(&self) -> bool {
        self.end().why.is_some()
    }

    /// Ends what is being opened.
    pub(crate) fn abort(&self) {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// Whether a conversation was lent and nothing goes on on it. Only who holds the lock of the state it is in can tell.
fn is_at_rest(current: &Arc<Conversation>) -> bool {
    current.loan.is_some() && Arc::strong_count(current) == 1
}

/// The error for what is asked of a session that is over.
pub(crate) fn over() -> Error {
    Error::new(ErrorKind::Unreachable, "the session is over: the client has been told why")
}

impl Conversation {
    /// Asks the server, if the conversation is that of who asks.
    pub(crate) fn call(&self, request: Request) -> Reply {
        if request.actor == self.actor {
            return self.session.call(request);
        }
        let message = "the conversation with the server is somebody else's than who asks";
        Reply::ready(Err(Error::new(ErrorKind::NotCarried, message)))
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// Notes that the server has said something.
    pub(crate) fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long the server has said nothing that it could have said.
    pub(crate) fn silence(&self) -> Duration {
        match self.held.load(Ordering::Relaxed) {
            0 => self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed(),
            _ => Duration::ZERO,
        }
    }

    /// Asks the server for what it can say at once, unless somebody does already. Whether it has said anything; what it
    /// says nothing to is lost.
    pub(crate) fn probe(self: &Arc<Self>, time: Duration) -> Option<BoxFuture<'static, bool>> {
        if self.is_probed.swap(true, Ordering::Relaxed) {
            return None;
        }
        let probed = Probed(Arc::clone(self));
        Some(Box::pin(async move {
            let answered = answers(&*probed.0.session, probed.0.actor.clone(), time).await;
            if answered {
                probed.0.heard();
            }
            answered
        }))
    }

    /// The session, if nobody else has it.
    pub(crate) fn into_session(self: Arc<Self>) -> Option<Box<dyn Session>> {
        if self.is_lost() {
            return None;
        }
        Arc::into_inner(self).map(|conversation| conversation.session)
    }
}

/// Whether a session answers within this time.
pub(crate) async fn answers(session: &dyn Session, actor: Actor, time: Duration) -> bool {
    let request = root_dse("objectClass", actor, Deadline::after(time)).into_any();
    match session.call(request).outcome().await {
        Ok(_) => true,
        // As many as may be are under way on it; that is no sign of death.
        Err(error) => error.kind() == ErrorKind::Overloaded,
    }
}

/// Gives the turn of probing back.
struct Probed(Arc<Conversation>);

impl Drop for Probed {
    fn drop(&mut self) {
        self.0.is_probed.store(false, Ordering::Relaxed);
    }
}
