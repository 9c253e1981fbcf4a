//! Controls (RFC 4511 §4.1.11): what travels beside an operation. One file each for those this project understands;
//! any other passes through untouched.

mod assertion;
mod manage_dsa_it;
mod paged_results;
mod read_entry;

use bytes::Bytes;

pub use self::{
    assertion::Assertion,
    manage_dsa_it::ManageDsaIt,
    paged_results::PagedResults,
    read_entry::{PostRead, PreRead, ReadEntry},
};
use crate::{
    ber::{DecodeError, Reader, Writer},
    message::Limits,
    oid::Oid,
};

/// A control as it stands on the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the control of RFC 4511")]
pub struct Control {
    /// Which control.
    pub oid: Oid,
    /// Whether the operation must fail where the control is not understood.
    pub critical: bool,
    /// Its value, encoded.
    pub value: Option<Bytes>,
}

/// How far a control reaches, which decides who may pass it on.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "who passes controls on must decide for each")]
pub enum ControlScope {
    /// Means the same on any connection: it may be passed on.
    EndToEnd,
    /// Belongs to one connection (a cookie): who passes it on stays with that connection.
    Connection,
    /// Changes on whose behalf the operation runs: who passes it on checks the right to do so.
    Identity,
}

/// A control value whose OID, reach and syntax are known.
pub trait ControlValue: Sized {
    /// Which control.
    const OID: Oid;
    /// How far it reaches.
    const SCOPE: ControlScope;

    /// Writes the value; nothing for a control without one.
    fn encode(&self, writer: &mut Writer);

    /// Reads the value; an absent value reads as empty.
    ///
    /// # Errors
    ///
    /// When the value is not what the control's syntax says.
    fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Self, DecodeError>;

    /// Whether the control has a value at all.
    const HAS_VALUE: bool = true;
}

/// The reach of a control by its OID: for one that is not known, a connection's, which is the careful answer.
#[must_use]
pub fn scope_of(oid: &Oid) -> ControlScope {
    todo!("{oid}")
}

/// The controls of one message, in order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Controls(Vec<Control>);

impl Controls {
    /// No controls.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds a control that the operation must fail without.
    #[must_use]
    pub fn critical<C: ControlValue>(mut self, value: &C) -> Self {
        self.push(value, true);
        self
    }

    /// Adds a control that may be ignored.
    #[must_use]
    pub fn optional<C: ControlValue>(mut self, value: &C) -> Self {
        self.push(value, false);
        self
    }

    /// Adds an encoded control.
    pub fn push_raw(&mut self, control: Control) {
        self.0.push(control);
    }

    fn push<C: ControlValue>(&mut self, value: &C, critical: bool) {
        let _ = (value, critical);
        todo!()
    }

    /// The controls.
    pub fn iter(&self) -> impl Iterator<Item = &Control> {
        self.0.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes and returns the first control with this OID.
    pub fn remove(&mut self, oid: &Oid) -> Option<Control> {
        todo!("{oid}")
    }

    /// Decodes the first control of this type.
    ///
    /// # Errors
    ///
    /// When it is there but malformed.
    pub fn get<C: ControlValue>(&self, limits: &Limits) -> Result<Option<C>, DecodeError> {
        let _ = limits;
        todo!()
    }
}
