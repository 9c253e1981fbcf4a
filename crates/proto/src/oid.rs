//! Object identifiers (RFC 4512 §1.4) and the names of those this project knows.

use std::{borrow::Cow, fmt, str::FromStr};

/// A dotted-decimal object identifier, e.g. `1.3.6.1.4.1.1466.20037`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Oid(Cow<'static, str>);

/// Text that is not a dotted-decimal object identifier.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not an object identifier in dotted-decimal form")]
pub struct InvalidOid;

impl Oid {
    /// An identifier known when the program is written. The text is not checked.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The dotted-decimal text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What RFCs and vendors call it (control, extended operation, feature, SASL-free name), where this project
    /// knows, e.g. `StartTLS`.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        todo!()
    }
}

impl FromStr for Oid {
    type Err = InvalidOid;

    /// Parses `numericoid` (RFC 4512 §1.4).
    fn from_str(text: &str) -> Result<Self, InvalidOid> {
        todo!("{text}")
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
