//! LDAP's language without I/O: BER, messages, controls, names, filters, schema, LDIF, URLs.
//!
//! Everything here takes bytes or text and gives values back, or the reverse. It knows no socket, no clock, no
//! runtime, and keeps no global state. What a peer sent is never trusted: every decoder checks before it believes,
//! allocates no more than it has received, and does not recurse on its input.
//!
//! Requests and answers keep attribute values in the form they have on the wire ([`attribute::AttributesRef`]), so
//! an entry is a slice of the receive buffer, and passing one on is a copy of bytes.

pub mod attribute;
pub mod batch;
pub mod ber;
pub mod certificate;
pub mod channel_binding;
pub mod control;
pub mod dn;
pub mod entry;
pub mod extended;
pub mod filter;
pub mod ldif;
pub mod line;
pub mod message;
pub mod oid;
pub mod result;
pub mod schema;
pub mod secret;
pub mod url;
