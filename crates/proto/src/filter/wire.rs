//! The wire form (RFC 4511 §4.5.1.7).
//!
//! Both ways work on lists, so a filter's depth costs no stack, and its cost is linear in its size.

use super::{Extensible, Filter, MAX_NODES, Node, Substrings, asserted, is_matching_rule};
use crate::{
    attribute::AttributeDescription,
    ber::{DecodeError, DecodeErrorKind, Reader, Tag, Writer},
    message::Limits,
};

const AND: Tag = Tag::context_constructed(0);
const OR: Tag = Tag::context_constructed(1);
const NOT: Tag = Tag::context_constructed(2);
const EQUALITY: Tag = Tag::context_constructed(3);
const SUBSTRINGS: Tag = Tag::context_constructed(4);
const GREATER_OR_EQUAL: Tag = Tag::context_constructed(5);
const LESS_OR_EQUAL: Tag = Tag::context_constructed(6);
const PRESENT: Tag = Tag::context(7);
const APPROXIMATE: Tag = Tag::context_constructed(8);
const EXTENSIBLE: Tag = Tag::context_constructed(9);

const INITIAL: Tag = Tag::context(0);
const ANY: Tag = Tag::context(1);
const FINAL: Tag = Tag::context(2);

const RULE: Tag = Tag::context(1);
const TYPE: Tag = Tag::context(2);
const VALUE: Tag = Tag::context(3);
const DN_ATTRIBUTES: Tag = Tag::context(4);

pub(super) fn decode(reader: &mut Reader<'_>, limits: &Limits) -> Result<Filter, DecodeError> {
    let mut nodes = Vec::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    // What there may still be, parts of substring assertions included.
    let mut left = MAX_NODES;
    loop {
        let source = open.last_mut().map_or(&mut *reader, |list| &mut list.contents);
        let position = source.position();
        count(position, &mut left)?;
        let before = source.clone();
        let (tag, contents) = source.any()?;
        if open.len() >= limits.depth {
            return Err(DecodeError { offset: position, kind: DecodeErrorKind::TooDeep });
        }
        let list = match tag {
            AND => Some(Node::And { children: 0 }),
            OR => Some(Node::Or { children: 0 }),
            NOT => Some(Node::Not),
            _ => None,
        };
        match list {
            Some(list) => {
                open.push(Open { contents, node: nodes.len(), children: 0 });
                nodes.push(list);
            }
            None => {
                nodes.push(leaf(before, tag, contents, &mut left)?);
                count_child(&mut open);
            }
        }
        // Close the lists that end here.
        loop {
            let Some(list) = open.last_mut() else { return Ok(Filter(nodes.into())) };
            let parent = nodes.get_mut(list.node);
            match (&parent, list.children, list.contents.is_empty()) {
                (Some(Node::Not), 1, false) => {
                    return Err(list.contents.error(DecodeErrorKind::TrailingBytes));
                }
                (Some(Node::Not), 0, _) | (_, _, false) => break,
                (_, _, true) => {}
            }
            if let Some(parent) = parent {
                parent.set_children(list.children);
            }
            open.pop();
            count_child(&mut open);
        }
    }
}

/// Takes one from what there may still be.
fn count(offset: usize, left: &mut usize) -> Result<(), DecodeError> {
    *left = left.checked_sub(1).ok_or(DecodeError { offset, kind: DecodeErrorKind::TooManyValues })?;
    Ok(())
}

/// A list whose end has not been reached.
struct Open<'a> {
    contents: Reader<'a>,
    /// Its index among the nodes.
    node: usize,
    /// Filters of it that are complete.
    children: usize,
}

