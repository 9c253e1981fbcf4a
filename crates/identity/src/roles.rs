//! What groups entitle to.

use flext_ldap_proto::dn::Dn;

use crate::{Groups, name::NameKey};

/// Which group gives which role: `R` is the program's own type.
///
/// A group is found by its whole name, compared as directories compare names; part of a name, or the same name elsewhere
/// in the tree, gives nothing. Who is in none of the groups has no role.
///
/// ```
/// use flext_ldap_identity::RoleMap;
///
/// #[derive(Clone, Debug, PartialEq)]
/// enum Role {
///     Pilot,
///     HarbourMaster,
/// }
///
/// let roles = RoleMap::new()
///     .grant(&"cn=pilots,ou=groups,dc=harbourlane,dc=example".parse()?, Role::Pilot)
///     .grant(&"cn=masters,ou=groups,dc=harbourlane,dc=example".parse()?, Role::HarbourMaster);
/// # Ok::<(), flext_ldap_directory::proto::dn::DnError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RoleMap<R>(Vec<(NameKey, R)>);

impl<R: Clone + PartialEq> RoleMap<R> {
    /// Nobody has a role.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Gives the members of `group` a role, besides those they have.
    #[must_use]
    pub fn grant(mut self, group: &Dn, role: R) -> Self {
        self.0.push((NameKey::of(group), role));
        self
    }

    /// The roles of somebody in these groups, each once, in the order they were granted in.
    #[must_use]
    pub fn roles(&self, groups: &Groups) -> Vec<R> {
        let mut roles: Vec<R> = Vec::new();
        for (_, role) in self.0.iter().filter(|(group, _)| groups.has(group)) {
            if !roles.contains(role) {
                roles.push(role.clone());
            }
        }
        roles
    }
}

impl<R: Clone + PartialEq> Default for RoleMap<R> {
    fn default() -> Self {
        Self::new()
    }
}
