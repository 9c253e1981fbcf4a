//! A transport, and over it a security layer of SASL (RFC 4422 §3.7) from the bind on that agrees on one: frames of a length in four octets and a protected message.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use flext_ldap_sasl::{SaslError, gssapi::SecurityLayer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use crate::transport::Transport;

/// Octets asked for in one read.
const READ: usize = 64 << 10;
/// Octets of a frame's length.
const LENGTH: usize = 4;

/// A transport, in a layer or without. A frame that was changed on the way ends it, and so does one that is longer than
/// can be.
#[derive(Debug)]
pub(crate) struct Layered {
    below: Transport,
    layer: Option<SecurityLayer>,
    /// Frames as they were received.
    received: BytesMut,
    /// What was in the last of them, and is not read yet.
    text: Bytes,
    /// The last frame we made, as far as it is not written yet.
    sending: Bytes,
}

impl Layered {
    /// Without a layer.
    pub(crate) fn over(below: Transport) -> Self {
        Self { below, layer: None, received: BytesMut::new(), text: Bytes::new(), sending: Bytes::new() }
    }

    /// Everything is in `layer` from here on. The octets of `received` were read already. A layer that was there before
    /// is replaced (RFC 4422 §3.7).
    pub(crate) fn wrap(&mut self, layer: SecurityLayer, received: BytesMut) {
        (self.layer, self.received) = (Some(layer), received);
    }

    /// Whether a failed write may have sent some of what was offered.
    pub(crate) const fn keeps_bytes(&self) -> bool {
        self.layer.is_some() || self.below.keeps_bytes()
    }

    /// Lets bytes gather in the kernel until so much time has passed, where that can be.
    pub(crate) fn gather(&mut self, tick: Duration) {
        self.below.gather(tick);
    }

    /// Reads what is there as soon as it is there.
    pub(crate) fn be_eager(&mut self) {
        self.below.be_eager();
    }

    /// Whether whoever polled last has been told to read, and has not.
    pub(crate) fn has_news(&self) -> bool {
        self.holds_octets() || self.below.has_news()
    }

    /// How many octets wait: 0 at the end of the stream, at most 1.
    pub(crate) fn peek(&self) -> io::Result<usize> {
        if self.holds_octets() { Ok(1) } else { self.below.peek() }
    }

    fn holds_octets(&self) -> bool {
        !self.text.is_empty() || !self.received.is_empty()
    }

    /// Opens the next frame, if all of it is there.
    fn open(&mut self) -> io::Result<bool> {
        let Some(layer) = &mut self.layer else { return Ok(false) };
        let Some((length, rest)) = self.received.split_first_chunk::<LENGTH>() else { return Ok(false) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > SecurityLayer::LONGEST {
            return Err(broken("a frame is longer than frames can be: the server does not speak this layer"));
        }
        let Some(frame) = rest.get(..length) else { return Ok(false) };
        self.text = layer.open(frame).map_err(untrue)?.into();
        self.received.advance(LENGTH + length);
        Ok(true)
    }

    /// Writes what is left of the last frame.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sending.is_empty() {
            match ready!(Pin::new(&mut self.below).poll_write(cx, &self.sending))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                octets => self.sending.advance(octets),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Layered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.layer.is_none() {
            return Pin::new(&mut self.below).poll_read(cx, buffer);
        }
        let start = buffer.filled().len();
        loop {
            let octets = self.text.len().min(buffer.remaining());
            buffer.put_slice(&self.text.split_to(octets));
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            if self.open()? {
                continue;
            }
            if buffer.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
            let this = &mut *self;
            this.received.reserve(READ);
            // This future keeps nothing of its own, so it can be dropped and made anew.
            let read = pin!(this.below.read_buf(&mut this.received));
            if ready!(read.poll(cx))? == 0 {
                return Poll::Ready(match this.received.is_empty() {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
        }
    }
}

impl AsyncWrite for Layered {
    /// Takes as much as fits into one frame. The frame is written by this, later writes, and flushes.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let Some(layer) = &mut self.layer else { return Pin::new(&mut self.below).poll_write(cx, bytes) };
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (frame, taken) = layer.protect(bytes).map_err(untrue)?;
        self.sending = frame.into();
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.below).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.below).poll_shutdown(cx)
    }
}

fn untrue(error: SaslError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn broken(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
