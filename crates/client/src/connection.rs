//! The connection: a handle that anyone may ask, and the task behind it that owns the socket.

mod helm;
mod inbox;
mod operation;
mod outbox;
mod slot;
mod table;
mod task;

use std::{
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_directory::{
    Actor, Applied, BindReply, BindStep, BoxFuture, Deadline, Directory, DirectoryExt, Error, ErrorKind,
    Identity, Outcome, Reply, Request, Session,
    proto::{
        channel_binding::ChannelBindings,
        message::{Authentication, BindRequest, Limits, Request as Message},
        result::ResultCode,
    },
};
use flext_ldap_sasl::gssapi::SecurityLayer;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

pub(crate) use self::operation::Operation;
use self::{
    helm::{Helm, Hold},
    task::{Command, Task},
};
use crate::{credentials, ending::Ending, exposure::Exposure, trace, transport::Transport};

/// One connection to a server: any number of operations at once, answers matched by message id.
///
/// Opened by [`Connector::connect`](crate::Connector::connect). Share it behind an [`Arc`]; binding needs it alone.
///
/// # Actors
///
/// A connection acts with the rights it was bound with. It carries [`Actor::Service`] always, [`Actor::User`] when
/// that is who its own last bind made it, and [`Actor::Anonymous`] when nobody is bound. Any other actor is refused
/// with [`ErrorKind::NotCarried`], and nothing is sent.
///
/// # An unread search holds back its neighbours
///
/// What arrives for a search waits until its caller reads it, up to a bound
/// ([`ConnectorBuilder::unread`](crate::ConnectorBuilder::unread), 1 MiB). At the bound the connection is not read any
/// more, so that memory does not grow, and the answers to all its other operations wait too; those that run into their
/// deadline meanwhile say so. Read a search to its end, drop it, or give it a connection of its own.
///
/// # The end
///
/// [`close`](Self::close) says goodbye and waits until all is over. Dropping the handle does the same without waiting.
/// Operations in flight then end with [`ErrorKind::Closed`].
pub struct Connection {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    stop: Arc<Stop>,
    task: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    bound: Bound,
    /// The answer to the last bind that succeeded.
    bind_outcome: Option<Outcome>,
    exposure: Exposure,
    tls_version: Option<&'static str>,
    bindings: ChannelBindings,
    is_bare: bool,
}

/// Dropping what it holds tells the task to end.
type Stop = Mutex<Option<oneshot::Sender<()>>>;

/// Ends a connection that belongs to somebody else.
#[derive(Debug)]
pub(crate) struct Stopper(Weak<Stop>);

/// What one connection may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) limits: Limits,
    pub(crate) in_flight: usize,
    pub(crate) unread: usize,
    /// How long a late write may take to be settled.
    pub(crate) settling: Duration,
}

impl Bounds {
    pub(crate) const MOST_IN_FLIGHT: usize = 4096;
    pub(crate) const DEFAULT: Self =
        Self { limits: Limits::DEFAULT, in_flight: 1024, unread: 1 << 20, settling: Duration::ZERO };
}

/// What handle, replies and task all see.
#[derive(Debug)]
struct Shared {
    /// What messages call the server.
    server: String,
    /// One permit per operation in flight.
    permits: Arc<Semaphore>,
    /// How many permits there are.
    most_in_flight: usize,
    /// Set once, before the queue of commands closes.
    ending: OnceLock<Ending>,
    /// Octets received and not read by their callers.
    unread: AtomicUsize,
    /// Answers that came after their operation was given up.
    late: AtomicU64,
    helm: Helm,
    /// Whether the task leaves the socket to lone callers, and listens to it only after a tick. Changed by who has the helm.
    is_left: AtomicBool,
    /// A success of a bind may be the last message before a security layer: nothing is read after it until
    /// [`Helm::go_on`].
    awaits_layer: AtomicBool,
}

/// Whether a success is to be believed, by what the server's mechanism sent along, and what protects the rest.
type Believe<'a> = dyn FnMut(Option<&[u8]>) -> Result<Option<SecurityLayer>, Error> + Send + 'a;

/// Who the server takes this connection for.
enum Bound {
    Anonymous,
    User(Identity),
    /// A bind is under way, or was given up before it was sent.
    Unclear,
    /// A SASL exchange waits for its next step.
    HalfWay,
}

