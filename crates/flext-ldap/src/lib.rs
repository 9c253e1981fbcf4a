//! FLEXT-LDAP for programs: what a program needs of its crates, under one name, and the file it is configured by.
//!
//! ```no_run
//! use flext_ldap::Config;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::read("/etc/harbourlane/ldap.yaml")?;
//! let stack = config.stack().account("monitoring")?.build()?;
//! println!("{}", stack.health());
//! # Ok(())
//! # }
//! ```
//!
//! It holds no protocol, no connection and no directory: those are the crates below, which can be used alone.

mod config;
pub mod doctor;
mod log_file;
mod password;
mod stack;
pub mod yaml;

pub use flext_ldap_client as client;
pub use flext_ldap_directory as directory;

pub use self::{
    config::{
        Account, Address, Audited, Config, ConfigError, Connections, Finding, Observability, Protection,
        ProxySettings, Server, Setting, Source, Structure, TicketSource, json_schema,
    },
    log_file::{LogFile, Reopen},
    password::{PasswordError, PasswordSource, password_file},
    stack::{HealthReport, ServerReport, Stack, StackBuilder},
};
