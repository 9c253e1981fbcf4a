//! FLEXT-LDAP for programs: what a program needs of its crates, under one name, and the files they are configured by.
//!
//! It holds no protocol, no connection and no directory: those are the crates below, which can be used alone.

pub mod yaml;

pub use flext_ldap_client as client;
pub use flext_ldap_directory as directory;
