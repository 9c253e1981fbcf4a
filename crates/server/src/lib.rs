//! The listener: LDAP on the wire over any [`Sessions`](flext_ldap_directory::Sessions).
//!
//! Over the store it is a server, over a connector a proxy. What RFC 4511 ties to a connection is done here: message
//! ids, Abandon, Cancel, StartTLS, the order of binds, Notice of Disconnection. What an operation means, who may do
//! it, and what is in the root DSE is the directory's matter.
//!
//! One task owns one connection. A peer that sends what it must not, sends too slowly, or does not read costs its own
//! connection and nothing else: every buffer is bounded and every wait has a deadline, see [`ServerLimits`].
//!
//! ```no_run
//! # async fn serve(sessions: std::sync::Arc<dyn flext_ldap_directory::Sessions>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use flext_ldap_server::Server;
//!
//! let server = Server::builder(sessions).listen("ldap://127.0.0.1:0".parse()?).start().await?;
//! for url in server.urls() {
//!     eprintln!("listening on {url}");
//! }
//! server.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod access_log;
mod answer;
mod connection;
mod conversation;
mod error;
mod failures;
mod limits;
mod line_log;
mod listen;
mod monitor;
mod outbox;
mod rate;
mod root_dse;
mod server;
mod statistics;
mod stream;
mod tls;
mod what;

pub use self::{
    access_log::{AccessLog, Connected, Disconnected, Finished, What},
    error::{StartError, TlsError},
    limits::ServerLimits,
    line_log::LineLog,
    monitor::Monitor,
    rate::{Rate, RateLimits},
    server::{Server, ServerBuilder},
    tls::ServerTls,
};
