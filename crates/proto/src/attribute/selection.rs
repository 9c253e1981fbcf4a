//! What a search asks to be returned (RFC 4511 §4.5.1.8).

use std::{fmt, sync::Arc};

use super::AttributeDescription;
use crate::{
    ber::{DecodeError, DecodeErrorKind, Reader, Writer},
    message::Limits,
};

/// What a search, or a read-entry control, asks to be returned.
///
/// An empty selection means all user attributes, as on the wire. A clone shares it, and allocates nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection(Arc<[Selector]>);

/// One element of a [`Selection`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Selector {
    /// `*`: all user attributes.
    AllUser,
    /// `+`: all operational attributes (RFC 3673).
    AllOperational,
    /// `1.1`: none, where nothing else is asked for.
    None,
    /// `@class`: all attributes of an object class (RFC 4529).
    ObjectClass(Box<str>),
    /// An attribute with its subtypes.
    Attribute(AttributeDescription),
    /// What is none of these; a server ignores it (RFC 4511 §4.5.1.8).
    Unrecognised(Box<str>),
}

impl Selection {
    /// Nothing but names: `1.1`.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::new([Selector::None]))
    }

    /// All user and all operational attributes: `*` and `+`.
    #[must_use]
    pub fn everything() -> Self {
        Self(Arc::new([Selector::AllUser, Selector::AllOperational]))
    }

    /// The elements.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.0
    }

    /// Reads an `AttributeSelection`.
    ///
    /// # Errors
    ///
    /// When it is malformed or longer than [`crate::message::Limits::attributes`].
    pub fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError> {
        let mut elements = reader.sequence()?;
        let mut selectors = Vec::new();
        while !elements.is_empty() {
            if selectors.len() >= limits.attributes {
                return Err(elements.error(DecodeErrorKind::TooManyAttributes));
            }
            selectors.push(Selector::from(elements.text()?));
        }
        // That of nothing is shared by all.
        Ok(if selectors.is_empty() { Self::default() } else { Self(selectors.into()) })
    }

    /// Writes an `AttributeSelection`.
    pub fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            for selector in &*self.0 {
                writer.octets(selector.to_string().as_bytes());
            }
        });
    }
}

impl From<&str> for Selector {
    /// Reads an element as it is spelt on the wire.
    fn from(text: &str) -> Self {
        match text {
            "*" => Self::AllUser,
            "+" => Self::AllOperational,
            "1.1" => Self::None,
            _ => match (text.strip_prefix('@'), text.parse()) {
                (Some(class), _) if class.parse::<AttributeDescription>().is_ok() => {
                    Self::ObjectClass(class.into())
                }
                (None, Ok(description)) => Self::Attribute(description),
                _ => Self::Unrecognised(text.into()),
            },
        }
    }
}

impl fmt::Display for Selector {
    /// Writes the element as it is spelt on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AllUser => f.write_str("*"),
            Self::AllOperational => f.write_str("+"),
            Self::None => f.write_str("1.1"),
            Self::ObjectClass(class) => write!(f, "@{class}"),
            Self::Attribute(description) => f.write_str(description.as_str()),
            Self::Unrecognised(text) => f.write_str(text),
        }
    }
}

impl<S: AsRef<str>> FromIterator<S> for Selection {
    /// Reads each element as it is spelt on the wire. Nothing is refused: see [`Selector::Unrecognised`].
    fn from_iter<I: IntoIterator<Item = S>>(elements: I) -> Self {
        Self(elements.into_iter().map(|element| Selector::from(element.as_ref())).collect())
    }
}

impl<S: AsRef<str>, const N: usize> From<[S; N]> for Selection {
    fn from(elements: [S; N]) -> Self {
        elements.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_keep_their_spelling() {
        let spelt = ["*", "+", "1.1", "@person", "cn;lang-en", "@", "no such", ""];
        let selection = Selection::from(spelt);
        assert_eq!(selection.selectors().first(), Some(&Selector::AllUser));
        assert_eq!(selection.selectors().get(3), Some(&Selector::ObjectClass("person".into())));
        assert_eq!(selection.selectors().get(5), Some(&Selector::Unrecognised("@".into())));
        let mut writer = Writer::new();
        selection.encode(&mut writer);
        let bytes = writer.take();
        assert_eq!(Selection::decode(&mut Reader::new(&bytes), &Limits::DEFAULT), Ok(selection));
        let limits = Limits { attributes: 7, ..Limits::DEFAULT };
        let error = DecodeError { offset: bytes.len() - 2, kind: DecodeErrorKind::TooManyAttributes };
        assert_eq!(Selection::decode(&mut Reader::new(&bytes), &limits), Err(error));
    }
}
