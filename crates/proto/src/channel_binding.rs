//! What a TLS connection can be told by (RFC 5056): the same at both ends, and at no other pair of ends.

use std::fmt;

/// What a proof of identity can be bound to, so that it is worth nothing on another connection.
#[derive(Clone, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "whoever does the handshake makes it, mechanisms read it")]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266): 32 octets that both ends derive from the handshake. Of TLS 1.3 only; what 1.2 derives
    /// is unique only with extended master secrets, which nobody can be sure of.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point` (RFC 5929 §4): the hash of the server's certificate.
    pub server_end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// None: there is no TLS.
    #[must_use]
    pub const fn none() -> Self {
        Self { exporter: None, server_end_point: None }
    }

    /// Whether there is nothing to bind to.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.server_end_point.is_none()
    }

    /// The data of one kind.
    #[must_use]
    pub fn get(&self, kind: BindingKind) -> Option<&[u8]> {
        match kind {
            BindingKind::TlsExporter => self.exporter.as_deref(),
            BindingKind::TlsServerEndPoint => self.server_end_point.as_deref(),
        }
    }
}

impl fmt::Debug for ChannelBindings {
    /// Which there are, not what they are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = BindingKind::ALL.into_iter().filter(|kind| self.get(*kind).is_some());
        f.debug_list().entries(kinds.map(BindingKind::name)).finish()
    }
}

/// A kind of channel binding.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BindingKind {
    /// `tls-exporter`.
    TlsExporter,
    /// `tls-server-end-point`.
    TlsServerEndPoint,
}

impl BindingKind {
    /// The better one first.
    pub const ALL: [Self; 2] = [Self::TlsExporter, Self::TlsServerEndPoint];

    /// As IANA calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsExporter => "tls-exporter",
            Self::TlsServerEndPoint => "tls-server-end-point",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