impl Connection {
    pub(crate) fn start(transport: Transport, server: String, exposure: Exposure, bounds: Bounds) -> Self {
        let shared = Arc::new(Shared {
            server,
            permits: Arc::new(Semaphore::new(bounds.in_flight)),
            most_in_flight: bounds.in_flight,
            ending: OnceLock::new(),
            unread: AtomicUsize::new(0),
            late: AtomicU64::new(0),
            helm: Helm::default(),
            is_left: AtomicBool::new(false),
            awaits_layer: AtomicBool::new(false),
        });
        // An operation in flight has at most its call and one later word of its caller in the queue; the rest is for
        // words about operations that ended meanwhile. So there is always room for those who hold a permit.
        let (commands, queue) = mpsc::channel(bounds.in_flight.saturating_mul(4));
        let (stop, stopped) = oneshot::channel();
        let tls_version = transport.tls_version();
        let bindings = transport.bindings();
        let is_bare = transport.is_bare();
        shared.helm.give(Task::new(transport, queue, stopped, Arc::clone(&shared), bounds));
        let task = Task::run(Hold(Arc::clone(&shared)));
        Self {
            commands,
            shared,
            stop: Arc::new(Mutex::new(Some(stop))),
            task: tokio::sync::Mutex::new(Some(tokio::spawn(task))),
            bound: Bound::Anonymous,
            bind_outcome: None,
            exposure,
            tls_version,
            bindings,
            is_bare,
        }
    }

    /// Who the server takes this connection for, or `None` in the middle of a SASL exchange and after a bind that was
    /// given up.
    #[must_use]
    pub fn actor(&self) -> Option<Actor> {
        match &self.bound {
            Bound::Anonymous => Some(Actor::Anonymous),
            Bound::User(identity) => Some(Actor::User(identity.clone())),
            Bound::Unclear | Bound::HalfWay => None,
        }
    }

