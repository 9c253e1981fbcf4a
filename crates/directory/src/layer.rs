//! What wraps a directory, written once and good for every one: a connection, the store, each session of a listener.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use flext_ldap_proto::result::LdapResult;

use crate::{
    BindReply, BindStep, BoxFuture, Deadline, Directory, Error, Peer, Reply, Request, Session, Sessions,
};

/// Improves a directory: sees every request on its way in, and may wrap the reply on its way out.
///
/// A layer cannot decide who may see what: the policy does, where filters are evaluated
/// ([`AccessPolicy`](crate::AccessPolicy)).
pub trait Layer: Send + Sync + 'static {
    /// Answers `request`, most often by asking `next`.
    fn call(&self, request: Request, next: &dyn Directory) -> Reply;
}

/// A directory, a session, or an opener of sessions, with a layer around it.
#[derive(Debug)]
pub struct Layered<D, L> {
    inner: D,
    layer: Arc<L>,
}

impl<D, L> Layered<D, L> {
    /// Puts `layer` around `inner`.
    pub fn new(inner: D, layer: Arc<L>) -> Self {
        Self { inner, layer }
    }

    /// What is wrapped.
    pub const fn inner(&self) -> &D {
        &self.inner
    }

    /// What is around it.
    pub const fn layer(&self) -> &Arc<L> {
        &self.layer
    }
}

impl<D: Directory, L: Layer> Directory for Layered<D, L> {
    fn call(&self, request: Request) -> Reply {
        self.layer.call(request, &self.inner)
    }
}

impl<S: Session, L: Layer> Session for Layered<S, L> {
    fn bind(&mut self, step: BindStep, by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        self.inner.bind(step, by)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<LdapResult> {
        self.inner.poll_end(cx)
    }
}

impl<S: Sessions, L: Layer> Sessions for Layered<S, L> {
    fn open(&self, peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async move {
            let inner = self.inner.open(peer).await?;
            Ok(Box::new(Layered { inner, layer: self.layer.clone() }) as Box<dyn Session>)
        })
    }
}
