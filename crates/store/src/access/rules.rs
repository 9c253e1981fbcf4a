//! Access rules that decide.
//!
//! The rules are read from the first to the last. A rule that is not about what is asked for is passed over. In the
//! first one that is, the first line that names the one who asks says what they may do; who is named by none may do
//! nothing. That is the end, unless the line says `continue`: then what it allows is kept, and the next rules are read.
//! Where no rule decides, nothing is allowed.

use std::{fmt, sync::Arc};

use flext_ldap_directory::{
    AccessPolicy, AttributeRight, EntryRight, Error, Group, Lookup, Requester, Rights, Target,
};
use flext_ldap_proto::{
    dn::{Dn, DnKey},
    filter::Filter,
    schema::Schema,
};

use super::{
    attributes::{Attributes, Class},
    config::{AllowConfig, RuleConfig},
    grant::Grant,
    parse::{Parser, Problem},
    places::Places,
    subject::{Scope, Standing, Subject},
};

/// Ordered access rules, as an [`AccessPolicy`].
///
/// ```
/// use flext_ldap_proto::schema::Schema;
/// use flext_ldap_store::access::{AccessRules, AllowConfig, RuleConfig};
///
/// let everybody_reads = RuleConfig {
///     allow: vec![AllowConfig { who: "anyone".to_owned(), rights: "raed".into(), ..AllowConfig::default() }],
///     ..RuleConfig::default()
/// };
/// let problems = AccessRules::from_config(&[everybody_reads], Schema::standard()).unwrap_err();
/// assert_eq!(problems[0].to_string(), "rule 1, `allow[1]`: unknown right `raed`; did you mean `read`?");
/// ```
#[derive(Clone)]
pub struct AccessRules(pub(super) Arc<Inner>);

#[derive(Clone, Default)]
pub(super) struct Inner {
    pub(super) rules: Vec<Rule>,
    pub(super) subjects: Vec<Subject>,
    pub(super) groups: Vec<Group>,
    /// Attributes of an entry that can name the one who asks.
    pub(super) named_by: Vec<String>,
    pub(super) filters: Vec<Filter>,
    pub(super) attributes: Attributes,
    pub(super) administrators: Vec<DnKey>,
    places: Places,
}

/// One rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) name: Option<String>,
    /// Where; everywhere if there is none.
    pub(super) places: Vec<Place>,
    /// By number.
    pub(super) filter: Option<usize>,
    /// A set of attributes, by number; all and the entry itself if there is none.
    pub(super) attributes: Option<usize>,
    pub(super) lines: Vec<Line>,
}

#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) scope: Scope,
    pub(super) base: DnKey,
    /// As it was written.
    pub(super) text: String,
}

/// One line of `allow`.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// By number.
    pub(super) subject: usize,
    pub(super) grant: Grant,
    pub(super) goes_on: bool,
    /// As it was written.
    pub(super) text: AllowConfig,
}

impl AccessRules {
    /// Makes rules of what is written. Names are compared as `schema` says; it must be the store's.
    ///
    /// # Errors
    ///
    /// All that is wrong with them, the first hundred problems at the most.
    pub fn from_config(rules: &[RuleConfig], schema: &Schema) -> Result<Self, Vec<Problem>> {
        Self::new(rules, schema, false)
    }

    /// If `lenient`, attributes that the schema does not know are known by their spelling.
    pub(crate) fn new(rules: &[RuleConfig], schema: &Schema, lenient: bool) -> Result<Self, Vec<Problem>> {
        let mut parser = Parser::new(schema, lenient);
        let rules = parser.rules(rules)?;
        let mut attributes = parser.attributes;
        attributes.settle(schema);
        Ok(Self(Arc::new(Inner {
            places: Places::new(&rules),
            rules,
            subjects: parser.subjects.into_list(),
            groups: parser.groups.into_list(),
            named_by: parser.named_by.into_list(),
            filters: parser.filters,
            attributes,
            administrators: Vec::new(),
        })))
    }

