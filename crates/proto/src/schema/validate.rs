//! What can be wrong with an entry.

use crate::result::ResultCode;

/// One thing that is wrong with an entry.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// An object class the schema does not have.
    #[error("object class `{0}` is not defined")]
    UnknownClass(String),
    /// No structural object class.
    #[error("no structural object class")]
    NoStructuralClass,
    /// More than one structural chain.
    #[error("structural object classes `{0}` and `{1}` do not inherit from each other")]
    TwoStructuralClasses(String, String),
    /// A required attribute is missing.
    #[error("object class `{class}` requires attribute `{attribute}`")]
    MissingAttribute {
        /// The class that requires it.
        class: String,
        /// The attribute.
        attribute: String,
    },
    /// An attribute no class of the entry allows.
    #[error("attribute `{0}` is not allowed by the entry's object classes")]
    AttributeNotAllowed(String),
    /// An attribute the schema does not have.
    #[error("attribute type `{0}` is not defined")]
    UnknownAttribute(String),
    /// An attribute that only the directory sets.
    #[error("attribute `{0}` is set by the directory only")]
    NoUserModification(String),
    /// More than one value of a single-valued attribute.
    #[error("attribute `{0}` takes one value only")]
    TooManyValues(String),
    /// A value that does not fit its syntax.
    #[error("value {index} of `{attribute}` is not a valid {syntax}")]
    InvalidSyntax {
        /// The attribute.
        attribute: String,
        /// Which value, from 1.
        index: usize,
        /// The description of the syntax.
        syntax: &'static str,
    },
    /// The same value twice.
    #[error("value {index} of `{attribute}` is there twice")]
    DuplicateValue {
        /// The attribute.
        attribute: String,
        /// Which value, from 1.
        index: usize,
    },
    /// A value of the name that is not among the attributes.
    #[error("the name has `{0}`, the entry does not")]
    NameValueMissing(String),
}

impl Violation {
    /// The result code a server answers with.
    #[must_use]
    pub fn result_code(&self) -> ResultCode {
        match self {
            Self::UnknownClass(_)
            | Self::NoStructuralClass
            | Self::TwoStructuralClasses(..)
            | Self::MissingAttribute { .. }
            | Self::AttributeNotAllowed(_) => ResultCode::OBJECT_CLASS_VIOLATION,
            Self::UnknownAttribute(_) => ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
            Self::NoUserModification(_) | Self::TooManyValues(_) => ResultCode::CONSTRAINT_VIOLATION,
            Self::InvalidSyntax { .. } => ResultCode::INVALID_ATTRIBUTE_SYNTAX,
            Self::DuplicateValue { .. } => ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
            Self::NameValueMissing(_) => ResultCode::NAMING_VIOLATION,
        }
    }
}