fn count_child(open: &mut [Open<'_>]) {
    if let Some(parent) = open.last_mut() {
        parent.children += 1;
    }
}

/// `before` stands at the item, `contents` at what is in it.
fn leaf(
    mut before: Reader<'_>,
    tag: Tag,
    mut contents: Reader<'_>,
    left: &mut usize,
) -> Result<Node, DecodeError> {
    let comparison = match tag {
        EQUALITY => Node::Equality,
        GREATER_OR_EQUAL => Node::GreaterOrEqual,
        LESS_OR_EQUAL => Node::LessOrEqual,
        APPROXIMATE => Node::Approximate,
        PRESENT => return Ok(Node::Present(description(&mut before, PRESENT)?)),
        SUBSTRINGS => return substrings(contents, left),
        EXTENSIBLE => return extensible(contents),
        _ => return Err(before.error(DecodeErrorKind::InvalidFilter)),
    };
    let attribute = description(&mut contents, Tag::OCTET_STRING)?;
    let value = contents.octets()?;
    contents.finish_extensible()?;
    Ok(comparison(attribute, value))
}

/// At least one part; `initial` only first and `final` only last (RFC 4511 §4.5.1.7.2). Empty parts, which RFC 4517
/// §3.3.30 does not have, are in every value and so are left out; if no other is there, any value matches.
fn substrings(mut contents: Reader<'_>, left: &mut usize) -> Result<Node, DecodeError> {
    let attribute = description(&mut contents, Tag::OCTET_STRING)?;
    let mut list = contents.sequence()?;
    contents.finish_extensible()?;
    if list.is_empty() {
        return Err(list.error(DecodeErrorKind::InvalidFilter));
    }
    let mut parts = Substrings::default();
    let mut first = true;
    while let Some(tag) = list.peek() {
        let (position, invalid) = (list.position(), list.error(DecodeErrorKind::InvalidFilter));
        let part = list.primitive(tag)?;
        if !part.is_empty() {
            count(position, left)?;
        }
        match tag {
            INITIAL if first => parts.initial = (!part.is_empty()).then_some(part),
            ANY if part.is_empty() => {}
            ANY => parts.any.push(part),
            FINAL if list.is_empty() => parts.last = (!part.is_empty()).then_some(part),
            _ => return Err(invalid),
        }
        first = false;
    }
    Ok(if parts == Substrings::default() {
        Node::Present(attribute)
    } else {
        Node::Substrings(attribute, parts)
    })
}

fn extensible(mut contents: Reader<'_>) -> Result<Node, DecodeError> {
    let no_subject = contents.error(DecodeErrorKind::InvalidFilter);
    let mut rule = None;
    if contents.peek() == Some(RULE) {
        let invalid = contents.error(DecodeErrorKind::InvalidFilter);
        let spelt = contents.text_tagged(RULE)?;
        if !is_matching_rule(spelt) {
            return Err(invalid);
        }
        rule = Some(spelt.into());
    }
    let attribute = match contents.peek() {
        Some(TYPE) => Some(description(&mut contents, TYPE)?),
        _ => None,
    };
    if attribute.is_none() && rule.is_none() {
        return Err(no_subject);
    }
    let value = contents.primitive(VALUE)?;
    let dn_attributes = match contents.peek() {
        Some(DN_ATTRIBUTES) => contents.boolean_tagged(DN_ATTRIBUTES)?,
        _ => false,
    };
    contents.finish_extensible()?;
    Ok(Node::Extensible(Extensible { attribute, dn_attributes, rule, value }))
}

fn description(reader: &mut Reader<'_>, tag: Tag) -> Result<AttributeDescription, DecodeError> {
    let invalid = reader.error(DecodeErrorKind::InvalidAttributeDescription);
    reader.text_tagged(tag)?.parse().map(asserted).map_err(|_| invalid)
}

/// Writes the leaves first, then knows every length when the headers of the lists are written.
pub(super) fn encode(filter: &Filter, writer: &mut Writer) {
    let mut leaves = Writer::new();
    // The octets each node takes on the wire, without its header if it is a list.
    let mut lengths = Vec::with_capacity(filter.0.len());
    for node in &*filter.0 {
        let before = leaves.len();
        encode_leaf(node, &mut leaves);
        lengths.push(leaves.len() - before);
    }
    // From the last node to the first, a list takes the lengths of its children off the stack.
    let mut complete: Vec<usize> = Vec::new();
    for (node, length) in filter.0.iter().zip(&mut lengths).rev() {
        if list_tag(node).is_some() {
            let rest = complete.len().saturating_sub(node.children());
            *length = complete.drain(rest..).sum();
            complete.push(header_length(*length) + *length);
        } else {
            complete.push(*length);
        }
    }
    let mut encoded = leaves.as_slice();
    for (node, length) in filter.0.iter().zip(lengths) {
        if let Some(tag) = list_tag(node) {
            writer.header(tag, length);
        } else if let Some((leaf, rest)) = encoded.split_at_checked(length) {
            writer.raw(leaf);
            encoded = rest;
        }
    }
}

fn list_tag(node: &Node) -> Option<Tag> {
    match node {
        Node::And { .. } => Some(AND),
        Node::Or { .. } => Some(OR),
        Node::Not => Some(NOT),
        _ => None,
    }
}

/// What [`Writer::header`] writes before `length` octets.
fn header_length(length: usize) -> usize {
    let long = (usize::BITS - length.leading_zeros()).div_ceil(8) as usize;
    2 + if length < 0x80 { 0 } else { long }
}

fn encode_leaf(node: &Node, writer: &mut Writer) {
    let mut comparison = |tag, attribute: &AttributeDescription, value: &[u8]| {
        writer.constructed(tag, |writer| {
            writer.octets(attribute.as_str().as_bytes());
            writer.octets(value);
        });
    };
    match node {
        Node::And { .. } | Node::Or { .. } | Node::Not => {}
        Node::Equality(attribute, value) => comparison(EQUALITY, attribute, value),
        Node::GreaterOrEqual(attribute, value) => comparison(GREATER_OR_EQUAL, attribute, value),
        Node::LessOrEqual(attribute, value) => comparison(LESS_OR_EQUAL, attribute, value),
        Node::Approximate(attribute, value) => comparison(APPROXIMATE, attribute, value),
        Node::Present(attribute) => writer.primitive(PRESENT, attribute.as_str().as_bytes()),
        Node::Substrings(attribute, Substrings { initial, any, last }) => {
            writer.constructed(SUBSTRINGS, |writer| {
                writer.octets(attribute.as_str().as_bytes());
                writer.sequence(|writer| {
                    initial.iter().for_each(|part| writer.primitive(INITIAL, part));
                    any.iter().for_each(|part| writer.primitive(ANY, part));
                    last.iter().for_each(|part| writer.primitive(FINAL, part));
                });
            });
        }
        Node::Extensible(Extensible { attribute, dn_attributes, rule, value }) => {
            writer.constructed(EXTENSIBLE, |writer| {
                rule.iter().for_each(|rule| writer.primitive(RULE, rule.as_bytes()));
                attribute.iter().for_each(|attribute| writer.primitive(TYPE, attribute.as_str().as_bytes()));
                writer.primitive(VALUE, value);
                // `DEFAULT FALSE`: RFC 4511 §5.1 leaves default values out.
                if *dn_attributes {
                    writer.boolean_tagged(DN_ATTRIBUTES, true);
                }
            });
        }
    }
}
