//! Syntaxes (RFC 4517 §3): what octets a value may be, and decoders for those that are data.

/// A syntax, known or not. A small number: copy it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Syntax(u8);

/// A value that does not fit its syntax.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a valid {syntax}")]
pub struct SyntaxError {
    /// The description of the syntax, e.g. `Generalized Time`.
    pub syntax: &'static str,
}

impl Syntax {
    /// The syntax with this OID; one that is not known takes any octets.
    #[must_use]
    pub fn find(oid: &str) -> Self {
        todo!("{oid}")
    }

    /// Its OID.
    #[must_use]
    pub fn oid(self) -> &'static str {
        todo!("{}", self.0)
    }

    /// Its description, e.g. `Directory String`.
    #[must_use]
    pub fn description(self) -> &'static str {
        todo!()
    }

    /// Whether values are text for people: they print as they are.
    #[must_use]
    pub fn is_text(self) -> bool {
        todo!()
    }

    /// Checks a value.
    ///
    /// # Errors
    ///
    /// When it does not fit.
    pub fn check(self, value: &[u8]) -> Result<(), SyntaxError> {
        todo!("{value:?}")
    }
}
