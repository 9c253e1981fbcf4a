//! Who may do what, as most sites want it.

use std::sync::{Arc, OnceLock};

use flext_ldap_directory::{AccessPolicy, Error, Lookup, Requester, Rights};
use flext_ldap_proto::{dn::Dn, schema::Schema};

use crate::access::{AccessRules, AllowConfig, RuleConfig, TargetConfig, Words};

/// The policy of a store that is not given another.
///
/// - Everybody reads the root DSE and the schema (the store does not ask about those).
/// - Whoever has proved who they are reads everything but secrets, and changes their own password.
/// - Administrators do everything. Secrets are not read by anybody; administrators write them.
/// - Anonymous reads what others read only after [`anonymous_read`](Self::anonymous_read).
///
/// It is three access rules ([`config`](Self::config)), and decides as any rules do.
#[derive(Clone, Debug)]
pub struct StandardPolicy {
    anonymous_read: bool,
    administrators: Vec<Dn>,
    rules: AccessRules,
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

impl Default for StandardPolicy {
    fn default() -> Self {
        Self { anonymous_read: false, administrators: Vec::new(), rules: Self::compiled(false) }
    }
}

impl StandardPolicy {
    /// Lets those who have not said who they are read what users read.
    #[must_use]
    pub fn anonymous_read(mut self) -> Self {
        self.anonymous_read = true;
        let administrators = self.administrators.iter();
        self.rules = administrators
            .fold(Self::compiled(true), |rules, dn| rules.administrator(dn, Schema::standard()));
        self
    }

    /// Makes this entry an administrator, besides the store's own. Names are compared as the standard schema says; one
    /// it cannot compare gives nobody any right.
    #[must_use]
    pub fn administrator(mut self, dn: Dn) -> Self {
        self.rules = self.rules.administrator(&dn, Schema::standard());
        self.administrators.push(dn);
        self
    }

    /// The rules it consists of, as they would stand in a configuration.
    #[must_use]
    pub fn config(&self) -> Vec<RuleConfig> {
        let allow = |lines: &[(&str, &[&str])]| -> Vec<AllowConfig> {
            let lines = lines.iter().map(|(who, rights)| AllowConfig {
                who: (*who).to_owned(),
                rights: rights.iter().copied().collect(),
                ..AllowConfig::default()
            });
            lines.collect()
        };
        let attributes = |names: &[&str]| {
            let attributes: Words = names.iter().copied().collect();
            Some(TargetConfig { attributes, ..TargetConfig::default() })
        };
        const CHANGE: &[&str] = &["add-values", "delete-values"];
        let [password, secrets @ ..] = SECRETS;
        let mut all = vec![("administrators", &["manage"] as &[&str]), ("users", &["read"])];
        if self.anonymous_read {
            all.push(("anonymous", &["read"]));
        }
        vec![
            RuleConfig {
                name: Some("passwords".to_owned()),
                to: attributes(&[password]),
                allow: allow(&[("administrators", CHANGE), ("self", CHANGE), ("anonymous", &["auth"])]),
                ..RuleConfig::default()
            },
            RuleConfig {
                name: Some("other secrets".to_owned()),
                to: attributes(&secrets),
                allow: allow(&[("administrators", CHANGE)]),
                ..RuleConfig::default()
            },
            RuleConfig {
                name: Some("everything else".to_owned()),
                allow: allow(&all),
                ..RuleConfig::default()
            },
        ]
    }

    /// The rules as they decide.
    #[must_use]
    pub fn rules(&self) -> &AccessRules {
        &self.rules
    }