    /// The server's answer to the last bind, if it let this connection in: its controls say what the password policy has
    /// to say, where the bind asked for it. `None` before the first bind, and after one that was refused or given up.
    ///
    /// ```no_run
    /// # use flext_ldap_client::Connection;
    /// # fn example(connection: &Connection) -> Result<(), flext_ldap_directory::proto::ber::DecodeError> {
    /// use flext_ldap_directory::proto::{control::PasswordPolicyResponse, message::Limits};
    ///
    /// if let Some(outcome) = connection.bind_outcome() {
    ///     let policy: Option<PasswordPolicyResponse> = outcome.controls.get(&Limits::DEFAULT)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub const fn bind_outcome(&self) -> Option<&Outcome> {
        self.bind_outcome.as_ref()
    }

    /// Whether nobody on the way can listen: TLS, a Unix socket, or the loopback interface.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        self.exposure == Exposure::Guarded
    }

    /// Which version of TLS protects it, like `TLS 1.3`, if any does.
    #[must_use]
    pub const fn tls_version(&self) -> Option<&'static str> {
        self.tls_version
    }

    /// Whether the connection has ended, for whatever reason. After an operation that was alone on it, an end the server
    /// made is heard up to two tenths of a second late.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.ending.get().is_some()
    }

    /// Waits until the connection ends, and says why.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: it changes nothing.
    pub async fn closed(&self) -> Error {
        self.commands.closed().await;
        self.shared.error_later()
    }

    /// Says goodbye (unbind, RFC 4511 §4.3; with TLS its close_notify), and waits until the connection's task has
    /// ended: at most two seconds where the server does not take what is left to say.
    ///
    /// Operations in flight end with [`ErrorKind::Closed`]. Closing again does nothing more.
    ///
    /// # Cancel safety
    ///
    /// The connection is closed as soon as this is first polled; dropping the future only ends the waiting.
    pub async fn close(&self) {
        drop(self.stop.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut task = self.task.lock().await;
        if let Some(handle) = task.as_mut() {
            // The task ends in no other way than by returning, unless its runtime is shut down under it.
            if let Err(error) = handle.await {
                tracing::debug!(server = self.shared.server, %error, "connection task did not end by itself");
            }
            *task = None;
        }
    }

    /// Octets received for searches and not read by their callers yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.shared.unread.load(Ordering::Relaxed)
    }

    /// Answers that came after their operation was abandoned, timed out or done, and those to Cancel. They were dropped.
    #[must_use]
    pub fn late_answers(&self) -> u64 {
        self.shared.late.load(Ordering::Relaxed)
    }

    /// What this connection can be told by, if it is inside TLS.
    pub(crate) const fn bindings(&self) -> &ChannelBindings {
        &self.bindings
    }

    /// Operations in flight, also those whose callers have gone.
    pub(crate) fn in_flight(&self) -> usize {
        self.shared.most_in_flight.saturating_sub(self.shared.permits.available_permits())
    }

    /// Whether the connection is open, and the server has said nothing on it that nobody has heard yet.
    ///
    /// Where nothing is in flight this asks the socket itself, one system call, so that an end the server has made is
    /// seen before anything is sent.
    pub(crate) fn is_silent(&self) -> bool {
        !self.is_closed() && self.shared.helm.is_silent()
    }

    /// Whether nothing is in flight and the runtime knows of something that the server has said: all that can be told
    /// without asking the socket. What the task hears by itself is not looked for.
    pub(crate) fn may_have_news(&self) -> bool {
        self.shared.is_left.load(Ordering::Relaxed) && self.shared.helm.may_have_news()
    }

    /// What ends this connection from elsewhere.
    pub(crate) fn stopper(&self) -> Stopper {
        Stopper(Arc::downgrade(&self.stop))
    }

    /// Starts an operation as [`call`](Directory::call) does, without a box around it.
    pub(crate) fn start_operation(&self, request: Request) -> Result<Operation, Error> {
        self.carries(&request.actor)?;
        self.exposure.check_op(&request.op)?;
        Ok(Operation::call(self, request))
    }

    fn carries(&self, actor: &Actor) -> Result<(), Error> {
        let refusal = match (actor, &self.bound) {
            (_, Bound::HalfWay) => {
                return Err(Error::new(
                    ErrorKind::Misuse,
                    "a SASL exchange waits for its next step: finish the bind, or bind anew",
                ));
            }
            (Actor::Service, _) | (Actor::Anonymous, Bound::Anonymous) => return Ok(()),
            (Actor::User(one), Bound::User(other)) if one == other => return Ok(()),
            (Actor::Anonymous, _) => {
                "this connection is bound, so it cannot act for somebody anonymous: open another"
            }
            (Actor::User(_), _) => "this connection is not bound as this user: open another and bind it",
        };
        Err(Error::new(ErrorKind::NotCarried, refusal))
    }

    /// Whether nothing protects this connection but a security layer, if there is one.
    pub(crate) const fn is_bare(&self) -> bool {
        self.is_bare
    }

    /// Has whoever reads stop after the success of a bind, for a layer may begin there.
    pub(crate) fn await_layer(&self) {
        self.shared.awaits_layer.store(true, Ordering::Relaxed);
    }

    /// Goes on after such a success, inside `layer` if there is one.
    fn protect(&mut self, layer: Option<SecurityLayer>) {
        if !self.shared.awaits_layer.swap(false, Ordering::Relaxed) {
            return;
        }
        if let Some(layer) = &layer {
            tracing::debug!(
                server = self.shared.server,
                strength = layer.strength(),
                "a security layer is agreed on"
            );
            if layer.seals() {
                self.exposure = Exposure::Guarded;
            }
        }
        self.shared.helm.go_on(layer);
    }

    /// One step of a bind, on the wire. `believe` is asked whether a success is to be believed, with what came along.
    pub(crate) async fn bind_on_wire(
        &mut self,
        step: BindStep,
        by: Deadline,
        believe: &mut Believe<'_>,
    ) -> Result<BindReply, Error> {
        credentials::check(&step)?;
        self.exposure.check_bind(&step)?;
        let (name, mechanism, message, controls) = match step {
            BindStep::Simple { name, password, controls } => {
                let authentication = Authentication::Simple(password);
                let message = BindRequest { version: 3, name: name.clone(), authentication };
                (name, None, message, controls)
            }
            BindStep::Sasl { mechanism, credentials, controls } => {
                let authentication = Authentication::Sasl { mechanism: mechanism.clone(), credentials };
                (
                    String::new(),
                    Some(mechanism),
                    BindRequest { version: 3, name: String::new(), authentication },
                    controls,
                )
            }
            _ => return Err(Error::new(ErrorKind::Misuse, "a kind of bind this client does not know")),
        };
        let before = std::mem::replace(&mut self.bound, Bound::Unclear);
        let answered = self.bind_outcome.take();
        let bind = Operation::bind(self, Message::Bind(message), controls, by);
        let mut outcome = match Reply::events(bind).outcome().await {
            Ok(outcome) => outcome,
            Err(error) => {
                // What was never sent changed nothing.
                if error.applied() == Applied::No {
                    (self.bound, self.bind_outcome) = (before, answered);
                }
                return Err(error);
            }
        };
        let credentials = outcome.value.take();
        match outcome.result.code {
            ResultCode::SUCCESS => {
                let layer = believe(credentials.as_deref())?;
                self.protect(layer);
                let actor = match mechanism {
                    None => named(&name),
                    // What failed is a read; the bind has been sent, and counted.
                    Some(mechanism) => {
                        let asked = self.ask_identity(&mechanism, by).await;
                        asked.map_err(|error| error.with_applied(Applied::Unknown))?
                    }
                };
                self.bound = match &actor {
                    Actor::User(identity) => Bound::User(identity.clone()),
                    Actor::Service | Actor::Anonymous => Bound::Anonymous,
                };
                self.bind_outcome = Some(outcome.clone());
                Ok(BindReply::Done { actor, outcome, credentials })
            }
            ResultCode::SASL_BIND_IN_PROGRESS if mechanism.is_some() => {
                self.bound = Bound::HalfWay;
                Ok(BindReply::Continue { credentials, outcome })
            }
            _ => {
                // A refused bind leaves the connection anonymous (RFC 4511 §4.2.1).
                self.bound = Bound::Anonymous;
                Ok(BindReply::Refused(outcome))
            }
        }
    }

    /// Who a SASL bind has made this connection: what Who Am I says (RFC 4532). Where the server does not offer it,
    /// the identity is `sasl:` and the mechanism, which no directory gives out.
    async fn ask_identity(&self, mechanism: &str, by: Deadline) -> Result<Actor, Error> {
        use flext_ldap_directory::proto::extended::{ExtendedOperation, WhoAmI};
        let question = Request::new(WhoAmI.request(), Actor::Service).until(by);
        let authorization = match self.extended::<WhoAmI>(question).await {
            Ok(authorization) => authorization,
            Err(error) if error.kind() == ErrorKind::Rejected => format!("sasl:{mechanism}"),
            Err(error) => return Err(error),
        };
        Ok(match authorization.as_str() {
            "" | "dn:" => Actor::Anonymous,
            _ => Actor::User(Identity::from_successful_bind_as(authorization)),
        })
    }
}

