//! One server, or several that look like one.

use std::sync::Arc;

use flext_ldap_directory::{BoxFuture, Deadline, Directory, Error, Layer, Layered, Sessions};

use crate::PinnedConnection;

/// A server as a set of servers sees it: it answers operations, opens conversations, and can be asked how it is.
///
/// A [`Pool`](crate::Pool) is one, and so is a set of others. With a [`Layer`] around it, it is one still: what goes
/// through the layer are operations, also those of conversations and on pinned connections, and not checks.
pub trait Server: Directory + Sessions {
    /// What messages and statistics call it: `host:port`, the path of a socket, or the name of a set.
    fn name(&self) -> &str;

    /// Operations in flight, and waiting for their turn, right now.
    fn load(&self) -> usize;

    /// Asks the server whether it is well, over a connection it already has or a new one.
    ///
    /// # Errors
    ///
    /// Why it is not.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>>;

    /// Takes a connection of the program's own for a conversation that is not bound anew: for pages
    /// ([`search_pages`](flext_ldap_directory::SessionExt::search_pages)), whose cookies are good on one connection only. Of
    /// several servers it is the first that has one. All of it stays there.
    ///
    /// # Errors
    ///
    /// Why there is none. What a server said to the program's own credentials is the error itself, and is said to no other
    /// server then.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>>;

    /// Ends it: no new operation is taken, those in flight may end until `by`, then everything is closed.
    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()>;
}

impl<S: Server + ?Sized> Server for Arc<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn load(&self) -> usize {
        (**self).load()
    }

    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        (**self).check(by)
    }

    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        (**self).pin(by)
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        (**self).shutdown(by)
    }
}

impl<S: Server, L: Layer> Server for Layered<S, L> {
    fn name(&self) -> &str {
        self.inner().name()
    }

    fn load(&self) -> usize {
        self.inner().load()
    }

    fn check(&self, by: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        self.inner().check(by)
    }

    fn pin(&self, by: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        Box::pin(async move { Ok(self.inner().pin(by).await?.layered(self.layer().clone())) })
    }

    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()> {
        self.inner().shutdown(by)
    }
}
