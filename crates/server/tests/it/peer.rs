//! The other side: octets and messages over any stream, and a server to send them to.

use std::{sync::Arc, time::Duration};

use bytes::{Buf as _, Bytes, BytesMut};
use flext_ldap_proto::{
    attribute::Selection,
    ber::{Writer, frame_length},
    control::Controls,
    dn::Dn,
    extended::{ExtendedOperation as _, NOTICE_OF_DISCONNECTION, WhoAmI},
    filter::Filter,
    message::{
        Authentication, BindRequest, Compare, Delete, Envelope, ExtendedResponse, Limits, MessageId, Request,
        Response, Scope, Search,
    },
    result::{LdapResult, ResultCode},
    secret::Secret,
};
use flext_ldap_server::{Server, ServerBuilder, ServerLimits};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::toy::{State, Toy};

/// Longer than anything in these tests takes; a test that waits this long has failed.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A server over a toy, on a free port.
pub(crate) struct Lab {
    pub(crate) server: Server,
    pub(crate) state: Arc<State>,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn limited(limits: ServerLimits) -> Self {
        Self::with(|builder| builder.limits(limits)).await
    }

    pub(crate) async fn with(set: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let toy = Toy::default();
        let state = toy.state.clone();
        let builder = Server::builder(Arc::new(toy)).listen("ldap://127.0.0.1:0".parse().unwrap());
        let server = set(builder).start().await.unwrap();
        Self { server, state }
    }

    pub(crate) async fn peer(&self) -> PeerSide<TcpStream> {
        PeerSide::new(self.tcp().await)
    }

    pub(crate) async fn tcp(&self) -> TcpStream {
        let url = &self.server.urls()[0];
        TcpStream::connect((url.host.as_str(), url.port())).await.unwrap()
    }
}

/// A client that does exactly what it is told.
pub(crate) struct PeerSide<S> {
    pub(crate) stream: S,
    received: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> PeerSide<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    pub(crate) async fn send_octets(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn send(&mut self, id: u32, request: &Request) {
        self.send_octets(&encoded(id, request)).await;
    }

    pub(crate) async fn send_with(&mut self, id: u32, request: &Request, controls: &Controls) {
        let mut writer = Writer::new();
        request.encode(MessageId(id), controls, &mut writer);
        self.send_octets(&writer.take()).await;
    }

    /// The next whole message, or `None` once the server has closed.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        timeout(LONG, async {
            loop {
                if let Some(length) = frame_length(&self.received, 64 << 20).unwrap()
                    && length <= self.received.len()
                {
                    return Some(self.received.split_to(length).freeze());
                }
                match self.stream.read_buf(&mut self.received).await {
                    Ok(0) => {
                        assert!(!self.received.has_remaining(), "the last message was cut");
                        return None;
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                    Err(error) => panic!("reading failed: {error}"),
                }
            }
        })
        .await
        .expect("the server answers or closes")
    }

    pub(crate) async fn receive(&mut self) -> Option<(u32, Response)> {
        let envelope = Envelope::decode(self.frame().await?, &Limits::DEFAULT).unwrap();
        Some((envelope.id.0, envelope.response(&Limits::DEFAULT).unwrap()))
    }

    /// Sends one request and returns its only answer.
    pub(crate) async fn ask(&mut self, id: u32, request: &Request) -> Response {
        self.send(id, request).await;
        let (answered, response) = self.receive().await.expect("an answer");
        assert_eq!(answered, id);
        response
    }

    pub(crate) async fn bind(&mut self, id: u32, name: &str, password: &str) -> ResultCode {
        match self.ask(id, &bind(name, password)).await {
            Response::Bind(response) => response.result.code,
            other => panic!("not the answer to a bind: {other:?}"),
        }
    }

    pub(crate) async fn who_am_i(&mut self, id: u32) -> String {
        match self.ask(id, &Request::Extended(WhoAmI.request())).await {
            Response::Extended(ExtendedResponse { value: Some(value), .. }) => {
                String::from_utf8(value.to_vec()).unwrap()
            }
            other => panic!("not the answer to Who Am I: {other:?}"),
        }
    }

    /// Expects a Notice of Disconnection, then the end.
    pub(crate) async fn expect_notice(&mut self, code: ResultCode) {
        let Some((0, Response::Extended(notice))) = self.receive().await else { panic!("no notice") };
        assert_eq!(notice.oid, Some(NOTICE_OF_DISCONNECTION));
        assert_eq!(notice.result.code, code, "{notice:?}");
        assert!(!notice.result.diagnostic.is_empty());
        assert_eq!(self.frame().await, None);
    }

    pub(crate) async fn expect_end(&mut self) {
        assert_eq!(self.frame().await, None);
    }
}

pub(crate) fn encoded(id: u32, request: &Request) -> Bytes {
    let mut writer = Writer::new();
    request.encode(MessageId(id), &Controls::none(), &mut writer);
    writer.take()
}

pub(crate) fn bind(name: &str, password: &str) -> Request {
    Request::Bind(BindRequest {
        version: 3,
        name: name.to_owned(),
        authentication: Authentication::Simple(Secret::from(password)),
    })
}

pub(crate) fn sasl(mechanism: &str) -> Request {
    Request::Bind(BindRequest {
        version: 3,
        name: String::new(),
        authentication: Authentication::Sasl { mechanism: mechanism.to_owned(), credentials: None },
    })
}

pub(crate) fn search(base: &str) -> Request {
    search_for(base, Filter::any())
}

pub(crate) fn search_for(base: &str, filter: Filter) -> Request {
    let search = Search::new(base.parse::<Dn>().unwrap(), Scope::Subtree, filter);
    Request::Search(search.attributes(Selection::default()))
}

pub(crate) fn compare(dn: &str) -> Request {
    Request::Compare(Compare {
        dn: dn.parse().unwrap(),
        attribute: "cn".parse().unwrap(),
        value: Bytes::from_static(b"x"),
    })
}

pub(crate) fn delete(dn: &str) -> Request {
    Request::Delete(Delete { dn: dn.parse().unwrap() })
}

pub(crate) fn done(code: ResultCode) -> LdapResult {
    LdapResult::new(code)
}
