//! Who may do what, as most sites want it.

use std::sync::Arc;

use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, EntryRight, Error, Lookup, Requester, Rights, Target,
};
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

    fn is_administrator(&self, who: Requester<'_>) -> bool {
        let key = |dn: &Dn| Schema::standard().dn_key(dn).ok();
        matches!(who.actor, Actor::Service)
            || who.dn.is_some_and(|own| self.administrators.iter().any(|one| key(one).as_ref() == Some(own)))
    }
}

impl AccessPolicy for StandardPolicy {
    fn rights_of(&self, who: Requester<'_>, _lookup: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(Standard {
            reads: self.anonymous_read || !matches!(who.actor, Actor::Anonymous),
            administrator: self.is_administrator(who),
        }))
    }
}

struct Standard {
    reads: bool,
    administrator: bool,
}

impl Rights for Standard {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, _target: Target<'_>, right: EntryRight) -> bool {
        match right {
            EntryRight::Disclose => self.reads,
            EntryRight::Add | EntryRight::Delete | EntryRight::Rename => self.administrator,
        }
    }

    fn attribute(&self, target: Target<'_>, attribute: &str, right: AttributeRight) -> bool {
        let secret = SECRETS.iter().any(|name| name.eq_ignore_ascii_case(attribute));
        match right {
            AttributeRight::Authenticate => true,
            AttributeRight::Search | AttributeRight::Read | AttributeRight::Compare => self.reads && !secret,
            AttributeRight::Write
            | AttributeRight::AddValues
            | AttributeRight::DeleteValues
            | AttributeRight::WriteOwnName => {
                self.administrator || (target.is_self && attribute.eq_ignore_ascii_case("userPassword"))
            }
        }
    }
}
