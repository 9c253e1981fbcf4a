//! Sockets that listen: TCP addresses and Unix sockets, from LDAP URLs.

use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use flext_ldap_directory::{External, Peer, PeerAddress, Protection};
use flext_ldap_proto::url::{LdapUrl, Scheme};
use socket2::{Domain, SockAddr, SockRef, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::{StartError, stream::Socket};

/// Connections the kernel holds until they are accepted.
const BACKLOG: i32 = 1024;

/// One socket that listens.
#[derive(Debug)]
pub(crate) struct Listener {
    kind: Kind,
    /// Whether a connection starts with a TLS handshake.
    pub(crate) tls: bool,
    /// The address as it turned out: with the port the system chose.
    pub(crate) url: LdapUrl,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    /// Whoever has made the file takes it away.
    Unix(UnixListener, #[expect(dead_code, reason = "unlinks the socket when dropped")] Option<SocketFile>),
}

/// A socket that somebody else has made.
#[derive(Debug)]
pub(crate) enum Passed {
    Tcp { socket: std::net::TcpListener, tls: bool },
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Listens where `url` says. Unix sockets get the file mode `mode`; one that a process left behind is removed.
    pub(crate) async fn bind(url: &LdapUrl, mode: u32) -> Result<Self, StartError> {
        if is_stale(url)? {
            // If it cannot be removed, binding says why.
            let _ = fs::remove_file(&url.host);
        }
        Self::bind_free(url, mode).await
    }

    /// The same for a moment, to see whether it can be done, and leaving all as it is: nothing where a socket stands that
    /// would be removed.
    pub(crate) async fn probe(url: &LdapUrl) -> Result<Option<Self>, StartError> {
        if is_stale(url)? {
            return Ok(None);
        }
        Self::bind_free(url, 0o600).await.map(Some)
    }

    async fn bind_free(url: &LdapUrl, mode: u32) -> Result<Self, StartError> {
        let failed = |source| StartError::Listen { url: url.clone().into(), source };
        let mut actual = url.clone();
        let kind = match url.scheme {
            Scheme::Ldapi => {
                let (listener, file) = bind_unix(Path::new(&url.host), mode).map_err(failed)?;
                Kind::Unix(listener, Some(file))
            }
            Scheme::Ldap | Scheme::Ldaps => {
                let listener = bind_tcp(&url.host, url.port()).await.map_err(failed)?;
                actual.explicit_port = Some(listener.local_addr().map_err(failed)?.port());
                Kind::Tcp(listener)
            }
            _ => return Err(not_an_address(url)),
        };
        Ok(Self { kind, tls: url.scheme == Scheme::Ldaps, url: actual })
    }

    /// Listens on a socket that is there already.
    pub(crate) fn passed(passed: Passed) -> Result<Self, StartError> {
        match passed {
            Passed::Tcp { socket, tls } => {
                let address = socket.local_addr().map_err(StartError::Passed)?;
                socket.set_nonblocking(true).map_err(StartError::Passed)?;
                let scheme = if tls { "ldaps" } else { "ldap" };
                let url = address_url(&format!("{scheme}://{address}"))?;
                let kind = Kind::Tcp(TcpListener::from_std(socket).map_err(StartError::Passed)?);
                Ok(Self { kind, tls, url })
            }
            Passed::Unix(socket) => {
                let address = socket.local_addr().map_err(StartError::Passed)?;
                socket.set_nonblocking(true).map_err(StartError::Passed)?;
                let mut url = address_url("ldapi://")?;
                url.host = address.as_pathname().map(|path| path.display().to_string()).unwrap_or_default();
                let kind = Kind::Unix(UnixListener::from_std(socket).map_err(StartError::Passed)?, None);
                Ok(Self { kind, tls: false, url })
            }
        }
    }

    /// The next connection and what its transport tells of the peer.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: if it does not resolve, no connection is lost.
    pub(crate) async fn accept(&self) -> io::Result<(Socket, Peer)> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                stream.set_nodelay(true)?;
                SockRef::from(&stream).set_keepalive(true)?;
                // A mapped address (RFC 4291 §2.5.5.2) is an IPv4 peer of a socket for both.
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                let protection = if self.tls { Protection::Tls } else { Protection::Clear };
                let address = PeerAddress::Tcp(address);
                let peer = Peer { address, protection, external: None, bindings: None, tls: None };
                Ok((Socket::Tcp(stream), peer))
            }
            Kind::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred()?;
                let external = External::UnixUser { uid: credentials.uid(), gid: credentials.gid() };
                let peer = Peer {
                    address: PeerAddress::Unix,
                    protection: Protection::Local,
                    external: Some(external),
                    bindings: None,
                    tls: None,
                };
                Ok((Socket::Unix(stream), peer))
            }
        }
    }
}

fn not_an_address(url: &LdapUrl) -> StartError {
    StartError::NotAnAddress(url.clone().into())
}

fn address_url(text: &str) -> Result<LdapUrl, StartError> {
    text.parse().map_err(|error| StartError::Passed(io::Error::other(error)))
}

/// Listens on the first address of `host` that can be had; without a host on all, of both families where there are.
async fn bind_tcp(host: &str, port: u16) -> io::Result<TcpListener> {
    if !host.is_empty() {
        return TcpListener::bind((host, port)).await;
    }
    match bind_both_families(port) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // No IPv6 here.
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
    }
}

fn bind_both_families(port: u16) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::IPV6, Type::STREAM, None)?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Nobody can connect before `listen`, so there is no moment at which the socket has another mode than `mode`.
fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = socket2::Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::new(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((UnixListener::from_std(socket.into())?, file))
}

/// Whether a socket stands there that a process left behind: one that refuses connections.
///
/// # Errors
///
/// The URL is more than an address, or something else stands there.
fn is_stale(url: &LdapUrl) -> Result<bool, StartError> {
    if !url.dn.as_str().is_empty()
        || url.scope.is_some()
        || url.filter.is_some()
        || !url.attributes.selectors().is_empty()
        || !url.extensions.is_empty()
        || (url.scheme == Scheme::Ldapi && url.host.is_empty())
    {
        return Err(not_an_address(url));
    }
    if url.scheme != Scheme::Ldapi {
        return Ok(false);
    }
    let path = Path::new(&url.host);
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(false); // Nothing there, or what is wrong will show when the socket is bound.
    };
    if !metadata.file_type().is_socket() {
        return Err(StartError::NotASocket(path.to_owned()));
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        _ => Err(StartError::SocketInUse(path.to_owned())),
    }
}

/// The file of a Unix socket; unlinked when dropped, unless another one stands there by then.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| found.dev() == self.device && found.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the socket was not removed");
        }
    }
}
