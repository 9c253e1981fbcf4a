//! The string form (RFC 4515).
//!
//! Read beside the grammar, as OpenLDAP's tools do: the outermost parentheses left out, and white space around a
//! filter and around the filters of a list. White space in a value is part of the value.

use std::fmt;

use bytes::Bytes;

use super::{
    Extensible, Filter, FilterError, FilterErrorKind, MAX_NODES, Node, Substrings, is_matching_rule,
};
use crate::attribute::AttributeDescription;

/// Levels of parentheses.
const MAX_DEPTH: usize = 1000;

/// Nodes that room is made for where there is more than one.
const LIKELY_NODES: usize = 8;

/// Parses a filter in one pass. What is open is kept in a list, so depth costs no stack.
pub(super) fn parse(text: &str) -> Result<Filter, FilterError> {
    let mut parser =
        Parser { text, octets: text.as_bytes(), position: 0, left: MAX_NODES, nodes: Vec::new() };
    parser.skip_space();
    // Without outer parentheses the end of the text is what closes the first filter.
    let bare = parser.peek() != Some(b'(');
    // The innermost list that is open, and those around it.
    let mut inner: Option<Open> = None;
    let mut outer: Vec<Open> = Vec::new();
    'filter: loop {
        if outer.len() + usize::from(inner.is_some()) >= MAX_DEPTH {
            return Err(parser.error(FilterErrorKind::TooDeep));
        }
        parser.count()?;
        if !(bare && parser.nodes.is_empty()) {
            parser.expect(b'(', FilterErrorKind::ExpectedOpen)?;
        }
        parser.skip_space();
        if let Some(list) = parser.list() {
            let wanted = if list == Node::Not { 1 } else { usize::MAX };
            let open = Open { node: parser.nodes.len(), wanted, children: 0 };
            outer.extend(inner.replace(open));
            if parser.nodes.is_empty() {
                parser.nodes.reserve_exact(LIKELY_NODES);
            }
            parser.nodes.push(list);
        } else {
            if parser.nodes.is_empty() {
                parser.nodes.reserve_exact(1);
            }
            parser.item()?;
            if !(bare && inner.is_none()) {
                parser.expect(b')', FilterErrorKind::ExpectedClose)?;
            }
            if let Some(parent) = &mut inner {
                parent.children += 1;
            }
        }
        // Close the lists that end here.
        parser.skip_space();
        while let Some(Open { node, wanted, children }) = inner {
            let outermost = bare && outer.is_empty();
            match parser.peek() {
                Some(b')') | None if wanted == 1 && children == 0 => {
                    return Err(parser.error(FilterErrorKind::ExpectedOpen));
                }
                Some(b')') if !outermost => parser.position += 1,
                None if outermost => {}
                Some(_) if children < wanted => continue 'filter,
                Some(_) if outermost => return Err(parser.error(FilterErrorKind::TrailingText)),
                _ => return Err(parser.error(FilterErrorKind::ExpectedClose)),
            }
            if let Some(list) = parser.nodes.get_mut(node) {
                list.set_children(children);
            }
            inner = outer.pop();
            if let Some(parent) = &mut inner {
                parent.children += 1;
            }
            parser.skip_space();
        }
        return match parser.peek() {
            None => Ok(Filter(parser.nodes.into())),
            Some(_) => Err(parser.error(FilterErrorKind::TrailingText)),
        };
    }
}

/// A list whose end has not been seen.
#[derive(Clone, Copy)]
struct Open {
    /// Its index among the nodes.
    node: usize,
    /// The most filters it can have.
    wanted: usize,
    /// Filters of it that are complete.
    children: usize,
}

struct Parser<'a> {
    text: &'a str,
    octets: &'a [u8],
    position: usize,
    /// What there may still be, parts of substring assertions included.
    left: usize,
    /// What has been read.
    nodes: Vec<Node>,
}

impl<'a> Parser<'a> {
    /// `and`, `or` or `not` (RFC 4515 §3), up to the first filter of the list.
    fn list(&mut self) -> Option<Node> {
        let list = match self.peek()? {
            b'&' => Node::And { children: 0 },
            b'|' => Node::Or { children: 0 },
            b'!' => Node::Not,
            _ => return None,
        };
        self.position += 1;
        Some(list)
    }

