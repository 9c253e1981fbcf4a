//! One HTTP/1.1 request at a time, on the thread that exports: no pool, no redirects, no proxy.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, Response, Uri,
    client::conn::http1,
    header::{HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use rustls::{ClientConfig, crypto::ring, pki_types::ServerName};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{StartError, lock};

/// Octets of an answer that are read. It says nothing but how many spans were not taken.
const ANSWER: usize = 64 << 10;

/// Why the last request failed, in words.
pub(crate) type Failure = Arc<Mutex<Option<String>>>;

/// Sends requests. Each has a connection, and a runtime, of its own: there is one every five seconds, and the program's
/// runtime may have ended when the last one is sent.
#[derive(Debug)]
pub(crate) struct Client {
    timeout: Duration,
    failure: Failure,
}

impl Client {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self { timeout, failure: Failure::default() }
    }

    pub(crate) fn failure(&self) -> Failure {
        Arc::clone(&self.failure)
    }

    fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            match timeout(self.timeout, send(request)).await {
                Ok(result) => result,
                Err(_) => Err(format!("no answer in {:?}", self.timeout).into()),
            }
        });
        // A name that the resolver still looks for is not waited for.
        runtime.shutdown_background();
        result
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let result = self.exchange(request);
        *lock(&self.failure) = match &result {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the answer was {}", answer.status())),
            Err(error) => Some(chain(&**error)),
        };
        result
    }
}

/// The host and port of a URL, for messages: there may be a password in the rest.
pub(crate) fn place(url: &str) -> Result<String, StartError> {
    let wrong = || {
        let message =
            "the endpoint of the collector is to be a URL like `http://localhost:4318`, of http or https";
        StartError::Setting(message.to_owned())
    };
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    match (uri.scheme_str(), uri.host()) {
        (Some(scheme @ ("http" | "https")), Some(host)) => Ok(format!("{scheme}://{host}:{}", port(&uri))),
        _ => Err(wrong()),
    }
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or_else(|| if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri();
    let host = uri.host().ok_or("the URL has no host")?.trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), port(uri))).await?;
    if uri.scheme_str() != Some("https") {
        return talk(stream, request).await;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(host)?, stream).await?;
    talk(stream, request).await
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let (mut parts, body) = request.into_parts();
    // As RFC 9112 has it: the host in its header, the rest in the first line.
    let host = parts.uri.host().unwrap_or_default();
    let host = match parts.uri.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    parts.headers.insert(HOST, HeaderValue::try_from(host)?);
    parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut exchange = pin!(async {
        let answer = sender.send_request(Request::from_parts(parts, Full::new(body))).await?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    });
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // What it had to say is there, or why there is nothing.
        _ = connection => exchange.await,
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_has_no_secret() {
        let table = [
            ("http://localhost:4318/v1/traces", Some("http://localhost:4318")),
            ("https://api:s3cret@otlp.example/v1/traces?key=s3cret", Some("https://otlp.example:443")),
            ("http://[::1]:4318/", Some("http://[::1]:4318")),
            ("grpc://localhost:4317", None),
            ("localhost:4318", None),
            ("", None),
        ];
        for (url, want) in table {
            assert_eq!(place(url).ok().as_deref(), want, "{url}");
        }
    }
}
