//! Which rules are about a place in the tree, found by its name: however many rules there are, a name is looked up once
//! for each of its components at the most.

use std::collections::HashMap;

use flext_ldap_proto::dn::{DnKey, RdnKey};

use super::rules::Rule;

/// For every name that a rule gives: the rules about it, about what is directly below, and about what is further down,
/// in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    named: HashMap<Box<[RdnKey]>, [Box<[u32]>; 3]>,
    /// The rules about everything else.
    elsewhere: Box<[u32]>,
}

impl Places {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let about = |covers: &dyn Fn(&Rule) -> bool| -> Box<[u32]> {
            let numbered =
                rules.iter().enumerate().filter(|(_, rule)| rule.places.is_empty() || covers(rule));
            numbered.filter_map(|(number, _)| u32::try_from(number).ok()).collect()
        };
        let mut named = HashMap::new();
        for place in rules.iter().flat_map(|rule| &rule.places) {
            named.entry(place.base.rdns().into()).or_insert_with(|| {
                [0, 1, 2].map(|levels| {
                    about(&|rule| {
                        rule.places.iter().any(|one| {
                            place.base.is_within(&one.base)
                                && one.scope.reaches(levels + place.base.depth() - one.base.depth())
                        })
                    })
                })
            });
        }
        Self { named, elsewhere: about(&|_| false) }
    }

    /// The numbers of the rules about an entry of this name.
    pub(super) fn rules(&self, dn: &DnKey) -> &[u32] {
        if self.named.is_empty() {
            return &self.elsewhere;
        }
        let rdns = dn.rdns();
        for levels in 0..=rdns.len() {
            let above = rdns.get(levels..).and_then(|name| self.named.get(name));
            if let Some([own, below, deeper]) = above {
                return match levels {
                    0 => own,
                    1 => below,
                    _ => deeper,
                };
            }
        }
        &self.elsewhere
    }
}
