//! A filter evaluator as plain as the text of the RFCs: one entry, one filter, no preparation, no index.
//!
//! It shares no code with the directory. Values are compared by a few lines of their own for each syntax, which are right
//! for the characters that [`text`] draws and not for all of Unicode; attributes are those of [`KINDS`] and no others.
//! What is undefined is `None` (RFC 4511 §4.5.1.7).

use bytes::Bytes;
use flext_ldap_proto::filter::{Extensible, Filter, Node, Substrings};

use crate::Draw;

/// How the values of an attribute compare.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the syntaxes of this model")]
pub enum Kind {
    /// Directory String by caseIgnoreMatch.
    Text,
    /// IA5 String by caseIgnoreIA5Match.
    Ia5,
    /// IA5 String by caseExactIA5Match, without substrings.
    ExactIa5,
    /// Telephone Number.
    Telephone,
    /// INTEGER, with an order.
    Integer,
    /// DN: a spelling of one of [`NAMES`].
    Name,
    /// OID: a name of a class.
    Class,
    /// Without any rule for equality.
    Photo,
}

/// The attributes of the model, with how they compare. `name` is the supertype of `cn`, `sn`, `title`, `o` and `ou`
/// (RFC 4519 §2).
pub const KINDS: [(&str, Kind); 16] = [
    ("cn", Kind::Text),
    ("sn", Kind::Text),
    ("description", Kind::Text),
    ("uid", Kind::Text),
    ("title", Kind::Text),
    ("employeeNumber", Kind::Text),
    ("mail", Kind::Ia5),
    ("homeDirectory", Kind::ExactIa5),
    ("telephoneNumber", Kind::Telephone),
    ("uidNumber", Kind::Integer),
    ("manager", Kind::Name),
    ("jpegPhoto", Kind::Photo),
    ("cn;lang-en", Kind::Text),
    ("objectClass", Kind::Class),
    ("ou", Kind::Text),
    ("name", Kind::Text),
];

/// Names in several spellings: those with the same number are the same name (RFC 4517 §4.2.15).
pub const NAMES: [(&str, u8); 7] = [
    ("uid=p1,ou=people,dc=example", 1),
    ("UID=P1, OU=People,DC=example", 1),
    ("uid=p1,ou=people", 2),
    ("cn=x+sn=y,dc=elsewhere", 3),
    ("sn=Y+cn=X,dc=elsewhere", 3),
    ("cn=x,dc=elsewhere", 4),
    ("", 5),
];

const CLASSES: [&str; 5] = ["top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount"];

/// What is asserted of an attribute.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the assertions of RFC 4511")]
pub enum Assertion {
    /// `=*`
    Present,
    /// `=`
    Equal(String),
    /// `~=`, which is equality here.
    Approximate(String),
    /// `>=`
    AtLeast(String),
    /// `<=`
    AtMost(String),
    /// `=initial*any*last`
    Parts(Option<String>, Vec<String>, Option<String>),
    /// `:dn:rule:=`, of any attribute where the attribute is empty.
    Extensible {
        /// Whether the values of the name count too.
        dn: bool,
        /// The rule's name.
        rule: Option<&'static str>,
        /// The value.
        value: String,
    },
}

/// A filter as a tree.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the filters of RFC 4511")]
pub enum Tree {
    /// All of them.
    And(Vec<Self>),
    /// Any of them.
    Or(Vec<Self>),
    /// Not this.
    Not(Box<Self>),
    /// An assertion.
    Leaf(&'static str, Assertion),
}

/// An entry as lists.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "a plain list")]
pub struct Plain {
    /// The components of its name, its own first: attribute and value.
    pub name: Vec<(&'static str, String)>,
    /// Its attributes and their values.
    pub attributes: Vec<(&'static str, Vec<String>)>,
}

/// Text in which equal values are spelt in different ways, for one attribute.
pub fn text(attribute: &str, draw: &mut Draw<'_>) -> String {
    const PIECES: [&str; 15] =
        ["a", "B", "b", "jo", "son", " ", "  ", "é", "É", "ß", "ss", ".", "x@y", "7", "*"];
    let pieces = |draw: &mut Draw<'_>, all: &[&'static str]| {
        let mut made: String = (0..=draw.below(5)).map(|_| draw.pick(all)).collect();
        if made.trim().is_empty() {
            made.push('a');
        }
        // Longer than an index key.
        if draw.rarely(16) { made.repeat(60) } else { made }
    };
    match kind(attribute) {
        Some(Kind::Integer) => draw
            .pick(&["0", "7", "10", "99", "100", "-3", "-20", "-1", "12345678901234567890", "255", "256"])
            .to_owned(),
        Some(Kind::Name) => draw.pick(&NAMES).0.to_owned(),
        Some(Kind::Class) => draw.pick(&["top", "PERSON", "inetOrgPerson", "device", "2.5.6.6"]).to_owned(),
        Some(Kind::Telephone) => {
            draw.pick(&["+1 555 0100", "+15550100", "1-2-3", "123", "+1-555-0199", "5550"]).to_owned()
        }
        Some(Kind::Ia5 | Kind::ExactIa5) => pieces(draw, &["a", "B", "b", "jo", " ", "  ", ".", "x@y", "-"]),
        _ => pieces(draw, &PIECES),
    }
}

fn kind(attribute: &str) -> Option<Kind> {
    KINDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(attribute)).map(|(_, kind)| *kind)
}

impl Kind {
    /// Whether an entry cannot have both values. Octets are compared where there is no rule.
    #[must_use]
    pub fn equal(self, one: &str, other: &str) -> bool {
        one == other || self.form(one).is_some_and(|form| self.form(other) == Some(form))
    }

