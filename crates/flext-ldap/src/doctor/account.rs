//! Signing in, once: whatever the answer, the password is not sent again.

use std::time::Duration;

use flext_ldap_client::Connection;
use flext_ldap_directory::{
    DirectoryExt as _, Error, ErrorKind, Request,
    proto::{
        attribute::Selection,
        control::PasswordPolicyRequest,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_identity::Reason;

use super::{
    Doctor, Finding, View, What,
    reach::{about, demanded},
    told,
    write::Found,
};
use crate::config::{Protection, Server};

/// How long before its end a password is spoken of.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A connection of the account, or of nobody where there is none, and what to call whoever it is. `None` where it failed,
/// which has been told.
pub(super) async fn sign_in(
    doctor: &Doctor,
    way: &Server,
    findings: &mut Vec<Finding>,
    found: &mut Found,
) -> Option<(Connection, String)> {
    let Some(sign_in) = &doctor.sign_in else {
        let cause = "nobody is signed in: what is told from here on is what everybody may see";
        let mend = "say as whom: -D DN -W, or --account NAME --config FILE";
        findings.push(Finding::note(What::NoAccount, about(way), cause).mend(mend));
        let connected = match doctor.connector(way).build() {
            Ok(connector) => connector.connect().await,
            Err(error) => Err(error),
        };
        return match connected {
            Ok(connection) => Some((connection, "nobody".to_owned())),
            Err(error) => {
                let finding =
                    Finding::failure(What::NotLdap, about(way), error.kind(), "it cannot be connected to");
                findings.push(finding.evidence(told(&error)).mend("see the log of the server"));
                None
            }
        };
    };
    let account = format!("account `{}`", sign_in.name());
    let connector = doctor.connector(way).credentials(sign_in.credentials.clone());
    let connected = match connector.bind_control(&PasswordPolicyRequest).build() {
        Ok(connector) => connector.connect().await,
        Err(error) => Err(error),
    };
    match connected {
        Ok(connection) => {
            findings.push(Finding::good(What::Account, &account, format!("signs in at {way}")));
            policy(&connection, &account, findings);
            found.account(sign_in);
            Some((connection, account))
        }
        Err(error) => {
            findings.push(refused(&account, way, &error));
            None
        }
    }
}

/// The name of the account's entry, where it signed in by another, such as `ada@harbourlane.example`: as the server says
/// whom it takes it for, or the only entry below `base` with that name.
pub(super) async fn dn_of(view: &View<'_>, base: &Dn, name: &str) -> Option<Dn> {
    let said = view.connection.who_am_i(view.actor.clone());
    if let Ok(Ok(said)) = tokio::time::timeout(view.patience, said).await
        && let Some(Ok(dn)) = said.strip_prefix("dn:").map(str::parse::<Dn>)
        && !dn.is_root()
    {
        return Some(dn);
    }
    let filter = Filter::equality("userPrincipalName".parse().ok()?, name);
    let search = Search::new(base.clone(), Scope::Subtree, filter).attributes(Selection::none());
    let request = Request::new(search, view.actor.clone()).until(view.by());
    // Where it is not found the configuration says that it is missing.
    view.connection.search_one(request).await.ok()?.dn_str().parse().ok()
}

/// What the server says of the password it took.
fn policy(connection: &Connection, account: &str, findings: &mut Vec<Finding>) {
    let Some(outcome) = connection.bind_outcome() else { return };
    match Reason::of_bind(outcome) {
        Ok(warnings) => {
            let soon = warnings.expires_in.filter(|time| *time < SOON);
            let cause = match (soon, warnings.grace_left) {
                (_, Some(binds)) => format!("its password has expired, and is good for {binds} more binds"),
                (Some(time), None) => format!("its password expires in {} days", time.as_secs() / 86_400),
                (None, None) => return,
            };
            let mend = "set a new one, or have the policy except accounts of programs";
            findings.push(Finding::warning(What::PasswordExpires, account, cause).mend(mend));
        }
        Err(reason) => {
            let finding =
                Finding::failure(What::AccountRefused, account, ErrorKind::Rejected, reason.to_string());
            let mend = "set a new password: `flext-ldap passwd`";
            findings.push(finding.code(Some(ResultCode::INVALID_CREDENTIALS)).mend(mend));
        }
    }
}

fn refused(account: &str, way: &Server, error: &Error) -> Finding {
    let failure =
        |what, cause: String| Finding::failure(what, account, error.kind(), cause).code(error.result_code());
    let Some(outcome) = error.outcome() else {
        let (cause, mend) = match error.kind() {
            ErrorKind::EmptyPassword => ("its password is empty", "give the password: -W, -y FILE"),
            ErrorKind::Confidentiality => ("its password would go out in clear", "use ldaps or StartTLS"),
            ErrorKind::Misuse => ("it cannot be signed in", "mend what it says"),
            _ => (
                "the answer to its sign-in did not come; it is not tried again, for the server may have counted it",
                "see the log of the server",
            ),
        };
        return failure(What::AccountRefused, cause.to_owned()).evidence(told(error)).mend(mend);
    };
    let code = outcome.result.code;
    let demands = matches!(code, ResultCode::STRONGER_AUTH_REQUIRED | ResultCode::CONFIDENTIALITY_REQUIRED);
    if demands && way.protection == Protection::None {
        return demanded(about(way), error);
    }
    let reason = match Reason::of_bind(outcome) {
        Err(reason) => reason,
        Ok(_) => Reason::Refused(code),
    };
    let (what, mend) = match &reason {
        Reason::ChannelBinding => {
            (What::TlsDemanded, "connect straight to the server, by ldaps, and not through what ends TLS")
        }
        Reason::Directory(_) if demands => (
            What::TlsDemanded,
            "the server demands more than TLS here: signing, or a mechanism of SASL; see its policy",
        ),
        Reason::Directory(_) => {
            (What::AccountRefused, "see the log of the server, and which mechanisms it offers")
        }
        Reason::Locked => (
            What::AccountRefused,
            "have it unlocked, and find out who sends a wrong password: the log of the server tells",
        ),
        Reason::PasswordExpired | Reason::MustChange => {
            (What::AccountRefused, "set a new password, or have the policy except accounts of programs")
        }
        Reason::Disabled | Reason::AccountExpired => (What::AccountRefused, "have the account enabled"),
        Reason::OutsideHours | Reason::OtherWorkstation | Reason::Restricted => {
            (What::AccountRefused, "have the restriction lifted for this account and this machine")
        }
        Reason::TooManyGroups => (What::AccountRefused, "take the account out of groups it does not need"),
        Reason::UnknownUser => {
            (What::AccountRefused, "check the name: a DN, or `name@domain` with Active Directory")
        }
        _ => (
            What::AccountRefused,
            "check name and password; it was sent once, and each further try with a wrong one may lock the account",
        ),
    };
    let cause = match &reason {
        Reason::Directory(_) => "the server does not take this sign-in".to_owned(),
        Reason::WrongPassword => "the name or the password is wrong".to_owned(),
        reason => reason.to_string(),
    };
    failure(what, cause).evidence(told(error)).mend(mend)
}
