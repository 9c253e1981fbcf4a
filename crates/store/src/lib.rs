//! The embedded directory: persistent entries, indexes, schema checks, a change log.
//!
//! A [`Store`] is a [`Directory`](flext_ldap_directory::Directory) and opens
//! [`Sessions`](flext_ldap_directory::Sessions), so whatever uses the seam uses it: a listener makes it a server, a
//! test talks to it without a socket.
//!
//! - Writes go through one thread that takes all that waits, computes each operation's effect, and commits once for
//!   all of them. An operation is answered when its commit is on disk, not before.
//! - Reads see the last commit. No read holds it longer than one batch takes, and none waits for a peer.
//! - Names are climbed, not stored: renaming a subtree writes a handful of rows whatever its size.
//! - Passwords live apart from entries and never leave by a search. A password policy counts what fails, durably, before
//!   anybody is told that it failed.
//!
//! There is no socket here and no protocol framing; that is the listener's.

pub mod access;
mod backend;
mod backup;
mod certificates;
mod change_log;
mod check;
mod clock;
mod compact;
mod constraint;
mod contain;
mod context;
mod controls;
mod credentials;
mod explain;
mod export;
mod extended;
mod folder;
mod hashing;
mod import;
mod index;
mod known;
mod lists;
mod long_work;
mod matched_values;
mod memory;
mod meter;
mod migrate;
mod modify;
mod names;
mod options;
mod page;
mod plan;
mod policy;
mod ppolicy;
mod project;
mod proxied;
mod read;
mod row;
mod rows;
mod search;
mod session;
mod settings;
mod shares;
mod slow;
mod special;
mod staged;
mod store;
mod subschema;
mod tables;
mod unindexed;
mod values;
mod write;
mod writer;

pub use self::{
    backup::{BackupReport, Manifest, RestoreOptions, RestoreReport, restore, save},
    certificates::{CertificateName, CertificateRule, CertificateRuleError},
    check::{CheckEvent, CheckReport, Fault, Remedy},
    compact::{CompactReport, compact},
    constraint::{BrokenConstraint, MemberOf, ReferentialIntegrity, UniqueValues},
    export::ExportOptions,
    import::{ImportError, ImportFailure, ImportOptions, ImportReport},
    index::{IndexConfig, IndexKind, IndexProgress, IndexStage, UnknownIndexKind},
    options::{Limits, Location, StoreOptions},
    plan::{ExplainedPart, ExplainedRun, Explanation, PartUse, ScopeStrategy},
    policy::StandardPolicy,
    ppolicy::{
        Candidate, DefaultPasswordPolicy, PasswordPolicy, PasswordQuality, QualityCheck, StandardQuality,
    },
    settings::OptionProblem,
    store::{Counters, Store},
    unindexed::{Unindexed, UnindexedPolicy},
};
