//! Signing people in against a directory: who they are, their groups and roles, or why not.
//!
//! An [`Authenticator`] takes a name and a password that somebody typed, finds their entry ([`UserSearch`], [`DnTemplate`]
//! or [`PrincipalName`]), binds as it once, on a conversation that carries nothing else, and gives a [`SignedIn`] with
//! their [`Groups`], from which a [`RoleMap`] makes roles; or a [`Refusal`], which keeps what may be told to whoever tried
//! apart from what is for the log. [`Authenticator::change_password`] is for those whose password has expired, and for
//! all others.
//!
//! ```
//! use flext_ldap_directory::{Directory, Sessions, proto::secret::Secret};
//! use flext_ldap_identity::{Authenticator, GroupSearch, UserSearch};
//!
//! fn authenticator(binds: impl Sessions, directory: impl Directory) -> Result<Authenticator, Box<dyn std::error::Error>> {
//!     let people = UserSearch::new("ou=people,dc=harbourlane,dc=example".parse()?, "uid".parse()?);
//!     let groups = GroupSearch::new("ou=groups,dc=harbourlane,dc=example".parse()?);
//!     Ok(Authenticator::builder(binds, directory, people).groups(groups).attributes(["cn"]).build())
//! }
//!
//! async fn greet(authenticator: &Authenticator, name: &str, password: String) -> String {
//!     match authenticator.sign_in(name, Secret::new(password)).await {
//!         Ok(somebody) => format!("Welcome, {}.", somebody.account.text("cn").unwrap_or(name)),
//!         Err(refusal) => {
//!             eprintln!("{}", refusal.log()); // for the log; what follows is for whoever tried
//!             refusal.to_string()
//!         }
//!     }
//! }
//! ```
//!
//! There is no lockout of its own, no session, no token and no HTTP here, and no connection: binds and searches go
//! wherever the program says. What a directory is, and offers ([`Offers`]), is for the program to know.

mod account;
mod active_directory;
mod authenticator;
mod groups;
mod input;
mod locator;
mod name;
mod password;
mod refusal;
mod roles;
mod verdict;

pub use flext_ldap_directory as directory;

pub use self::{
    account::{Account, AccountId, SignedIn, Warnings},
    authenticator::{Authenticator, AuthenticatorBuilder, Offers},
    groups::{GroupSearch, Groups},
    input::InputError,
    locator::{DnTemplate, Locator, PatternError, PrincipalName, UserSearch},
    password::{ChangeReason, ChangeRefusal},
    refusal::{Reason, Refusal, RefusalKind},
    roles::RoleMap,
};
