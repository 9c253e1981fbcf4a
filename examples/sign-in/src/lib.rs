//! A web service whose users sign in against a directory: what is typed into a form becomes a welcome with roles, or a
//! sentence that says why not.
//!
//! A real service would begin a session where this one says welcome, and remember in it the account's id, which stays
//! when an entry is renamed. It would also count failures by who sends them: the directory counts those of each account.

use std::sync::Arc;

use axum::{
    Form, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use flext_ldap::client::{Capabilities, PasswordChange};
use flext_ldap_identity::{
    Authenticator, GroupSearch, Offers, RefusalKind, RoleMap, UserSearch,
    directory::{
        Directory, Sessions,
        proto::{dn::Dn, secret::Secret},
    },
};
use serde::Deserialize;

/// What people may do here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Role {
    /// Brings ships in.
    Pilot,
    /// Says which ship goes where.
    HarbourMaster,
}

/// What the handlers need.
#[derive(Clone)]
struct App {
    authenticator: Authenticator,
    roles: Arc<RoleMap<Role>>,
}

/// What is typed into the form of a sign-in.
#[derive(Deserialize)]
struct SignIn {
    name: String,
    password: String,
}

/// What is typed into the form of a new password.
#[derive(Deserialize)]
struct NewPassword {
    name: String,
    password: String,
    new_password: String,
}

/// The service: `POST /sign-in` with `name` and `password`, `POST /password` with `new_password` besides. People are in
/// `ou=people` below `suffix`, groups in `ou=groups`.
///
/// # Errors
///
/// When one of the names here is none.
pub fn service(
    binds: impl Sessions,
    directory: impl Directory,
    offers: Offers,
    suffix: &Dn,
) -> anyhow::Result<Router> {
    let below = |unit: &str| -> anyhow::Result<_> { Ok(suffix.child(&unit.parse()?)) };
    let groups = below("ou=groups")?;
    let roles = RoleMap::new()
        .grant(&groups.child(&"cn=pilots".parse()?), Role::Pilot)
        .grant(&groups.child(&"cn=masters".parse()?), Role::HarbourMaster);
    let authenticator =
        Authenticator::builder(binds, directory, UserSearch::new(below("ou=people")?, "uid".parse()?))
            .groups(GroupSearch::new(groups))
            .offers(offers)
            .attributes(["cn"])
            .build();
    Ok(Router::new()
        .route("/sign-in", post(sign_in))
        .route("/password", post(change_password))
        .layer(DefaultBodyLimit::max(8 * 1024))
        .with_state(App { authenticator, roles: Arc::new(roles) }))
}

/// What signing in is better with, as far as the directory tells.
#[must_use]
pub fn offers(known: &Capabilities) -> Offers {
    Offers {
        token_groups: known.token_groups,
        in_chain: known.in_chain,
        unicode_password: known.password_change == PasswordChange::UnicodePwd,
        ..Offers::default()
    }
}

async fn sign_in(State(app): State<App>, Form(typed): Form<SignIn>) -> Response {
    match app.authenticator.sign_in(&typed.name, Secret::new(typed.password)).await {
        Ok(somebody) => {
            tracing::info!(account = %somebody.account.id, "signed in");
            let name = somebody.account.text("cn").unwrap_or(&typed.name);
            format!("Welcome, {name}. You are here as {:?}.", app.roles.roles(&somebody.groups))
                .into_response()
        }
        Err(refusal) => {
            tracing::info!(reason = %refusal.log(), "not signed in");
            (status(refusal.told()), refusal.to_string()).into_response()
        }
    }
}

async fn change_password(State(app): State<App>, Form(typed): Form<NewPassword>) -> Response {
    let (old, new) = (Secret::new(typed.password), Secret::new(typed.new_password));
    match app.authenticator.change_password(&typed.name, old, new).await {
        Ok(()) => "Your password has been changed.".into_response(),
        Err(refusal) => {
            tracing::info!(reason = %refusal.log(), "the password was not changed");
            (StatusCode::FORBIDDEN, refusal.to_string()).into_response()
        }
    }
}

/// What tells a browser, or a program, as much as the person is told.
fn status(told: RefusalKind) -> StatusCode {
    match told {
        RefusalKind::Rejected => StatusCode::UNAUTHORIZED,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::FORBIDDEN,
    }
}
