//! YAML as a tree in which everything knows its place. What it means is settled by [`Section`](super::Section).
//!
//! A file costs no more than the budget in [`parse`] says, whatever it refers to: aliases are counted as often as they are
//! used. It is no deeper than that either, so what walks the tree may call itself.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;

/// Octets of a file.
pub const LARGEST: usize = 1 << 20;

/// Where something stands: line and column, both from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// From 1; 0 for what stands in no file.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Nothing,
    /// `true` or `false`.
    Flag(bool),
    /// As it would be printed.
    Number(String),
    /// Anything else that is one value.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Keys with their values, as they stand in the file; a key may be there twice.
    Map(Vec<(Key, Node)>),
}

/// A key and where it stands.
#[derive(Clone, Debug)]
pub struct Key {
    /// Where it begins.
    pub place: Place,
    /// As it is written.
    pub name: String,
}

/// Two values are the same wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Reads a whole file.
///
/// # Errors
///
/// Where and why it is no YAML, or costs more than a configuration may.
pub fn parse(text: &str) -> Result<Node, (Place, String)> {
    if text.len() > LARGEST {
        return Err((Place::default(), format!("a configuration has at most {LARGEST} octets")));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 200_000,
            max_nodes: 100_000,
            max_depth: 16,
            flow_nesting_limit: 16,
            max_aliases: 1_000,
            max_anchors: 100,
            max_documents: 1,
            max_total_scalar_bytes: LARGEST,
            max_merge_keys: 100,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 1_000,
        },
        // Told below, with both names.
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Option<Node>>(text, options)
        .map(|node| node.unwrap_or_else(|| Node { place: Place::default(), value: Value::Map(Vec::new()) }))
        .map_err(|error| {
            let place = error.location().map(Place::of).unwrap_or_default();
            let message = error.to_string();
            // The place is told beside it.
            let message = message.lines().next().unwrap_or_default();
            let message = match message.strip_prefix("error: ").unwrap_or(message).split_once(": ") {
                Some((place, message)) if place.starts_with("line ") => message,
                _ => message,
            };
            let message = message.split(" at line ").next().unwrap_or(message);
            if message.contains("tab")
                && let Some(place) = indenting_tab(text, place.line)
            {
                return (place, "a tab, where YAML is indented with spaces; put spaces in its place".to_owned());
            }
            let hint = match message.starts_with("mapping values are not allowed") {
                true => "; a text with a colon at its end, or followed by a blank, stands in quotes: `\":memory:\"`",
                false => "",
            };
            (place, format!("{message}{hint}"))
        })
}

/// The tab that a line begins with, after blanks, if this one or the next does: an error may be seen at the end of the line
/// before.
fn indenting_tab(text: &str, line: u64) -> Option<Place> {
    let lines = (1..).zip(text.lines()).filter(|(number, _)| *number == line || *number == line + 1);
    let tab =
        |text: &str| text.chars().take_while(|one| [' ', '\t'].contains(one)).position(|one| one == '\t');
    lines.into_iter().find_map(|(line, text)| Some(Place { line, column: tab(text)? as u64 + 1 }))
}

impl Place {
    fn of(location: serde_saphyr::Location) -> Self {
        Self { line: location.line(), column: location.column() }
    }
}

