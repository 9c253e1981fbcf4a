//! Why a test directory could not start or be reset.

use std::{io, path::PathBuf};

/// Why a test directory could not start or be reset.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestDirectoryError {
    /// A name that is none.
    #[error("`{name}` is not a distinguished name")]
    Dn {
        /// The text.
        name: String,
        /// What is wrong with it.
        source: flext_ldap_proto::dn::DnError,
    },
    /// The LDIF starts with nothing that could be the suffix.
    #[error("the LDIF holds no record with a name; name the suffix, or start the LDIF with its entry")]
    NoSuffix,
    /// The default suffix entry can be made for `dc`, `o`, `ou` and `c` only.
    #[error("no entry can be made for the suffix `{0}`; give LDIF that starts with it")]
    SuffixEntry(String),
    /// The LDIF cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The LDIF is none.
    #[error("cannot parse the LDIF")]
    Parse(#[from] flext_ldap_proto::ldif::LdifError),
    /// The LDIF cannot be loaded.
    #[error("cannot load the LDIF")]
    Load(#[from] flext_ldap_store::ImportError),
    /// The directory refused.
    #[error("the directory failed")]
    Directory(#[from] flext_ldap_directory::Error),
    /// The listener could not start.
    #[error("cannot listen")]
    Listen(#[from] flext_ldap_server::StartError),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// A certificate could not be used.
    #[error("cannot use the certificate")]
    Tls(#[from] flext_ldap_server::TlsError),
    /// No thread, runtime or folder to run in.
    #[error("cannot run")]
    Run(#[from] io::Error),
}
