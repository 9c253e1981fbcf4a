//! Search: the store, with whatever indexes, finds what a plain list and the [`naive`](crate::naive) evaluator find.
//!
//! The octets choose the indexes, a tree of entries, filters with scopes, then changes to the entries and the filters
//! again, since an index may be right when it is built and wrong after a change.

use std::collections::BTreeSet;

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory as _, Event, Op, Request};
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    message::{Add, Change, ChangeKind, Delete, Modify, Rename, Scope, Search},
    result::ResultCode,
    schema::Schema,
};
use flext_ldap_store::{IndexConfig, IndexKind, Store, StoreOptions};

use crate::{
    Draw,
    naive::{KINDS, Kind, Plain, Tree, text},
};

const SUFFIX: [(&str, &str); 2] = [("dc", "harbourlane"), ("dc", "example")];
const PERSON: [&str; 5] = ["top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount"];
const MOST_ENTRIES: usize = 14;
const MOST_FILTERS: usize = 24;

/// One case.
pub fn case(data: &[u8]) -> bool {
    let mut draw = Draw::new(data);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let options = StoreOptions::memory().suffix(dn(&suffix())).indexes(indexes(&mut draw));
        let mut both = Both { store: Store::open(options).unwrap(), list: Vec::new(), made: 0 };
        both.add(Plain {
            name: suffix(),
            attributes: vec![
                ("objectClass", vec!["top".into(), "organization".into(), "dcObject".into()]),
                ("o", vec!["Harbour Lane".into()]),
                ("dc", vec!["harbourlane".into()]),
            ],
        })
        .await;
        for _ in 0..=draw.below(MOST_ENTRIES) {
            both.grow(&mut draw).await;
        }
        let filters: Vec<(Tree, Scope)> = (0..=draw.below(MOST_FILTERS))
            .map(|_| {
                let scopes = [Scope::Subtree, Scope::Subtree, Scope::One, Scope::Base, Scope::Children];
                (Tree::draw(&mut draw, 4), draw.pick(&scopes))
            })
            .collect();
        both.agree(&filters, &mut draw).await;
        for _ in 0..draw.below(8) {
            both.change(&mut draw).await;
        }
        both.agree(&filters, &mut draw).await;
    });
    true
}

fn suffix() -> Vec<(&'static str, String)> {
    SUFFIX.map(|(name, value)| (name, value.to_owned())).to_vec()
}

