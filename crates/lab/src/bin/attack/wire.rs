//! Peers that send whatever they like: octets and messages over TCP, TLS and the Unix socket.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use flext_ldap_directory::proto::{
    attribute::Selection,
    ber::{Writer, frame_length},
    control::Controls,
    extended::NOTICE_OF_DISCONNECTION,
    filter::Filter,
    message::{Authentication, BindRequest, Envelope, Limits, MessageId, Request, Response, Scope, Search},
    result::ResultCode,
    secret::Secret,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, ClientConnection, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::target::{SUFFIX, Target};

/// How long anything may take that must happen.
pub(crate) const LONG: Duration = Duration::from_secs(90);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(crate) struct Wire {
    pub(crate) stream: Box<dyn Stream>,
    received: BytesMut,
}

/// How a peer comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Plain,
    Tls,
    Unix,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Tls, Self::Unix];

    /// One of them, in turn.
    pub(crate) fn of(number: usize) -> Self {
        match number % 3 {
            0 => Self::Plain,
            1 => Self::Tls,
            _ => Self::Unix,
        }
    }
}

/// What a TLS client brings.
pub(crate) fn tls_config(target: &Target) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(target.ca.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The first octets of a handshake, whole.
pub(crate) fn client_hello(target: &Target) -> Result<Vec<u8>> {
    let mut connection = ClientConnection::new(tls_config(target)?, ServerName::try_from("localhost")?)?;
    let mut octets = Vec::new();
    connection.write_tls(&mut octets)?;
    Ok(octets)
}

pub(crate) async fn tcp(to: SocketAddr) -> Result<TcpStream> {
    timeout(LONG, TcpStream::connect(to)).await?.context("no connection")
}

pub(crate) async fn unix(to: &Path) -> Result<UnixStream> {
    timeout(LONG, UnixStream::connect(to)).await?.context("no connection")
}

/// Connects from another address of loopback.
pub(crate) async fn tcp_from(from: [u8; 4], to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    timeout(LONG, socket.connect(to)).await?.context("no connection")
}

pub(crate) async fn shake(target: &Target, stream: TcpStream) -> Result<impl Stream + use<>> {
    let connector = TlsConnector::from(tls_config(target)?);
    timeout(LONG, connector.connect(ServerName::try_from("localhost")?, stream)).await?.context("no TLS")
}

impl Wire {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), received: BytesMut::new() }
    }

    pub(crate) async fn connect(target: &Target, way: Way) -> Result<Self> {
        Ok(match way {
            Way::Plain => Self::new(tcp(target.plain).await?),
            Way::Tls => Self::new(shake(target, tcp(target.tls).await?).await?),
            Way::Unix => Self::new(unix(&target.socket).await?),
        })
    }

    pub(crate) async fn send(&mut self, octets: &[u8]) -> Result<()> {
        timeout(LONG, async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        })
        .await
        .context("the server does not read")??;
        Ok(())
    }

    /// The next message, or `None` once the server has closed, in whatever way.
    pub(crate) async fn next(&mut self) -> Result<Option<(u32, Response)>> {
        loop {
            if let Some(length) = frame_length(&self.received, Limits::DEFAULT.message)?
                && length <= self.received.len()
            {
                let envelope = Envelope::decode(self.received.split_to(length).freeze(), &Limits::DEFAULT)?;
                return Ok(Some((envelope.id.0, envelope.response(&Limits::DEFAULT)?)));
            }
            let read = timeout(LONG, self.stream.read_buf(&mut self.received)).await;
            match read.context("the server neither answers nor closes")? {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }

    /// Sends one request and waits for its last answer.
    pub(crate) async fn ask(&mut self, id: u32, request: &Request) -> Result<ResultCode> {
        self.answer(id, &encoded(id, request)).await
    }

    /// Sends one message and waits for its last answer.
    pub(crate) async fn answer(&mut self, id: u32, message: &[u8]) -> Result<ResultCode> {
        self.send(message).await?;
        loop {
            match self.next().await? {
                Some((answered, response)) if answered == id => {
                    if let Some(code) = last(&response) {
                        return Ok(code);
                    }
                }
                Some((0, response)) => bail!("a notice instead of an answer: {response:?}"),
                Some(_) => {}
                None => bail!("the connection was closed"),
            }
        }
    }

    /// Reads to the end, and returns the code of the Notice of Disconnection if there was one, and how much came.
    pub(crate) async fn end(&mut self) -> Result<(Option<ResultCode>, u64)> {
        let (mut notice, mut messages) = (None, 0);
        while let Some((id, response)) = self.next().await? {
            messages += 1;
            if let (0, Response::Extended(extended)) = (id, response)
                && extended.oid == Some(NOTICE_OF_DISCONNECTION)
            {
                notice = Some(extended.result.code);
            }
        }
        Ok((notice, messages))
    }
}

/// Reads octets to the end, up to some: whatever comes, in whatever way it ends.
pub(crate) async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = timeout(LONG, stream.read(&mut buffer)).await.context("the server does not close")?;
        match read {
            Ok(0) | Err(_) => return Ok(octets),
            Ok(read) if octets.len() < 1 << 20 => octets.extend(buffer.get(..read).into_iter().flatten()),
            Ok(_) => {}
        }
    }
}

/// The code of an answer that is the last of its operation.
pub(crate) fn last(response: &Response) -> Option<ResultCode> {
    match response {
        Response::Bind(bind) => Some(bind.result.code),
        Response::SearchDone(result)
        | Response::Modify(result)
        | Response::Add(result)
        | Response::Delete(result)
        | Response::Rename(result)
        | Response::Compare(result) => Some(result.code),
        Response::Extended(extended) => Some(extended.result.code),
        _ => None,
    }
}

pub(crate) fn encoded(id: u32, request: &Request) -> Bytes {
    encoded_with(id, request, &Controls::none())
}

pub(crate) fn encoded_with(id: u32, request: &Request, controls: &Controls) -> Bytes {
    let mut writer = Writer::new();
    request.encode(MessageId(id), controls, &mut writer);
    writer.take()
}

pub(crate) fn bind(name: &str, password: &str) -> Request {
    Request::Bind(BindRequest {
        version: 3,
        name: name.to_owned(),
        authentication: Authentication::Simple(Secret::from(password)),
    })
}

/// Everything there is, with all attributes.
pub(crate) fn everything() -> Result<Request> {
    search(Filter::any(), Selection::default())
}

pub(crate) fn search(filter: Filter, attributes: Selection) -> Result<Request> {
    let mut search = Search::new(SUFFIX.parse()?, Scope::Subtree, filter);
    search.attributes = attributes;
    Ok(Request::Search(search))
}
