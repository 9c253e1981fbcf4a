//! Whether passwords may take this way (RFC 4513 §6.3.1; invariant: never in clear).

use std::net::{IpAddr, SocketAddr};

use flext_ldap_directory::{
    BindStep, Error, ErrorKind, Op,
    proto::{
        extended::{ExtendedOperation, PasswordModify},
        message::{Add, Modify},
    },
};

/// Who could listen on the way to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exposure {
    /// Nobody: TLS, a Unix socket, the loopback interface.
    Guarded,
    /// Everybody between here and there.
    Clear,
    /// Everybody, and the caller has said that passwords may go out regardless.
    ClearByChoice,
}

/// SASL mechanisms whose messages do not hold the password itself.
const PROOFS: &[&str] = &["ANONYMOUS", "CRAM-MD5", "DIGEST-MD5", "EXTERNAL", "GSS-SPNEGO", "GSSAPI", "NTLM"];

/// Attributes whose values are passwords in clear, as servers take them.
const PASSWORDS: &[&str] =
    &["userPassword", "unicodePwd", "clearPassword", "olcRootPW", "nsslapd-rootpw", "2.5.4.35"];

impl Exposure {
    /// The exposure of clear TCP to `peer`.
    pub(crate) fn of_clear(peer: SocketAddr, dangerous: bool) -> Self {
        if is_loopback(peer.ip()) {
            Self::Guarded
        } else if dangerous {
            Self::ClearByChoice
        } else {
            Self::Clear
        }
    }

    /// Refuses a bind that would show a password.
    pub(crate) fn check_bind(self, step: &BindStep) -> Result<(), Error> {
        let shows = match step {
            BindStep::Simple { password, .. } => !password.is_empty(),
            BindStep::Sasl { mechanism, .. } => {
                let name = mechanism.to_ascii_uppercase();
                !(PROOFS.contains(&name.as_str()) || name.starts_with("SCRAM-") || name.starts_with("GS2-"))
            }
            // A kind of bind this crate does not know may hold anything.
            _ => true,
        };
        self.check(shows)
    }

    /// Refuses an operation that would show a password.
    pub(crate) fn check_op(self, op: &Op) -> Result<(), Error> {
        // The usual case costs one comparison.
        if self != Self::Clear { Ok(()) } else { self.check(holds_password(op)) }
    }

    /// Refuses to show a password.
    pub(crate) fn check(self, shows_password: bool) -> Result<(), Error> {
        if self == Self::Clear && shows_password {
            return Err(Error::new(
                ErrorKind::Confidentiality,
                "the password would go out in clear: use ldaps or StartTLS, or allow it with `dangerous_clear_passwords`",
            ));
        }
        Ok(())
    }
}

/// Whether the request holds a password in clear.
pub(crate) fn holds_password(op: &Op) -> bool {
    match op {
        Op::Extended(request) => request.oid == PasswordModify::OID,
        Op::Add(Add { attributes, .. }) => {
            attributes.as_ref().iter().any(|attribute| is_password(attribute.description()))
        }
        Op::Modify(Modify { changes, .. }) => {
            changes.iter().any(|change| is_password(change.attribute.as_str()))
        }
        Op::Compare(compare) => is_password(compare.attribute.as_str()),
        Op::Search(_) | Op::Delete(_) | Op::Rename(_) => false,
    }
}

fn is_password(description: &str) -> bool {
    let name = description.split(';').next().unwrap_or(description);
    PASSWORDS.iter().any(|password| password.eq_ignore_ascii_case(name))
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::proto::{
        attribute::Attributes,
        control::Controls,
        message::{ChangeKind, Compare, Delete},
        secret::Secret,
    };

    use super::*;

    #[test]
    fn invariant_5_clear_is_guarded_on_loopback_only() {
        let table = [
            ("127.0.0.1:389", Exposure::Guarded),
            ("127.255.0.3:389", Exposure::Guarded),
            ("[::1]:389", Exposure::Guarded),
            ("[::ffff:127.0.0.1]:389", Exposure::Guarded),
            ("10.0.0.1:389", Exposure::Clear),
            ("169.254.1.1:389", Exposure::Clear),
            ("0.0.0.0:389", Exposure::Clear),
            ("[::]:389", Exposure::Clear),
            ("[fe80::1]:389", Exposure::Clear),
            ("[::ffff:10.0.0.1]:389", Exposure::Clear),
        ];
        for (address, want) in table {
            assert_eq!(Exposure::of_clear(address.parse().unwrap(), false), want, "{address}");
        }
        let remote = "10.0.0.1:389".parse().unwrap();
        assert_eq!(Exposure::of_clear(remote, true), Exposure::ClearByChoice);
    }

    #[test]
    fn invariant_5_no_bind_shows_a_password_in_clear() {
        let sasl = |mechanism: &str| BindStep::Sasl {
            mechanism: mechanism.to_owned(),
            credentials: Some(Secret::from("\0maja\0a password")),
            controls: Controls::none(),
        };
        let table = [
            (BindStep::simple("cn=maja", "a password".into()), true),
            (BindStep::anonymous(), false),
            (sasl("PLAIN"), true),
            (sasl("plain"), true),
            (sasl("LOGIN"), true),
            (sasl("XOAUTH2"), true),
            (BindStep::external(), false),
            (sasl("SCRAM-SHA-256"), false),
            (sasl("gssapi"), false),
        ];
        for (step, shows) in table {
            let kind = Exposure::Clear.check_bind(&step).err().map(|error| error.kind());
            assert_eq!(kind, shows.then_some(ErrorKind::Confidentiality), "{step:?}");
            assert!(Exposure::Guarded.check_bind(&step).is_ok());
            assert!(Exposure::ClearByChoice.check_bind(&step).is_ok());
        }
    }

    #[test]
    fn invariant_5_no_operation_shows_a_password_in_clear() {
        let dn = || "cn=maja".parse().unwrap();
        let change = |attribute: &str| {
            let change = Modify::new(dn()).change(ChangeKind::Replace, attribute.parse().unwrap(), ["value"]);
            Op::Modify(change)
        };
        let add = |attribute: &str| {
            let list = Attributes::builder().attribute(&attribute.parse().unwrap(), ["value"]).build();
            Op::Add(Add::new(dn(), list))
        };
        let compare = |attribute: &str| {
            Op::Compare(Compare { dn: dn(), attribute: attribute.parse().unwrap(), value: "value".into() })
        };
        let table = [
            (change("userPassword"), true),
            (change("USERPASSWORD;x-option"), true),
            (change("2.5.4.35"), true),
            (change("unicodePwd"), true),
            (change("olcRootPW"), true),
            (change("nsslapd-rootPW"), true),
            (change("description"), false),
            (add("userPassword"), true),
            (add("description"), false),
            (compare("userPassword"), true),
            (compare("description"), false),
            (Op::Delete(Delete { dn: dn() }), false),
        ];
        for (op, shows) in table {
            let kind = Exposure::Clear.check_op(&op).err().map(|error| error.kind());
            assert_eq!(kind, shows.then_some(ErrorKind::Confidentiality), "{op:?}");
            assert!(Exposure::Guarded.check_op(&op).is_ok());
        }
    }
}
