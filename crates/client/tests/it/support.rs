//! The server's end of a conversation, played by a test.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use flext_ldap_client::{Connection, Connector, ConnectorBuilder};
use flext_ldap_directory::{
    Actor, Error, Request,
    proto::{
        batch::BatchWriter,
        ber::{Writer, frame_length},
        control::Controls,
        dn::Dn,
        message::Request as Message,
        message::{
            Add, BindResponse, Compare, Delete, Envelope, ExtendedResponse, Limits, MessageId, Modify,
            Response, Scope, Search, encode_item,
        },
        result::{LdapResult, ResultCode},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const LIMITS: Limits = Limits::DEFAULT.with_message(64 << 20);
pub(crate) const SUFFIX: &str = "dc=harbourlane,dc=example";

/// Listens on a port of its own.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        Peer::new(self.listener.accept().await.unwrap().0)
    }

    /// A builder that reaches this server in clear.
    pub(crate) fn clear(&self) -> ConnectorBuilder {
        Connector::builder().clear().address(self.address.ip().to_string(), self.address.port())
    }
}

/// A connection and its other end.
pub(crate) async fn pair() -> (Connection, Peer<TcpStream>) {
    pair_with(|builder| builder).await
}

pub(crate) async fn pair_with(
    change: impl FnOnce(ConnectorBuilder) -> ConnectorBuilder,
) -> (Connection, Peer<TcpStream>) {
    let server = Server::start().await;
    let connector = change(server.clear()).build().unwrap();
    let (connection, peer) = tokio::join!(connector.connect(), server.accept());
    (connection.unwrap(), peer)
}

/// The server's end of one connection.
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    inbox: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, inbox: BytesMut::new() }
    }

    /// The next request, or `None` at the end of the stream (a reset is an end too).
    pub(crate) async fn next(&mut self) -> Option<(MessageId, Message, Controls)> {
        loop {
            if let Some(length) = frame_length(&self.inbox, LIMITS.message).unwrap()
                && length <= self.inbox.len()
            {
                let envelope = Envelope::decode(self.inbox.split_to(length).freeze(), &LIMITS).unwrap();
                let request = envelope.request(&LIMITS).unwrap();
                return Some((envelope.id, request, envelope.controls(&LIMITS).unwrap()));
            }
            if self.stream.read_buf(&mut self.inbox).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next request, which must come.
    pub(crate) async fn request(&mut self) -> (MessageId, Message) {
        let (id, request, _) = self.next().await.expect("the client closed the connection");
        (id, request)
    }

    pub(crate) async fn raw(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn answer(&mut self, id: MessageId, response: Response) {
        self.raw(&encoded(id, &response)).await;
    }

    pub(crate) async fn entry(&mut self, id: MessageId, dn: &str) {
        self.raw(&entry(id, dn, 1)).await;
    }

    /// Reads to the end of the stream, and gives the requests on the way.
    pub(crate) async fn rest(&mut self) -> Vec<Message> {
        let mut requests = Vec::new();
        while let Some((_, request, _)) = self.next().await {
            requests.push(request);
        }
        requests
    }
}

pub(crate) fn encoded(id: MessageId, response: &Response) -> Bytes {
    let mut writer = Writer::new();
    response.encode(id, &Controls::none(), &mut writer);
    writer.take()
}

/// A message with an entry whose one value has `octets` octets.
pub(crate) fn entry(id: MessageId, dn: &str, octets: usize) -> Bytes {
    let mut batch = BatchWriter::new();
    batch.entry(dn, &Controls::none(), |writer| {
        writer.sequence(|attribute| {
            attribute.octets(b"description");
            attribute.constructed(flext_ldap_directory::proto::ber::Tag::SET, |values| {
                values.octets(&vec![b'x'; octets]);
            });
        });
    });
    let mut writer = Writer::new();
    encode_item(id, batch.take().item(0).unwrap(), &mut writer);
    writer.take()
}

pub(crate) fn done() -> Response {
    Response::SearchDone(LdapResult::success())
}

pub(crate) fn bound() -> Response {
    Response::Bind(BindResponse { result: LdapResult::success(), server_credentials: None })
}

pub(crate) fn notice(code: ResultCode, text: &str) -> Response {
    Response::Extended(ExtendedResponse {
        result: LdapResult::with_diagnostic(code, text),
        oid: Some(flext_ldap_directory::proto::extended::NOTICE_OF_DISCONNECTION),
        value: None,
    })
}

pub(crate) fn dn(rdn: &str) -> Dn {
    format!("{rdn},{SUFFIX}").parse().unwrap()
}

pub(crate) fn search(rdn: &str) -> Request<Search> {
    Request::new(Search::new(dn(rdn), Scope::Subtree, "(objectClass=*)".parse().unwrap()), Actor::Service)
}

pub(crate) fn delete(rdn: &str) -> Request<Delete> {
    Request::new(Delete { dn: dn(rdn) }, Actor::Service)
}

pub(crate) fn modify(rdn: &str, value: impl Into<Vec<u8>>) -> Request<Modify> {
    let change = Modify::new(dn(rdn)).change(
        flext_ldap_directory::proto::message::ChangeKind::Replace,
        "description".parse().unwrap(),
        [value],
    );
    Request::new(change, Actor::Service)
}

pub(crate) fn add(rdn: &str) -> Request<Add> {
    let attributes = flext_ldap_directory::proto::attribute::Attributes::builder()
        .attribute(&"objectClass".parse().unwrap(), ["device"])
        .build();
    Request::new(Add::new(dn(rdn), attributes), Actor::Service)
}

pub(crate) fn compare(rdn: &str) -> Request<Compare> {
    let compare =
        Compare { dn: dn(rdn), attribute: "cn".parse().unwrap(), value: Bytes::from_static(b"value") };
    Request::new(compare, Actor::Service)
}

/// Drops a future after it has been polled so many times, unless it was ready before.
pub(crate) struct Cancellable<F> {
    future: Option<Pin<Box<F>>>,
    polls_left: usize,
}

/// The future was dropped.
#[derive(Debug, PartialEq)]
pub(crate) struct Cancelled;

impl<F: Future> Cancellable<F> {
    pub(crate) fn after(polls: usize, future: F) -> Self {
        Self { future: Some(Box::pin(future)), polls_left: polls }
    }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls_left == 0 {
            self.future = None;
            return Poll::Ready(Err(Cancelled));
        }
        self.polls_left -= 1;
        match self.future.as_mut().unwrap().as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if self.polls_left == 0 => {
                self.future = None;
                Poll::Ready(Err(Cancelled))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Lets everything that can run do so.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// An error and its causes, one per line.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str("\n  ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

impl<S> fmt::Debug for Peer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Peer")
    }
}
