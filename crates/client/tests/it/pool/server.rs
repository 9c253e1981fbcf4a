//! A small server: it answers what the entry's name says, and remembers what came over which connection.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use flext_ldap_client::{Connector, ConnectorBuilder, Credentials, Pool, PoolBuilder};
use flext_ldap_directory::{
    Actor, Deadline, Request,
    proto::{
        ber::frame_length,
        message::{
            Authentication, BindResponse, Envelope, ExtendedResponse, Limits, MessageId, Request as Message,
            Response, Scope, Search,
        },
        result::{LdapResult, ResultCode},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::{JoinHandle, JoinSet},
};

use crate::support::{SUFFIX, done, encoded, entry};

pub(super) const READER: &str = "cn=reader,dc=harbourlane,dc=example";
pub(super) const READERS_PASSWORD: &str = "the reader's own password";

/// A server on a port of its own. It ends when it is dropped.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    pub(super) script: Arc<Script>,
    listening: Option<JoinHandle<()>>,
}

/// What it does, and what it has seen.
#[derive(Default)]
pub(super) struct Script {
    passwords: Mutex<HashMap<String, String>>,
    wires: Mutex<Vec<Arc<Wire>>>,
    /// Reads, and answers nothing.
    pub(super) is_mute: AtomicBool,
    /// Answers checks with `unavailable`.
    pub(super) is_sick: AtomicBool,
    /// Refuses everybody's anonymous bind.
    pub(super) refuses_anonymous: AtomicBool,
    pub(super) refused_binds: AtomicUsize,
    pub(super) checks: AtomicUsize,
    /// Connections taken so far, also such as were closed at once.
    pub(super) accepted: AtomicUsize,
    /// Connections at a time; others are closed at once.
    pub(super) most: AtomicUsize,
    cut: tokio::sync::Notify,
}

