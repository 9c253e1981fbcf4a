//! A TCP stream that can let bytes gather in the kernel before it reads them.
//!
//! A plain reader is woken for every segment of a bulk result. While gathering, the kernel wakes it when 1 MiB is
//! there (`SO_RCVLOWAT`), and a tick fetches what is less. A tick ends gathering; the next read that brings much begins
//! it anew, so a quiet server costs no wake-ups. Where the option cannot be set, reads stay eager.
//!
//! It decides nothing about when gathering pays, nor how long a tick is: the connection's task does.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use nix::{libc, setsockopt_impl, sys::socket::setsockopt};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// Octets that wake the reader while gathering.
const LOW_WATER: libc::c_int = 1 << 20;

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
    /// Goes off when gathering has lasted long enough. Made when it is first needed, and kept.
    tick: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Eager,
    /// Until the tick.
    Gathering,
    /// The kernel does not take the option.
    Unable,
}

impl GatheringTcp {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self { stream, mode: Mode::Eager, tick: None }
    }

    /// Gathers until so much time has passed, from now on.
    pub(crate) fn gather(&mut self, tick: Duration) {
        if self.mode == Mode::Eager {
            self.set(Mode::Gathering, LOW_WATER);
        }
        if self.mode == Mode::Gathering {
            let until = Instant::now() + tick;
            match &mut self.tick {
                Some(tick) => tick.as_mut().reset(until),
                none => *none = Some(Box::pin(sleep_until(until))),
            }
        }
    }

    /// Ends gathering. The kernel looks at once whether what is there is enough now, so nothing is left lying.
    pub(crate) fn be_eager(&mut self) {
        if self.mode == Mode::Gathering {
            self.set(Mode::Eager, 1);
        }
    }

    /// Whether whoever polled last has been told to read, and has not.
    pub(crate) fn has_news(&self) -> bool {
        let ticked = self.mode == Mode::Gathering && self.tick.as_ref().is_some_and(|tick| tick.is_elapsed());
        // The runtime knows that something is there; nothing is done about it.
        ticked || self.stream.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    /// The socket, to ask it something.
    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.stream)
    }

    fn set(&mut self, mode: Mode, mark: libc::c_int) {
        self.mode = match setsockopt(&self.stream, ReceiveLowWater, &mark) {
            Ok(()) => mode,
            Err(error) => {
                tracing::debug!(%error, "bulk results are read eagerly");
                Mode::Unable
            }
        };
    }
}

impl AsyncRead for GatheringTcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if read.is_pending()
            && this.mode == Mode::Gathering
            && this.tick.as_mut().is_some_and(|tick| tick.as_mut().poll(cx).is_ready())
        {
            // If anything is there, the kernel says so now, and the runtime hears it in its next turn.
            this.be_eager();
        }
        read
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
        time::sleep,
    };

    use super::*;

    const TICK: Duration = Duration::from_millis(1);
    const NEVER: Duration = Duration::from_secs(3_600);

    async fn pair() -> (GatheringTcp, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (GatheringTcp::new(stream.unwrap()), accepted.unwrap().0)
    }

    /// Makes the runtime know that nothing is there, so that only the kernel's word can make it read.
    async fn find_nothing(reader: &mut GatheringTcp) {
        let nothing = tokio::time::timeout(Duration::ZERO, reader.read(&mut [0])).await;
        assert!(nothing.is_err());
    }

    /// Writes so many octets, and reads until they are there.
    async fn pass(reader: &mut GatheringTcp, writer: &mut TcpStream, length: usize) {
        let (octets, mut buffer) = (vec![7; length], vec![0; length]);
        let (written, read) = tokio::join!(writer.write_all(&octets), reader.read_exact(&mut buffer));
        written.unwrap();
        assert_eq!((read.unwrap(), buffer), (length, octets));
    }

    #[tokio::test]
    async fn little_is_fetched_by_the_tick_which_ends_gathering() {
        let (mut reader, mut writer) = pair().await;
        for length in [1, 1_000, 300_000] {
            reader.gather(NEVER);
            find_nothing(&mut reader).await;
            reader.gather(TICK);
            assert_eq!(reader.mode, Mode::Gathering);
            pass(&mut reader, &mut writer, length).await;
            assert_eq!(reader.mode, Mode::Eager, "{length} octets");
        }
        reader.gather(NEVER);
        drop(writer);
        assert_eq!(reader.read(&mut [0]).await.unwrap(), 0, "the end is heard");
    }

    #[tokio::test]
    async fn much_is_fetched_before_the_tick() {
        let (mut reader, mut writer) = pair().await;
        reader.gather(NEVER);
        find_nothing(&mut reader).await;
        let (octets, mut buffer) = (vec![7; 4 << 20], vec![0; 1 << 20]);
        let (written, read) = tokio::join!(writer.write_all(&octets), async {
            reader.read_exact(&mut buffer).await.unwrap();
            let gathered = reader.mode;
            reader.be_eager();
            reader.read_exact(&mut vec![0; 3 << 20]).await.unwrap();
            gathered
        });
        written.unwrap();
        assert_eq!(read, Mode::Gathering);
    }

    #[tokio::test]
    async fn silence_ends_gathering_and_loses_nothing() {
        let (mut reader, mut writer) = pair().await;
        reader.gather(TICK);
        let mut buffer = [0; 16];
        let waiting = async {
            sleep(Duration::from_millis(20)).await;
            writer.write_all(b"late").await.unwrap();
        };
        let (read, ()) = tokio::join!(reader.read(&mut buffer), waiting);
        assert_eq!(&buffer[..read.unwrap()], b"late");
        assert_eq!(reader.mode, Mode::Eager);
    }

    #[tokio::test]
    async fn what_lies_there_when_gathering_ends_is_not_left_lying() {
        let (mut reader, mut writer) = pair().await;
        let mut buffer = [0; 16];
        for _ in 0..100 {
            reader.gather(NEVER);
            find_nothing(&mut reader).await;
            writer.write_all(b"little").await.unwrap();
            reader.be_eager();
            assert_eq!(reader.read(&mut buffer).await.unwrap(), 6);
        }
    }
}
