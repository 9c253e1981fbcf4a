//! Who may do what: access rules, and what the store knows that they ask for.
//!
//! Rules are written ([`RuleConfig`]), checked and made ready ([`AccessRules`]), settled for whoever asks once in an
//! operation, and then asked about entries and attributes. [`Store::explain_access`](crate::Store::explain_access) tells
//! how they decide. Any other [`AccessPolicy`](flext_ldap_directory::AccessPolicy) can take their place.

mod attributes;
mod config;
mod explain;
mod grant;
mod membership;
mod parse;
mod places;
mod questions;
mod rules;
mod standing;
mod subject;

pub use self::{
    config::{AllowConfig, RuleConfig, TargetConfig, Words},
    explain::{Explanation, LineExplanation, Reading, RuleExplanation, Verdict},
    parse::Problem,
    rules::AccessRules,
};
pub(crate) use self::{
    membership::{MEMBERS, of as memberships},
    parse::unknown_attribute,
    standing::{Access, Entries, On, Standing},
};