/// What came over one connection.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) octets: Mutex<Vec<u8>>,
    pub(super) requests: Mutex<Vec<Message>>,
    pub(super) is_open: AtomicBool,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let script = Script { most: AtomicUsize::new(usize::MAX), ..Script::default() };
        script.set_password(READER, READERS_PASSWORD);
        let mut fake = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            script: Arc::new(script),
            listening: None,
        };
        fake.listen().await;
        fake
    }

    /// Listens, on the same port as before.
    pub(super) async fn listen(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let script = Arc::clone(&self.script);
        self.listening = Some(tokio::spawn(async move {
            let mut wires = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                script.accepted.fetch_add(1, Ordering::SeqCst);
                if script.open() >= script.most.load(Ordering::SeqCst) {
                    continue;
                }
                let wire = Arc::new(Wire { is_open: AtomicBool::new(true), ..Wire::default() });
                script.wires.lock().unwrap().push(Arc::clone(&wire));
                let script = Arc::clone(&script);
                wires.spawn(async move {
                    let cut = script.cut.notified();
                    tokio::select! {
                        () = serve(Arc::clone(&script), Arc::clone(&wire), stream) => {}
                        () = cut => {}
                    }
                    wire.is_open.store(false, Ordering::SeqCst);
                });
            }
        }));
    }

    /// Stops listening and ends all connections.
    pub(super) async fn die(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await;
        }
        for wire in self.script.wires.lock().unwrap().iter() {
            wire.is_open.store(false, Ordering::SeqCst);
        }
    }

    /// Ends all connections.
    pub(super) fn cut(&self) {
        self.script.cut.notify_waiters();
    }

    pub(super) fn connector(&self) -> ConnectorBuilder {
        Connector::builder().clear().address(self.address.ip().to_string(), self.address.port())
    }

    /// A pool whose service connections are bound as the reader.
    pub(super) fn pool(&self) -> PoolBuilder {
        let connector = self.connector().credentials(Credentials::simple(READER, READERS_PASSWORD));
        Pool::builder(connector.build().unwrap())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

impl Script {
    pub(super) fn set_password(&self, name: &str, password: &str) {
        self.passwords.lock().unwrap().insert(name.to_owned(), password.to_owned());
    }

    pub(super) fn wires(&self) -> Vec<Arc<Wire>> {
        self.wires.lock().unwrap().clone()
    }

    /// Connections that are open, as the server sees it.
    pub(super) fn open(&self) -> usize {
        self.wires().iter().filter(|wire| wire.is_open.load(Ordering::SeqCst)).count()
    }
}

impl Wire {
    /// Whether these octets came over this connection.
    pub(super) fn has(&self, octets: &[u8]) -> bool {
        self.octets.lock().unwrap().windows(octets.len()).any(|window| window == octets)
    }

    pub(super) fn requests(&self) -> Vec<Message> {
        self.requests.lock().unwrap().clone()
    }

    /// The names of the searches that came, but for checks.
    pub(super) fn searches(&self) -> Vec<String> {
        let named = |message| match message {
            Message::Search(search) if !search.base.is_root() => Some(search.base.to_string()),
            _ => None,
        };
        self.requests().into_iter().filter_map(named).collect()
    }
}

async fn serve(script: Arc<Script>, wire: Arc<Wire>, stream: TcpStream) {
    // The clock of a test does not wait for acknowledgements.
    stream.set_nodelay(true).unwrap();
    let (mut reader, writer) = stream.into_split();
    let writer = Arc::new(tokio::sync::Mutex::new(writer));
    let mut inbox = BytesMut::new();
    let mut bound_as = String::new();
    let mut answers = JoinSet::new();
    while let Some((id, request)) = receive(&mut reader, &mut inbox, &wire).await {
        wire.requests.lock().unwrap().push(request.clone());
        if script.is_mute.load(Ordering::SeqCst) {
            continue;
        }
        let success = LdapResult::success;
        let response = match request {
            Message::Bind(bind) => {
                let Authentication::Simple(password) = &bind.authentication else { panic!("no such bind") };
                let is_right = match bind.name.as_str() {
                    "" => !script.refuses_anonymous.load(Ordering::SeqCst),
                    name => {
                        let passwords = script.passwords.lock().unwrap();
                        passwords.get(name).is_some_and(|right| right.as_bytes() == password.expose())
                    }
                };
                bound_as = if is_right { bind.name } else { String::new() };
                let code = if is_right { ResultCode::SUCCESS } else { ResultCode::INVALID_CREDENTIALS };
                script.refused_binds.fetch_add(usize::from(!is_right), Ordering::SeqCst);
                Response::Bind(BindResponse { result: LdapResult::new(code), server_credentials: None })
            }
            Message::Search(search) => {
                let writer = Arc::clone(&writer);
                answers.spawn(find(Arc::clone(&script), search, id, bound_as.clone(), writer));
                continue;
            }
            Message::Delete(_) => Response::Delete(success()),
            Message::Modify(_) => Response::Modify(success()),
            Message::Extended(_) => {
                Response::Extended(ExtendedResponse { result: success(), oid: None, value: None })
            }
            Message::Unbind => return,
            _ => continue,
        };
        if writer.lock().await.write_all(&encoded(id, &response)).await.is_err() {
            return;
        }
    }
}

async fn receive(
    reader: &mut OwnedReadHalf,
    inbox: &mut BytesMut,
    wire: &Wire,
) -> Option<(MessageId, Message)> {
    let limits = Limits::DEFAULT;
    loop {
        if let Some(length) = frame_length(inbox, limits.message).unwrap()
            && length <= inbox.len()
        {
            let envelope = Envelope::decode(inbox.split_to(length).freeze(), &limits).unwrap();
            return Some((envelope.id, envelope.request(&limits).unwrap()));
        }
        let before = inbox.len();
        if reader.read_buf(inbox).await.unwrap_or(0) == 0 {
            return None;
        }
        wire.octets.lock().unwrap().extend_from_slice(&inbox[before..]);
    }
}

/// Answers a search as the entry's name says.
async fn find(
    script: Arc<Script>,
    search: Search,
    id: MessageId,
    bound_as: String,
    writer: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
) {
    let base = search.base.to_string();
    let name = base.split(',').next().unwrap();
    let found = |dn: &str| [&entry(id, dn, 1)[..], &encoded(id, &done())].concat();
    let octets = match name {
        // A check.
        "" => {
            script.checks.fetch_add(1, Ordering::SeqCst);
            let is_sick = script.is_sick.load(Ordering::SeqCst);
            let code = if is_sick { ResultCode::UNAVAILABLE } else { ResultCode::SUCCESS };
            encoded(id, &Response::SearchDone(LdapResult::new(code))).to_vec()
        }
        "cn=never" => return,
        "cn=slow" => {
            tokio::time::sleep(Duration::from_secs(1)).await;
            found(&base)
        }
        "cn=other" => encoded(id, &Response::SearchDone(LdapResult::new(ResultCode::OTHER))).to_vec(),
        // Who the connection is bound as.
        "cn=who" => found(if bound_as.is_empty() { "cn=nobody" } else { &bound_as }),
        // Entries, as many as the client takes.
        "cn=much" => {
            let message = entry(id, &base, 50_000);
            let mut writer = writer.lock().await;
            for _ in 0..400 {
                if writer.write_all(&message).await.is_err() {
                    return;
                }
            }
            encoded(id, &done()).to_vec()
        }
        _ => found(&base),
    };
    // The client may have gone.
    let _ = writer.lock().await.write_all(&octets).await;
}

/// A lookup: of one entry, by its name.
pub(super) fn lookup(rdn: &str) -> Request<Search> {
    let search = Search::new(crate::support::dn(rdn), Scope::Base, "(objectClass=*)".parse().unwrap());
    Request::new(search, Actor::Service)
}

pub(super) fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

pub(super) fn named(rdn: &str) -> String {
    format!("{rdn},{SUFFIX}")
}