    /// The form in which equal values are the same; `None` for what does not fit the syntax.
    fn form(self, value: &str) -> Option<String> {
        match self {
            Self::Text => (!value.is_empty()).then(|| squeezed(&value.to_lowercase().replace('ß', "ss"))),
            Self::Ia5 => value.is_ascii().then(|| squeezed(&value.to_ascii_lowercase())),
            Self::ExactIa5 => value.is_ascii().then(|| squeezed(value)),
            Self::Telephone => is_printable(value).then(|| dialled(value)),
            Self::Integer => {
                let digits = value.strip_prefix('-').unwrap_or(value);
                let fits = !digits.is_empty()
                    && digits.bytes().all(|octet| octet.is_ascii_digit())
                    && (value == "0" || !digits.starts_with('0'));
                fits.then(|| value.to_owned())
            }
            Self::Name => NAMES.iter().find(|(name, _)| *name == value).map(|(_, name)| name.to_string()),
            Self::Class => {
                let value = if value == "2.5.6.6" { "person" } else { value };
                let known = CLASSES.iter().chain(&["device"]);
                known.into_iter().find(|name| name.eq_ignore_ascii_case(value)).map(|name| (*name).to_owned())
            }
            Self::Photo => None,
        }
    }
}

/// A Printable String (RFC 4517 §3.3.29).
fn is_printable(text: &str) -> bool {
    let printable = |octet: u8| octet.is_ascii_alphanumeric() || b"'()+,-./:? =".contains(&octet);
    !text.is_empty() && text.bytes().all(printable)
}

/// Without spaces and hyphens (RFC 4518 §2.6.3).
fn dialled(text: &str) -> String {
    text.to_ascii_lowercase().chars().filter(|one| !matches!(one, ' ' | '-')).collect()
}

/// Without spaces at the ends, and one between words.
fn squeezed(text: &str) -> String {
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

impl Plain {
    /// The values of what an attribute description means: of it, of its subtypes, and of both with more options.
    fn values<'e>(&'e self, attribute: &str) -> Vec<(&'static str, &'e str)> {
        let means = |held: &str| {
            let (base, option) =
                held.split_once(';').map_or((held, None), |(base, option)| (base, Some(option)));
            let (asked, wanted) =
                attribute.split_once(';').map_or((attribute, None), |(base, option)| (base, Some(option)));
            let is_sub = asked == "name" && ["cn", "sn", "title", "ou", "o"].contains(&base);
            (asked == base || is_sub) && (wanted.is_none() || wanted == option)
        };
        let held = self.attributes.iter().filter(|(name, _)| means(name));
        held.flat_map(|(name, values)| values.iter().map(move |value| (*name, value.as_str()))).collect()
    }
}

impl Tree {
    /// A filter of at most `depth` levels of lists.
    pub fn draw(draw: &mut Draw<'_>, depth: usize) -> Self {
        let list = |draw: &mut Draw<'_>| (0..draw.below(4)).map(|_| Self::draw(draw, depth - 1)).collect();
        match draw.below(if depth == 0 { 4 } else { 10 }) {
            0..=4 => Self::leaf(draw),
            5 | 6 => Self::And(list(draw)),
            7 | 8 => Self::Or(list(draw)),
            _ => Self::Not(Box::new(Self::draw(draw, depth - 1))),
        }
    }

