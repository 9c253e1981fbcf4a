//! Who a connection is to be, and the binds that must never be sent.

use flext_ldap_directory::{
    BindStep, Error, ErrorKind,
    proto::{control::Controls, secret::Secret},
};

use crate::{Kerberos, Sasl};

/// Who a new connection is bound as.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody: no bind is sent.
    #[default]
    Anonymous,
    /// A name and a password (RFC 4513 §5.1.3).
    Simple {
        /// A DN, or what the directory takes instead (`user@example.com`).
        name: String,
        /// The password.
        password: Secret,
    },
    /// SASL EXTERNAL (RFC 4513 §5.2.3): the client certificate, or the user of a Unix socket.
    External,
    /// Another SASL mechanism, or whichever is the strongest that the server offers.
    Sasl(Sasl),
}

impl Credentials {
    /// A name and a password.
    #[must_use]
    pub fn simple(name: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Simple { name: name.into(), password: password.into() }
    }

    /// Whoever Kerberos says, by GSSAPI.
    #[must_use]
    pub fn kerberos(kerberos: Kerberos) -> Self {
        Self::Sasl(Sasl::kerberos(kerberos))
    }

    /// Refuses what must never be sent.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match (self, self.step(&Controls::none())) {
            (Self::Sasl(sasl), _) => sasl.check(),
            (_, Some(step)) => check(&step),
            (_, None) => Ok(()),
        }
    }

    /// Whether a password goes out as it is, whatever the server says.
    pub(crate) fn shows_password(&self) -> bool {
        match self {
            Self::Anonymous | Self::External => false,
            Self::Simple { password, .. } => !password.is_empty(),
            Self::Sasl(sasl) => sasl.shows_password(),
        }
    }

    /// Whether the two would send the same. Where that cannot be told they count as the same, so that what was refused is
    /// not taken for something new and sent again.
    pub(crate) fn are_those_of(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Simple { name, password },
                Self::Simple { name: other_name, password: other_password },
            ) => name == other_name && password.expose() == other_password.expose(),
            (Self::Sasl(sasl), Self::Sasl(other)) => sasl.is_that_of(other),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }

    /// The one bind to send, if it is one.
    pub(crate) fn step(&self, with: &Controls) -> Option<BindStep> {
        let mut step = match self {
            Self::Anonymous | Self::Sasl(_) => return None,
            Self::Simple { name, password } => BindStep::simple(name.clone(), password.clone()),
            Self::External => BindStep::external(),
        };
        if let BindStep::Simple { controls, .. } | BindStep::Sasl { controls, .. } = &mut step {
            controls.clone_from(with);
        }
        Some(step)
    }
}

impl From<Sasl> for Credentials {
    fn from(sasl: Sasl) -> Self {
        Self::Sasl(sasl)
    }
}

/// Refuses the binds that prove nothing but that servers take for success (RFC 4513 §5.1.2).
///
/// - A name with an empty password. A password of nothing but NUL octets counts as empty: a server that keeps strings
///   the way C does sees an empty one. Spaces are a password like any other, and are sent.
/// - A password with an empty name, or one of white space only, which a server may normalise to the empty name and
///   answer with an anonymous success.
pub(crate) fn check(step: &BindStep) -> Result<(), Error> {
    let BindStep::Simple { name, password, .. } = step else { return Ok(()) };
    let has_password = password.expose().iter().any(|octet| *octet != 0);
    let has_name = !name.trim().is_empty();
    match (has_name, has_password) {
        (true, true) => Ok(()),
        (false, false) if name.is_empty() && password.is_empty() => Ok(()),
        (_, false) => Err(Error::new(
            ErrorKind::EmptyPassword,
            "the password is empty, and a server may take that for success: give a password, or bind anonymously",
        )),
        (false, true) => {
            Err(Error::new(ErrorKind::Misuse, "a password without a name: say whose password it is"))
        }
    }
}
