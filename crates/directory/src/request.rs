//! Requests as values: the operation, and on whose behalf, until when, with which controls.

use std::time::Duration;

use flext_ldap_proto::{
    control::{ControlValue, Controls},
    extended::{ExtendedOperation, WhoAmI},
    message::{Add, Compare, Delete, ExtendedRequest, Modify, Rename, Search},
};

use crate::{Actor, Deadline};

/// One operation and all that goes with it.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "layers take it apart and put it together")]
pub struct Request<O = Op> {
    /// What to do.
    pub op: O,
    /// What goes with it on the wire.
    pub controls: Controls,
    /// On whose behalf.
    pub actor: Actor,
    /// Until when the caller waits.
    pub deadline: Deadline,
}

/// The operations any directory answers. Bind, unbind, abandon, StartTLS and Cancel are not among them: they belong to
/// a conversation and cannot leave it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the operations of LDAPv3 are closed")]
pub enum Op {
    /// RFC 4511 §4.5.
    Search(Search),
    /// RFC 4511 §4.10.
    Compare(Compare),
    /// RFC 4511 §4.7.
    Add(Add),
    /// RFC 4511 §4.6.
    Modify(Modify),
    /// RFC 4511 §4.8.
    Delete(Delete),
    /// RFC 4511 §4.9.
    Rename(Rename),
    /// RFC 4511 §4.12.
    Extended(ExtendedRequest),
}

/// Which operation: a closed set, fit for logs and labels.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the operations of LDAPv3 are closed")]
pub enum OpKind {
    /// A search.
    Search,
    /// A compare.
    Compare,
    /// An add.
    Add,
    /// A modify.
    Modify,
    /// A delete.
    Delete,
    /// A modify DN.
    Rename,
    /// An extended operation.
    Extended,
}

impl Op {
    /// Which operation.
    #[must_use]
    pub const fn kind(&self) -> OpKind {
        match self {
            Self::Search(_) => OpKind::Search,
            Self::Compare(_) => OpKind::Compare,
            Self::Add(_) => OpKind::Add,
            Self::Modify(_) => OpKind::Modify,
            Self::Delete(_) => OpKind::Delete,
            Self::Rename(_) => OpKind::Rename,
            Self::Extended(_) => OpKind::Extended,
        }
    }

    /// Whether the operation surely changes nothing: a search, a compare, or Who Am I. Any other extended operation may
    /// write.
    #[must_use]
    pub fn is_read(&self) -> bool {
        match self {
            Self::Extended(extended) => extended.oid == WhoAmI::OID,
            op => !op.kind().is_write(),
        }
    }
}

impl OpKind {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Search, Self::Compare, Self::Add, Self::Modify, Self::Delete, Self::Rename, Self::Extended];

    /// A short lower-case name, e.g. `search`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Compare => "compare",
            Self::Add => "add",
            Self::Modify => "modify",
            Self::Delete => "delete",
            Self::Rename => "modrdn",
            Self::Extended => "extended",
        }
    }

    /// Whether the operation may change the directory. Extended operations may.
    #[must_use]
    pub const fn is_write(self) -> bool {
        !matches!(self, Self::Search | Self::Compare)
    }
}

/// What can be the operation of a [`Request`]. Implemented for the seven operations and for [`Op`].
pub trait Operation: Into<Op> + Send {
    /// How long a caller waits who does not say.
    fn timeout(&self) -> Duration {
        Duration::from_secs(30)
    }
}

macro_rules! operations {
    ($($name:ident($value:ty);)*) => {
        $(
            impl From<$value> for Op {
                fn from(value: $value) -> Self {
                    Self::$name(value)
                }
            }
        )*
    };
}

operations! {
    Search(Search);
    Compare(Compare);
    Add(Add);
    Modify(Modify);
    Delete(Delete);
    Rename(Rename);
    Extended(ExtendedRequest);
}

impl Operation for Search {
    fn timeout(&self) -> Duration {
        Duration::from_secs(300)
    }
}

impl Operation for Compare {}
impl Operation for Add {}
impl Operation for Modify {}
impl Operation for Delete {}
impl Operation for Rename {}
impl Operation for ExtendedRequest {}

impl Operation for Op {
    fn timeout(&self) -> Duration {
        match self {
            Self::Search(search) => search.timeout(),
            _ => Duration::from_secs(30),
        }
    }
}

impl<O: Operation> Request<O> {
    /// Asks for `op` on behalf of `actor`, without controls. The caller waits 30 seconds, for a search 300.
    #[must_use]
    pub fn new(op: O, actor: Actor) -> Self {
        let deadline = Deadline::after(op.timeout());
        Self { op, controls: Controls::none(), actor, deadline }
    }

    /// Waits this long, from now.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.deadline = Deadline::after(time);
        self
    }

    /// Waits until then.
    #[must_use]
    pub const fn until(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// Adds a control the operation must fail without.
    #[must_use]
    pub fn critical<C: ControlValue>(mut self, control: &C) -> Self {
        self.controls = self.controls.critical(control);
        self
    }

    /// Adds a control that may be ignored.
    #[must_use]
    pub fn optional<C: ControlValue>(mut self, control: &C) -> Self {
        self.controls = self.controls.optional(control);
        self
    }

    /// The same request with its operation as one of all.
    #[must_use]
    pub fn into_any(self) -> Request {
        Request { op: self.op.into(), controls: self.controls, actor: self.actor, deadline: self.deadline }
    }
}
