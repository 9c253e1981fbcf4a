//! FLEXT-LDAP for programs: what a program needs of its crates, under one name, and the file it is configured by.
//!
//! ```no_run
//! use flext_ldap::Config;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::read("/etc/harbourlane/ldap.yaml")?;
//! let account = config.accounts.get("monitoring").ok_or("no account `monitoring`")?;
//! let credentials = account.credentials("monitoring")?;
//! let connection = config.connect(|connector| connector.credentials(credentials.clone())).await?;
//! connection.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! It holds no protocol, no connection and no directory: those are the crates below, which can be used alone.

mod config;
pub mod doctor;
mod password;
pub mod yaml;

pub use flext_ldap_client as client;
pub use flext_ldap_directory as directory;

pub use self::{
    config::{
        Account, Address, Config, ConfigError, Finding, Protection, Server, Setting, Source, Structure,
        json_schema,
    },
    password::{PasswordError, PasswordSource, password_file},
};
