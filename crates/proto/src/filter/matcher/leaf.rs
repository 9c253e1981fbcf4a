//! One assertion, made ready, and what it says of the values of an entry.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Candidate, LargeAttribute, Truth,
    subject::{Resolver, Subject},
};
use crate::{
    attribute::AttributeDescription,
    filter::{Extensible, Node, Substrings},
    schema::{AttributeType, MatchingRule, RuleKind, Schema},
};

/// An assertion, or `None` where the schema, not the entry, makes it undefined.
pub(super) struct Leaf(Option<Assertion>);

struct Assertion {
    values: ValuesOf,
    /// Whether the values of the entry's name count too.
    in_name: bool,
    test: Test,
}

/// Which values of an entry are looked at.
enum ValuesOf {
    Attribute(Arc<Subject>),
    /// Those of every attribute the rule applies to.
    EveryAttribute(MatchingRule),
}

/// What an assertion costs, finding one attribute among others, and looking at one value besides its octets, in octets
/// looked at.
const ASSERTION: usize = 64;
const FIND: usize = 8;
const LOOK: usize = 16;

/// What is asked of one value. Assertions are normalised.
enum Test {
    Present,
    Equality {
        rule: MatchingRule,
        given: Bytes,
        normal: Box<[u8]>,
    },
    Ordering {
        rule: MatchingRule,
        normal: Box<[u8]>,
        order: Order,
    },
    Substrings {
        rule: MatchingRule,
        parts: Substrings,
    },
    /// What the rule itself says: it may be no equality (bits, words).
    Rule {
        rule: MatchingRule,
        given: Bytes,
    },
}

/// Where the value of the entry must stand.
#[derive(Clone, Copy)]
enum Order {
    AtOrAfter,
    AtOrBefore,
    Before,
}

impl Leaf {
    pub(super) fn new(node: &Node, schema: &Schema, resolver: &mut Resolver<'_>) -> Self {
        Self(match node {
            Node::And { .. } | Node::Or { .. } | Node::Not => None,
            Node::Present(attribute) => Assertion::of(resolver, schema, attribute, |_| Some(Test::Present)),
            // An approximate match is one for equality: RFC 4511 §4.5.1.7.6 leaves to the server what is near.
            Node::Equality(attribute, value) | Node::Approximate(attribute, value) => {
                Assertion::of(resolver, schema, attribute, |attribute| {
                    Test::equality(schema, attribute, value)
                })
            }
            Node::GreaterOrEqual(attribute, value) => {
                Assertion::of(resolver, schema, attribute, |attribute| {
                    Test::ordering(schema, attribute.ordering?, value, Order::AtOrAfter)
                })
            }
            Node::LessOrEqual(attribute, value) => Assertion::of(resolver, schema, attribute, |attribute| {
                Test::ordering(schema, attribute.ordering?, value, Order::AtOrBefore)
            }),
            Node::Substrings(attribute, parts) => Assertion::of(resolver, schema, attribute, |attribute| {
                Test::substrings(attribute.substrings?, parts)
            }),
            Node::Extensible(extensible) => Assertion::extensible(resolver, schema, extensible),
        })
    }

    pub(super) fn looks_at_name(&self) -> bool {
        self.0.as_ref().is_some_and(|assertion| assertion.in_name)
    }

    pub(super) fn evaluate(&self, schema: &Schema, entry: &Candidate<'_>) -> Truth {
        let Some(Assertion { values, in_name, test }) = &self.0 else { return Truth::Undefined };
        if !entry.pay(ASSERTION) {
            return Truth::Undefined;
        }
        if let ValuesOf::Attribute(subject) = values
            && !subject.attribute(schema).is_some_and(|attribute| (entry.readable)(attribute.name()))
        {
            return Truth::Undefined;
        }
        let attributes = entry.segments.iter().flat_map(|segment| segment.iter());
        let in_attributes = || {
            attributes
                .filter(|attribute| entry.pay(FIND) && values.include(schema, entry, attribute.description()))
                .any(|attribute| test.is_fulfilled_by_any(schema, entry, attribute.values()))
        };
        let in_large = || {
            let mut large = entry.large.iter();
            large.any(|one| {
                values.include(schema, entry, one.description()) && test.is_fulfilled_in(schema, entry, *one)
            })
        };
        let in_dn = || {
            let avas = entry.dn.rdns().flat_map(|rdn| rdn.avas());
            avas.filter(|ava| values.include(schema, entry, ava.attribute_type())).any(|ava| {
                let value = ava.value();
                entry.pay(value.len() + LOOK) && test.is_fulfilled_by(schema, &value)
            })
        };
        if in_attributes() || in_large() || (*in_name && in_dn()) { Truth::True } else { Truth::False }
    }
}