    fn leaf(draw: &mut Draw<'_>) -> Self {
        let attribute = match draw.below(24) {
            22 => return Self::Leaf("", Assertion::draw_any_attribute(draw)),
            23 => "nonesuch",
            _ => draw.pick(&KINDS).0,
        };
        // Sometimes a value made for another attribute, which may not fit.
        let made_for = if draw.rarely(6) { draw.pick(&KINDS).0 } else { attribute };
        let value = text(made_for, draw);
        let part = |draw: &mut Draw<'_>| {
            let pieces = ["a", "b", "j", "o", "s", "n", " ", "é", "S", "@", "5", "-", "ss", "1", "o "];
            (0..=draw.below(3)).map(|_| draw.pick(&pieces)).collect::<String>()
        };
        let assertion = match draw.below(10) {
            0 | 1 => Assertion::Equal(value),
            2 => Assertion::Present,
            3 => Assertion::Approximate(value),
            4 => Assertion::AtLeast(value),
            5 => Assertion::AtMost(value),
            6 => Assertion::Extensible {
                dn: draw.rarely(2),
                rule: draw.pick(&[
                    None,
                    Some("caseIgnoreMatch"),
                    Some("caseExactMatch"),
                    Some("integerMatch"),
                    Some("x"),
                ]),
                value,
            },
            _ => {
                let initial = draw.rarely(2).then(|| part(draw));
                let any: Vec<String> = (0..draw.below(3)).map(|_| part(draw)).collect();
                let last = (draw.rarely(2) || initial.is_none() && any.is_empty()).then(|| part(draw));
                Assertion::Parts(initial, any, last)
            }
        };
        Self::Leaf(attribute, assertion)
    }

    /// The same as the directory is asked it.
    ///
    /// # Panics
    ///
    /// Never: what is drawn can be written.
    #[must_use]
    pub fn filter(&self) -> Filter {
        match self {
            Self::And(all) => Filter::and(all.iter().map(Self::filter)),
            Self::Or(all) => Filter::or(all.iter().map(Self::filter)),
            Self::Not(one) => Filter::not(one.filter()),
            Self::Leaf(name, assertion) => {
                if let Assertion::Extensible { dn, rule: Some(rule), value } = assertion
                    && name.is_empty()
                {
                    let value = Bytes::from(value.clone());
                    let rule = Some((*rule).into());
                    let any = Extensible { attribute: None, dn_attributes: *dn, rule, value };
                    return Filter::leaf(Node::Extensible(any)).unwrap();
                }
                let attribute = name.parse().unwrap();
                let bytes = |value: &String| Bytes::from(value.clone());
                let node = match assertion {
                    Assertion::Present => Node::Present(attribute),
                    Assertion::Equal(value) => Node::Equality(attribute, bytes(value)),
                    Assertion::Approximate(value) => Node::Approximate(attribute, bytes(value)),
                    Assertion::AtLeast(value) => Node::GreaterOrEqual(attribute, bytes(value)),
                    Assertion::AtMost(value) => Node::LessOrEqual(attribute, bytes(value)),
                    Assertion::Parts(initial, any, last) => Node::Substrings(
                        attribute,
                        Substrings {
                            initial: initial.as_ref().map(bytes),
                            any: any.iter().map(bytes).collect(),
                            last: last.as_ref().map(bytes),
                        },
                    ),
                    Assertion::Extensible { dn, rule, value } => Node::Extensible(Extensible {
                        attribute: Some(attribute),
                        dn_attributes: *dn,
                        rule: rule.map(Into::into),
                        value: bytes(value),
                    }),
                };
                Filter::leaf(node).unwrap()
            }
        }
    }

    /// Whether an entry matches; `None` where it cannot be told. RFC 4511 §4.5.1 has the logic.
    #[must_use]
    pub fn holds(&self, entry: &Plain) -> Option<bool> {
        match self {
            Self::And(all) => {
                let all: Vec<_> = all.iter().map(|one| one.holds(entry)).collect();
                if all.contains(&Some(false)) { Some(false) } else { (!all.contains(&None)).then_some(true) }
            }
            Self::Or(all) => {
                let all: Vec<_> = all.iter().map(|one| one.holds(entry)).collect();
                if all.contains(&Some(true)) { Some(true) } else { (!all.contains(&None)).then_some(false) }
            }
            Self::Not(one) => one.holds(entry).map(|holds| !holds),
            Self::Leaf(attribute, assertion) => assertion.holds(attribute, entry),
        }
    }
}

impl Assertion {
    /// What a rule is asked of all attributes that it is for (RFC 4511 §4.5.1.7.7).
    fn draw_any_attribute(draw: &mut Draw<'_>) -> Self {
        let rule = draw.pick(&["caseIgnoreMatch", "caseExactMatch", "integerMatch", "x"]);
        let value = text(draw.pick(&KINDS).0, draw);
        Self::Extensible { dn: draw.rarely(2), rule: Some(rule), value }
    }