/// Who a successful simple bind with this name has made a connection.
fn named(name: &str) -> Actor {
    if name.is_empty() {
        return Actor::Anonymous;
    }
    Actor::User(match name.parse() {
        Ok(dn) => Identity::from_successful_bind(dn),
        Err(_) => Identity::from_successful_bind_as(format!("u:{name}")),
    })
}

impl Stopper {
    /// Ends the connection as dropping it would. Returns whether it was still there.
    pub(crate) fn stop(&self) -> bool {
        let Some(stop) = self.0.upgrade() else { return false };
        let stop = stop.lock().unwrap_or_else(PoisonError::into_inner).take();
        stop.is_some()
    }
}

impl Shared {
    /// The error for what is asked of a connection that has ended.
    fn error_later(&self) -> Error {
        match self.ending.get() {
            Some(ending) => ending.error_later(),
            None => Error::new(ErrorKind::Closed, format!("the connection to {} is ending", self.server)),
        }
    }
}

impl Directory for Connection {
    /// Starts at once if there is room, or else when the reply is polled and others have ended.
    fn call(&self, request: Request) -> Reply {
        match self.start_operation(request) {
            Ok(operation) => Reply::events(operation),
            Err(error) => Reply::ready(Err(error)),
        }
    }
}

impl Session for Connection {
    /// Waits until every operation in flight has ended, sends the bind alone (RFC 4511 §4.2.1), and waits for its
    /// answer, all until `by`.
    ///
    /// A bind that could not be sent in time changes nothing. One that was sent and then timed out ends the connection:
    /// nobody could tell who is bound.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: when the future is dropped after the bind was sent, the connection ends. Dropped before, it
    /// leaves a connection that carries nobody but [`Actor::Service`] until it is bound anew.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::EmptyPassword`], [`ErrorKind::Confidentiality`] and [`ErrorKind::Misuse`] before anything is sent;
    /// [`ErrorKind::Timeout`] and [`ErrorKind::Closed`] when no answer came. A refusal is no error, but
    /// [`BindReply::Refused`].
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        Box::pin(async move {
            let server = self.shared.server.clone();
            trace::bind(&server, self.bind_on_wire(step, by, &mut |_| Ok(None))).await
        })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("server", &self.shared.server)
            .field("closed", &self.is_closed())
            .finish()
    }
}
