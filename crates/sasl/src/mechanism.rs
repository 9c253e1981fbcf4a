//! The mechanisms there are, and which of them is the strongest.

use crate::scram::ScramHash;

/// A mechanism.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Mechanism {
    /// Who the transport says (RFC 4422 appendix A).
    External,
    /// A password as it is (RFC 4616).
    Plain,
    /// A password proved by MD5 (RFC 2831).
    DigestMd5,
    /// A token instead of a password (RFC 7628).
    OauthBearer,
    /// A ticket of Kerberos (RFC 4752).
    Gssapi,
    /// A ticket of Kerberos, inside the negotiation of RFC 4178, as Microsoft has it.
    GssSpnego,
    /// A password proved without being sent, both ways (RFC 5802).
    Scram {
        /// By this hash.
        hash: ScramHash,
        /// And to the TLS connection it is for: `-PLUS`.
        plus: bool,
    },
}

impl Mechanism {
    /// Those that take a password, the strongest first: those that bind to the channel, then by hash.
    ///
    /// DIGEST-MD5 is not among them: who asks for it by name has a reason to.
    ///
    /// SHA-1 bound to the channel comes before SHA-512 that is not, since what it keeps out is a real attack, and
    /// what is known of SHA-1 does not weaken it here (RFC 6194 §3.3).
    pub const BY_STRENGTH: [Self; 7] = [
        Self::Scram { hash: ScramHash::Sha512, plus: true },
        Self::Scram { hash: ScramHash::Sha256, plus: true },
        Self::Scram { hash: ScramHash::Sha1, plus: true },
        Self::Scram { hash: ScramHash::Sha512, plus: false },
        Self::Scram { hash: ScramHash::Sha256, plus: false },
        Self::Scram { hash: ScramHash::Sha1, plus: false },
        Self::Plain,
    ];

    /// As it is called on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Plain => "PLAIN",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Gssapi => "GSSAPI",
            Self::GssSpnego => "GSS-SPNEGO",
            Self::Scram { hash: ScramHash::Sha1, plus: false } => "SCRAM-SHA-1",
            Self::Scram { hash: ScramHash::Sha1, plus: true } => "SCRAM-SHA-1-PLUS",
            Self::Scram { hash: ScramHash::Sha256, plus: false } => "SCRAM-SHA-256",
            Self::Scram { hash: ScramHash::Sha256, plus: true } => "SCRAM-SHA-256-PLUS",
            Self::Scram { hash: ScramHash::Sha512, plus: false } => "SCRAM-SHA-512",
            Self::Scram { hash: ScramHash::Sha512, plus: true } => "SCRAM-SHA-512-PLUS",
        }
    }

    /// The mechanism of this name, in whatever case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let others = [Self::External, Self::DigestMd5, Self::OauthBearer, Self::Gssapi, Self::GssSpnego];
        let all = Self::BY_STRENGTH.into_iter().chain(others);
        all.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))
    }

    /// Whether it is by Kerberos.
    #[must_use]
    pub const fn is_kerberos(self) -> bool {
        matches!(self, Self::Gssapi | Self::GssSpnego)
    }

    /// Whether its messages hold the password, or what is as good.
    #[must_use]
    pub const fn shows_password(self) -> bool {
        matches!(self, Self::Plain | Self::OauthBearer)
    }
}