    /// Undefined where the rule is not known, or the value is none of the rule's syntax.
    fn any_attribute_holds(&self, entry: &Plain) -> Option<bool> {
        let Self::Extensible { rule, value, .. } = self else { return None };
        match rule {
            Some("integerMatch") => Kind::Integer.form(value)?,
            Some("caseIgnoreMatch" | "caseExactMatch") => Kind::Text.form(value)?,
            _ => return None,
        };
        Some(KINDS.iter().any(|(attribute, _)| self.holds(attribute, entry) == Some(true)))
    }

    fn holds(&self, attribute: &str, entry: &Plain) -> Option<bool> {
        if attribute.is_empty() {
            return self.any_attribute_holds(entry);
        }
        let kind = kind(attribute)?;
        let held = entry.values(attribute);
        let any = |kind: Kind, fits: &dyn Fn(&str) -> bool| {
            Some(held.iter().any(|(_, value)| kind.form(value).is_some_and(|form| fits(&form))))
        };
        match self {
            Self::Present => Some(!held.is_empty()),
            Self::Equal(value) | Self::Approximate(value) => {
                let asserted = kind.form(value)?;
                any(kind, &|form| form == asserted)
            }
            Self::AtLeast(value) | Self::AtMost(value) => {
                // Only numbers have an order in the standard schema (RFC 4519 and RFC 2307 give no other of these a rule).
                let asserted = (kind == Kind::Integer).then(|| kind.form(value))??;
                let number = |text: &str| text.parse::<i128>().unwrap();
                any(kind, &|form| match self {
                    Self::AtLeast(_) => number(form) >= number(&asserted),
                    _ => number(form) <= number(&asserted),
                })
            }
            Self::Parts(initial, parts, last) => {
                let telephone = kind == Kind::Telephone;
                if !telephone && !matches!(kind, Kind::Text | Kind::Ia5) {
                    return None;
                }
                let prepared = |part: &String, place| prepared(kind, part, place);
                let initial =
                    initial.as_ref().map_or_else(String::new, |part| prepared(part, Place::Initial));
                let last = last.as_ref().map_or_else(String::new, |part| prepared(part, Place::Final));
                let parts: Vec<String> = parts.iter().map(|part| prepared(part, Place::Any)).collect();
                any(kind, &|form| {
                    // RFC 4518 §2.6.1: a space at each end of a value and two between words.
                    let value =
                        if telephone { form.to_owned() } else { format!(" {} ", form.replace(' ', "  ")) };
                    let Some(mut rest) = value.strip_prefix(&initial) else { return false };
                    for part in &parts {
                        let Some((_, after)) = rest.split_once(part.as_str()) else { return false };
                        rest = after;
                    }
                    rest.ends_with(&last)
                })
            }
            Self::Extensible { dn, rule, value } => {
                // RFC 4517 §4.2.4 and §4.2.11: rules for Directory String are for Telephone Number too. A rule that is
                // not for the attribute makes the assertion undefined (RFC 4511 §4.5.1.7).
                let (kind, exact) = match (rule, kind) {
                    (None, kind) => (kind, false),
                    (Some("integerMatch"), Kind::Integer) => (Kind::Integer, false),
                    (Some("caseIgnoreMatch"), Kind::Text | Kind::Telephone) => (Kind::Text, false),
                    (Some("caseExactMatch"), Kind::Text | Kind::Telephone) => (Kind::Text, true),
                    _ => return None,
                };
                let form = |value: &str| match exact {
                    true => Some(squeezed(value)),
                    false => kind.form(value),
                };
                let asserted = form(value)?;
                let named = entry.name.iter().filter(|(name, _)| *dn && means_in_name(attribute, name));
                let mut all =
                    held.iter().map(|(_, value)| *value).chain(named.map(|(_, value)| value.as_str()));
                Some(all.any(|value| form(value).as_ref() == Some(&asserted)))
            }
        }
    }
}

/// Whether a component of a name is of the attribute or a subtype: names have no options.
fn means_in_name(attribute: &str, component: &str) -> bool {
    attribute == component || attribute == "name" && ["cn", "sn", "title", "ou", "o"].contains(&component)
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Initial,
    Any,
    Final,
}

/// A part of a substring assertion as RFC 4518 §2.6.1 and §2.6.3 make it.
fn prepared(kind: Kind, part: &str, place: Place) -> String {
    // The parts are of Directory String, whatever the values are (RFC 4517 §3.3.30).
    if kind == Kind::Telephone {
        return dialled(part);
    }
    let form = part.to_lowercase().replace('ß', "ss");
    let words = squeezed(&form).replace(' ', "  ");
    if words.is_empty() {
        return " ".to_owned();
    }
    let before = place == Place::Initial || form.starts_with(' ');
    let after = place == Place::Final || form.ends_with(' ');
    format!("{}{words}{}", if before { " " } else { "" }, if after { " " } else { "" })
}
