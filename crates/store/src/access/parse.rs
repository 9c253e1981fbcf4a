//! From rules as written to rules that decide: every name, word and filter is checked against the schema, and all that
//! is wrong is told at once.

use std::{collections::HashMap, fmt, hash::Hash, net::IpAddr};

use flext_ldap_directory::Group;
use flext_ldap_proto::{
    dn::{Dn, DnKey},
    filter::{Filter, Node},
    schema::Schema,
};

use super::{
    attributes::{Attributes, Word},
    config::{AllowConfig, RuleConfig, TargetConfig, Words},
    grant::{Grant, WORDS},
    rules::{Line, Place, Rule},
    subject::{Origin, Over, STRENGTHS, Scope, Subject, Who, masked},
};
use crate::project::COMPUTED;

/// Something wrong with an access rule.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    /// Which rule, counted from 1; 0 for the list as a whole.
    pub rule: usize,
    /// Which key of it: `to.subtree`, or `allow[2].over` for the second line.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            0 => f.write_str(&self.message),
            rule => write!(f, "rule {rule}, `{}`: {}", self.key, self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// Rules there can be at most.
const RULES: usize = 10_000;
/// Problems that are told at most.
const PROBLEMS: usize = 100;

/// Words for requesters that stand alone.
const ALONE: [(&str, Who); 5] = [
    ("anyone", Who::Anyone),
    ("anonymous", Who::Anonymous),
    ("users", Who::Users),
    ("self", Who::Own),
    ("administrators", Who::Administrators),
];

/// Words for requesters that something follows.
const FOLLOWED: [&str; 7] = ["dn", "one", "subtree", "children", "group", "nested-group", "attribute"];

/// What is gathered from all rules.
pub(super) struct Parser<'s> {
    schema: &'s Schema,
    /// Whether attributes that the schema does not know are taken by their spelling.
    lenient: bool,
    at: (usize, String),
    problems: Vec<Problem>,
    pub(super) subjects: Numbered<Subject>,
    pub(super) groups: Numbered<Group>,
    pub(super) named_by: Numbered<String>,
    pub(super) filters: Vec<Filter>,
    pub(super) attributes: Attributes,
}

/// Different things, numbered in the order they came.
pub(super) struct Numbered<T>(HashMap<T, usize>);

impl<T: Clone + Eq + Hash> Numbered<T> {
    fn of(&mut self, one: T) -> usize {
        let next = self.0.len();
        *self.0.entry(one).or_insert(next)
    }

    pub(super) fn into_list(self) -> Vec<T> {
        let mut list: Vec<_> = self.0.into_iter().collect();
        list.sort_unstable_by_key(|(_, number)| *number);
        list.into_iter().map(|(one, _)| one).collect()
    }
}

impl<'s> Parser<'s> {
    pub(super) fn new(schema: &'s Schema, lenient: bool) -> Self {
        Self {
            schema,
            lenient,
            at: (0, String::new()),
            problems: Vec::new(),
            subjects: Numbered(HashMap::new()),
            groups: Numbered(HashMap::new()),
            named_by: Numbered(HashMap::new()),
            filters: Vec::new(),
            attributes: Attributes::default(),
        }
    }

