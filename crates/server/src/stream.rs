//! The octets of one connection: TCP or Unix socket, in clear or inside TLS.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

/// What was accepted.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What is spoken over.
#[derive(Debug)]
pub(crate) enum Stream {
    Clear(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Socket {
    /// Sends what fits into the kernel's buffer at once, for a peer that nobody will wait for.
    pub(crate) fn send_now(&self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).send(octets),
            Self::Unix(stream) => SockRef::from(stream).send(octets),
        }
    }
}

macro_rules! each {
    ($self:expr, $($kind:ident)|+, $stream:ident => $body:expr) => {
        match $self { $(Self::$kind($stream) => $body,)+ }
    };
}

macro_rules! forward {
    ($name:ident, $($kind:ident)|+) => {
        impl AsyncRead for $name {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $($kind)|+, stream => Pin::new(stream).poll_read(cx, buffer))
            }
        }

        impl AsyncWrite for $name {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                octets: &[u8],
            ) -> Poll<io::Result<usize>> {
                each!(self.get_mut(), $($kind)|+, stream => Pin::new(stream).poll_write(cx, octets))
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $($kind)|+, stream => Pin::new(stream).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                each!(self.get_mut(), $($kind)|+, stream => Pin::new(stream).poll_shutdown(cx))
            }
        }
    };
}

forward!(Socket, Tcp | Unix);
forward!(Stream, Clear | Tls);
