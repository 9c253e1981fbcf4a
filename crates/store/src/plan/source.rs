//! Where the entries of a leaf come from: an index, or what is known without one.

use flext_ldap_proto::{
    dn::Dn,
    filter::{Extensible, Node},
    schema::MatchingRule,
};
use roaring::RoaringBitmap;

use crate::{
    context::{Context, base},
    index::{Answer, Asked, Told, Untold},
    read::Resolved,
    tables::{Failure, Rows, Tables},
};

/// What is known of a leaf.
pub(super) enum Source {
    /// Nothing, and perhaps why.
    Untold(Option<Untold>),
    /// It is undefined for every entry, and so is its opposite.
    Nothing,
    /// Exactly these entries match, or the leaf is undefined for them.
    Set(RoaringBitmap),
    /// Those under keys.
    Keys(Told),
}

/// What is known of a leaf.
///
/// Attributes that are computed have no index. What can be told of one all the same (now: which entry has a name) is a
/// set, made in [`set`]; further ones go there.
pub(super) fn of<T: Rows>(context: &Context, tables: &Tables<T>, node: &Node) -> Result<Source, Failure> {
    if let Some(ids) = set(context, tables, node)? {
        return Ok(Source::Set(ids));
    }
    let Some((attribute, asked)) = asked(context, node) else { return Ok(Source::Untold(None)) };
    if context.is_password(attribute) || context.constraints.computes(attribute) {
        return Ok(Source::Untold(None));
    }
    let lookup = |asked| context.indexes.tell(&context.schema, &tables.standing, attribute, asked);
    Ok(match lookup(asked) {
        Answer::Told(told) => Source::Keys(told),
        Answer::Undefined => Source::Nothing,
        Answer::Untold(untold) => match (asked, lookup(Asked::Presence)) {
            // Whatever matches has the attribute.
            (Asked::AtOrAfter(_) | Asked::AtOrBefore(_) | Asked::Parts(_), Answer::Told(told)) => {
                Source::Keys(Told { exact: false, ..told })
            }
            _ => Source::Untold(Some(untold)),
        },
    })
}

/// The entries for which a leaf that looks at what is computed can be true.
fn set<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    node: &Node,
) -> Result<Option<RoaringBitmap>, Failure> {
    let Node::Equality(attribute, value) = node else { return Ok(None) };
    if attribute.as_str().contains(';')
        || !context.preferred(attribute.as_str()).eq_ignore_ascii_case("entryDN")
    {
        return Ok(None);
    }
    let name: Option<Dn> = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
    let Some(key) = name.and_then(|name| context.schema.dn_key(&name).ok()) else { return Ok(None) };
    Ok(match context.resolve(tables, &key)? {
        Resolved::Found(id) => Some(RoaringBitmap::from_iter([id])),
        Resolved::Missing(_) => Some(RoaringBitmap::new()),
    })
}

/// What a leaf asks of which attribute.
fn asked<'a>(context: &Context, node: &'a Node) -> Option<(&'a str, Asked<'a>)> {
    Some(match node {
        Node::Equality(attribute, value) | Node::Approximate(attribute, value) => {
            (attribute.as_str(), Asked::Equality(value))
        }
        Node::Present(attribute) => (attribute.as_str(), Asked::Presence),
        Node::GreaterOrEqual(attribute, value) => (attribute.as_str(), Asked::AtOrAfter(value)),
        Node::LessOrEqual(attribute, value) => (attribute.as_str(), Asked::AtOrBefore(value)),
        Node::Substrings(attribute, parts) => (attribute.as_str(), Asked::Parts(parts)),
        Node::Extensible(extensible) => return extensible_asks(context, extensible),
        _ => return None,
    })
}

/// An extensible match (RFC 4511 §4.5.1.7.7) whose rule is the attribute's own.
fn extensible_asks<'a>(context: &Context, extensible: &'a Extensible) -> Option<(&'a str, Asked<'a>)> {
    let Extensible { attribute: Some(attribute), dn_attributes: false, rule, value } = extensible else {
        return None;
    };
    let attribute = attribute.as_str();
    let Some(rule) = rule else { return Some((attribute, Asked::Equality(value))) };
    let rule = MatchingRule::find(rule)?;
    let kind = context.schema.attribute_type(base(attribute))?;
    // These are no equality: the value has bits or words that are asserted.
    let others = ["wordMatch", "keywordMatch", "integerBitAndMatch", "integerBitOrMatch"];
    if kind.equality == Some(rule) && !others.contains(&rule.name()) {
        return Some((attribute, Asked::Equality(value)));
    }
    // An ordering rule asks for values before the asserted one (RFC 4517 §4.2.17).
    (kind.ordering == Some(rule)).then_some((attribute, Asked::AtOrBefore(value)))
}