    pub(super) fn rules(&mut self, configs: &[RuleConfig]) -> Result<Vec<Rule>, Vec<Problem>> {
        if configs.len() > RULES {
            let message = format!("there are {} access rules; there can be {RULES}", configs.len());
            return Err(vec![Problem { rule: 0, key: String::new(), message }]);
        }
        let mut rules = Vec::with_capacity(configs.len());
        for (index, config) in configs.iter().enumerate() {
            self.at.0 = index + 1;
            rules.push(self.rule(config));
        }
        let mut problems = std::mem::take(&mut self.problems);
        problems.truncate(PROBLEMS);
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    fn problem(&mut self, message: impl Into<String>) {
        let (rule, key) = self.at.clone();
        self.problems.push(Problem { rule, key, message: message.into() });
    }

    fn key(&mut self, key: impl Into<String>) {
        self.at.1 = key.into();
    }

    fn rule(&mut self, config: &RuleConfig) -> Rule {
        let nothing = TargetConfig::default();
        let to = config.to.as_ref().unwrap_or(&nothing);
        let mut places = Vec::new();
        for (name, scope, words) in [
            ("entry", Scope::Entry, &to.entry),
            ("one", Scope::One, &to.one),
            ("subtree", Scope::Subtree, &to.subtree),
            ("children", Scope::Children, &to.children),
        ] {
            self.key(format!("to.{name}"));
            for text in &words.0 {
                if let Some(base) = self.dn(text) {
                    places.push(Place { scope, base, text: text.clone() });
                }
            }
        }
        self.key("to.filter");
        let filter = to.filter.as_ref().and_then(|text| self.filter(text));
        self.key("to.attributes");
        let attributes = (!to.attributes.is_empty()).then(|| {
            let words: Vec<Word> =
                to.attributes.0.iter().filter_map(|word| self.attribute_word(word)).collect();
            self.attributes.number(words)
        });
        self.key("over");
        let over = self.over(&config.over);
        self.key("from");
        let from = self.from(&config.from);
        let mut lines = Vec::with_capacity(config.allow.len());
        for (index, line) in config.allow.iter().enumerate() {
            lines.extend(self.line(&format!("allow[{}]", index + 1), line, over, &from));
        }
        Rule { name: config.name.clone(), places, filter, attributes, lines }
    }

    fn line(&mut self, key: &str, line: &AllowConfig, over: Over, from: &[Origin]) -> Option<Line> {
        self.key(format!("{key}.over"));
        let own_over = self.over(&line.over);
        if !line.over.is_empty() && own_over.both(over) == Over::NONE {
            self.problem("no connection is both what the rule asks for and what this line asks for");
        }
        self.key(format!("{key}.from"));
        let own_from = self.from(&line.from);
        self.key(key);
        let who = self.who(&line.who);
        let mut grant = Grant::NONE;
        let mut goes_on = false;
        if line.rights.is_empty() {
            self.problem(format!("nothing is said of what `{}` may do; write `none` for nothing", line.who));
        }
        for word in &line.rights.0 {
            match WORDS.iter().find(|(known, _)| known == word) {
                Some((_, rights)) => grant.add(*rights),
                None if word == "continue" => goes_on = true,
                None => {
                    let known = WORDS.iter().map(|(known, _)| *known).chain(["continue"]);
                    let message = unknown("right", word, known);
                    self.problem(message);
                }
            }
        }
        let from = [from.to_vec(), own_from].into_iter().filter(|list| !list.is_empty()).collect();
        let subject = self.subjects.of(Subject { who: who?, over: over.both(own_over), from });
        Some(Line { subject, grant, goes_on, text: line.clone() })
    }

    fn who(&mut self, text: &str) -> Option<Who> {
        if let Some((_, who)) = ALONE.iter().find(|(word, _)| *word == text) {
            return Some(who.clone());
        }
        let (word, rest) = text.split_once(' ').map_or((text, ""), |(word, rest)| (word, rest.trim()));
        let known = FOLLOWED.contains(&word);
        if known && rest.is_empty() {
            let what = if word == "attribute" { "an attribute" } else { "a DN" };
            self.problem(format!("`{word}` is followed by {what}"));
            return None;
        }
        match word {
            "dn" => Some(Who::Name(Scope::Entry, self.dn(rest)?)),
            "one" => Some(Who::Name(Scope::One, self.dn(rest)?)),
            "subtree" => Some(Who::Name(Scope::Subtree, self.dn(rest)?)),
            "children" => Some(Who::Name(Scope::Children, self.dn(rest)?)),
            "group" | "nested-group" => {
                let group = Group { dn: self.dn(rest)?, nested: word == "nested-group" };
                Some(Who::Group(self.groups.of(group)))
            }
            "attribute" => {
                let name = self.naming_attribute(rest)?;
                Some(Who::Attribute(self.named_by.of(name)))
            }
            _ if word.contains('=') => {
                self.problem(format!(
                    "`{text}` does not say how it is meant; write `dn {text}` or `group {text}`"
                ));
                None
            }
            _ => {
                let message = unknown("requester", word, ALONE.iter().map(|(word, _)| *word).chain(FOLLOWED));
                self.problem(message);
                None
            }
        }
    }

    fn dn(&mut self, text: &str) -> Option<DnKey> {
        let dn: Dn = match text.parse() {
            Ok(dn) => dn,
            Err(error) => {
                self.problem(format!("`{text}`: {error}"));
                return None;
            }
        };
        match self.schema.dn_key(&dn) {
            Ok(key) => Some(key),
            Err(error) => {
                self.problem(format!("`{text}` cannot be a name here: {error}"));
                None
            }
        }
    }

    fn filter(&mut self, text: &str) -> Option<usize> {
        let filter: Filter = match text.parse() {
            Ok(filter) => filter,
            Err(error) => {
                self.problem(format!("`{text}`: {error}"));
                return None;
            }
        };
        for node in filter.nodes() {
            let attribute = match node {
                Node::Equality(attribute, _)
                | Node::Substrings(attribute, _)
                | Node::GreaterOrEqual(attribute, _)
                | Node::LessOrEqual(attribute, _)
                | Node::Present(attribute)
                | Node::Approximate(attribute, _) => attribute,
                Node::Extensible(extensible) => match &extensible.attribute {
                    Some(attribute) => attribute,
                    None => continue,
                },
                _ => continue,
            };
            let name = attribute.attribute_type();
            let Some(kind) = self.schema.attribute_type(name) else {
                let message = unknown_attribute(self.schema, name);
                self.problem(message);
                continue;
            };
            if kind.name() == "userPassword" || COMPUTED.contains(&kind.name()) {
                self.problem(format!("`{name}` is not among what a rule's filter can look at"));
            }
        }
        match self.filters.iter().position(|one| *one == filter) {
            Some(number) => Some(number),
            None => {
                self.filters.push(filter);
                Some(self.filters.len() - 1)
            }
        }
    }

    fn attribute_word(&mut self, word: &str) -> Option<Word> {
        if let Some(class) = word.strip_prefix('@') {
            if self.schema.object_class(class).is_none() {
                let known =
                    self.schema.object_classes().flat_map(|class| class.names.iter().map(|name| &**name));
                let message = unknown("object class", class, known);
                self.problem(message);
                return None;
            }
            return Some(Word::Class(class.to_owned()));
        }
        match word {
            "*" => Some(Word::User),
            "+" => Some(Word::Operational),
            "entry" => Some(Word::Entry),
            _ if word.contains(';') => {
                let name = word.split(';').next().unwrap_or_default();
                self.problem(format!("rights are to attributes with all their options: write `{name}`"));
                None
            }
            _ => match self.schema.attribute_type(word) {
                Some(kind) => Some(Word::Type(kind.oid.to_string())),
                None if self.lenient => Some(Word::Unknown(word.to_ascii_lowercase())),
                None => {
                    let message = unknown_attribute(self.schema, word);
                    self.problem(message);
                    None
                }
            },
        }
    }

    /// An attribute whose values are names.
    fn naming_attribute(&mut self, name: &str) -> Option<String> {
        let Some(kind) = self.schema.attribute_type(name) else {
            let message = unknown_attribute(self.schema, name);
            self.problem(message);
            return None;
        };
        const DN: &str = "1.3.6.1.4.1.1466.115.121.1.12";
        const NAME_AND_OPTIONAL_UID: &str = "1.3.6.1.4.1.1466.115.121.1.34";
        if !matches!(kind.syntax_oid(), Some(DN | NAME_AND_OPTIONAL_UID)) {
            let kind = kind.name().to_owned();
            self.problem(format!(
                "values of `{kind}` are not DNs, so they name nobody; `manager` and `owner` do"
            ));
            return None;
        }
        Some(kind.name().to_owned())
    }

    fn over(&mut self, words: &Words) -> Over {
        if words.is_empty() {
            return Over::ANY;
        }
        let mut over = Over::NONE;
        for word in &words.0 {
            match STRENGTHS.iter().find(|(known, _)| known == word) {
                Some((_, one)) => over = over.or(*one),
                None => {
                    let message =
                        unknown("connection strength", word, STRENGTHS.iter().map(|(word, _)| *word));
                    self.problem(message);
                }
            }
        }
        over
    }

    fn from(&mut self, words: &Words) -> Vec<Origin> {
        let mut origins = Vec::new();
        for word in &words.0 {
            match origin(word) {
                Ok(origin) => origins.push(origin),
                Err(message) => self.problem(message),
            }
        }
        origins
    }
}

fn origin(word: &str) -> Result<Origin, String> {
    if word == "unix" {
        return Ok(Origin::Unix);
    }
    let (address, bits) = word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(format!(
            "`{word}` is neither an address, a network like `10.1.0.0/16` or `fd00::/8`, nor `unix`"
        ));
    };
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits.map(str::parse::<u8>) {
        None => most,
        Some(Ok(bits)) if bits <= most => bits,
        Some(_) => return Err(format!("`{word}`: after the slash stands a number from 0 to {most}")),
    };
    if address.to_canonical() != address {
        return Err(format!("`{word}` is an IPv4 address in IPv6 form; write `{}`", address.to_canonical()));
    }
    match masked(address, bits) {
        Some(net) if net == address => Ok(Origin::Net(net, bits)),
        Some(net) => {
            Err(format!("`{word}` names an address within a network; write `{net}/{bits}` or `{address}`"))
        }
        None => Err(format!("`{word}` is not a network")),
    }
}

