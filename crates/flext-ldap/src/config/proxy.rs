//! What `flext-ldap proxy` offers: the keys below `proxy`.

use std::{net::SocketAddr, path::PathBuf};

use flext_ldap_directory::proto::url::LdapUrl;

/// How a proxy listens, and what its clients may cost.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProxySettings {
    /// Where it listens for LDAP.
    pub listen: Vec<LdapUrl>,
    /// PEM files of its certificate chain and the key.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The service account it asks as itself.
    pub account: Option<String>,
    /// Whether passwords are kept while who sent them is bound.
    pub keep_passwords: bool,
    /// Whether who has bound is carried over the account's connections.
    pub proxied_authorization: bool,
    /// Clients at a time.
    pub sessions: usize,
    /// Clients at a time from one address; half of `sessions` where it is not said.
    pub sessions_per_address: Option<usize>,
    /// Conversations with each server at a time.
    pub conversations: usize,
    /// Binds at a time on each server.
    pub binds: usize,
    /// Where a line is written for each operation.
    pub access_log: Option<PathBuf>,
    /// Where is written who binds how.
    pub clients_file: Option<PathBuf>,
    /// Where metrics and health are told over HTTP.
    pub http_listen: Option<SocketAddr>,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: None,
            account: None,
            keep_passwords: true,
            proxied_authorization: false,
            sessions: 10_000,
            sessions_per_address: None,
            conversations: 1_000,
            binds: 32,
            access_log: None,
            clients_file: None,
            http_listen: None,
        }
    }
}
