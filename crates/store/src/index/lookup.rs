//! From what one part of a filter asserts to the keys whose entries together are all that can match.
//!
//! The keys are made by the rules the matcher uses (`proto`'s `filter::matcher`): the rule of the type that is asserted,
//! applied to the values of that type and of all its subtypes. Where a subtype is not indexed by that rule, nothing is
//! told.

use flext_ldap_proto::{
    filter::Substrings,
    schema::{AttributeType, MatchingRule, Schema},
};

use super::{Index, IndexKind, Indexes, Standing, gram, key};
use crate::context::base;

/// What a leaf of a filter asks an index.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    Presence,
    Equality(&'a [u8]),
    AtOrAfter(&'a [u8]),
    AtOrBefore(&'a [u8]),
    Parts(&'a Substrings),
}

/// What the indexes tell of a leaf.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Nothing.
    Untold(Untold),
    /// It is undefined for every entry (RFC 4511 §4.5.1.7), and so is its opposite.
    Undefined,
    /// Which entries can match.
    Told(Told),
}

/// Why the indexes tell nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Untold {
    /// There is no index of this kind.
    NotIndexed,
    /// There is none of a subtype, or by another rule.
    Subtype,
    /// It is being built.
    Building,
    /// The parts are too short.
    TooShort,
    /// It is a class of every entry.
    Every,
    /// There are more rows than a search reads before it looks at entries.
    TooMany,
}

/// All entries that can match: those of any member.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: IndexKind,
    /// For the type and each subtype, what must all be true.
    pub(crate) members: Vec<Vec<Part>>,
    /// Whether every entry under the keys matches or is undefined, so that no other can fail to match.
    pub(crate) exact: bool,
}

/// Entries under any of these keys.
pub(crate) type Part = Vec<Span>;

/// Keys that stand together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Span {
    Key(Vec<u8>),
    /// From the first to the last, both with all their chunks.
    Range(Vec<u8>, Vec<u8>),
}

impl Span {
    /// The first and last key a row of this can have, chunk included.
    pub(super) fn rows(&self) -> (Vec<u8>, Vec<u8>) {
        let (first, last) = match self {
            Self::Key(key) => (key, key),
            Self::Range(first, last) => (first, last),
        };
        (key::row(first, 0), key::row(last, u32::MAX))
    }

    /// Whether changes of these keys may wait ([`deferred`](super::deferred)).
    pub(super) fn is_deferrable(&self) -> bool {
        let (Self::Key(key) | Self::Range(key, _)) = self;
        key::is_substring(key)
    }
}

/// An assertion, normalised.
enum Wanted {
    Presence,
    Equality(MatchingRule, Vec<u8>),
    AtOrAfter(MatchingRule, Vec<u8>),
    AtOrBefore(MatchingRule, Vec<u8>),
    Parts(MatchingRule, Vec<gram::Grams>),
}

impl Indexes {
    /// The keys whose entries together are all that can match, for the directory's own questions of presence and
    /// equality. `None` where there is no such index, or it is not ready; those the directory [needs](Self::need) are ready in
    /// every snapshot.
    pub(crate) fn lookup(
        &self,
        schema: &Schema,
        standing: &Standing,
        description: &str,
        asked: Asked<'_>,
    ) -> Option<Vec<Vec<u8>>> {
        let is_fit = |index: &Index| index.is_needed || standing.is_ready(&index.prefix, &index.definition);
        let told = match self.ask(schema, &is_fit, description, asked) {
            Answer::Undefined => return Some(Vec::new()),
            Answer::Untold(_) => return None,
            Answer::Told(told) => told,
        };
        let spans = told.members.into_iter().flatten().flatten();
        let keys = spans.map(|span| match span {
            Span::Key(key) => Some(key),
            Span::Range(..) => None,
        });
        keys.collect()
    }

