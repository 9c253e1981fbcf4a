//! Variables of the environment that override keys of the file: `FLEXT_LDAP_PRIMARY_SERVER__HOST` is
//! `primary_server.host`. Items of lists are counted from 1, as messages count them.

use std::{collections::BTreeMap, ffi::OsString};

use super::keys::{KEYS, Key, Kind};
use crate::yaml::{self, Node, Place, Value, suggestion};

/// What all of them begin with.
const PREFIX: &str = "FLEXT_LDAP_";

/// What lies between a key and one below it.
const BELOW: &str = "__";

/// Variables with this beginning that name no key and are meant for something else.
const OTHERS: [&str; 1] = ["CONFIG"];

/// Names that flat settings have elsewhere, with what goes by them here.
const FLAT: [(&str, &str); 5] = [
    ("SERVER_URL", "PRIMARY_SERVER__URL"),
    ("PORT", "PRIMARY_SERVER__PORT"),
    ("USE_SSL", "PRIMARY_SERVER__USE_SSL"),
    ("BIND_DN", "SERVICE_ACCOUNTS__NAME__DN"),
    ("BIND_PASSWORD", "SERVICE_ACCOUNTS__NAME__PASSWORD_ENV"),
];

/// What was overridden, and what was not.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    /// Which variable has set what: its name by the path of the key.
    pub(super) by_path: BTreeMap<String, String>,
    /// Variables that are wrong, with why.
    pub(super) wrong: Vec<(String, String)>,
    /// Variables that name no key, and may be meant for something else.
    pub(super) strange: Vec<String>,
}

impl Overrides {
    /// Puts into the tree below the top what the environment says.
    pub(super) fn apply(
        tree: &mut Node,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut overrides = Self::default();
        let mut variables = Vec::new();
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            let Some(rest) = name.strip_prefix(PREFIX).filter(|rest| !OTHERS.contains(rest)) else {
                continue;
            };
            variables.push((rest.split(BELOW).count(), name.to_owned(), rest.to_owned(), value));
        }
        // What says more goes first, and is refined by what says less.
        variables.sort();
        for (depth, name, rest, value) in variables {
            let parts: Vec<_> = rest.split(BELOW).collect();
            if depth == 1 && !KEYS.iter().any(|key| key.name.eq_ignore_ascii_case(&rest)) {
                overrides.strange.push(name);
                continue;
            }
            let outcome = match value.into_string() {
                Ok(value) => put(tree, KEYS, &parts, &value),
                Err(_) => Err("is not UTF-8".to_owned()),
            };
            match outcome {
                Ok(path) => {
                    overrides.by_path.insert(path, name);
                }
                Err(why) => overrides.wrong.push((name, why)),
            }
        }
        overrides
    }

    /// The variable that has set the value at this path, or the map or list it is in.
    pub(super) fn of(&self, path: &str) -> Option<&str> {
        let mut nearest = path;
        loop {
            if let Some(name) = self.by_path.get(nearest) {
                return Some(name);
            }
            nearest = nearest.get(..nearest.rfind(['.', '['])?)?;
        }
    }
}

/// What is said of a variable that names no key.
pub(super) fn stranger(name: &str) -> String {
    let flat = FLAT.iter().find(|(flat, _)| name.strip_prefix(PREFIX) == Some(flat));
    let hint = flat.map(|(_, meant)| format!("; `{PREFIX}{meant}` names one for this")).unwrap_or_default();
    format!("names no key and no password of an account; it is passed over{hint}")
}

/// The variable for a path, as far as there can be one.
pub(super) fn variable(path: &str) -> String {
    let path = path.replace('[', BELOW).replace(']', "").replace('.', BELOW).replace('-', "_");
    format!("{PREFIX}{}", path.to_ascii_uppercase())
}

