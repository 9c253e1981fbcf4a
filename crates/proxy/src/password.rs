//! Which operations give who asks another password: the one that is kept is of no use then.

use flext_ldap_directory::{Actor, Op};
use flext_ldap_proto::{
    attribute::is_secret,
    extended::{ExtendedOperation as _, PasswordModify},
};

/// Whether it changes the password of who asks, as far as the spelling of names tells. One that is spelt otherwise is
/// sent once more where a server is lost, is refused, and that is the end of the session.
pub(crate) fn is_changed_by(op: &Op, actor: &Actor) -> bool {
    let Actor::User(identity) = actor else { return false };
    let is_own = |name: &str| {
        let name = name.strip_prefix("dn:").unwrap_or(name);
        identity.dn().is_some_and(|dn| dn.as_str().eq_ignore_ascii_case(name))
            || identity.authorization().eq_ignore_ascii_case(name)
    };
    match op {
        Op::Extended(request) if request.oid == PasswordModify::OID => {
            PasswordModify::decode(request).is_ok_and(|change| change.user.is_none_or(|user| is_own(&user)))
        }
        Op::Modify(modify) => {
            modify.changes.iter().any(|change| is_secret(change.attribute.attribute_type()))
                && is_own(modify.dn.as_str())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::Identity;
    use flext_ldap_proto::message::{ChangeKind, Modify};

    use super::*;

    const MAJA: &str = "uid=maja,dc=harbourlane,dc=example";

    #[test]
    fn ones_own_password_is_told_from_others() {
        let maja = Actor::User(Identity::from_successful_bind(MAJA.parse().unwrap()));
        let modify = |dn: &str, attribute: &str| {
            let modify = Modify::new(dn.parse().unwrap());
            Op::from(modify.change(ChangeKind::Replace, attribute.parse().unwrap(), ["x"]))
        };
        let other = "uid=nils,dc=harbourlane,dc=example";
        let extended = |user: Option<&str>| {
            Op::from(PasswordModify { user: user.map(str::to_owned), old: None, new: None }.request())
        };
        for (op, want) in [
            (modify(MAJA, "userPassword"), true),
            (modify("UID=maja,dc=harbourlane,dc=example", "userpassword"), true),
            (modify(MAJA, "mail"), false),
            (modify(other, "userPassword"), false),
            (extended(None), true),
            (extended(Some(MAJA)), true),
            (extended(Some(&format!("dn:{MAJA}"))), true),
            (extended(Some(other)), false),
        ] {
            assert_eq!(is_changed_by(&op, &maja), want, "{op:?}");
            assert!(!is_changed_by(&op, &Actor::Anonymous));
        }
    }
}
