//! What can go wrong in a tap.

use std::io;

use flext_ldap_directory::proto::line::OneLine;

/// A tap that could not go on. What was written before is whole messages, and no STATE claims more than they hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// The directory could not be asked what it is.
    #[error("the directory's {what} could not be read")]
    Discovery {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: flext_ldap_directory::Error,
    },
    /// What the directory says of itself is not enough.
    #[error("{0}")]
    Undiscoverable(&'static str),
    /// A setting does not fit this directory.
    #[error("stream `{stream}`: {reason}")]
    Stream {
        /// The stream.
        stream: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The catalog cannot be used.
    #[error("the catalog cannot be used: {0}")]
    Catalog(String),
    /// The state that was given cannot be used.
    #[error("the state cannot be used: it is not a JSON object")]
    State,
    /// A stream's search failed.
    #[error("stream `{stream}` failed after {records} records")]
    Search {
        /// The stream.
        stream: String,
        /// Records written before.
        records: u64,
        /// Why.
        #[source]
        source: flext_ldap_directory::Error,
    },
    /// An entry without the attribute that identifies its record, or with several values of it.
    #[error(
        "stream `{stream}`: `{}` has not exactly one `{key}`, which identifies records; may it be read? or set \
         `key_attribute`",
        OneLine(dn)
    )]
    NoKey {
        /// The stream.
        stream: String,
        /// The entry.
        dn: String,
        /// The attribute.
        key: String,
    },
    /// Only a part of an attribute's values was sent.
    #[error(
        "stream `{stream}`: the directory sent only a part of the values of `{}` of `{}`",
        OneLine(attribute),
        OneLine(dn)
    )]
    Partial {
        /// The stream.
        stream: String,
        /// The entry.
        dn: String,
        /// The attribute.
        attribute: String,
    },
    /// The messages could not be written.
    #[error("the messages could not be written")]
    Output(#[source] io::Error),
}

/// What a tap did.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// The streams, in the order they were extracted.
    pub streams: Vec<StreamSummary>,
}

/// What a tap did for one stream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct StreamSummary {
    /// The stream.
    pub stream: String,
    /// Records written.
    pub records: u64,
    /// References to other servers, which were not followed.
    pub references: u64,
    /// Values that are not what their syntax says, left out: each property that has some, and how many.
    pub misfits: Vec<(String, u64)>,
    /// Properties the catalog selects that this stream does not have.
    pub unknown_properties: Vec<String>,
}