    /// No rules: nothing is allowed.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// The same rules for a directory of this schema.
    pub(crate) fn settled(&self, schema: &Schema) -> Self {
        let mut inner = Inner::clone(&self.0);
        inner.attributes.settle(schema);
        Self(Arc::new(inner))
    }

    /// Makes this entry one of the `administrators` of the rules. A name that `schema` cannot compare gives nobody any
    /// right.
    #[must_use]
    pub fn administrator(mut self, dn: &Dn, schema: &Schema) -> Self {
        Arc::make_mut(&mut self.0).administrators.extend(schema.dn_key(dn).ok());
        self
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.rules.len()
    }

    /// Whether there is no rule: then nothing is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.rules.is_empty()
    }
}

impl fmt::Debug for AccessRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessRules({} rules)", self.len())
    }
}

impl AccessPolicy for AccessRules {
    fn rights_of(&self, who: Requester<'_>, lookup: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(Ready {
            standings: self.0.standings(who, lookup)?,
            own: who.dn.cloned(),
            rules: Arc::clone(&self.0),
        }))
    }

    fn filters(&self) -> &[Filter] {
        &self.0.filters
    }

    fn for_schema(&self, schema: &Schema) -> Option<Arc<dyn AccessPolicy>> {
        Some(Arc::new(self.settled(schema)))
    }
}

impl Inner {
    /// What is known of each subject once it is known who asks.
    pub(super) fn standings(
        &self,
        who: Requester<'_>,
        lookup: &dyn Lookup,
    ) -> Result<Box<[Standing]>, Error> {
        let memberships = if self.groups.is_empty() || who.dn.is_none() {
            Vec::new()
        } else {
            lookup.memberships(&self.groups)?
        };
        let subjects = self.subjects.iter();
        Ok(subjects.map(|subject| subject.standing(who, &self.administrators, &memberships)).collect())
    }
}

/// Rules, with what is known of one requester.
struct Ready {
    rules: Arc<Inner>,
    own: Option<DnKey>,
    /// By subject.
    standings: Box<[Standing]>,
}

impl Ready {
    /// All rights to an entry itself or to attributes of one class.
    fn grant(&self, target: Target<'_>, class: Class) -> Grant {
        let Inner { rules, attributes, places, .. } = &*self.rules;
        let mut granted = Grant::NONE;
        'rules: for number in places.rules(target.dn) {
            let Some(rule) = usize::try_from(*number).ok().and_then(|number| rules.get(number)) else {
                continue;
            };
            if rule.attributes.is_some_and(|set| !attributes.has(set, class)) {
                continue;
            }
            if rule.filter.is_some_and(|filter| !target.entry.matches(filter)) {
                continue;
            }
            for line in &rule.lines {
                if self.names(line.subject, target) {
                    granted.add(line.grant);
                    if line.goes_on {
                        continue 'rules;
                    }
                    break;
                }
            }
            break;
        }
        granted
    }

    fn names(&self, subject: usize, target: Target<'_>) -> bool {
        match self.standings.get(subject) {
            None | Some(Standing::No) => false,
            Some(Standing::Yes) => true,
            Some(Standing::Own) => target.is_self,
            Some(Standing::Named(attribute)) => {
                let attribute = self.rules.named_by.get(*attribute);
                attribute
                    .zip(self.own.as_ref())
                    .is_some_and(|(attribute, own)| target.entry.names(attribute, own))
            }
        }
    }
}

impl Rights for Ready {
    fn look_at_entries(&self) -> bool {
        !self.rules.filters.is_empty() || self.standings.iter().any(|one| matches!(one, Standing::Named(_)))
    }

    fn entry(&self, target: Target<'_>, right: EntryRight) -> bool {
        self.grant(target, Class::ENTRY).contains(Grant::of_entry(right))
    }

    fn attribute(&self, target: Target<'_>, attribute: &str, right: AttributeRight) -> bool {
        let class = self.rules.attributes.class(attribute);
        self.grant(target, class).contains(Grant::of_attribute(right))
    }
}
