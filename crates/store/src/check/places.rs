//! Places, entries and secrets, each entry looked at once in the order of ids; then the tree, in the order of its keys.

use std::{collections::HashSet, ops::RangeInclusive};

use flext_ldap_proto::{attribute::Attributes, dn::Dn};

use super::{Check, Nameless, Remedy};
use crate::{
    constraint,
    context::base,
    credentials,
    ppolicy::history,
    read::{Named, read_id},
    row::{Id, Node, ROOT, Stored, decode_secret, tree_key},
    rows::Table,
    tables::{Failure, Rows},
    values::value_key,
};

/// Entries between two reports of progress.
const PROGRESS: u64 = 4_096;

/// Rows read at a time.
const ROWS: usize = 1_024;

/// What the rows of one id are in the three tables that have ids for keys.
struct Rowset {
    id: Id,
    node: Option<Vec<u8>>,
    entry: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
}

impl<T: Rows> Check<'_, T> {
    /// Looks at all that has an id within `ids`, and hands each entry that can be read to `each`.
    pub(super) fn places(
        &mut self,
        ids: RangeInclusive<Id>,
        next_id: Id,
        each: &mut dyn FnMut(Id, &Stored) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut from = *ids.start();
        loop {
            let rows = self.rowsets(from, *ids.end())?;
            let Some(last) = rows.last() else { return Ok(()) };
            let last = last.id;
            for row in rows {
                self.pass()?;
                self.rowset(row, next_id, each)?;
            }
            if last >= *ids.end() {
                return Ok(());
            }
            from = last.saturating_add(1);
        }
    }

    /// The next rows from `from` on, of three tables, by id.
    fn rowsets(&mut self, from: Id, to: Id) -> Result<Vec<Rowset>, Failure> {
        let (low, high) = (from.to_be_bytes(), to.to_be_bytes());
        let range = low.as_slice()..=high.as_slice();
        let mut ids = Vec::new();
        let mut strange = Vec::new();
        for (name, table) in
            [("node", &self.tables.node), ("entry", &self.tables.entry), ("secret", &self.tables.secret)]
        {
            for row in table.range::<&[u8]>(range.clone())?.take(ROWS) {
                let key = row?.0;
                match <[u8; 4]>::try_from(key.value()) {
                    Ok(id) => ids.push(Id::from_be_bytes(id)),
                    Err(_) => strange.push((name, key.value().len())),
                }
            }
        }
        for (name, octets) in strange {
            self.of_table(name, format!("a key has {octets} octets instead of 4"), Remedy::Restore);
        }
        ids.sort_unstable();
        ids.dedup();
        // Of the tables that were cut off at `ROWS`, all up to here were seen.
        ids.truncate(ROWS);
        let read = |table: &Table<T>, id: Id| -> Result<Option<Vec<u8>>, Failure> {
            Ok(table.get(id.to_be_bytes().as_slice())?.map(|row| row.value().to_vec()))
        };
        ids.into_iter()
            .map(|id| {
                Ok(Rowset {
                    id,
                    node: read(&self.tables.node, id)?,
                    entry: read(&self.tables.entry, id)?,
                    secret: read(&self.tables.secret, id)?,
                })
            })
            .collect()
    }

    fn rowset(
        &mut self,
        row: Rowset,
        next_id: Id,
        each: &mut dyn FnMut(Id, &Stored) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Rowset { id, node, entry, secret } = row;
        self.report.entries += u64::from(entry.is_some());
        if self.report.entries.is_multiple_of(PROGRESS) {
            (self.tell)(super::CheckEvent::Entries(self.report.entries));
        }
        if id >= next_id {
            let what = format!("the next id to be given out is {next_id}, and this one is taken");
            self.of_entry("meta", id, None, what, Remedy::Rebuild);
        }
        let readable = node.as_deref().map(Node::decode).transpose();
        let named = match &readable {
            Ok(Some(node)) => self.place(id, node)?,
            Ok(None) => {
                let what = "it has a row in `entry` or `secret`, and no place";
                self.of_entry("node", id, None, what, Remedy::Restore);
                None
            }
            Err(_) => {
                self.of_entry("node", id, None, "the row cannot be read", Remedy::Restore);
                None
            }
        };
        let dn = match (&named, &readable) {
            (Some(named), _) => Some(named.dn.clone()),
            (None, Ok(Some(node))) => Some(node.name.clone()),
            (None, _) => None,
        };
        let secrets = match secret.as_deref().map(decode_secret).transpose() {
            Ok(secrets) => secrets,
            Err(_) => {
                self.of_entry("secret", id, dn.as_deref(), "the row cannot be read", Remedy::Restore);
                None
            }
        };
        match (&secrets, entry.is_some()) {
            (Some(_), false) => {
                self.of_entry("secret", id, dn.as_deref(), "it belongs to no entry", Remedy::Restore);
            }
            (Some(secrets), true)
                if secrets.is_empty() && !secret.as_deref().is_some_and(history::is_kept) =>
            {
                self.of_entry("secret", id, dn.as_deref(), "the row holds no password", Remedy::Modify);
            }
            _ => {}
        }
        let Some(entry) = entry else {
            if node.is_some() {
                self.of_entry("entry", id, dn.as_deref(), "there is no row", Remedy::Restore);
            }
            return Ok(());
        };
        match Stored::decode(id, &entry) {
            Ok(stored) => {
                each(id, &stored)?;
                if let Some(named) = &named {
                    self.entry(id, named, &stored, secrets.as_deref().unwrap_or_default())?;
                    for what in constraint::inspect(self.context, self.tables, id, named, &stored)? {
                        self.of_entry("entry", id, dn.as_deref(), what, Remedy::Modify);
                    }
                }
                for large in stored.large() {
                    self.large(id, dn.as_deref().unwrap_or_default(), large)?;
                }
            }
            Err(_) => self.of_entry("entry", id, dn.as_deref(), "the row cannot be read", Remedy::Restore),
        }
        Ok(())
    }

    /// Looks at where an entry stands. Returns its name, if it has one.
    fn place(&mut self, id: Id, node: &Node) -> Result<Option<Named>, Failure> {
        if id == ROOT {
            self.of_entry("node", id, Some(&node.name), "the root has a row", Remedy::Restore);
        }
        let named = match self.name(node)? {
            Ok(named) => Some(named),
            Err(Nameless::Circle) => {
                let what = "it stands below itself";
                self.of_entry("node", id, Some(&node.name), what, Remedy::Restore);
                None
            }
            Err(Nameless::Lost(above)) => {
                let what = format!("it stands below entry {above}, which is not there or cannot be read");
                self.of_entry("node", id, Some(&node.name), what, Remedy::Restore);
                None
            }
        };
        let dn = named.as_ref().map_or_else(|| node.name.clone(), |named| named.dn.clone());
        let name = node.name.parse::<Dn>().ok();
        let key = name.as_ref().and_then(|name| self.context.schema.dn_key(name).ok());
        match key {
            None => {
                let what = format!("its name `{}` is none by the schema", node.name);
                self.of_entry("node", id, Some(&dn), what, Remedy::Restore);
            }
            Some(key) if key.rdns() != node.key.as_slice() => {
                let what = "its name is kept in another normal form than the schema's";
                self.of_entry("node", id, Some(&dn), what, Remedy::Rebuild);
            }
            Some(key) if node.parent != ROOT && key.rdns().len() != 1 => {
                let what = "its name below its parent has more than one component";
                self.of_entry("node", id, Some(&dn), what, Remedy::Restore);
            }
            Some(_) => {}
        }
        match self.tables.child(node.parent, &node.key) {
            Ok(Some(found)) if found == id => {}
            Ok(Some(other)) => {
                let twin = self
                    .readable_node(other)?
                    .is_some_and(|twin| twin.parent == node.parent && twin.key == node.key);
                if twin {
                    let what = format!("entry {other} has the same name, so this one cannot be reached");
                    self.of_entry("node", id, Some(&dn), what, Remedy::Restore);
                } else {
                    let what = format!("the row of its name leads to entry {other}");
                    self.of_entry("tree", id, Some(&dn), what, Remedy::Rebuild);
                }
            }
            Ok(None) => {
                self.of_entry("tree", id, Some(&dn), "no row leads to it", Remedy::Rebuild);
            }
            Err(_) => {
                self.of_entry("tree", id, Some(&dn), "the row of its name cannot be read", Remedy::Rebuild);
            }
        }
        if node.children > 0 {
            let start = id.to_be_bytes();
            let first = self.tables.tree.range::<&[u8]>(start.as_slice()..)?.next().transpose()?;
            if !first.is_some_and(|(key, _)| key.value().starts_with(&start)) {
                let what = format!("it is to have {} children, and none stands below it", node.children);
                self.of_entry("node", id, Some(&dn), what, Remedy::Rebuild);
            }
        }
        Ok(named)
    }

    /// Looks at what an entry says.
    fn entry(&mut self, id: Id, named: &Named, stored: &Stored, secrets: &[Vec<u8>]) -> Result<(), Failure> {
        let context = self.context;
        let mut faults = Vec::new();
        let mut seen = HashSet::new();
        let mut full = Attributes::builder();
        for attribute in stored.user().iter().chain(stored.operational().iter()) {
            let description = attribute.description();
            if !seen.insert(context.canonical(description)) {
                faults.push(format!("attribute `{description}` is there twice"));
                continue;
            }
            if context.is_password(description) {
                faults.push(format!("`{description}` stands among what everybody may read"));
            }
            full.push(description, attribute.values());
        }
        for large in stored.large() {
            let description = &large.description;
            if !seen.insert(context.canonical(description)) {
                faults.push(format!("attribute `{description}` is there twice"));
            }
            if context.is_password(description) {
                faults.push(format!("`{description}` stands among what everybody may read"));
            }
            let kind = context.schema.attribute_type(base(description));
            if large.count == 0 {
                faults.push(format!("attribute `{description}` has no values"));
            } else if large.count > 1 && kind.is_some_and(|kind| kind.single_value) {
                faults.push(format!("attribute `{description}` takes one value only"));
            }
            // Values are looked at where they are; the classes ask only whether there are any.
            full.push(description, [""; 0]);
        }
        for attribute in stored.operational().iter() {
            let Some(kind) = context.schema.attribute_type(base(attribute.description())) else { continue };
            if kind.single_value && attribute.values().count() > 1 {
                faults.push(format!("attribute `{}` takes one value only", attribute.description()));
            }
        }
        if stored.operational().get("entryUUID").is_none_or(|one| one.values().count() != 1) {
            faults.push("it has no entryUUID".to_owned());
        }
        if credentials::check_count(secrets.len()).is_err() {
            faults.push(format!("it has {} passwords", secrets.len()));
        }
        if !secrets.is_empty() {
            full.push("userPassword", secrets);
        }
        match named.dn.parse::<Dn>() {
            Ok(dn) => {
                for ava in dn.rdns().take(1).flat_map(|rdn| rdn.avas().collect::<Vec<_>>()) {
                    let (name, value) = (context.canonical(ava.attribute_type()), ava.value());
                    let large = stored.large().iter().find(|one| context.canonical(&one.description) == name);
                    if let Some(large) = large
                        && large.get(self.tables, &value_key(context, &name, &value))?.is_some()
                    {
                        full.push(&large.description, [&value]);
                    }
                }
                let attributes = full.build();
                let violations = context.schema.violations(&dn, attributes.as_ref());
                faults.extend(violations.iter().map(ToString::to_string));
            }
            Err(error) => faults.push(format!("its name is none: {error}")),
        }
        for what in faults {
            self.of_entry("entry", id, Some(&named.dn), what, Remedy::Modify);
        }
        Ok(())
    }

    /// Looks at every row of `tree`, and counts children.
    pub(super) fn tree(&mut self) -> Result<(), Failure> {
        let tables = self.tables;
        let mut counting: Option<(Id, u32)> = None;
        for row in tables.tree.range::<&[u8]>(..)? {
            self.pass()?;
            let (key, value) = row?;
            let Some((parent, _)) = key.value().split_first_chunk() else {
                self.of_table("tree", "a key is shorter than 4 octets", Remedy::Rebuild);
                continue;
            };
            let parent = Id::from_be_bytes(*parent);
            match &mut counting {
                Some((one, count)) if *one == parent => *count = count.saturating_add(1),
                _ => {
                    if let Some((parent, count)) = counting.replace((parent, 1)) {
                        self.children(parent, count)?;
                    }
                }
            }
            let Ok(id) = read_id(value.value()) else {
                let what = format!("a row below entry {parent} cannot be read");
                self.of_table("tree", what, Remedy::Rebuild);
                continue;
            };
            let node = self.readable_node(id)?;
            if node.as_ref().is_none_or(|node| tree_key(node.parent, &node.key) != key.value()) {
                let what = if node.is_none() {
                    format!("a row below entry {parent} leads to it, and it is not there")
                } else {
                    format!("a row below entry {parent} leads to it, and it has another place or name")
                };
                let dn = self.shown(id)?;
                self.of_entry("tree", id, dn.as_deref(), what, Remedy::Rebuild);
            }
        }
        match counting {
            Some((parent, count)) => self.children(parent, count),
            None => Ok(()),
        }
    }

    fn children(&mut self, parent: Id, count: u32) -> Result<(), Failure> {
        if parent == ROOT {
            return Ok(());
        }
        // That a parent is not there is told with each of its children.
        let Some(node) = self.readable_node(parent)? else { return Ok(()) };
        if node.children != count {
            let what = format!("it is to have {} children, and {count} stand below it", node.children);
            let dn = self.shown(parent)?;
            self.of_entry("node", parent, dn.as_deref(), what, Remedy::Rebuild);
        }
        Ok(())
    }
}