/// Puts a value where `parts` say, and gives the path of it. As deep as the table of keys.
fn put(node: &mut Node, keys: &'static [Key], parts: &[&str], value: &str) -> Result<String, String> {
    let Some((part, rest)) = parts.split_first() else { return Err("names no key".to_owned()) };
    let Some(key) = keys.iter().find(|key| key.name.eq_ignore_ascii_case(part)) else {
        let names: Vec<_> = keys.iter().map(|key| key.name).collect();
        let meant = part.trim_start_matches('_').to_ascii_lowercase();
        let hint = match names.contains(&meant.as_str()) {
            true => {
                "; there is one `_` before the first key, and two between a key and one below it".to_owned()
            }
            false => match suggestion(&meant, &names) {
                near if near.is_empty() => format!("; expected one of `{}`", names.join("`, `")),
                near => near,
            },
        };
        return Err(format!("names no key: there is no `{meant}` here{hint}"));
    };
    let place = entry(node, key.name)?;
    if rest.is_empty() {
        *place = read(&key.kind, value)?;
        return Ok(key.name.to_owned());
    }
    match key.kind {
        Kind::Map(below) => Ok(format!("{}.{}", key.name, put(place, below, rest, value)?)),
        Kind::List(below) => {
            let number = rest.first().and_then(|number| number.parse::<usize>().ok());
            let rest = rest.get(1..).unwrap_or_default();
            if !matches!(place.value, Value::List(_)) {
                place.value = Value::List(Vec::new());
            }
            let Value::List(items) = &mut place.value else { return Err("names no list".to_owned()) };
            let next = items.len() + 1;
            let Some(number) = number.filter(|number| (1..=next).contains(number)) else {
                return Err(format!("names no item of `{}`: the next to add is number {next}", key.name));
            };
            if rest.is_empty() {
                return Err("names an item of a list, and no key of it".to_owned());
            }
            if number == next {
                items.push(Node { place: Place::default(), value: Value::Map(Vec::new()) });
            }
            let Some(item) = items.get_mut(number - 1) else { return Err("names no item".to_owned()) };
            Ok(format!("{}[{number}].{}", key.name, put(item, below, rest, value)?))
        }
        Kind::Named(below) => {
            let Some((name, rest)) =
                rest.split_first().filter(|(name, rest)| !name.is_empty() && !rest.is_empty())
            else {
                return Err(format!("names no key below a name in `{}`", key.name));
            };
            let name = given(place, name);
            Ok(format!("{}.{name}.{}", key.name, put(entry(place, &name)?, below, rest, value)?))
        }
        _ => Err(format!("names no key: `{}` has none below it", key.name)),
    }
}

/// The name that is there already, whatever its case and with `-` for `_`, or the one given, in small letters.
fn given(node: &Node, name: &str) -> String {
    let plain = |name: &str| name.replace('-', "_").to_ascii_lowercase();
    match &node.value {
        Value::Map(entries) => entries.iter().find(|(key, _)| plain(&key.name) == plain(name)),
        _ => None,
    }
    .map_or_else(|| name.to_ascii_lowercase(), |(key, _)| key.name.clone())
}

/// The value at a key, which is there from now on.
fn entry<'a>(node: &'a mut Node, name: &str) -> Result<&'a mut Node, String> {
    if !matches!(node.value, Value::Map(_)) {
        node.value = Value::Map(Vec::new());
    }
    let none = || "names no key".to_owned();
    let Value::Map(entries) = &mut node.value else { return Err(none()) };
    let index = entries.iter().position(|(key, _)| key.name == name).unwrap_or(entries.len());
    if index == entries.len() {
        let place = Place::default();
        entries.push((yaml::Key { place, name: name.to_owned() }, Node { place, value: Value::Nothing }));
    }
    entries.get_mut(index).map(|(_, node)| node).ok_or_else(none)
}

/// What a variable holds: as it is where a text goes, as YAML where more does.
fn read(kind: &Kind, value: &str) -> Result<Node, String> {
    let value = match (kind, value) {
        (_, "") => Value::Nothing,
        (Kind::Flag, "true") => Value::Flag(true),
        (Kind::Flag, "false") => Value::Flag(false),
        _ if kind.below().is_some() => {
            let mut node = yaml::parse(value).map_err(|(_, why)| format!("is no YAML: {why}"))?;
            unplace(&mut node);
            return Ok(node);
        }
        _ => Value::Text(value.to_owned()),
    };
    Ok(Node { place: Place::default(), value })
}

/// Takes the places away, which are not of the file. As deep as what was read.
fn unplace(node: &mut Node) {
    node.place = Place::default();
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(unplace),
        Value::Map(entries) => {
            for (key, node) in entries {
                key.place = Place::default();
                unplace(node);
            }
        }
        _ => {}
    }
}
