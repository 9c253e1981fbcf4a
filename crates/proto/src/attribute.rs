//! Attributes: descriptions (RFC 4512 §2.5), selections (RFC 4511 §4.5.1.8), and lists of values in wire form.
//!
//! What an attribute means, which others are its subtypes and how its values compare is the schema's to say.

mod description;
mod known;
mod list;
mod secret;
mod selection;

pub(crate) use self::{
    description::check_description,
    list::{check_extension, check_list},
};
pub use self::{
    description::{AttributeDescription, InvalidAttributeDescription},
    list::{AttributeRef, Attributes, AttributesBuilder, AttributesRef, Values},
    secret::is_secret,
    selection::{Selection, Selector},
};