    /// Whether there is, or is to be, an index that tells of the equality of an attribute.
    pub(crate) fn has_equality(&self, schema: &Schema, description: &str) -> bool {
        let Some(attribute) = schema.attribute_type(base(description)) else { return false };
        // Whichever value it is: what counts is whether there is an answer.
        let wanted = attribute.equality.map(|rule| Wanted::Equality(rule, b"x".to_vec()));
        let answer = wanted.map(|wanted| self.answer(schema, &|_| true, attribute, description, &wanted));
        matches!(answer, Some(Answer::Told(_)))
    }

    /// What the indexes that are ready tell.
    pub(crate) fn tell(
        &self,
        schema: &Schema,
        standing: &Standing,
        description: &str,
        asked: Asked<'_>,
    ) -> Answer {
        self.ask(schema, &|index| standing.is_ready(&index.prefix, &index.definition), description, asked)
    }

    /// What those indexes tell that are fit to be asked.
    fn ask(
        &self,
        schema: &Schema,
        is_fit: &dyn Fn(&Index) -> bool,
        description: &str,
        asked: Asked<'_>,
    ) -> Answer {
        let Some(attribute) = schema.attribute_type(base(description)) else { return Answer::Undefined };
        let normal = |rule: Option<MatchingRule>, value| {
            let rule = rule?;
            Some((rule, schema.normalize_by(rule, value).ok()?.into_owned()))
        };
        let wanted = match asked {
            Asked::Presence => Some(Wanted::Presence),
            Asked::Equality(value) => {
                normal(attribute.equality, value).map(|(rule, value)| Wanted::Equality(rule, value))
            }
            Asked::AtOrAfter(value) => {
                normal(attribute.ordering, value).map(|(rule, value)| Wanted::AtOrAfter(rule, value))
            }
            Asked::AtOrBefore(value) => {
                normal(attribute.ordering, value).map(|(rule, value)| Wanted::AtOrBefore(rule, value))
            }
            Asked::Parts(parts) => attribute.substrings.and_then(|rule| {
                let parts = rule.normalize_substrings(parts).ok()?;
                Some(Wanted::Parts(rule, gram::of_parts(&parts)))
            }),
        };
        wanted
            .map_or(Answer::Undefined, |wanted| self.answer(schema, is_fit, attribute, description, &wanted))
    }

    fn answer(
        &self,
        schema: &Schema,
        is_fit: &dyn Fn(&Index) -> bool,
        attribute: &AttributeType,
        description: &str,
        wanted: &Wanted,
    ) -> Answer {
        let Some(family) = self.families.get(&attribute.oid) else {
            return Answer::Untold(Untold::NotIndexed);
        };
        let mut told = Told { kind: wanted.kind(), members: Vec::with_capacity(family.len()), exact: false };
        for oid in family {
            let indexes = self.types.get(oid).map(Vec::as_slice).unwrap_or_default();
            match wanted.member(schema, is_fit, indexes) {
                Ok((kind, parts)) => {
                    told.kind = kind;
                    told.members.push(parts);
                }
                Err(_) if *oid != attribute.oid => return Answer::Untold(Untold::Subtype),
                Err(untold) => return Answer::Untold(untold),
            }
        }
        // Options narrow what is asserted, and a subtype may be one that is not to be seen.
        told.exact = family.len() == 1 && !description.contains(';') && wanted.is_exact(told.kind);
        Answer::Told(told)
    }
}

impl Wanted {
    fn kind(&self) -> IndexKind {
        match self {
            Self::Presence => IndexKind::Presence,
            Self::Equality(..) => IndexKind::Equality,
            Self::AtOrAfter(..) | Self::AtOrBefore(..) => IndexKind::Ordering,
            Self::Parts(..) => IndexKind::Substring,
        }
    }

    fn is_exact(&self, kind: IndexKind) -> bool {
        match self {
            Self::Presence => true,
            Self::Equality(_, value) => kind == IndexKind::Equality || !key::is_cut(value),
            Self::AtOrAfter(..) | Self::AtOrBefore(..) | Self::Parts(..) => false,
        }
    }

