//! The directory as a map: what stands where, and what is answered.

use std::collections::{BTreeMap, BTreeSet};

use flext_ldap_proto::{
    dn::Dn,
    filter::Filter,
    message::{ChangeKind, Scope},
    result::ResultCode,
};

pub(super) const SUFFIX: &str = "dc=harbourlane,dc=example";

/// A path from the suffix down is what an entry is called.
#[derive(Clone, Debug, Default)]
pub(super) struct Model(BTreeMap<Vec<u8>, Unit>);

#[derive(Clone, Debug, Default)]
struct Unit {
    /// Values of `ou`: more than one after a rename that kept the old name.
    names: Vec<u8>,
    /// Values of `description`, as they were spelt.
    descriptions: Vec<String>,
    password: bool,
}

/// What is added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Right,
    WithPassword,
    WithoutClass,
    UnknownAttribute,
    NotAllowed,
}

/// One change of a modify.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    pub(super) values: Vec<String>,
}

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    Any,
    Described(&'static str),
    NotDescribed(&'static str),
    HasDescription,
    Named(&'static str),
}

pub(super) fn name(path: &[u8]) -> Dn {
    spelt(path).parse().unwrap()
}

fn spelt(path: &[u8]) -> String {
    let own: String = path.iter().rev().map(|part| format!("ou=u{part},")).collect();
    format!("{own}{SUFFIX}")
}

/// caseIgnoreMatch, for the few values there are.
fn same(one: &str, other: &str) -> bool {
    let form = |text: &str| text.to_lowercase().replace("  ", " ");
    form(one) == form(other)
}

impl Unit {
    fn described(&self, value: &str) -> bool {
        self.descriptions.iter().any(|held| same(held, value))
    }
}

impl Test {
    pub(super) fn filter(self) -> Filter {
        let text = match self {
            Self::Any => "(objectClass=*)".to_owned(),
            Self::Described(value) => format!("(description={value})"),
            Self::NotDescribed(value) => format!("(!(description={value}))"),
            Self::HasDescription => "(description=*)".to_owned(),
            Self::Named(value) => format!("(ou={value})"),
        };
        text.parse().unwrap()
    }

    fn holds(self, unit: &Unit) -> bool {
        match self {
            Self::Any => true,
            Self::Described(value) => unit.described(value),
            Self::NotDescribed(value) => !unit.described(value),
            Self::HasDescription => !unit.descriptions.is_empty(),
            Self::Named(value) => unit.names.iter().any(|name| same(&format!("u{name}"), value)),
        }
    }
}

impl Model {
    pub(super) fn holds(&self, path: &[u8]) -> bool {
        path.is_empty() || self.0.contains_key(path)
    }

    pub(super) fn has_password(&self, path: &[u8]) -> bool {
        self.0.get(path).is_some_and(|unit| unit.password)
    }

    pub(super) fn descriptions(&self, path: &[u8]) -> Vec<String> {
        let mut values = self.0.get(path).map_or_else(Vec::new, |unit| unit.descriptions.clone());
        values.sort();
        values
    }

    /// Name, values of `ou`, values of `description` of all entries, sorted.
    pub(super) fn contents(&self) -> Vec<(String, Vec<String>, Vec<String>)> {
        let all: BTreeSet<_> = self
            .0
            .iter()
            .map(|(path, unit)| {
                let mut names: Vec<String> = unit.names.iter().map(|name| format!("u{name}")).collect();
                names.sort();
                (spelt(path), names, self.descriptions(path))
            })
            .collect();
        all.into_iter().collect()
    }

    pub(super) fn add(&mut self, path: &[u8], kind: Kind) -> ResultCode {
        match kind {
            _ if self.holds(path) => return ResultCode::ENTRY_ALREADY_EXISTS,
            _ if !self.holds(&path[..path.len() - 1]) => return ResultCode::NO_SUCH_OBJECT,
            Kind::UnknownAttribute => return ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
            Kind::WithoutClass | Kind::NotAllowed => return ResultCode::OBJECT_CLASS_VIOLATION,
            Kind::Right | Kind::WithPassword => {}
        }
        let names = path.last().copied().into_iter().collect();
        let password = kind == Kind::WithPassword;
        self.0.insert(path.to_vec(), Unit { names, password, ..Unit::default() });
        ResultCode::SUCCESS
    }

    pub(super) fn delete(&mut self, path: &[u8], tree: bool, assertion: Option<&str>) -> ResultCode {
        let Some(unit) = self.0.get(path) else { return ResultCode::NO_SUCH_OBJECT };
        if assertion.is_some_and(|value| !unit.described(value)) {
            return ResultCode::ASSERTION_FAILED;
        }
        if !tree && self.0.keys().any(|other| other.len() > path.len() && other.starts_with(path)) {
            return ResultCode::NOT_ALLOWED_ON_NON_LEAF;
        }
        self.0.retain(|other, _| !other.starts_with(path));
        ResultCode::SUCCESS
    }

    /// All changes or none (RFC 4511 §4.6): who plays them does so on a copy.
    pub(super) fn modify(
        &mut self,
        path: &[u8],
        changes: &[Change],
        permissive: bool,
        assertion: Option<&str>,
    ) -> ResultCode {
        let Some(unit) = self.0.get_mut(path) else { return ResultCode::NO_SUCH_OBJECT };
        if assertion.is_some_and(|value| !unit.described(value)) {
            return ResultCode::ASSERTION_FAILED;
        }
        for change in changes {
            match change.kind {
                ChangeKind::Add if change.values.is_empty() => return ResultCode::PROTOCOL_ERROR,
                ChangeKind::Delete if change.values.is_empty() => {
                    if unit.descriptions.is_empty() && !permissive {
                        return ResultCode::NO_SUCH_ATTRIBUTE;
                    }
                    unit.descriptions.clear();
                }
                ChangeKind::Delete => {
                    let had = unit.descriptions.clone();
                    for value in &change.values {
                        if !permissive && !had.iter().any(|held| same(held, value)) {
                            return ResultCode::NO_SUCH_ATTRIBUTE;
                        }
                        unit.descriptions.retain(|held| !same(held, value));
                    }
                }
                _ => {
                    if change.kind == ChangeKind::Replace {
                        unit.descriptions.clear();
                    }
                    for value in &change.values {
                        if !unit.described(value) {
                            unit.descriptions.push(value.clone());
                        } else if !permissive {
                            return ResultCode::ATTRIBUTE_OR_VALUE_EXISTS;
                        }
                    }
                }
            }
        }
        ResultCode::SUCCESS
    }

    pub(super) fn rename(
        &mut self,
        path: &[u8],
        to: u8,
        above: Option<&[u8]>,
        delete_old_rdn: bool,
    ) -> ResultCode {
        if !self.0.contains_key(path) {
            return ResultCode::NO_SUCH_OBJECT;
        }
        let (old, parent) = path.split_last().unwrap();
        let above = above.unwrap_or(parent);
        if !self.holds(above) {
            return ResultCode::NO_SUCH_OBJECT;
        }
        if above.starts_with(path) {
            return ResultCode::UNWILLING_TO_PERFORM;
        }
        let target = [above, &[to]].concat();
        if target != path && self.0.contains_key(&target) {
            return ResultCode::ENTRY_ALREADY_EXISTS;
        }
        let moved: Vec<_> = self.0.keys().filter(|one| one.starts_with(path)).cloned().collect();
        for from in moved {
            let unit = self.0.remove(&from).unwrap();
            self.0.insert([target.as_slice(), &from[path.len()..]].concat(), unit);
        }
        let unit = self.0.get_mut(&target).unwrap();
        if delete_old_rdn {
            unit.names.retain(|name| name != old);
        }
        if !unit.names.contains(&to) {
            unit.names.push(to);
        }
        ResultCode::SUCCESS
    }

    pub(super) fn compare(&self, path: &[u8], value: &str) -> ResultCode {
        match self.0.get(path) {
            None => ResultCode::NO_SUCH_OBJECT,
            Some(unit) if unit.descriptions.is_empty() => ResultCode::NO_SUCH_ATTRIBUTE,
            Some(unit) if unit.described(value) => ResultCode::COMPARE_TRUE,
            Some(_) => ResultCode::COMPARE_FALSE,
        }
    }

    pub(super) fn search(&self, base: &[u8], scope: Scope, test: Test) -> (ResultCode, BTreeSet<String>) {
        if !self.holds(base) {
            return (ResultCode::NO_SUCH_OBJECT, BTreeSet::new());
        }
        // The suffix is an entry that has neither `ou` nor `description`.
        let suffix = (Vec::new(), Unit::default());
        let all = self.0.iter().chain([(&suffix.0, &suffix.1)]);
        let found = all.filter(|(path, unit)| {
            let below = path.starts_with(base);
            let within = match scope {
                Scope::Base => *path == base,
                Scope::One => below && path.len() == base.len() + 1,
                Scope::Children => below && path.len() > base.len(),
                _ => below,
            };
            within && test.holds(unit)
        });
        (ResultCode::SUCCESS, found.map(|(path, _)| spelt(path)).collect())
    }
}
