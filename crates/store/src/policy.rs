//! Who may do what, as most sites want it.

use flext_ldap_directory::{AccessPolicy, Actor, AttributeRight, EntryRight, Requester, Target};
use flext_ldap_proto::{dn::Dn, schema::Schema};

/// The policy of a store that is not given another.
///
/// - Everybody reads the root DSE and the schema (the store does not ask about those).
/// - Whoever has proved who they are reads everything but secrets, and changes their own password.
/// - Administrators do everything. Secrets are not read by anybody; administrators write them.
/// - Anonymous reads what others read only after [`anonymous_read`](Self::anonymous_read).
#[derive(Clone, Debug, Default)]
pub struct StandardPolicy {
    anonymous_read: bool,
    administrators: Vec<Dn>,
}

/// Attributes whose values prove who somebody is, by their preferred names.
const SECRETS: [&str; 9] = [
    "userPassword",
    "authPassword",
    "krbPrincipalKey",
    "sambaNTPassword",
    "sambaLMPassword",
    "sambaPasswordHistory",
    "unicodePwd",
    "pwdHistory",
    "userPKCS12",
];

impl StandardPolicy {
    /// Lets those who have not said who they are read what users read.
    #[must_use]
    pub fn anonymous_read(mut self) -> Self {
        self.anonymous_read = true;
        self
    }

    /// Makes this entry an administrator, besides the store's own. Names are compared as the standard schema says; one
    /// it cannot compare gives nobody any right.
    #[must_use]
    pub fn administrator(mut self, dn: Dn) -> Self {
        self.administrators.push(dn);
        self
    }

    fn is_administrator(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Service => true,
            Actor::Anonymous => false,
            Actor::User(identity) => identity.dn().is_some_and(|dn| {
                let key = |dn: &Dn| Schema::standard().dn_key(dn).ok();
                key(dn)
                    .is_some_and(|own| self.administrators.iter().any(|one| key(one).as_ref() == Some(&own)))
            }),
        }
    }

    fn reads(&self, actor: &Actor) -> bool {
        match actor {
            Actor::Service | Actor::User(_) => true,
            Actor::Anonymous => self.anonymous_read,
        }
    }
}

/// Whether an attribute, by its preferred name, has values that prove who somebody is.
pub(crate) fn is_secret(attribute: &str) -> bool {
    SECRETS.iter().any(|name| name.eq_ignore_ascii_case(attribute))
}

impl AccessPolicy for StandardPolicy {
    fn entry(&self, who: Requester<'_>, _target: Target<'_>, right: EntryRight) -> bool {
        match right {
            EntryRight::Disclose => self.reads(who.actor),
            EntryRight::Add | EntryRight::Delete | EntryRight::Rename => self.is_administrator(who.actor),
        }
    }

    fn attribute(
        &self,
        who: Requester<'_>,
        target: Target<'_>,
        attribute: &str,
        right: AttributeRight,
    ) -> bool {
        let actor = who.actor;
        let secret = is_secret(attribute);
        match right {
            AttributeRight::Search | AttributeRight::Read | AttributeRight::Compare => {
                self.reads(actor) && !secret
            }
            AttributeRight::Write => {
                self.is_administrator(actor)
                    || (target.is_self
                        && matches!(actor, Actor::User(_))
                        && attribute.eq_ignore_ascii_case("userPassword"))
            }
        }
    }
}