    /// What must be true of entries that match by one type, and the kind of index that tells it.
    fn member(
        &self,
        schema: &Schema,
        is_fit: &dyn Fn(&Index) -> bool,
        indexes: &[Index],
    ) -> Result<(IndexKind, Vec<Part>), Untold> {
        let ready = |kind: IndexKind, rule: Option<MatchingRule>| {
            let index = indexes.iter().find(|one| one.kind == kind).ok_or(Untold::NotIndexed)?;
            if index.rule != rule {
                return Err(Untold::Subtype);
            }
            if is_fit(index) { Ok(index) } else { Err(Untold::Building) }
        };
        match self {
            Self::Presence => {
                let index = ready(IndexKind::Presence, None)?;
                Ok((
                    IndexKind::Presence,
                    vec![vec![Span::Key(key::made(|key| key::put_presence(key, &index.prefix)))]],
                ))
            }
            Self::Equality(rule, value) => match ready(IndexKind::Equality, Some(*rule)) {
                Ok(index) => {
                    let key = index.equality(schema, value).ok_or(Untold::Every)?;
                    Ok((IndexKind::Equality, vec![vec![Span::Key(key)]]))
                }
                Err(untold) => {
                    let ordering = same_form(*rule).ok_or(untold)?;
                    let index = ready(IndexKind::Ordering, Some(ordering))
                        .map_err(|other| if untold == Untold::NotIndexed { other } else { untold })?;
                    Ok((IndexKind::Ordering, vec![vec![Span::Key(ordered(index, value))]]))
                }
            },
            Self::AtOrAfter(rule, value) => {
                let index = ready(IndexKind::Ordering, Some(*rule))?;
                let last = key::after(&index.prefix);
                Ok((IndexKind::Ordering, vec![vec![Span::Range(ordered(index, value), last)]]))
            }
            Self::AtOrBefore(rule, value) => {
                let index = ready(IndexKind::Ordering, Some(*rule))?;
                let first = index.prefix.to_vec();
                Ok((IndexKind::Ordering, vec![vec![Span::Range(first, ordered(index, value))]]))
            }
            Self::Parts(rule, grams) => {
                let index = ready(IndexKind::Substring, Some(*rule))?;
                if grams.is_empty() {
                    return Err(Untold::TooShort);
                }
                let key = |gram| key::substring(&index.prefix, gram);
                let part = |grams: &gram::Grams| {
                    let ranges = grams.ranges().into_iter().map(|(first, last)| {
                        if first == last { Span::Key(key(first)) } else { Span::Range(key(first), key(last)) }
                    });
                    ranges.chain([Span::Key(key(gram::LONG))]).collect()
                };
                Ok((IndexKind::Substring, grams.iter().map(part).collect()))
            }
        }
    }
}

/// The ordering rule whose normal form is that of an equality rule: RFC 4517 names them alike.
fn same_form(equality: MatchingRule) -> Option<MatchingRule> {
    let name = equality.name().strip_suffix("Match")?;
    MatchingRule::find(&format!("{name}OrderingMatch"))
}

fn ordered(index: &Index, value: &[u8]) -> Vec<u8> {
    key::made(|key| key::put_ordering(key, &index.prefix, value))
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::schema::RuleKind;

    use super::*;

    #[test]
    fn rules_named_alike_normalise_alike() {
        let values = ["20260101120000Z", "007", "7", "-3", " Anna  Quay ", "1 2 3", "Zürich", "", "x"];
        let mut pairs = 0;
        for equality in MatchingRule::all().filter(|rule| rule.kind() == RuleKind::Equality) {
            let Some(ordering) = same_form(equality) else { continue };
            assert_eq!(ordering.kind(), RuleKind::Ordering);
            pairs += 1;
            for value in values {
                assert_eq!(
                    equality.normalize(value.as_bytes()).ok(),
                    ordering.normalize(value.as_bytes()).ok(),
                    "{} {value:?}",
                    equality.name()
                );
            }
        }
        assert_eq!(pairs, 9);
    }
}