/// Says that the schema does not define an attribute, and which one may be meant.
pub(crate) fn unknown_attribute(schema: &Schema, name: &str) -> String {
    let known = schema.attribute_types().flat_map(|kind| kind.names.iter().map(|name| &**name));
    unknown("attribute", name, known)
}

/// Says that a word is not known, and which one may be meant.
fn unknown<'a>(what: &str, word: &str, known: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 16;
    let known: Vec<&str> = known.collect();
    let near = known
        .iter()
        .map(|one| (distance(word, one), *one))
        .min()
        .filter(|(distance, one)| *distance <= (one.len().max(word.len()) / 3).max(1));
    match near {
        Some((_, near)) => format!("unknown {what} `{word}`; did you mean `{near}`?"),
        None if known.len() <= SHOWN => format!("unknown {what} `{word}`; known are {}", known.join(", ")),
        None => format!("unknown {what} `{word}`"),
    }
}

/// How many letters are to be changed, put in, left out or put in order to make one word of the other, without regard to case.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    if one.len() > LONGEST || other.len() > LONGEST {
        return usize::MAX;
    }
    let lower = |word: &str| word.to_ascii_lowercase().into_bytes();
    let (one, other) = (lower(one), lower(other));
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(LONGEST);
    let mut before = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    let mut last = None;
    for (index, octet) in one.iter().enumerate() {
        let mut next = vec![index + 1];
        let mut left = None;
        for (column, known) in other.iter().enumerate() {
            let changed = at(&row, column) + usize::from(octet != known);
            let mut best = changed.min(at(&row, column + 1) + 1).min(at(&next, column) + 1);
            if left == Some(octet) && last == Some(known) {
                // Two letters in the wrong order are one mistake.
                best = best.min(at(&before, column.saturating_sub(1)) + 1);
            }
            next.push(best);
            left = Some(known);
        }
        before = std::mem::replace(&mut row, next);
        last = Some(octet);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, want) in [
            ("read", "read", 0),
            ("raed", "read", 1),
            ("Reed", "read", 1),
            ("", "read", 4),
            ("reads", "read", 1),
        ] {
            assert_eq!(distance(one, other), want, "{one} {other}");
            assert_eq!(distance(other, one), want, "{other} {one}");
        }
    }
}