impl Node {
    /// What kind of value it is, for who expected another.
    pub fn kind(&self) -> String {
        match &self.value {
            Value::Nothing => "nothing".to_owned(),
            Value::Flag(flag) => format!("`{flag}`"),
            Value::Number(number) => format!("the number {number}"),
            Value::Text(text) => format!("`{}`", without_password(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a map of keys".to_owned(),
        }
    }

    /// The value at this key, if it is a map and has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name.name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The entry at this key, which may be written in another case.
    pub fn entry(&self, name: &str) -> Option<&(Key, Self)> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name.eq_ignore_ascii_case(name)),
            _ => None,
        }
    }

    /// What a path like `allow[2].over` leads to, or what is nearest to it. Lists are counted from 1.
    pub fn at(&self, path: &str) -> &Self {
        let mut node = self;
        for part in path.split('.') {
            let (key, index) = match part.split_once('[') {
                Some((key, index)) => (key, index.trim_end_matches(']').parse::<usize>().ok()),
                None => (part, None),
            };
            let Some(next) = node.get(key) else { return node };
            node = next;
            if let (Some(index), Value::List(items)) = (index, &node.value) {
                let Some(next) = items.get(index.saturating_sub(1)) else { return node };
                node = next;
            }
        }
        node
    }

    /// Keys that a map has twice.
    pub fn repeated(&self) -> Vec<&Key> {
        let mut repeated = Vec::new();
        let mut waiting = vec![self];
        while let Some(node) = waiting.pop() {
            match &node.value {
                Value::Map(entries) => {
                    let mut names = HashSet::new();
                    repeated
                        .extend(entries.iter().map(|(key, _)| key).filter(|key| !names.insert(&key.name)));
                    waiting.extend(entries.iter().map(|(_, node)| node));
                }
                Value::List(items) => waiting.extend(items),
                _ => {}
            }
        }
        repeated
    }

    /// The same without places, for what reads itself with serde. As deep as the budget lets a file be.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Nothing => serde_json::Value::Null,
            Value::Flag(flag) => (*flag).into(),
            Value::Number(text) | Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect(),
            ),
        }
    }
}

/// What an error may show of a text: of `ldaps://NAME:PASSWORD@HOST`, which some expect to be a URL, not the password.
fn without_password(text: &str) -> String {
    let name = text.find("://").map_or(0, |at| at + 3);
    let colon = text.get(name..).and_then(|rest| rest.find(':')).map(|at| name + at + 1);
    match (colon, text.rfind('@')) {
        (Some(from), Some(to)) if from <= to => {
            let (before, after) = (text.get(..from).unwrap_or_default(), text.get(to..).unwrap_or_default());
            format!("{before}…{after}")
        }
        _ => text.to_owned(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { place: Place::of(referenced), value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, a list or a map of keys")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Nothing)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Nothing)
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
                Value::deserialize(deserializer)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Flag(flag))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Number(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
                Ok(Value::Number(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
                Ok(Value::Number(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(Value::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(Spanned { value, referenced, .. }) = map.next_key::<Spanned<String>>()? {
                    let key = Key { place: Place::of(referenced), name: value };
                    entries.push((key, map.next_value()?));
                }
                Ok(Value::Map(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Problems, Section};

    #[test]
    fn errors_show_no_password_of_a_url() {
        for (text, shown) in [
            ("ldaps://cn=admin:open water@host", "ldaps://cn=admin:…@host"),
            ("ldaps://admin:open@water:1@host:636/", "ldaps://admin:…@host:636/"),
            ("admin:open water@host", "admin:…@host"),
            ("ldaps://host:636/dc=example", "ldaps://host:636/dc=example"),
            ("ada@harbourlane.example:1", "ada@harbourlane.example:1"),
            ("ldap://ada@host", "ldap://ada@host"),
            ("x:@", "x:…@"),
        ] {
            assert_eq!(without_password(text), shown, "{text}");
        }
    }

    #[test]
    fn a_tab_that_indents_is_named_where_it_stands() {
        for (text, line, column) in [
            ("a:\n\tb: 1\n", 2, 1),
            ("a:\n  b:\n  \t- c\n", 3, 3),
            ("a:\n  b: 1\n\tc: 2\n", 3, 1),
            ("a: [\n\t1]\n", 2, 1),
            ("a:\n  b: |\n\tx\n", 3, 1),
        ] {
            let (place, message) = parse(text).unwrap_err();
            assert_eq!(place, Place { line, column }, "{text:?}");
            assert_eq!(message, "a tab, where YAML is indented with spaces; put spaces in its place");
        }
        assert!(parse("a:\t1\n\t\nb: \"x\ty\"\n").is_ok(), "between and within values they may be");
    }

    #[test]
    fn of_many_keys_that_nobody_knows_the_first_are_told() {
        let keys: Vec<_> = (0..40_000).map(|number| format!("key{number:05}: 1")).collect();
        let node = parse(&format!("{{{}}}", keys.join(", "))).unwrap();
        let problems = Problems::default();
        let section = Section::root(&node, &problems);
        section.text("primary_server");
        assert!(section.foreign().is_some());
        section.finish();
        assert!(problems.are_many());
        let told = problems.into_sorted();
        assert_eq!((told.len(), told[49].path.as_str()), (50, "key00049"));
    }
}
