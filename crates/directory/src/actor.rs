//! On whose behalf an operation runs.

use std::sync::Arc;

use flext_ldap_proto::dn::Dn;

/// On whose behalf an operation runs. There is no default: whoever asks must say.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who decides about access must decide for each")]
pub enum Actor {
    /// The program itself: a connection with the rights it was bound with, the store with all rights. A listener
    /// never says this for a peer.
    Service,
    /// Somebody who has not said who they are.
    Anonymous,
    /// Somebody who has proved who they are.
    User(Identity),
}

/// Who somebody has proved to be. Comes from a successful bind and from nowhere else.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity(Arc<Inner>);

#[derive(Debug, Eq, PartialEq)]
struct Inner {
    dn: Option<Dn>,
    authorization: String,
}

impl Identity {
    /// The identity of the entry `dn`, for a [`Session`](crate::Session) that has just verified it.
    #[must_use]
    pub fn from_successful_bind(dn: Dn) -> Self {
        let authorization = format!("dn:{dn}");
        Self(Arc::new(Inner { dn: Some(dn), authorization }))
    }

    /// The identity of an authorization id (RFC 4513 §5.2.1.8: `u:…`), or of a name that is not a DN, for a
    /// [`Session`](crate::Session) that has just verified it.
    #[must_use]
    pub fn from_successful_bind_as(authorization: impl Into<String>) -> Self {
        let authorization = authorization.into();
        let dn = authorization.strip_prefix("dn:").and_then(|dn| dn.parse().ok());
        Self(Arc::new(Inner { dn, authorization }))
    }

    /// The entry, where the directory named one.
    #[must_use]
    pub fn dn(&self) -> Option<&Dn> {
        self.0.dn.as_ref()
    }

    /// The authorization id (RFC 4513 §5.2.1.8): `dn:…` or `u:…`.
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.0.authorization
    }
}
