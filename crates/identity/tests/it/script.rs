//! Directories that answer as they are told, for what the embedded one does not do.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, Event, Events, Identity, Op, Outcome,
    Peer, Reply, Request, Session, Sessions,
};
use flext_ldap_proto::{
    attribute::Attributes,
    batch::BatchWriter,
    control::Controls,
    message::Search,
    result::{LdapResult, ResultCode},
};

/// A directory asked as nobody in particular.
pub(crate) struct AsAnonymous<D>(pub(crate) D);

impl<D: Directory> Directory for AsAnonymous<D> {
    fn call(&self, mut request: Request) -> Reply {
        request.actor = Actor::Anonymous;
        self.0.call(request)
    }
}

/// An entry to answer with.
pub(crate) type Row = (String, Vec<(&'static str, Vec<Vec<u8>>)>);

/// What finds the rows for a search, and the code to end with.
type Find = Box<dyn Fn(&Search) -> (Vec<Row>, ResultCode) + Send + Sync>;

/// Answers searches by a function, as far as their size limit goes, and keeps them.
#[derive(Clone)]
pub(crate) struct Rows(Arc<Find>, Arc<Mutex<Vec<Search>>>);

impl Rows {
    pub(crate) fn new(find: impl Fn(&Search) -> (Vec<Row>, ResultCode) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Box::new(find)), Arc::default())
    }

    pub(crate) fn searches(&self) -> Vec<Search> {
        self.1.lock().unwrap().clone()
    }
}

impl Directory for Rows {
    fn call(&self, request: Request) -> Reply {
        let Op::Search(search) = request.op else { panic!("only searches are scripted") };
        assert_eq!(request.actor, Actor::Service);
        let (mut rows, mut code) = (self.0)(&search);
        let limit = search.size_limit as usize;
        if limit > 0 && rows.len() > limit {
            rows.truncate(limit);
            code = ResultCode::SIZE_LIMIT_EXCEEDED;
        }
        self.1.lock().unwrap().push(search);
        let mut writer = BatchWriter::new();
        for (name, attributes) in &rows {
            let mut list = Attributes::builder();
            for (description, values) in attributes {
                list.push(description, values);
            }
            writer.entry(name, &Controls::none(), |writer| writer.raw(&list.build().into_bytes()));
        }
        let done = Event::Done(Outcome::new(LdapResult::new(code)));
        Reply::events(Steps(VecDeque::from([Event::Batch(writer.take()), done])))
    }
}

struct Steps(VecDeque<Event>);

impl Events for Steps {
    fn poll_next(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        Poll::Ready(Ok(self.0.pop_front().unwrap()))
    }
}

/// A bind or an operation that a scripted conversation was sent.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    Bind { name: String, password: String },
    Op(Op, Actor),
}

/// Answers each bind, and each operation on the conversation, with the next answer of a list.
#[derive(Clone, Default)]
pub(crate) struct Conversations {
    answers: Arc<Mutex<VecDeque<Result<Outcome, Error>>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Conversations {
    pub(crate) fn new(answers: impl IntoIterator<Item = Result<Outcome, Error>>) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.into_iter().collect())), sent: Arc::default() }
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.sent.lock().unwrap())
    }

    fn next(&self, sent: Sent) -> Result<Outcome, Error> {
        self.sent.lock().unwrap().push(sent);
        self.answers.lock().unwrap().pop_front().expect("nothing more was to be sent")
    }
}

impl Sessions for Conversations {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let session: Box<dyn Session> = Box::new(self.clone());
        Box::pin(async { Ok(session) })
    }
}

impl Directory for Conversations {
    fn call(&self, request: Request) -> Reply {
        Reply::ready(self.next(Sent::Op(request.op, request.actor)))
    }
}

impl Session for Conversations {
    fn bind(&mut self, step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        let BindStep::Simple { name, password, .. } = step else { panic!("only simple binds are sent") };
        let password = String::from_utf8(password.expose().to_vec()).unwrap();
        let actor = Actor::User(Identity::from_successful_bind_as(format!("dn:{name}")));
        let answer = self.next(Sent::Bind { name, password });
        Box::pin(async {
            let outcome = answer?;
            Ok(match outcome.result.code {
                ResultCode::SUCCESS => BindReply::Done { actor, outcome, credentials: None },
                _ => BindReply::Refused(outcome),
            })
        })
    }
}

pub(crate) fn success() -> Result<Outcome, Error> {
    Ok(Outcome::success())
}

pub(crate) fn refused(code: ResultCode, diagnostic: &str) -> Result<Outcome, Error> {
    Ok(LdapResult::with_diagnostic(code, diagnostic).into())
}
