//! What a configuration says, with where each value comes from.

use std::fmt;

use super::{
    Source,
    keys::{KEYS, Key, Kind},
    read::Origin,
};
use crate::yaml::{Node, Value};

/// A value, or a key with others below it, with where it comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// How many keys it is below, from 1.
    pub depth: usize,
    /// Whether it begins an item of a list.
    pub begins_item: bool,
    /// Its last key.
    pub key: String,
    /// Where a file would have to be overridden: the variable of the environment for it.
    pub variable: String,
    /// As YAML, on one line; nothing where others are below it.
    pub value: Option<String>,
    /// Who said so.
    pub source: Source,
}

/// The line of a file that says the same, below the key at its top.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (indent, item) = match self.begins_item {
            true => (self.depth.saturating_sub(1), "- "),
            false => (self.depth, ""),
        };
        write!(f, "{}{item}{}:", "  ".repeat(indent), self.key)?;
        match &self.value {
            Some(value) => write!(f, " {value}"),
            None => Ok(()),
        }
    }
}

/// Everything in a tree that was checked. As deep as the table.
pub(super) fn settings(tree: &Node, origin: &Origin<'_>) -> Vec<Setting> {
    let mut settings = Vec::new();
    walk(Some(tree), KEYS, "", 1, origin, &mut settings);
    settings
}

fn walk(
    node: Option<&Node>,
    keys: &'static [Key],
    path: &str,
    depth: usize,
    origin: &Origin<'_>,
    settings: &mut Vec<Setting>,
) {
    for key in keys {
        let path = if path.is_empty() { key.name.to_owned() } else { format!("{path}.{}", key.name) };
        let value = node.and_then(|node| node.get(key.name)).filter(|node| node.value != Value::Nothing);
        let mut push = |name: &str, depth, path: &str, value: Option<String>, source| {
            let (key, variable) = (name.to_owned(), super::environment::variable(path));
            settings.push(Setting { depth, begins_item: false, key, variable, value, source });
        };
        let source = value.map_or(Source::Default, |node| origin.of(&path, node.place));
        match key.kind {
            Kind::Map(below) => {
                let at = settings.len();
                walk(value, below, &path, depth + 1, origin, settings);
                if settings.len() > at {
                    let variable = super::environment::variable(&path);
                    let (key, value) = (key.name.to_owned(), None);
                    settings.insert(at, Setting { depth, begins_item: false, key, variable, value, source });
                }
            }
            Kind::List(below) => {
                let Some(Value::List(items)) = value.map(|node| &node.value) else { continue };
                push(key.name, depth, &path, None, source);
                for (index, item) in items.iter().enumerate() {
                    let at = settings.len();
                    walk(Some(item), below, &format!("{path}[{}]", index + 1), depth + 2, origin, settings);
                    if let Some(first) = settings.get_mut(at) {
                        first.begins_item = true;
                    }
                }
            }
            Kind::Named(below) => {
                let Some(Value::Map(entries)) = value.map(|node| &node.value) else { continue };
                push(key.name, depth, &path, None, source);
                for (name, node) in entries {
                    let path = format!("{path}.{}", name.name);
                    let source = origin.of(&path, name.place);
                    let variable = super::environment::variable(&path);
                    let (key, value) = (name.name.clone(), None);
                    settings.push(Setting {
                        depth: depth + 1,
                        begins_item: false,
                        key,
                        variable,
                        value,
                        source,
                    });
                    walk(Some(node), below, &path, depth + 2, origin, settings);
                }
            }
            _ => {
                let shown = match value.map(|node| &node.value) {
                    Some(value) => Some(plain(value)),
                    None => key.default.map(str::to_owned),
                };
                if shown.is_some() {
                    push(key.name, depth, &path, shown, source);
                }
            }
        }
    }
}

/// A value on one line of YAML, in which nothing steers a terminal.
fn plain(value: &Value) -> String {
    match value {
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.clone(),
        Value::Text(text) => quoted(text),
        _ => String::new(),
    }
}

/// A text as YAML, in quotes, on one line, and without a control character, of which YAML takes few.
pub(crate) fn quoted(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let mut line = String::with_capacity(quoted.len());
    for character in quoted.chars() {
        match character.is_control() {
            true => line.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => line.push(character),
        }
    }
    line
}