impl Assertion {
    fn of(
        resolver: &mut Resolver<'_>,
        schema: &Schema,
        attribute: &AttributeDescription,
        test: impl FnOnce(&AttributeType) -> Option<Test>,
    ) -> Option<Self> {
        let subject = resolver.resolve(attribute)?;
        let test = test(subject.attribute(schema)?)?;
        Some(Self { values: ValuesOf::Attribute(subject), in_name: false, test })
    }

    /// RFC 4511 §4.5.1.7.7: without a rule it is the attribute's equality, without an attribute it is every attribute
    /// that the rule applies to.
    fn extensible(resolver: &mut Resolver<'_>, schema: &Schema, extensible: &Extensible) -> Option<Self> {
        let Extensible { attribute, dn_attributes, rule, value } = extensible;
        let subject = match attribute {
            Some(attribute) => Some(resolver.resolve(attribute)?),
            None => None,
        };
        let kind = match &subject {
            Some(subject) => Some(subject.attribute(schema)?),
            None => None,
        };
        let rule = match rule {
            Some(name) => Some(MatchingRule::find(name)?),
            None => None,
        };
        if let (Some(rule), Some(kind)) = (rule, kind)
            && !applies(rule, kind)
        {
            // RFC 4511 §4.5.1.7: a rule that is not valid for the attribute type.
            return None;
        }
        let test = match (rule, kind) {
            (Some(rule), _) => Test::by_rule(schema, rule, value)?,
            (None, Some(kind)) => Test::equality(schema, kind, value)?,
            (None, None) => return None,
        };
        let values = match (subject, rule) {
            (Some(subject), _) => ValuesOf::Attribute(subject),
            (None, Some(rule)) => ValuesOf::EveryAttribute(rule),
            (None, None) => return None,
        };
        Some(Self { values, in_name: *dn_attributes, test })
    }
}

impl ValuesOf {
    /// Whether the attribute that an entry or its name spells so is looked at.
    fn include(&self, schema: &Schema, entry: &Candidate<'_>, description: &str) -> bool {
        match self {
            Self::Attribute(subject) => subject
                .find(schema, description)
                // The type asserted is known to be readable.
                .is_some_and(|kind| subject.is(schema, kind) || (entry.readable)(kind.name())),
            Self::EveryAttribute(rule) => {
                let name = description.split(';').next().unwrap_or_default();
                schema
                    .attribute_type(name)
                    .is_some_and(|attribute| applies(*rule, attribute) && (entry.readable)(attribute.name()))
            }
        }
    }
}

/// Whether a rule is one of the attribute's, or one for values of its syntax (RFC 4512 §4.1.4).
fn applies(rule: MatchingRule, attribute: &AttributeType) -> bool {
    [attribute.equality, attribute.ordering, attribute.substrings].contains(&Some(rule))
        || attribute.syntax == rule.syntax()
        || value_syntaxes(rule).contains(&attribute.syntax.oid())
}

/// Syntaxes of values that a rule compares besides that of its assertions (RFC 4517 §4.2): Directory String's rules are for
/// all that is one of its choices in ASN.1 (Country String, Printable String, Telephone Number), Octet String's for JPEG
/// too, and the assertions of substring rules have a syntax of their own.
fn value_syntaxes(rule: MatchingRule) -> &'static [&'static str] {
    const DIRECTORY_STRING: &[&str] = &[
        "1.3.6.1.4.1.1466.115.121.1.15",
        "1.3.6.1.4.1.1466.115.121.1.11",
        "1.3.6.1.4.1.1466.115.121.1.44",
        "1.3.6.1.4.1.1466.115.121.1.50",
    ];
    match rule.name() {
        "caseIgnoreMatch"
        | "caseIgnoreOrderingMatch"
        | "caseIgnoreSubstringsMatch"
        | "caseExactMatch"
        | "caseExactOrderingMatch"
        | "caseExactSubstringsMatch"
        | "keywordMatch"
        | "wordMatch" => DIRECTORY_STRING,
        "caseIgnoreIA5SubstringsMatch" | "caseExactIA5SubstringsMatch" => &["1.3.6.1.4.1.1466.115.121.1.26"],
        "numericStringSubstringsMatch" => &["1.3.6.1.4.1.1466.115.121.1.36"],
        "telephoneNumberSubstringsMatch" => &["1.3.6.1.4.1.1466.115.121.1.50"],
        "octetStringMatch" | "octetStringOrderingMatch" | "octetStringSubstringsMatch" => {
            &["1.3.6.1.4.1.1466.115.121.1.40", "1.3.6.1.4.1.1466.115.121.1.28"]
        }
        _ => &[],
    }
}

impl Test {
    fn equality(schema: &Schema, attribute: &AttributeType, value: &Bytes) -> Option<Self> {
        let rule = attribute.equality?;
        let normal = asserted(schema, rule, value)?;
        Some(Self::Equality { rule, given: value.clone(), normal })
    }

