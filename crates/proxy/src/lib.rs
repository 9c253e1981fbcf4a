//! A proxy's sessions: what a listener asks, carried to the servers behind, each client as who they are.
//!
//! Over it stands a listener (`flext-ldap-server`), under it an upstream: a pool or a set of servers with its layers. A
//! program that speaks LDAP to the listener's one URL has what these have: failover, TLS to the servers, metrics, audit.
//!
//! - Each client session has an upstream conversation of its own, opened when it is first needed. Who binds is bound
//!   there, and nowhere else: what RFC 4511 ties to a connection (identity, paging cookies, transactions, persistent
//!   searches) is tied to that conversation. Where it is asked for and the server offers it, a bound user's operations
//!   go over the upstream's own connections by proxied authorization (RFC 4370) instead.
//! - A server that dies costs no client its connection: the conversation is opened anew, and bound again as who was bound.
//!   A read goes on there if nothing of its answer was delivered, a write only if no octet of it had left. A write whose
//!   answer was lost is answered with `other`, and a text that says so.
//! - A cookie that one conversation has given is good on that one only ([`Proxy`] marks them). When the conversation is lost
//!   the next page is refused, with why.
//! - [`Clients`] remembers who binds how, from where, and what they search by.
//!
//! There is no socket here, and no decision about who may see what: the servers decide that, of the user's own identity.

mod carried;
mod clients;
mod lent;
mod mark;
mod mechanism;
mod must_change;
mod password;
mod proxy;
mod restore;
mod root_dse;
mod session;
mod talk;

pub use self::{
    clients::{ClientRecord, Clients, Method, SearchShape},
    proxy::{Proxy, ProxyBuilder},
};
