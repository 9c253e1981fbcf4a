//! A TCP stream that can let bytes gather in the kernel before it reads them.
//!
//! A plain reader is woken for every segment of a bulk result. While gathering, the kernel wakes it when 64 KiB are
//! there (`SO_RCVLOWAT`), and a tick of one millisecond fetches what is less. When a tick finds nothing, gathering
//! ends by itself, so a quiet server costs no wake-ups. Where the option cannot be set, reads stay eager.
//!
//! It decides nothing about when gathering pays: the connection's task does.

use std::{
    future::Future,
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use nix::{libc, setsockopt_impl, sys::socket::setsockopt};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep},
};

/// Octets that wake the reader while gathering.
const LOW_WATER: libc::c_int = 64 << 10;
/// How long less than that may lie there.
const TICK: Duration = Duration::from_millis(1);

/// `SO_RCVLOWAT`, which neither socket2 nor nix defines.
#[derive(Clone, Copy, Debug)]
struct ReceiveLowWater;

setsockopt_impl!(
    ReceiveLowWater,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    libc::c_int,
    nix::sys::socket::sockopt::SetStruct<'_, libc::c_int>
);

/// A TCP stream that is eager until told to gather.
#[derive(Debug)]
pub(crate) struct GatheringTcp {
    stream: TcpStream,
    mode: Mode,
}

#[derive(Debug)]
enum Mode {
    Eager,
    /// Until the tick.
    Gathering(Pin<Box<Sleep>>),
    /// The kernel does not take the option.
    Unable,
}

impl GatheringTcp {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, mode: Mode::Eager }
    }

    /// Begins or ends gathering. Doing so twice costs nothing.
    pub(crate) fn gather(&mut self, gather: bool) {
        let (mark, next) = match (&self.mode, gather) {
            (Mode::Eager, true) => (LOW_WATER, Mode::Gathering(Box::pin(sleep(TICK)))),
            // The kernel looks at once whether what is there is enough now, so nothing is left lying.
            (Mode::Gathering(_), false) => (1, Mode::Eager),
            _ => return,
        };
        self.mode = match setsockopt(&self.stream, ReceiveLowWater, &mark) {
            Ok(()) => next,
            Err(error) => {
                tracing::debug!(%error, "bulk results are read eagerly");
                Mode::Unable
            }
        };
    }

    #[cfg(test)]
    fn is_gathering(&self) -> bool {
        matches!(self.mode, Mode::Gathering(_))
    }
}

impl AsyncRead for GatheringTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            return Poll::Ready(read);
        }
        let Mode::Gathering(tick) = &mut this.mode else { return Poll::Pending };
        ready!(tick.as_mut().poll(cx));
        tick.as_mut().reset(Instant::now() + TICK);
        // The descriptor itself must be asked: the runtime would answer from the readiness it knows, which is none.
        let length = buffer.remaining().min(LOW_WATER.unsigned_abs() as usize);
        let read = (&*SockRef::from(&this.stream)).read(buffer.initialize_unfilled_to(length));
        match read {
            Ok(octets) => {
                buffer.advance(octets);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                this.gather(false);
                Pin::new(&mut this.stream).poll_read(cx, buffer)
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for GatheringTcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (GatheringTcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (GatheringTcp::new(stream.unwrap()), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn little_is_fetched_by_the_tick_and_much_by_the_kernel() {
        let (mut reader, mut writer) = pair().await;
        reader.gather(true);
        reader.gather(true);
        assert!(reader.is_gathering());
        let mut buffer = vec![0; 1 << 20];
        for length in [1, 1_000, 300_000] {
            let (written, ()) = tokio::join!(writer.write_all(&buffer[..length]), async {});
            written.unwrap();
            let mut arrived = 0;
            while arrived < length {
                let octets = reader.read(&mut buffer).await.unwrap();
                assert!(octets > 0);
                arrived += octets;
            }
            assert_eq!(arrived, length);
            reader.gather(true);
        }
        drop(writer);
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 0, "the end is heard");
    }

    #[tokio::test]
    async fn silence_ends_gathering_and_loses_nothing() {
        let (mut reader, mut writer) = pair().await;
        reader.gather(true);
        let mut buffer = [0; 16];
        let waiting = async {
            sleep(Duration::from_millis(20)).await;
            writer.write_all(b"late").await.unwrap();
        };
        let (read, ()) = tokio::join!(reader.read(&mut buffer), waiting);
        assert_eq!(&buffer[..read.unwrap()], b"late");
        assert!(!reader.is_gathering());
    }

    #[tokio::test]
    async fn what_lies_there_when_gathering_ends_is_not_left_lying() {
        let (mut reader, mut writer) = pair().await;
        let mut buffer = [0; 16];
        for _ in 0..100 {
            reader.gather(true);
            // Known to be unready, so only the kernel's word can make it read.
            let nothing = tokio::time::timeout(Duration::ZERO, reader.read(&mut buffer)).await;
            assert!(nothing.is_err());
            writer.write_all(b"little").await.unwrap();
            reader.gather(false);
            assert_eq!(reader.read(&mut buffer).await.unwrap(), 6);
        }
    }
}