    /// Reads `item` (RFC 4515 §3), up to the `)`.
    fn item(&mut self) -> Result<(), FilterError> {
        let start = self.position;
        let length = self.skip(NAME | OPTION);
        match (self.peek(), self.peek_second()) {
            (Some(b'='), _) => {
                let attribute = self.attribute(start, length)?;
                self.position += 1;
                self.equality(attribute)
            }
            (Some(comparison @ (b'>' | b'<' | b'~')), Some(b'=')) => {
                let attribute = self.attribute(start, length)?;
                self.position += 2;
                let value = self.value()?;
                self.nodes.push(match comparison {
                    b'>' => Node::GreaterOrEqual(attribute, value),
                    b'<' => Node::LessOrEqual(attribute, value),
                    _ => Node::Approximate(attribute, value),
                });
                Ok(())
            }
            (Some(b':'), _) if length == 0 => self.extensible(None),
            (Some(b':'), _) => {
                let attribute = self.attribute(start, length)?;
                self.extensible(Some(attribute))
            }
            _ => {
                self.attribute(start, length)?;
                Err(self.error(FilterErrorKind::ExpectedComparison))
            }
        }
    }

    /// The attribute description of so many octets at `start`.
    fn attribute(&self, start: usize, length: usize) -> Result<AttributeDescription, FilterError> {
        let text = self.text.get(start..).unwrap_or_default();
        AttributeDescription::at_start_of(text, length).map_err(|error| FilterError {
            offset: start + error.offset,
            kind: FilterErrorKind::ExpectedAttribute,
        })
    }

    /// What follows `attribute=`: a value, `*`, or parts between `*`.
    fn equality(&mut self, attribute: AttributeDescription) -> Result<(), FilterError> {
        let first = self.piece()?;
        if self.peek() != Some(b'*') {
            self.nodes.push(Node::Equality(attribute, first));
            return Ok(());
        }
        if !first.is_empty() {
            self.count()?;
        }
        let (mut any, mut last) = (Vec::new(), Bytes::new());
        // An empty part is in every value, so it says nothing: `**` means `*`.
        while self.peek() == Some(b'*') {
            self.position += 1;
            let part = self.piece()?;
            if !part.is_empty() {
                self.count()?;
            }
            let before = std::mem::replace(&mut last, part);
            if !before.is_empty() {
                any.push(before);
            }
        }
        let some = |part: Bytes| (!part.is_empty()).then_some(part);
        let parts = Substrings { initial: some(first), any, last: some(last) };
        self.nodes.push(if parts == Substrings::default() {
            Node::Present(attribute)
        } else {
            Node::Substrings(attribute, parts)
        });
        Ok(())
    }

    /// What follows the attribute, if there is one, in the four forms of `extensible` (RFC 4515 §3).
    fn extensible(&mut self, attribute: Option<AttributeDescription>) -> Result<(), FilterError> {
        let (mut dn_attributes, mut rule) = (false, None);
        loop {
            self.expect(b':', FilterErrorKind::ExpectedComparison)?;
            if self.peek() == Some(b'=') {
                break;
            }
            let start = self.position;
            self.skip(NAME);
            let spelt = self.text.get(start..self.position).unwrap_or_default();
            if spelt.eq_ignore_ascii_case("dn") && !dn_attributes && rule.is_none() {
                dn_attributes = true;
            } else if rule.is_none() && is_matching_rule(spelt) {
                rule = Some(spelt.into());
            } else {
                return Err(FilterError { offset: start, kind: FilterErrorKind::ExpectedRule });
            }
        }
        if attribute.is_none() && rule.is_none() {
            return Err(self.error(FilterErrorKind::ExpectedRule));
        }
        self.position += 1;
        let value = self.value()?;
        self.nodes.push(Node::Extensible(Extensible { attribute, dn_attributes, rule, value }));
        Ok(())
    }

    /// Passes over the longest run of octets of these classes: how many there are.
    fn skip(&mut self, classes: u8) -> usize {
        let rest = self.octets.get(self.position..).unwrap_or_default();
        let length = rest.iter().position(|octet| class(*octet) & classes == 0).unwrap_or(rest.len());
        self.position += length;
        length
    }

    /// A value in which `*` must be escaped.
    fn value(&mut self) -> Result<Bytes, FilterError> {
        let value = self.piece()?;
        match self.peek() {
            Some(b'*') => Err(self.error(FilterErrorKind::UnescapedSpecial)),
            _ => Ok(value),
        }
    }

    /// Octets up to `*`, `)` or the end, unescaped.
    fn piece(&mut self) -> Result<Bytes, FilterError> {
        let start = self.position;
        self.skip(NAME | OPTION | PLAIN);
        match self.octets.get(self.position) {
            None | Some(b'*' | b')') => Ok(Bytes::copy_from_slice(self.since(start))),
            _ => self.escaped_piece(start),
        }
    }

