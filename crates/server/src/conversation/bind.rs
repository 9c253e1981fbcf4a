//! Binds: when they start, what is refused before the directory sees it, and who acts afterwards.

use std::task::{Context, Poll};

use flext_ldap_directory::{Actor, BindReply, BindStep, Deadline, Error, Outcome, PeerAddress, Protection};
use flext_ldap_proto::{
    control::Controls,
    message::{Authentication, BindRequest, BindResponse, MessageId, Response},
    result::{LdapResult, ResultCode},
};
use tokio::time::Instant;

use super::{Binding, Conversation, Stage, Story};
use crate::answer;

impl Conversation<'_> {
    pub(super) fn poll_binding(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(mut binding) = self.binding.take() else { return false };
        match binding.stage {
            Stage::Waiting(request, controls) => {
                // RFC 4511 §4.2.1: what is under way ends before a bind begins, and they would not by themselves.
                self.end_persistent(ResultCode::UNWILLING_TO_PERFORM, "a bind ends persistent searches");
                if !self.running.is_empty() {
                    binding.stage = Stage::Waiting(request, controls);
                    self.binding = Some(binding);
                    return false;
                }
                self.begin_bind(binding.id, binding.story, request, controls);
                true
            }
            Stage::Stepping { mut future, by, refusal } => match future.as_mut().poll(cx) {
                Poll::Pending => {
                    binding.stage = Stage::Stepping { future, by, refusal };
                    self.binding = Some(binding);
                    false
                }
                Poll::Ready((session, reply)) => {
                    self.session = Some(session);
                    self.last_active = Instant::now();
                    self.end_bind(binding.id, &binding.story, refusal, reply);
                    true
                }
            },
        }
    }

    fn begin_bind(&mut self, id: MessageId, story: Story, request: BindRequest, controls: Controls) {
        // Whoever was bound is not any more, whatever comes of this (RFC 4511 §4.2.1).
        self.actor = Actor::Anonymous;
        let (step, refusal) = match self.refuse_rated_bind().or_else(|| self.refuse_bind(&request)) {
            Some(refusal) => {
                self.exchanging = false;
                if !self.touched {
                    let code = refusal.code;
                    let response = answer::bind(refusal);
                    return self.answer(id, &story, &response, code, &Controls::none(), 0);
                }
                (BindStep::anonymous(), Some(refusal))
            }
            None => {
                let step = match request.authentication {
                    Authentication::Sasl { mechanism, credentials } => {
                        BindStep::Sasl { mechanism, credentials, controls }
                    }
                    Authentication::Simple(password) => {
                        BindStep::Simple { name: request.name, password, controls }
                    }
                    _ => BindStep::anonymous(), // Refused before.
                };
                (step, None)
            }
        };
        let Some(mut session) = self.session.take() else {
            return self.notice(ResultCode::OTHER, "internal error"); // Unreachable: one bind at a time.
        };
        self.touched = refusal.is_none();
        let by = Deadline::after(self.shared.limits.bind);
        let future = Box::pin(async move {
            let reply = session.bind(step, by).await;
            (session, reply)
        });
        self.binding = Some(Binding { id, story, stage: Stage::Stepping { future, by, refusal } });
    }

    /// What is refused before the directory sees it.
    fn refuse_bind(&self, request: &BindRequest) -> Option<LdapResult> {
        let refused = |code, why: &str| Some(LdapResult::with_diagnostic(code, why));
        if request.version != 3 {
            return refused(ResultCode::PROTOCOL_ERROR, "only LDAP version 3 is spoken here");
        }
        let (carries_password, needs_name) = match &request.authentication {
            Authentication::Simple(password) => {
                (!password.is_empty(), password.is_empty() && !request.name.is_empty())
            }
            Authentication::Sasl { mechanism, .. } => {
                (mechanism.eq_ignore_ascii_case("PLAIN") || mechanism.eq_ignore_ascii_case("LOGIN"), false)
            }
            _ => return refused(ResultCode::AUTH_METHOD_NOT_SUPPORTED, "only simple and SASL binds"),
        };
        if needs_name {
            // RFC 4513 §5.1.2: some would take it for success.
            return refused(ResultCode::UNWILLING_TO_PERFORM, "a name without a password proves nothing");
        }
        if carries_password && !self.is_confidential() {
            return refused(ResultCode::CONFIDENTIALITY_REQUIRED, "use TLS before sending a password");
        }
        None
    }

    /// Whether what the peer sends stays between the two: TLS, or it never leaves the machine.
    fn is_confidential(&self) -> bool {
        match (self.connection.peer.protection, self.connection.peer.address) {
            (Protection::Tls | Protection::Local, _) => true,
            (_, PeerAddress::Tcp(address)) => address.ip().is_loopback(),
            _ => false,
        }
    }

    fn end_bind(
        &mut self,
        id: MessageId,
        story: &Story,
        refusal: Option<LdapResult>,
        reply: Result<BindReply, Error>,
    ) {
        self.exchanging = false;
        let (outcome, credentials) = match (refusal, reply) {
            (Some(refusal), _) => (Outcome::new(refusal), None),
            (None, Ok(BindReply::Done { actor, outcome, credentials })) => {
                // A peer never acts as the program itself, whatever a session says.
                self.actor = if actor == Actor::Service { Actor::Anonymous } else { actor };
                (outcome, credentials)
            }
            (None, Ok(BindReply::Continue { credentials, outcome })) => {
                self.exchanging = true;
                (outcome, credentials)
            }
            (None, Ok(BindReply::Refused(outcome))) => (outcome, None),
            (None, Err(error)) => (Outcome::new(self.answer_to(&error, story.number)), None),
        };
        let code = outcome.result.code;
        let response =
            Response::Bind(BindResponse { result: outcome.result, server_credentials: credentials });
        self.answer(id, story, &response, code, &outcome.controls, 0);
    }
}
