//! Values of one attribute, normalised one after another: most names of a group's members end alike.

use std::borrow::Cow;

use super::{AttributeType, MatchingRule, Schema, SyntaxError};
use crate::dn::Dn;

/// Normalises values of one attribute as [`Schema::normalize`] does each, and quicker where they are names with the
/// same parent: what was made of the last one's is kept.
#[derive(Clone, Debug)]
pub struct Normalizer<'s> {
    schema: &'s Schema,
    rule: Option<MatchingRule>,
    /// The last parent as it was spelt, with the separator before it, and the normal form of that.
    parent: (String, Vec<u8>),
}

/// Names up to this length are put together from their parts: they cannot have more components than a name can.
const SHORT: usize = 2_000;

impl<'s> Normalizer<'s> {
    pub(super) const fn new(schema: &'s Schema, rule: Option<MatchingRule>) -> Self {
        Self { schema, rule, parent: (String::new(), Vec::new()) }
    }

    /// The value in the form in which equal values have equal octets.
    ///
    /// # Errors
    ///
    /// When the value does not fit the syntax.
    pub fn normalize<'v>(&mut self, value: &'v [u8]) -> Result<Cow<'v, [u8]>, SyntaxError> {
        match self.rule {
            Some(rule) if rule.is_of_names() => {
                self.name(value).map(Cow::Owned).ok_or_else(|| rule.syntax().error())
            }
            Some(rule) => self.schema.normalize_by(rule, value),
            None => Ok(Cow::Borrowed(value)),
        }
    }

    /// Whether what is normalised without an error is known to be a name.
    pub(super) fn is_of_names(&self) -> bool {
        self.rule.is_some_and(MatchingRule::is_of_names)
    }

    fn name(&mut self, value: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(value).ok()?;
        let (spelt, normal) = &self.parent;
        // Where the text before the separator is a name, nothing in it makes the separator part of a value.
        if text.len() <= SHORT
            && !spelt.is_empty()
            && let Some(own) = text.strip_suffix(spelt.as_str()).filter(|own| !own.is_empty())
            && let Ok(own) = own.parse::<Dn>()
        {
            let mut name = self.schema.normal_name(&own)?;
            name.extend_from_slice(normal);
            return Some(name);
        }
        let dn: Dn = text.parse().ok()?;
        let name = self.schema.normal_name(&dn)?;
        let mut rdns = dn.rdns();
        if let Some(own) = rdns.next()
            && rdns.next().is_some()
            && let Some(rest) = dn.as_str().strip_prefix(own.as_str())
            && let Some(own) = self.schema.normal_rdn(own)
            && let Some(normal) = name.get(own.len()..)
        {
            self.parent.0.clear();
            self.parent.0.push_str(rest);
            self.parent.1.clear();
            self.parent.1.extend_from_slice(normal);
        }
        Some(name)
    }
}

impl Schema {
    /// Starts to normalise values of this attribute, one after another.
    #[must_use]
    pub fn normalizer(&self, attribute: &AttributeType) -> Normalizer<'_> {
        Normalizer::new(self, attribute.equality.or_else(|| attribute.syntax.usual_rule()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn component() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a", "B", " ", "\\", "\\,", "\\2c", "\\20", "\"", "\\\"", "+", "=", "#04", "é", "cn=", "OU=x",
            ";",
        ]);
        (
            prop::sample::select(vec!["cn=", "ou =", "UID= ", "nobody=", ""]),
            prop::collection::vec(piece, 0..4),
        )
            .prop_map(|(kind, pieces)| kind.to_owned() + &pieces.concat())
    }

    fn name() -> impl Strategy<Value = String> {
        let separator = prop::sample::select(vec![",", ", ", " ,", ";", "+"]);
        let parent = prop::sample::select(vec![
            "ou=people,dc=example",
            "OU=People, dc=example",
            "dc=example ",
            "ou=a\\,b,dc=example",
            "",
        ]);
        (component(), separator, parent).prop_map(|(own, separator, parent)| own + separator + parent)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn what_came_before_makes_no_difference(names in prop::collection::vec(name(), 1..8)) {
            let schema = Schema::standard();
            for attribute in ["member", "uniqueMember", "cn"] {
                let attribute = schema.attribute_type(attribute).unwrap();
                let mut normalizer = schema.normalizer(attribute);
                for name in &names {
                    let name = name.as_bytes();
                    prop_assert_eq!(normalizer.normalize(name), schema.normalize(attribute, name));
                }
            }
        }
    }

    #[test]
    fn a_parent_is_taken_from_the_name_before() {
        let schema = Schema::standard();
        let mut normalizer = schema.normalizer(schema.attribute_type("member").unwrap());
        for (name, parent) in [
            ("cn=a,ou=people,dc=example", ",ou=people,dc=example"),
            ("CN=B,ou=people,dc=example", ",ou=people,dc=example"),
            ("cn=a\\,ou=people,dc=example", ",dc=example"),
            ("cn=\"a,ou=people\",dc=example", ",dc=example"),
            ("dc=example", ",dc=example"),
        ] {
            normalizer.normalize(name.as_bytes()).unwrap();
            assert_eq!(normalizer.parent.0, parent, "{name}");
        }
    }
}
