//! Why a server could not start.

use std::{io, path::PathBuf};

use flext_ldap_proto::url::LdapUrl;

/// Why a server could not start. Nothing listens when it is returned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No address was given.
    #[error("nothing to listen on; name at least one address, e.g. `ldap://127.0.0.1:389`")]
    NoAddress,
    /// A URL with more in it than an address.
    #[error(
        "`{0}` is not an address to listen on; give a scheme with a host and port, or `ldapi://` with a path"
    )]
    NotAnAddress(Box<LdapUrl>),
    /// `ldaps` without a certificate.
    #[error("`{0}` needs a certificate and its key")]
    NoCertificate(Box<LdapUrl>),
    /// The operating system refused.
    #[error("cannot listen on `{url}`{}", advice(source))]
    Listen {
        /// On what.
        url: Box<LdapUrl>,
        /// Why not.
        source: io::Error,
    },
    /// A socket that was passed to the program cannot be listened on.
    #[error("cannot listen on a socket that was passed to this program")]
    Passed(#[source] io::Error),
    /// Somebody serves this Unix socket.
    #[error("socket `{}` is served by another process; stop it or use another path", .0.display())]
    SocketInUse(PathBuf),
    /// What stands at the path is not a socket, so it is left alone.
    #[error("`{}` exists and is not a socket; remove it or use another path", .0.display())]
    NotASocket(PathBuf),
}

/// What to do where an address cannot be had.
fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop who listens there, or use another port or path",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for root and who has CAP_NET_BIND_SERVICE, and folders for who may write in them"
        }
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        io::ErrorKind::NotFound => "; make the folder",
        io::ErrorKind::InvalidInput => "; the path of a Unix socket has at most 107 octets",
        _ => "",
    }
}

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error("cannot read the certificate chain; expected PEM with the server's own certificate first")]
    Certificate(#[source] rustls::pki_types::pem::Error),
    /// There is no certificate.
    #[error("the certificate chain is empty; expected PEM with the server's own certificate first")]
    NoCertificate,
    /// The key cannot be read.
    #[error("cannot read the private key; expected PEM of PKCS #8, PKCS #1 or SEC1, not encrypted")]
    Key(#[source] rustls::pki_types::pem::Error),
    /// Certificate and key do not go together, or are of a kind that is not supported.
    #[error("the certificate and the private key cannot be used together")]
    Unusable(#[source] rustls::Error),
    /// The authorities of clients cannot be read.
    #[error("cannot read the authorities of client certificates; expected certificates in PEM")]
    Authority(#[source] rustls::pki_types::pem::Error),
    /// There are none.
    #[error("there is no authority of client certificates; expected certificates in PEM")]
    NoAuthority(#[source] rustls::server::VerifierBuilderError),
}
