//! A new conversation that is as the last one was: opened, and bound as who was bound.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flext_ldap_directory::{Actor, Applied, BindReply, Deadline, Directory as _, Error, ErrorKind, Session};
use flext_ldap_proto::result::ResultCode;
use tokio::time::Instant;

use crate::{
    lent::Loan,
    proxy::root_dse,
    talk::{Conversation, Talk, User, Who, answers, over},
};

/// How long a bind is waited for, whoever still waits for what comes after it: one that is given up is work done in vain by a
/// server that has too much of it, and is sent again.
const BIND: Duration = Duration::from_secs(20);

/// How long is waited between two tries, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What came of one try.
enum Tried {
    Restored(Arc<Conversation>),
    /// The next may do better.
    Again(Error),
    /// The bind was sent, and nobody knows what came of it.
    Unanswered(Error),
    Failed(Error),
}

impl Talk {
    /// Opens a conversation in place of the last one; for nobody by this loan.
    pub(crate) async fn establish(&self, loan: Option<Arc<Loan>>) -> Result<Arc<Conversation>, Error> {
        let settings = self.shared.settings;
        let by = Deadline::after(settings.restore);
        // One that was lost is a sign that others will be.
        let mut is_suspect = self.take().is_some();
        let who = self.who();
        let (mut pause, most) = PAUSES;
        // Since when no server lets itself be talked to.
        let mut nobody_since = None;
        loop {
            let turn = match is_suspect {
                true => Some(self.shared.turn_to_restore(by).await?),
                false => None,
            };
            // Whoever chooses among servers learns by this that one of them does not answer. One session's question is
            // enough, and who chooses may take its time.
            if is_suspect && let Ok(_asks) = self.shared.asks.try_lock() {
                let within = by.earlier(Deadline::after(2 * settings.probe));
                let probe = root_dse("objectClass", Actor::Service, within);
                if let Err(error) = self.shared.upstream.call(probe.into_any()).outcome().await {
                    tracing::debug!(%error, "no server answers");
                }
            }
            let session = match self.shared.open(&self.peer, by).await {
                Ok(session) => session,
                // Servers fail and come back one after another: for a moment none may seem to be there.
                Err(error)
                    if is_suspect
                        && is_of_the_way(&error)
                        && nobody_since.get_or_insert_with(Instant::now).elapsed() < settings.probe =>
                {
                    tracing::debug!(%error, "no server can be talked to");
                    drop(turn);
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(most);
                    continue;
                }
                Err(error) => return Err(error),
            };
            nobody_since = None;
            let tried = match &who {
                // A password must not be sent to who says nothing: it could not be sent elsewhere then.
                _ if is_suspect && !answers(&*session, Actor::Anonymous, settings.probe).await => {
                    Tried::Again(Error::new(ErrorKind::Unreachable, "the servers behind do not answer"))
                }
                Who::Nobody => return Ok(self.conversation(session, Actor::Anonymous, false, loan)),
                Who::User(user) => self.bind_again(session, user, by).await,
            };
            let error = match tried {
                Tried::Restored(conversation) => {
                    self.unanswered.store(0, Ordering::Relaxed);
                    return Ok(conversation);
                }
                Tried::Failed(error) => return Err(error),
                Tried::Again(error) => error,
                // What ended that connection may be about to end others, and there is one more try only.
                Tried::Unanswered(error) if self.unanswered.fetch_add(1, Ordering::Relaxed) == 0 => {
                    pause = most;
                    error
                }
                Tried::Unanswered(error) => {
                    self.end_with(
                        ResultCode::UNAVAILABLE,
                        "the server behind this proxy was lost, and others did not answer when you were to be signed in there: connect and bind again",
                    );
                    return Err(error);
                }
            };
            tracing::debug!(%error, "a conversation could not be had as the last one was");
            drop(turn);
            is_suspect = true;
            if by.remaining() <= pause {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(most);
        }
    }

    /// Binds as who was bound.
    async fn bind_again(&self, mut session: Box<dyn Session>, user: &User, by: Deadline) -> Tried {
        let Some(proof) = &user.proof else {
            self.end_with(
                ResultCode::UNAVAILABLE,
                "this proxy has no conversation for you any more, and cannot open one: connect and bind again",
            );
            return Tried::Failed(over());
        };
        let why = match session.bind((**proof).clone(), by.earlier(Deadline::after(BIND))).await {
            Ok(BindReply::Done { actor, .. }) if actor == user.actor => {
                return Tried::Restored(self.conversation(session, actor, false, None));
            }
            Ok(BindReply::Refused(outcome))
                if matches!(outcome.result.code, ResultCode::BUSY | ResultCode::UNAVAILABLE) =>
            {
                // That is no verdict about a password.
                return Tried::Again(Error::rejected(outcome));
            }
            Ok(BindReply::Refused(outcome)) => format!(
                "a server behind this proxy was lost, and another one does not take what you signed in with ({}): bind again",
                outcome.result.code
            ),
            Ok(BindReply::Done { .. }) => {
                "a server behind this proxy was lost, and another one takes you for somebody else: bind again".to_owned()
            }
            Ok(BindReply::Continue { .. }) => {
                "a server behind this proxy was lost, and another one wants you to sign in otherwise: bind again".to_owned()
            }
            Err(error) if error.applied() == Applied::No => return Tried::Again(error),
            Err(error) => return Tried::Unanswered(error),
        };
        tracing::warn!(user = ?user.actor, "a user could not be signed in again on another server");
        self.end_with(ResultCode::STRONGER_AUTH_REQUIRED, why);
        Tried::Failed(over())
    }
}

/// Whether the way to a server failed, and may be there again in a moment.
fn is_of_the_way(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Closed | ErrorKind::Timeout | ErrorKind::Tls | ErrorKind::Unreachable)
}
