//! What carries the bytes: TCP, TLS over TCP, or a Unix socket.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use flext_ldap_directory::proto::channel_binding::ChannelBindings;
use rustls::ProtocolVersion;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::UnixStream,
};
use tokio_rustls::client::TlsStream;

use crate::gather::GatheringTcp;

/// An open way to a server.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(GatheringTcp),
    Tls(Box<TlsStream<GatheringTcp>>),
    Unix(UnixStream),
}

macro_rules! delegate {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp($stream) => $call,
            Transport::Tls($stream) => $call,
            Transport::Unix($stream) => $call,
        }
    };
}

impl Transport {
    /// Which TLS there is, as people write it, if there is any.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        let Self::Tls(stream) = self else { return None };
        Some(match stream.get_ref().1.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        })
    }

    /// Whether a failed write may have sent some of what was offered: TLS keeps bytes of its own.
    pub(crate) const fn keeps_bytes(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// What proofs of identity can be bound to, so that they are worth nothing elsewhere.
    pub(crate) fn bindings(&self) -> ChannelBindings {
        let Self::Tls(stream) = self else { return ChannelBindings::none() };
        let (_, tls) = stream.get_ref();
        // RFC 9266 §4.2: of older versions only where the handshake has extended master secrets, which is not told.
        let is_unique = tls.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        let exporter = || tls.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok();
        let certificate = tls.peer_certificates().and_then(<[_]>::first);
        ChannelBindings {
            exporter: is_unique.then(exporter).flatten().map(|octets: [u8; 32]| octets.to_vec()),
            server_end_point: certificate.and_then(|one| flext_ldap_sasl::server_end_point(one)),
        }
    }

    /// Whether there is nothing but TCP: neither TLS nor a socket of this machine.
    pub(crate) const fn is_bare(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Lets bytes gather in the kernel until so much time has passed, where that can be.
    pub(crate) fn gather(&mut self, tick: Duration) {
        if let Some(stream) = self.tcp() {
            stream.gather(tick);
        }
    }

    /// Reads what is there as soon as it is there.
    pub(crate) fn be_eager(&mut self) {
        if let Some(stream) = self.tcp() {
            stream.be_eager();
        }
    }

    /// Whether whoever polled last has been told to read, and has not.
    pub(crate) fn has_news(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.has_news(),
            Self::Tls(stream) => stream.get_ref().0.has_news(),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, || Ok(())).is_ok(),
        }
    }

    /// How many octets wait, asked of the kernel itself and left there: 0 at the end of the stream, at most 1.
    pub(crate) fn peek(&self) -> io::Result<usize> {
        let mut octet = [MaybeUninit::uninit()];
        match self {
            Self::Tcp(stream) => stream.socket().peek(&mut octet),
            Self::Tls(stream) => stream.get_ref().0.socket().peek(&mut octet),
            Self::Unix(stream) => SockRef::from(stream).peek(&mut octet),
        }
    }

    fn tcp(&mut self) -> Option<&mut GatheringTcp> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.get_mut().0),
            Self::Unix(_) => None,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        delegate!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
