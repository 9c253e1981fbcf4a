//! An LDAP directory inside a test: one line, port 0, milliseconds.
//!
//! [`TestDirectory`] is the embedded directory behind the listener: schema, access rules, result codes and wire are
//! those of the real thing, and nothing is mocked. Each one has its own data, ports and thread, so any number can run
//! in parallel, and it ends when it is dropped. Nothing in its interface is async: it works the same in tests that are
//! and tests that are not.
//!
//! ```
//! use flext_ldap_testkit::TestDirectory;
//!
//! # fn main() -> Result<(), flext_ldap_testkit::TestDirectoryError> {
//! let directory = TestDirectory::builder()
//!     .ldif(
//!         "dn: dc=harbourlane,dc=example\n\
//!          objectClass: domain\n\
//!          dc: harbourlane\n\
//!          \n\
//!          dn: uid=ada,dc=harbourlane,dc=example\n\
//!          objectClass: inetOrgPerson\n\
//!          uid: ada\n\
//!          cn: Ada Example\n\
//!          sn: Example\n",
//!     )
//!     .start()?;
//! // Give these to the program under test.
//! assert!(directory.url().starts_with("ldap://127.0.0.1:"));
//! assert_eq!(directory.base_dn().as_str(), "dc=harbourlane,dc=example");
//! assert_eq!(directory.admin_dn().as_str(), "cn=admin,dc=harbourlane,dc=example");
//! # Ok(())
//! # }
//! ```
//!
//! [`company`] makes an invented organisation of any size to fill one with. There is no client here: bring the one
//! that is tested.

mod builder;
pub mod company;
mod directory;
mod error;
mod tls;

pub use self::{builder::TestDirectoryBuilder, directory::TestDirectory, error::TestDirectoryError};

/// The examples of the README, so that they compile and hold.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;
