//! Parsing of definitions (RFC 4512 §4.1), `.schema` files and subschema entries, with what servers get wrong.

/// A definition that could not be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct SchemaError {
    /// Line in the file, from 1; for a subschema entry, the number of the value.
    pub line: usize,
    /// Octets from the start of the line, from 1.
    pub column: usize,
    /// What was wrong.
    pub kind: SchemaErrorKind,
}

/// The ways in which a definition can be wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaErrorKind {
    /// Something else than the grammar wants.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A definition refers to one that is not there.
    #[error("`{definition}` refers to `{missing}`, which is not defined")]
    Missing {
        /// Which definition.
        definition: String,
        /// What it refers to.
        missing: String,
    },
    /// Two different definitions with the same name or OID.
    #[error("`{0}` is defined twice, differently")]
    Conflict(String),
    /// Definitions that inherit from each other.
    #[error("`{0}` inherits from itself")]
    Cycle(String),
}