fn dn(name: &[(&'static str, String)]) -> Dn {
    spelt(name).parse().unwrap()
}

fn spelt(name: &[(&'static str, String)]) -> String {
    name.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn indexes(draw: &mut Draw<'_>) -> IndexConfig {
    let schema = Schema::standard();
    let mut config = IndexConfig::default();
    for (name, _) in KINDS.iter().filter(|(name, _)| !name.contains(';') && *name != "objectClass") {
        let asked = draw.octet();
        let kind = schema.attribute_type(name).unwrap();
        let all = IndexKind::ALL.into_iter().enumerate().filter(|(bit, one)| {
            let allowed = match one {
                IndexKind::Equality => kind.equality.is_some(),
                IndexKind::Ordering => kind.ordering.is_some(),
                IndexKind::Substring => kind.substrings.is_some(),
                _ => true,
            };
            allowed && asked & 1 << bit != 0
        });
        // Left as they are by default, else what was drawn.
        if asked & 0x10 == 0 {
            config = config.index(name, all.map(|(_, one)| one).collect::<Vec<_>>());
        }
    }
    config
}

/// The store, and the list it is compared with.
struct Both {
    store: Store,
    list: Vec<Plain>,
    made: usize,
}

impl Both {
    async fn ask(&self, op: impl Into<Op>) -> ResultCode {
        let reply = self.store.call(Request::new(op.into(), Actor::Service));
        reply.outcome().await.unwrap().result.code
    }

    async fn add(&mut self, entry: Plain) {
        let mut attributes = Attributes::builder();
        for (name, values) in &entry.attributes {
            attributes.push(name, values.iter().map(String::as_str));
        }
        let code = self.ask(Add::new(dn(&entry.name), attributes.build())).await;
        assert_eq!(code, ResultCode::SUCCESS, "{entry:?}");
        self.list.push(entry);
    }

    /// Adds an entry below one that is there.
    async fn grow(&mut self, draw: &mut Draw<'_>) {
        let above = self.list[draw.below(self.list.len())].name.clone();
        let number = self.made;
        self.made += 1;
        let unit = draw.rarely(5);
        let (naming, value) = if unit { ("ou", format!("u{number}")) } else { ("uid", format!("p{number}")) };
        let classes: &[&str] = if unit { &["top", "organizationalUnit"] } else { &PERSON };
        let mut entry = Plain { name: vec![(naming, value.clone())], attributes: Vec::new() };
        entry.name.extend(above);
        entry.attributes.push(("objectClass", classes.iter().map(|&class| class.to_owned()).collect()));
        entry.attributes.push((naming, vec![value]));
        let drawn = if unit { 2 } else { 8 };
        for _ in 0..draw.below(drawn) {
            let attribute = if unit { "description" } else { any_attribute(draw) };
            put(&mut entry, attribute, text(attribute, draw));
        }
        if !unit {
            for (name, value) in [("cn", "P"), ("sn", "Quay"), ("uidNumber", "5"), ("homeDirectory", "/")] {
                if !entry.attributes.iter().any(|(held, _)| *held == name) {
                    entry.attributes.push((name, vec![value.to_owned()]));
                }
            }
            entry.attributes.push(("gidNumber", vec!["1".to_owned()]));
        }
        self.add(entry).await;
    }

    /// Changes an entry, or takes one that has none below it, or moves one with all below it.
    async fn change(&mut self, draw: &mut Draw<'_>) {
        let at = draw.below(self.list.len());
        if at == 0 {
            return;
        }
        let name = self.list[at].name.clone();
        match draw.below(6) {
            0 => {
                let is_leaf = !self.list.iter().any(|other| is_below(&other.name, &name));
                let code = self.ask(Delete { dn: dn(&name) }).await;
                let want = if is_leaf { ResultCode::SUCCESS } else { ResultCode::NOT_ALLOWED_ON_NON_LEAF };
                assert_eq!(code, want, "{name:?}");
                if is_leaf {
                    self.list.remove(at);
                }
            }
            1 => {
                let to = self.list[draw.below(self.list.len())].name.clone();
                let mut new = vec![name[0].clone()];
                new.extend(to.clone());
                let (attribute, value) = &name[0];
                let rename = Rename {
                    dn: dn(&name),
                    new_rdn: format!("{attribute}={value}").parse().unwrap(),
                    delete_old_rdn: true,
                    new_superior: Some(dn(&to)),
                };
                let code = self.ask(rename).await;
                if to == name || is_below(&to, &name) {
                    assert_ne!(code, ResultCode::SUCCESS, "{name:?} {to:?}");
                    return;
                }
                assert_eq!(code, ResultCode::SUCCESS, "{name:?} {to:?}");
                for entry in &mut self.list {
                    if entry.name.ends_with(&name) {
                        let own = entry.name.len() - name.len();
                        entry.name.splice(own.., new.clone());
                    }
                }
            }
            _ if name[0].0 == "ou" => {}
            kind => {
                // All values anew, of one attribute; sometimes none, where the entry need not have it.
                let attribute = any_attribute(draw);
                let mut new = Plain::default();
                let must = ["cn", "sn", "uidNumber", "homeDirectory"].contains(&attribute);
                for _ in 0..draw.below(4).max(usize::from(must || kind < 4)) {
                    put(&mut new, attribute, text(attribute, draw));
                }
                let values = new.attributes.pop().map_or_else(Vec::new, |(_, values)| values);
                let change = Change {
                    kind: ChangeKind::Replace,
                    attribute: attribute.parse().unwrap(),
                    values: values.iter().map(|value| Bytes::from(value.clone())).collect(),
                };
                let code = self.ask(Modify { dn: dn(&name), changes: vec![change] }).await;
                assert_eq!(code, ResultCode::SUCCESS, "{name:?} {attribute} {values:?}");
                let entry = &mut self.list[at];
                entry.attributes.retain(|(held, _)| *held != attribute);
                if !values.is_empty() {
                    entry.attributes.push((attribute, values));
                }
            }
        }
    }

    async fn agree(&self, filters: &[(Tree, Scope)], draw: &mut Draw<'_>) {
        for (tree, scope) in filters {
            let base = match scope {
                Scope::Subtree => &self.list[0].name,
                _ => &self.list[draw.below(self.list.len())].name,
            };
            let search = Search::new(dn(base), *scope, tree.filter());
            let explanation = self.store.explain(&search, &Actor::Service).await.unwrap();
            let within = |name: &[(&'static str, String)]| match scope {
                Scope::Base => name == base,
                Scope::One => name.len() == base.len() + 1 && name.ends_with(base),
                Scope::Children => is_below(name, base),
                _ => name.ends_with(base),
            };
            let fits =
                self.list.iter().filter(|entry| within(&entry.name) && tree.holds(entry) == Some(true));
            let want: BTreeSet<String> = fits.map(|entry| spelt(&entry.name)).collect();
            let found = self.find(search).await;
            assert!(
                found == want,
                "{} in {scope:?} of {}\nfound {found:?}\nwanted {want:?}\n{explanation}\n{:?}",
                tree.filter(),
                spelt(base),
                self.list,
            );
        }
    }

    async fn find(&self, search: Search) -> BTreeSet<String> {
        let mut reply = self.store.call(Request::new(search, Actor::Service).into_any());
        let mut names = BTreeSet::new();
        loop {
            match reply.next().await.unwrap() {
                Event::Batch(batch) => {
                    for entry in batch.entries() {
                        assert!(names.insert(entry.dn_str().to_owned()), "{} twice", entry.dn_str());
                    }
                }
                Event::Done(outcome) => {
                    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
                    return names;
                }
            }
        }
    }
}

fn is_below(name: &[(&'static str, String)], base: &[(&'static str, String)]) -> bool {
    name.len() > base.len() && name.ends_with(base)
}

/// An attribute that a person may be given values of.
fn any_attribute(draw: &mut Draw<'_>) -> &'static str {
    // The last three are for filters, and what names an entry is left alone.
    let name = draw.pick(&KINDS[..KINDS.len() - 3]).0;
    if name == "uid" { "description" } else { name }
}

/// Adds a value, unless one that is equal is there or there may be only one.
fn put(entry: &mut Plain, attribute: &'static str, value: String) {
    let single = ["employeeNumber", "homeDirectory", "uidNumber"].contains(&attribute);
    let kind = KINDS.iter().find(|(name, _)| *name == attribute).map_or(Kind::Photo, |(_, kind)| *kind);
    match entry.attributes.iter_mut().find(|(held, _)| *held == attribute) {
        Some((_, values)) if !single && !values.iter().any(|held| kind.equal(held, &value)) => {
            values.push(value)
        }
        Some(_) => {}
        None => entry.attributes.push((attribute, vec![value])),
    }
}
