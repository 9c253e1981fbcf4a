//! One server, or several that look like one.

use flext_ldap_directory::{BoxFuture, Deadline, Directory, Error, Sessions};

/// A server as a set of servers sees it: it answers operations, opens conversations, and can be asked how it is.
///
/// A [`Pool`](crate::Pool) is one, and so is a set of others.
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

    /// Ends it: no new operation is taken, those in flight may end until `by`, then everything is closed.
    fn shutdown(&self, by: Deadline) -> BoxFuture<'_, ()>;
}