    fn ordering(schema: &Schema, rule: MatchingRule, value: &[u8], order: Order) -> Option<Self> {
        let normal = asserted(schema, rule, value)?;
        Some(Self::Ordering { rule, normal, order })
    }

    fn substrings(rule: MatchingRule, parts: &Substrings) -> Option<Self> {
        Some(Self::Substrings { rule, parts: rule.normalize_substrings(parts).ok()? })
    }

    /// A rule named in an extensible match. An ordering rule asks for values before the asserted one
    /// (RFC 4517 §4.2.17 and others).
    fn by_rule(schema: &Schema, rule: MatchingRule, value: &Bytes) -> Option<Self> {
        match rule.kind() {
            RuleKind::Ordering => Self::ordering(schema, rule, value, Order::Before),
            RuleKind::Substrings => Self::substrings(rule, &substring_assertion(value)?),
            RuleKind::Equality => {
                asserted(schema, rule, value)?;
                Some(Self::Rule { rule, given: value.clone() })
            }
        }
    }

    fn is_fulfilled_by_any<'e>(
        &self,
        schema: &Schema,
        entry: &Candidate<'_>,
        values: impl Clone + Iterator<Item = &'e [u8]>,
    ) -> bool {
        // What is spelt as it is asserted needs no rule; among several values that saves normalising those before it.
        let is_spelt = match self {
            Self::Equality { given, .. } => values.clone().any(|value| value == given),
            _ => false,
        };
        is_spelt
            || matches!(self, Self::Present) && values.clone().next().is_some()
            || values
                .into_iter()
                .any(|value| entry.pay(value.len() + LOOK) && self.is_fulfilled_by(schema, value))
    }

    fn is_fulfilled_in(&self, schema: &Schema, entry: &Candidate<'_>, large: &dyn LargeAttribute) -> bool {
        let known = match self {
            Self::Present => Some(true),
            Self::Equality { rule, normal, .. } => large.contains(*rule, normal),
            _ => None,
        };
        known.unwrap_or_else(|| {
            // One that may not be looked at any more ends going through them.
            large.any(&mut |value| !entry.pay(value.len() + LOOK) || self.is_fulfilled_by(schema, value))
        })
    }

    fn is_fulfilled_by(&self, schema: &Schema, value: &[u8]) -> bool {
        match self {
            Self::Present => true,
            Self::Equality { rule, normal, .. } => {
                schema.normalize_by(*rule, value).is_ok_and(|value| *value == **normal)
            }
            Self::Ordering { rule, normal, order } => {
                schema.normalize_by(*rule, value).is_ok_and(|value| match order {
                    Order::AtOrAfter => *value >= **normal,
                    Order::AtOrBefore => *value <= **normal,
                    Order::Before => *value < **normal,
                })
            }
            Self::Substrings { rule, parts } => {
                let value = schema.normalize_by(*rule, value);
                value.is_ok_and(|value| MatchingRule::has_substrings(&value, parts))
            }
            Self::Rule { rule, given } => schema.matches(*rule, value, given).unwrap_or(false),
        }
    }
}

/// An asserted value, normalised; `None` if it does not fit the rule's syntax, as nothing fits a Directory String that is
/// empty: such an assertion is undefined (RFC 4511 §4.5.1.7).
fn asserted(schema: &Schema, rule: MatchingRule, value: &[u8]) -> Option<Box<[u8]>> {
    rule.syntax().check(value).ok()?;
    Some(schema.normalize_by(rule, value).ok()?.into())
}

/// `SubstringAssertion` (RFC 4517 §3.3.30): parts between `*`, in which `\2A` and `\5C` stand for `*` and `\`.
fn substring_assertion(value: &[u8]) -> Option<Substrings> {
    let mut pieces = value.split(|octet| *octet == b'*').map(unescaped);
    let initial = pieces.next()??;
    let mut any = pieces.collect::<Option<Vec<Bytes>>>()?;
    let last = any.pop()?;
    any.retain(|part| !part.is_empty());
    let some = |part: Bytes| (!part.is_empty()).then_some(part);
    let parts = Substrings { initial: some(initial), any, last: some(last) };
    (parts != Substrings::default()).then_some(parts)
}

fn unescaped(mut part: &[u8]) -> Option<Bytes> {
    let mut octets = Vec::with_capacity(part.len());
    while let [octet, rest @ ..] = part {
        let spelt;
        (spelt, part) = match (octet, rest) {
            (b'\\', [b'2', b'A' | b'a', rest @ ..]) => (&b'*', rest),
            (b'\\', [b'5', b'C' | b'c', rest @ ..]) => (&b'\\', rest),
            (b'\\', _) => return None,
            _ => (octet, rest),
        };
        octets.push(*spelt);
    }
    Some(octets.into())
}