    /// The rest of a piece in which something is escaped, or wrong.
    fn escaped_piece(&mut self, start: usize) -> Result<Bytes, FilterError> {
        let mut value = self.since(start).to_vec();
        loop {
            let start = self.position;
            self.skip(NAME | OPTION | PLAIN);
            value.extend_from_slice(self.since(start));
            match self.octets.get(self.position..).unwrap_or_default() {
                [] | [b'*' | b')', ..] => return Ok(value.into()),
                [b'\\', high, low, ..] if let Some(octet) = hex_octet(*high, *low) => {
                    value.push(octet);
                    self.position += 3;
                }
                [b'\\', ..] => return Err(self.error(FilterErrorKind::InvalidEscape)),
                _ => return Err(self.error(FilterErrorKind::UnescapedSpecial)),
            }
        }
    }

    /// The octets from `start` to here.
    fn since(&self, start: usize) -> &'a [u8] {
        self.octets.get(start..self.position).unwrap_or_default()
    }

    /// Takes one from what there may still be.
    fn count(&mut self) -> Result<(), FilterError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| self.error(FilterErrorKind::TooLarge))?;
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.position += 1;
        }
    }

    fn expect(&mut self, octet: u8, kind: FilterErrorKind) -> Result<(), FilterError> {
        if self.peek() != Some(octet) {
            return Err(self.error(kind));
        }
        self.position += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.octets.get(self.position).copied()
    }

    fn peek_second(&self) -> Option<u8> {
        self.octets.get(self.position + 1).copied()
    }

    fn error(&self, kind: FilterErrorKind) -> FilterError {
        FilterError { offset: self.position, kind }
    }
}

/// What attribute types and matching rules are spelt with.
const NAME: u8 = 1;
/// What is in attribute descriptions besides.
const OPTION: u8 = 2;
/// What else stands for itself in a value.
const PLAIN: u8 = 4;

/// What an octet can be: one of these, or special in values (RFC 4515 §3).
fn class(octet: u8) -> u8 {
    static CLASSES: [u8; 256] = {
        let mut classes = [0; 256];
        let mut rest: &mut [u8] = &mut classes;
        while let Some((last, before)) = rest.split_last_mut() {
            *last = match before.len() as u8 {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' | b'.' => NAME,
                b';' => OPTION,
                b'*' | b'(' | b')' | b'\\' | 0 => 0,
                _ => PLAIN,
            };
            rest = before;
        }
        classes
    };
    CLASSES.get(usize::from(octet)).copied().unwrap_or_default()
}

fn hex_octet(high: u8, low: u8) -> Option<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Prints a filter so that parsing it gives the filter back.
pub(super) fn print(filter: &Filter, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // How many filters each open list still wants.
    let mut open: Vec<usize> = Vec::new();
    for node in &*filter.0 {
        f.write_str("(")?;
        print_node(node, f)?;
        if node.children() > 0 {
            open.push(node.children());
            continue;
        }
        f.write_str(")")?;
        while let Some(wanted) = open.last_mut() {
            *wanted -= 1;
            if *wanted > 0 {
                break;
            }
            open.pop();
            f.write_str(")")?;
        }
    }
    Ok(())
}

fn print_node(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match node {
        Node::And { .. } => f.write_str("&"),
        Node::Or { .. } => f.write_str("|"),
        Node::Not => f.write_str("!"),
        Node::Equality(attribute, value) => write!(f, "{attribute}={}", Escaped(value)),
        Node::GreaterOrEqual(attribute, value) => write!(f, "{attribute}>={}", Escaped(value)),
        Node::LessOrEqual(attribute, value) => write!(f, "{attribute}<={}", Escaped(value)),
        Node::Approximate(attribute, value) => write!(f, "{attribute}~={}", Escaped(value)),
        Node::Present(attribute) => write!(f, "{attribute}=*"),
        Node::Substrings(attribute, Substrings { initial, any, last }) => {
            write!(f, "{attribute}={}*", Escaped(initial.as_deref().unwrap_or_default()))?;
            any.iter().try_for_each(|part| write!(f, "{}*", Escaped(part)))?;
            write!(f, "{}", Escaped(last.as_deref().unwrap_or_default()))
        }
        Node::Extensible(Extensible { attribute, dn_attributes, rule, value }) => {
            attribute.iter().try_for_each(|attribute| write!(f, "{attribute}"))?;
            f.write_str(if *dn_attributes { ":dn" } else { "" })?;
            rule.iter().try_for_each(|rule| write!(f, ":{rule}"))?;
            write!(f, ":={}", Escaped(value))
        }
    }
}

/// Octets as they stand in the string form. Escaped are what RFC 4515 §3 wants, octets that are not UTF-8, and control
/// characters, so that a filter is one line wherever it is printed.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                match char {
                    '*' | '(' | ')' | '\\' | '\0'..='\x1f' | '\x7f' => write!(f, "\\{:02x}", char as u32)?,
                    _ => f.write_char(char)?,
                }
            }
            for octet in chunk.invalid() {
                write!(f, "\\{octet:02x}")?;
            }
        }
        Ok(())
    }
}
