//! A service manager that speaks systemd's protocols: it is told how the server does (sd_notify(3)), and may pass the
//! sockets to listen on (sd_listen_fds(3)). Without one, nothing here does anything.

use std::{
    env,
    ffi::OsStr,
    io,
    net::TcpListener,
    os::unix::net::{SocketAddr, UnixDatagram, UnixListener},
    time::Duration,
};

use anyhow::Context as _;
use listenfd::ListenFd;
use nix::time::{ClockId, clock_gettime};

/// What the service manager is told.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// It serves; with a line for `systemctl status`.
    Ready(String),
    /// It reads its configuration again.
    Reloading,
    /// It ends.
    Stopping,
}

/// Tells the service manager, if there is one. A server goes on without being heard.
pub(crate) fn notify(state: &State) {
    let message = match state {
        State::Ready(status) => format!("READY=1\nSTATUS={}", status.replace('\n', " ")),
        State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()),
        State::Stopping => "STOPPING=1\nSTATUS=Stopping".to_owned(),
    };
    if let Err(error) = send(message.as_bytes()) {
        crate::say(format_args!("warning: the service manager was not told: {error}"));
    }
}

fn send(message: &[u8]) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to_addr(message, &address(&path)?).map(|_| ())
}

/// A path, or `@` and a name in Linux's abstract namespace.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::unix::ffi::OsStrExt::as_bytes(path).strip_prefix(b"@") {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

/// The clock that `RELOADING=1` is told by. Where there is none, the manager takes the message for an old one.
fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default()
}

/// A socket that was passed to this process.
#[derive(Debug)]
pub(crate) enum Passed {
    Tcp { socket: TcpListener, tls: bool },
    Unix(UnixListener),
}

/// The sockets that were passed to this process, in order. A TCP socket begins with TLS if it is called `ldaps`
/// (`FileDescriptorName=`) or is at port 636.
///
/// # Errors
///
/// One of them is no socket that listens.
pub(crate) fn passed() -> anyhow::Result<Vec<Passed>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut given = ListenFd::from_env();
    let mut passed = Vec::with_capacity(given.len());
    for index in 0..given.len() {
        let name = names.next().unwrap_or_default();
        let socket = match given.take_unix_listener(index) {
            Ok(socket) => socket.map(Passed::Unix),
            Err(_) => {
                let socket = given
                    .take_tcp_listener(index)
                    .with_context(|| format!("failed to use the passed socket {} (`{name}`)", index + 1))?;
                socket.map(|socket| {
                    let port = socket.local_addr().map(|address| address.port());
                    Passed::Tcp { tls: name == "ldaps" || port.is_ok_and(|port| port == 636), socket }
                })
            }
        };
        passed.extend(socket);
    }
    Ok(passed)
}