    /// Made once: they are the same for every store.
    fn compiled(anonymous_read: bool) -> AccessRules {
        static RULES: [OnceLock<AccessRules>; 2] = [OnceLock::new(), OnceLock::new()];
        let [closed, open] = &RULES;
        let rules = if anonymous_read { open } else { closed };
        let made = rules.get_or_init(|| {
            let policy = Self { anonymous_read, administrators: Vec::new(), rules: AccessRules::none() };
            // The rules are our own and a test makes them; without any, nothing is allowed.
            AccessRules::new(&policy.config(), Schema::standard(), true)
                .unwrap_or_else(|_| AccessRules::none())
        });
        made.clone()
    }
}

/// Whether an attribute, by its preferred name, has values that prove who somebody is.
pub(crate) fn is_secret(attribute: &str) -> bool {
    SECRETS.iter().any(|name| name.eq_ignore_ascii_case(attribute))
}

impl AccessPolicy for StandardPolicy {
    fn rights_of(&self, who: Requester<'_>, lookup: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        self.rules.rights_of(who, lookup)
    }

    fn for_schema(&self, schema: &Schema) -> Option<Arc<dyn AccessPolicy>> {
        self.rules.for_schema(schema)
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::{Actor, AttributeRight, Blank, EntryRight, Group, Identity, Peer, Target};
    use flext_ldap_proto::dn::DnKey;

    use super::*;

    struct Nobody;

    impl Lookup for Nobody {
        fn memberships(&self, groups: &[Group]) -> Result<Vec<bool>, Error> {
            Ok(vec![false; groups.len()])
        }
    }

    fn key(text: &str) -> DnKey {
        Schema::standard().dn_key(&text.parse().unwrap()).unwrap()
    }

    /// What the policy said before it was made of rules.
    #[test]
    fn decides_as_it_is_described() {
        let (anna, bert, chief) = ("uid=anna,dc=example", "uid=bert,dc=example", "cn=chief,dc=example");
        let user = |name: &str| Actor::User(Identity::from_successful_bind(name.parse().unwrap()));
        let attributes = ["cn", "userPassword", "pwdHistory", "SAMBANTPASSWORD", "userPKCS12", "x-unknown"];
        let secret = ["userPassword", "pwdHistory", "SAMBANTPASSWORD", "userPKCS12"];
        for open in [false, true] {
            let policy = StandardPolicy::default().administrator(chief.parse().unwrap());
            let policy = if open { policy.anonymous_read() } else { policy };
            for actor in [Actor::Anonymous, user(anna), user(chief), Actor::Service] {
                let own = match &actor {
                    Actor::User(identity) => Some(key(&identity.dn().unwrap().to_string())),
                    _ => None,
                };
                let administrator = actor == Actor::Service || own == Some(key(chief));
                let reads = open || actor != Actor::Anonymous;
                let who = Requester { actor: &actor, dn: own.as_ref(), peer: &Peer::in_process() };
                let rights = policy.rights_of(who, &Nobody).unwrap();
                assert!(!rights.look_at_entries());
                for name in [anna, bert] {
                    let dn = key(name);
                    let is_self = own.as_ref() == Some(&dn);
                    let target = Target { dn: &dn, is_self, entry: &Blank };
                    assert_eq!(rights.entry(target, EntryRight::Disclose), reads);
                    for right in [EntryRight::Add, EntryRight::Delete, EntryRight::Rename] {
                        assert_eq!(rights.entry(target, right), administrator, "{right:?}");
                    }
                    for attribute in attributes {
                        let secret = secret.contains(&attribute);
                        use AttributeRight::{AddValues, Compare, DeleteValues, Read, Search, Write};
                        for right in [Search, Compare, Read] {
                            let want = reads && !secret;
                            assert_eq!(
                                rights.attribute(target, attribute, right),
                                want,
                                "{attribute} {right:?}"
                            );
                        }
                        for right in [Write, AddValues, DeleteValues] {
                            let want = administrator || (is_self && attribute == "userPassword");
                            assert_eq!(
                                rights.attribute(target, attribute, right),
                                want,
                                "{attribute} {right:?}"
                            );
                        }
                    }
                    let binds = rights.attribute(target, "userPassword", AttributeRight::Authenticate);
                    assert_eq!(binds, actor == Actor::Anonymous);
                }
            }
        }
    }
}
