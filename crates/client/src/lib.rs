//! An LDAP client: one multiplexed connection over TCP, TLS, StartTLS or a Unix socket.
//!
//! A [`Connector`] knows how to reach a server: its addresses, what protects the way there, who to be. It opens
//! [`Connection`]s. A connection is a [`Directory`] that answers any number of operations at once, and a [`Session`]
//! that can be bound; the typed operations are those of [`DirectoryExt`] and [`SessionExt`].
//!
//! ```no_run
//! use flext_ldap_client::{Connector, Credentials, TlsOptions};
//! use flext_ldap_directory::{
//!     Actor, DirectoryExt, Request,
//!     proto::message::{Scope, Search},
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let connector = Connector::builder()
//!     .start_tls(TlsOptions::new().ca_file("/etc/ssl/harbourlane.pem"))
//!     .address("ldap.harbourlane.example", 389)
//!     .credentials(Credentials::simple("cn=reader,dc=harbourlane,dc=example", "a password"))
//!     .build()?;
//! let connection = connector.connect().await?;
//! let people = Search::new("dc=harbourlane,dc=example".parse()?, Scope::Subtree, "(objectClass=person)".parse()?);
//! let mut entries = connection.search(Request::new(people, Actor::Service));
//! while let Some(entry) = entries.next().await? {
//!     println!("{}", entry.dn_str());
//! }
//! connection.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A connection that is lost stays lost, and says so. A [`Pool`] keeps several to one server, replaces those that are
//! lost, and has others for the binds of users. A [`ServerSet`] makes one server of several pools: it knows which of them
//! are well, and sends on to the next what certainly was not done by the one before. [`Parallel`] reads a whole tree over
//! several connections at a time.
//!
//! [`Directory`]: flext_ldap_directory::Directory
//! [`DirectoryExt`]: flext_ldap_directory::DirectoryExt
//! [`Session`]: flext_ldap_directory::Session
//! [`SessionExt`]: flext_ldap_directory::SessionExt

mod capabilities;
mod chance;
mod connection;
mod connector;
mod credentials;
mod dial;
mod ending;
mod exposure;
mod gather;
pub mod inspection;
mod kerberos;
mod layered;
mod parallel;
mod pool;
mod referrals;
mod sasl;
mod server;
mod servers;
mod srv;
mod start_tls;
mod tls;
mod trace;
mod transport;

pub use flext_ldap_directory as directory;
pub use flext_ldap_sasl::{Mechanism, gssapi::Strength, scram::ScramHash};

pub use self::{
    capabilities::{Capabilities, PasswordChange, ServerKind},
    connection::Connection,
    connector::{Connector, ConnectorBuilder, WantsSecurity},
    credentials::Credentials,
    kerberos::Kerberos,
    parallel::Parallel,
    pool::{BindStats, CredentialsSource, PinnedConnection, Pool, PoolBuilder, PoolStats, SharedAccount},
    referrals::{Referrals, ReferralsBuilder},
    sasl::Sasl,
    server::Server,
    servers::{
        Choice, MemberHealth, MemberStatistics, Place, ServerSet, ServerSetBuilder, SetStatistics,
        SplitServers, WhenDown,
    },
    srv::{Discovery, DnsResolver, SrvAnswer, SrvLookup, SrvRecord, SrvService, SrvTarget},
    tls::TlsOptions,
};
