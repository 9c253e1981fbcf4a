//! Real servers and foreign clients for the tests of this repository. Never published.
//!
//! `./test` unpacks servers and clients under `target/lab` (the script `crates/lab/get` does it). [`Slapd`], [`NsSlapd`]
//! and [`Samba`] run directories, [`Kdc`] a Kerberos realm, [`Httpd`] and [`Postgresql`] programs that sign people in through one, [`Tool`] a client,
//! [`Authority`] makes certificates.
//! Everything lives in temporary folders and on loopback ports, and ends with the value that owns it.
//!
//! A test that uses these belongs into `tests/it`, the one binary that `./test --quick` leaves out. It never skips:
//! without `target/lab` it fails and says what to run.
//!
//! [`FaultProxy`] spoils what passes between a client and a server.
//!
//! [`growth`] is the file, the table and the chart of how figures grow with the number of entries.
//!
//! [`mod@conformance`] is the suite that every directory passes, ours and theirs.
//!
//! Not here: an in-process directory (`testkit`), and the company the servers are filled with (`testkit::company`).

pub mod conformance;
mod daemon;
mod faults;
pub mod growth;
mod httpd;
mod kdc;
mod kit;
mod ns_slapd;
mod pki;
mod postgresql;
mod samba;
mod slapd;
mod tool;

pub use faults::{End, FaultProxy, Faults, Opening, Tally, Way};
pub use httpd::Httpd;
pub use kdc::Kdc;
pub use kit::Kit;
pub use ns_slapd::NsSlapd;
pub use pki::{Authority, Identity, host_names};
pub use postgresql::Postgresql;
pub use samba::Samba;
pub use slapd::{Content, DEFAULT_SUFFIX, Slapd, SlapdOptions};
pub use tool::{Output, Tool};
