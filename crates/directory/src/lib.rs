//! The seam: what answers LDAP operations, and what wraps it.
//!
//! A directory is whatever answers operations: a connection, a pool, the embedded store. Whatever improves one wraps
//! one ([`Layer`]); whatever needs one uses one ([`DirectoryExt`]). So a listener over the store is a server, a listener
//! over layers over connections is a proxy, and a tap over the store is a test without a mock.
//!
//! - [`Directory`] answers one [`Request`] with one [`Reply`]. It is shared and keeps no state of its callers.
//! - [`Sessions`] opens conversations; a [`Session`] holds all that RFC 4511 ties to one: who is bound, cookies.
//! - [`Actor`] says on whose behalf, [`Deadline`] until when. Neither has a default.
//!
//! There is no socket, no storage and no protocol here; those are the crates on either side.

mod access;
mod actor;
mod deadline;
mod error;
pub mod health;
mod ladder;
mod layer;
pub mod layers;
mod pages;
pub mod ranges;
mod reply;
mod request;
mod session;

use std::{future::Future, pin::Pin, sync::Arc};

pub use flext_ldap_proto as proto;

pub use self::{
    access::{
        AccessPolicy, AttributeRight, Blank, Entry, EntryRight, Group, Lookup, Requester, Rights, Target,
    },
    actor::{Actor, Identity},
    deadline::Deadline,
    error::{Applied, Blame, Error, ErrorKind},
    ladder::{DirectoryExt, Entries},
    layer::{Layer, Layered},
    pages::SessionExt,
    reply::{Event, Events, Outcome, Reply},
    request::{Op, OpKind, Operation, Request},
    session::{AgreedTls, BindReply, BindStep, External, Peer, PeerAddress, Protection, Session, Sessions},
};

/// A future behind a pointer, as the traits of this crate return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Answers operations. Shared; keeps no state of a caller.
///
/// One required method, so that a layer is one function.
pub trait Directory: Send + Sync + 'static {
    /// Starts an operation. Never blocks: what has to wait waits in the [`Reply`].
    ///
    /// The operation may start at once or when the reply is first polled. Dropping the reply abandons a search or a
    /// compare; a write goes on, and its late answer is dropped.
    fn call(&self, request: Request) -> Reply;
}

impl<D: Directory + ?Sized> Directory for Arc<D> {
    fn call(&self, request: Request) -> Reply {
        (**self).call(request)
    }
}

impl<D: Directory + ?Sized> Directory for Box<D> {
    fn call(&self, request: Request) -> Reply {
        (**self).call(request)
    }
}
