//! Which ways to bind a proxy can carry, and what it says of the others.

use flext_ldap_directory::BindStep;
use flext_ldap_proto::result::{LdapResult, ResultCode};

/// SASL mechanisms that prove who somebody is, and neither speak of the connection they are used on nor protect what
/// follows.
const CARRIED: [&str; 6] =
    ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "ANONYMOUS"];

/// Of these, such as send what whoever listens could use.
const NEED_TLS: [&str; 2] = ["PLAIN", "OAUTHBEARER"];

/// What the others are called that clients may well ask for.
const HEARD_OF: [&str; 10] = [
    "EXTERNAL",
    "GSSAPI",
    "GSS-SPNEGO",
    "DIGEST-MD5",
    "CRAM-MD5",
    "NTLM",
    "LOGIN",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-512-PLUS",
];

/// The name under which a mechanism is remembered: those that nobody has heard of have one together, since whoever can
/// connect can invent as many as they like.
pub(crate) fn known(mechanism: &str) -> &'static str {
    let mut all = CARRIED.iter().chain(&HEARD_OF);
    all.find(|one| one.eq_ignore_ascii_case(mechanism)).copied().unwrap_or("UNKNOWN")
}

/// Whether a mechanism is offered to a client whose connection is protected like this.
pub(crate) fn is_offered(mechanism: &[u8], is_protected: bool) -> bool {
    let is_among = |list: &[&str]| list.iter().any(|one| one.as_bytes().eq_ignore_ascii_case(mechanism));
    is_among(&CARRIED) && (is_protected || !is_among(&NEED_TLS))
}

/// The answer to a bind that cannot be carried.
pub(crate) fn refusal(step: &BindStep) -> Option<LdapResult> {
    let BindStep::Sasl { mechanism, .. } = step else { return None };
    if is_offered(mechanism.as_bytes(), true) {
        return None;
    }
    let upper = mechanism.to_ascii_uppercase();
    let why = match upper.as_str() {
        "EXTERNAL" => {
            "EXTERNAL is about the connection itself, and this proxy has another one to the directory: bind with a password"
        }
        "GSSAPI" | "GSS-SPNEGO" | "DIGEST-MD5" | "KERBEROS_V4" | "NTLM" => {
            "this mechanism may sign or encrypt what follows, or binds to the connection, which a proxy cannot carry: use TLS and a simple bind, PLAIN or SCRAM"
        }
        _ if upper.ends_with("-PLUS") => {
            "channel binding ties a bind to one TLS connection, and there are two of them with a proxy between: use the mechanism without -PLUS"
        }
        _ => "this proxy does not carry this mechanism: use a simple bind, PLAIN or SCRAM, with TLS",
    };
    Some(LdapResult::with_diagnostic(ResultCode::AUTH_METHOD_NOT_SUPPORTED, why))
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::control::Controls;

    use super::*;

    #[test]
    fn what_cannot_be_carried_is_refused_and_not_offered() {
        let step = |mechanism: &str| BindStep::Sasl {
            mechanism: mechanism.to_owned(),
            credentials: None,
            controls: Controls::none(),
        };
        for mechanism in ["PLAIN", "plain", "SCRAM-SHA-256", "OAUTHBEARER", "ANONYMOUS"] {
            assert_eq!(refusal(&step(mechanism)), None, "{mechanism}");
            assert!(is_offered(mechanism.as_bytes(), true), "{mechanism}");
        }
        assert!(!is_offered(b"PLAIN", false) && is_offered(b"SCRAM-SHA-256", false));
        for (mechanism, says) in [
            ("EXTERNAL", "about the connection itself"),
            ("GSSAPI", "sign or encrypt"),
            ("GSS-SPNEGO", "sign or encrypt"),
            ("digest-md5", "sign or encrypt"),
            ("SCRAM-SHA-256-PLUS", "channel binding"),
            ("X-UNHEARD-OF", "does not carry"),
        ] {
            let refusal = refusal(&step(mechanism)).unwrap();
            assert_eq!(refusal.code, ResultCode::AUTH_METHOD_NOT_SUPPORTED, "{mechanism}");
            assert!(refusal.diagnostic.contains(says), "{mechanism}: {}", refusal.diagnostic);
            assert!(!is_offered(mechanism.as_bytes(), true), "{mechanism}");
        }
        assert_eq!(refusal(&BindStep::anonymous()), None);
    }
}
