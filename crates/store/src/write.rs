//! What a write does, computed from what is stored without changing it: rows to write, or a refusal.
//!
//! redb cannot undo one operation of an open transaction, so nothing is written before all of an operation is known to
//! be right.

mod account;
pub(crate) mod add;
pub(crate) mod bound;
mod bundle;
mod caller;
mod delete;
mod edit;
mod load;
mod new_entry;
mod operation;
mod pattern;
mod permissive;
mod relax;
mod rename;
mod subschema;
mod tree_delete;
mod values;

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use flext_ldap_directory::{Actor, AttributeRight, EntryRight, Outcome};
use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    control::{Control, PostRead, PreRead, ReadEntry},
    dn::{Dn, DnKey, RdnRef},
    entry::Entry,
    filter::{Filter, Matcher, Truth},
    message::{Add, Change, Delete, Modify, Rename},
    result::{LdapResult, ResultCode},
    schema::Violation,
};
use roaring::RoaringBitmap;

pub(crate) use self::{
    account::SignIn,
    bundle::Bundle,
    new_entry::{LastParent, Prepared},
    operation::Operation,
    pattern::Patterns,
};
use self::{bound::Bound, new_entry::NewEntry};
use crate::{
    access::On,
    clock::Stamp,
    constraint::{member_of, reach::Reach, under},
    context::{Access, Caller, Context, base},
    credentials,
    index::{Asked, Keyed, Keys, Recent},
    meter::Meter,
    modify::Draft,
    project::{Projection, View, computed},
    read::{Climbed, Named, Resolved},
    row::{Id, Node, Stored, put_octets},
    special,
    tables::{Failure, Name, Writable},
    values::ValueRows,
    write::values::{IndexSink, ValueRowsEffect},
};

/// A write, on behalf of somebody.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) op: WriteOp,
    pub(crate) caller: Caller,
    pub(crate) controls: WriteControls,
    /// Passwords of an add, hashed. Those of a modify are hashed in its changes.
    pub(crate) secrets: Vec<Vec<u8>>,
    /// Whether operational attributes are kept as given: an import.
    pub(crate) keep_operational: bool,
}

#[derive(Debug)]
pub(crate) enum WriteOp {
    Add(Add),
    Modify(Modify),
    Delete(Delete),
    Rename(Rename),
    /// A bind that has something to be noted.
    SignIn(SignIn),
}

/// The controls a write knows.
#[derive(Debug, Default)]
pub(crate) struct WriteControls {
    pub(crate) assertion: Option<Filter>,
    pub(crate) pre_read: Option<PreRead>,
    pub(crate) post_read: Option<PostRead>,
    pub(crate) manage_dsa_it: bool,
    /// Permissive modify: what is as wanted already is no error.
    pub(crate) permissive: bool,
    /// Tree delete: with all that stands below.
    pub(crate) tree_delete: bool,
    /// Relax rules: what otherwise only the directory sets may be set.
    pub(crate) relax: bool,
}

/// What a write is computed with.
pub(crate) struct Work<'a> {
    pub(crate) context: &'a Context,
    pub(crate) tables: &'a Writable<'a>,
    /// What the open commit has put into indexes, which are written at its end.
    pub(crate) recent: &'a Recent,
    pub(crate) stamp: &'a Stamp,
    /// The id of the entry, if one is added.
    pub(crate) next_id: Id,
}

/// What a write does.
pub(crate) struct Effect {
    rows: Vec<(Name, Vec<u8>, Option<Vec<u8>>)>,
    index: Vec<(Vec<u8>, Id, bool)>,
    /// The keys a new entry is found under.
    keys: Keys,
    values: Vec<ValueRowsEffect>,
    change: ChangeRow,
    /// The name that leads elsewhere or nowhere from now on.
    pub(crate) departed: Option<Departed>,
    /// What is settled from now on: the schema is another.
    pub(crate) context: Option<Arc<Context>>,
    pub(crate) takes_id: bool,
    pub(crate) outcome: Outcome,
}

/// A name that an entry had, and what became of it.
#[derive(Debug)]
pub(crate) struct Departed {
    pub(crate) id: Id,
    pub(crate) old: Named,
    /// The name the entry has instead; without one it is deleted.
    pub(crate) new: Option<Named>,
    /// Whether others stand below it, whose names change with its own.
    pub(crate) has_children: bool,
}

/// A row of `change`.
#[derive(Debug)]
struct ChangeRow {
    kind: ChangeRowKind,
    id: Id,
    uuid: Vec<u8>,
    /// Where the entry stood before.
    parent: Id,
    name: String,
    /// The attributes that were changed, by canonical names.
    attributes: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
enum ChangeRowKind {
    Add = 1,
    Modify = 2,
    Delete = 3,
    Rename = 4,
}

/// An entry that a write aims at.
struct Target {
    id: Id,
    node: Node,
    view: View,
}

impl Work<'_> {
    /// Computes what a write does; `prepared` is what was made of an add on the way here.
    pub(crate) fn effect(&self, write: &Write, prepared: Option<Prepared>) -> Result<Effect, Failure> {
        let access = self.access(&write.caller)?;
        let bound = Bound::of(self.context, write, &access);
        bound.admit(write.values())?;
        let effect = match &write.op {
            WriteOp::Add(op) => self.add(op, write, prepared, &access),
            WriteOp::Modify(op) if Self::is_of_schema(self.context, op)? => {
                self.modify_schema(op, write, &access)
            }
            WriteOp::Modify(op) => self.modify(op, write, &access),
            WriteOp::Delete(op) => self.delete(op, write, &access),
            WriteOp::Rename(op) => self.rename(op, write, &access),
            WriteOp::SignIn(op) => self.sign_in(op),
        };
        access.settled()?;
        let effect = effect?;
        bound.admit(effect.large_values())?;
        Ok(effect)
    }

    /// Finds the entry a write aims at.
    fn target(&self, dn: &Dn, write: &Write, access: &Access<'_>) -> Result<Target, Failure> {
        let key = self.context.key(dn)?;
        let id = match self.context.resolve(self.tables, &key)? {
            Resolved::Found(id) => id,
            Resolved::Missing(last) => {
                special::refer(self.context, self.tables, access, last, dn, write.controls.manage_dsa_it)?;
                return Err(special::missing(self.context, self.tables, access, last)?);
            }
        };
        let node = self.tables.existing_node(id)?;
        let named = self.tables.named(id)?;
        if !access.entry(&named, EntryRight::Disclose) {
            return Err(special::missing(self.context, self.tables, access, Some(node.parent))?);
        }
        special::refer(self.context, self.tables, access, Some(id), dn, write.controls.manage_dsa_it)?;
        let stored = self.tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
        let computed = computed(&node, &named, "");
        let target = Target { id, node, view: View { named, stored, computed } };
        self.assert(write, access, &target.view)?;
        Ok(target)
    }

    /// The assertion control (RFC 4528): evaluated with the rights of the one who asks.
    fn assert(&self, write: &Write, access: &Access<'_>, view: &View) -> Result<(), Failure> {
        let Some(filter) = &write.controls.assertion else { return Ok(()) };
        let mut view = Cow::Borrowed(view);
        if Reach::asks_member_of(self.context, filter) {
            self.member_of(access, view.to_mut())?;
        }
        // The one writer is held meanwhile.
        match holds(self.context, self.tables, filter, access, &view, &Meter::budget())? {
            Truth::True => Ok(()),
            Truth::False | Truth::Undefined => {
                Err(Failure::refused(ResultCode::ASSERTION_FAILED, "the assertion is not true of the entry"))
            }
        }
    }

    /// Checks an entry as it would be. `secrets` count as values of `userPassword`; what a class asks for may be
    /// operational, as `ref` is.
    fn check(
        &self,
        dn: &Dn,
        user: &Draft<'_>,
        operational: &Draft<'_>,
        secrets: &[Vec<u8>],
    ) -> Result<(), Failure> {
        let mut full = Attributes::builder();
        for (name, _, values) in operational.iter() {
            check_operational(self.context, name, values.map(|value| &**value))?;
        }
        for (name, count, values) in user.iter().chain(operational.iter()) {
            let kind = self.context.schema.attribute_type(base(name));
            if count > 1 && kind.is_some_and(|kind| kind.single_value) {
                return Err(one_value_only(name));
            }
            full.push(name, values);
        }
        // Of what is large only new values are among these. What names the entry may be one that is not.
        for ava in dn.rdns().take(1).flat_map(|rdn| rdn.avas().collect::<Vec<_>>()) {
            let (name, value) = (ava.attribute_type(), ava.value());
            if user.is_known(self.context, name, &value)? {
                full.push(name, [&value]);
            }
        }
        check_segments(self.context, dn, &[full.build().as_ref()], secrets)
    }

    fn can_name(&self, rdn: RdnRef<'_>) -> Result<(), Failure> {
        can_name(self.context, rdn)
    }

    fn may_add(&self, on: &On<'_, '_>, attribute: &str) -> Result<(), Failure> {
        if on.attribute(attribute, AttributeRight::AddValues) {
            return Ok(());
        }
        Err(Failure::refused(
            ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
            format!("no right to give this entry `{attribute}`"),
        ))
    }

    fn may_write(&self, on: &On<'_, '_>, change: &Change) -> Result<(), Failure> {
        if on.may_change(change) {
            return Ok(());
        }
        let attribute = change.attribute.as_str();
        Err(Failure::refused(
            ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
            format!("no right to change `{attribute}` of this entry"),
        ))
    }

    /// An entry as it is to be stored, from its user and operational attributes.
    pub(crate) fn settled(&self, id: Id, user: Draft<'_>, operational: Draft<'_>) -> Result<Stored, Failure> {
        let (user, mut large) = user.build(self.context, id, false)?;
        let (operational, more) = operational.build(self.context, id, true)?;
        large.extend(more);
        Ok(Stored::new(user, operational).with_large(large))
    }

    /// Rows for what becomes of an entry's own data. Of large attributes only what changes is looked at.
    pub(crate) fn entry_rows(
        &self,
        effect: &mut Effect,
        id: Id,
        old: Option<&Stored>,
        new: Option<&Stored>,
    ) -> Result<(), Failure> {
        let Context { schema, indexes, .. } = self.context;
        let keys = |stored: Option<&Stored>| {
            stored.map_or_else(BTreeSet::new, |stored| indexes.row_keys(schema, stored, &|_| true).to_set())
        };
        let (before, after) = (keys(old), keys(new));
        let mut lost = before.difference(&after).cloned().collect();
        self.keep_those_of_large(old, new, &mut lost)?;
        effect.index.extend(lost.into_iter().map(|key| (key, id, false)));
        let gained = after.iter().filter(|key| !before.contains(*key));
        effect.index.extend(gained.map(|key| (key.clone(), id, true)));
        effect.values.extend(self.value_rows(id, old, new, &Arc::new(after)));
        self.entry_row(effect, id, new);
        Ok(())
    }

    /// The row of an entry's own data.
    fn entry_row(&self, effect: &mut Effect, id: Id, new: Option<&Stored>) {
        effect.rows.push((Name::Entry, id.to_be_bytes().to_vec(), new.map(Stored::encode)));
    }

    /// The row of a parent that gets or loses a child.
    fn count_child(&self, effect: &mut Effect, parent: Id, gained: bool) -> Result<(), Failure> {
        if parent == crate::row::ROOT {
            return Ok(());
        }
        let mut node = self.tables.existing_node(parent)?;
        node.children =
            if gained { node.children.saturating_add(1) } else { node.children.saturating_sub(1) };
        effect.rows.push((Name::Node, parent.to_be_bytes().to_vec(), Some(node.encode())));
        Ok(())
    }

    /// Adds `memberOf` to what is computed of an entry.
    fn member_of(&self, access: &Access<'_>, view: &mut View) -> Result<(), Failure> {
        member_of::complete(self.context, self.tables, Some(self.recent), access, &mut Climbed::new(), view)
    }

    /// What pre-read or post-read (RFC 4527) answers.
    fn read_entry(
        &self,
        effect: &mut Effect,
        oid: flext_ldap_proto::oid::Oid,
        selection: &flext_ldap_proto::attribute::Selection,
        access: &Access<'_>,
        view: &View,
    ) -> Result<(), Failure> {
        let mut writer = flext_ldap_proto::ber::Writer::new();
        let mut projection = Projection::new(self.context, selection, false);
        let mut view = Cow::Borrowed(view);
        if projection.wants_member_of(self.context) {
            self.member_of(access, view.to_mut())?;
        }
        projection.check_size(self.context, access, &view)?;
        projection.write(self.context, access, self.tables, &view, &Meter::unbounded(), &mut writer)?;
        let attributes = Attributes::check(writer.take(), &crate::row::STORED)
            .map_err(|_| Failure::damaged("an entry"))?;
        let dn: Dn = view.named.dn.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
        ReadEntry(Entry::new(&dn, attributes)).encode(&mut writer);
        effect.outcome.controls.push_raw(Control { oid, critical: false, value: Some(writer.take()) });
        Ok(())
    }

    fn pre_read(
        &self,
        effect: &mut Effect,
        write: &Write,
        access: &Access<'_>,
        view: &View,
    ) -> Result<(), Failure> {
        use flext_ldap_proto::control::ControlValue;
        match &write.controls.pre_read {
            Some(PreRead(selection)) => self.read_entry(effect, PreRead::OID, selection, access, view),
            None => Ok(()),
        }
    }

    fn post_read(
        &self,
        effect: &mut Effect,
        write: &Write,
        access: &Access<'_>,
        view: &View,
    ) -> Result<(), Failure> {
        use flext_ldap_proto::control::ControlValue;
        match &write.controls.post_read {
            Some(PostRead(selection)) => self.read_entry(effect, PostRead::OID, selection, access, view),
            None => Ok(()),
        }
    }

    /// The operational attributes after a change.
    pub(crate) fn stamped(&self, draft: &mut Draft<'_>, actor: &Actor) {
        let text = |text: &str| vec![bytes::Bytes::copy_from_slice(text.as_bytes())];
        draft.set(self.context, "entryCSN", text(&self.stamp.csn));
        draft.set(self.context, "modifyTimestamp", text(&self.stamp.time));
        draft.set(self.context, "modifiersName", text(&actor_name(actor)));
    }
}

/// Checks an entry as it would be, its attributes in several lists.
fn check_segments(
    context: &Context,
    dn: &Dn,
    segments: &[AttributesRef<'_>],
    secrets: &[Vec<u8>],
) -> Result<(), Failure> {
    credentials::check_count(secrets.len())?;
    let violations = if secrets.is_empty() {
        context.schema.violations_in(dn, segments)
    } else {
        let mut passwords = Attributes::builder();
        passwords.push("userPassword", secrets);
        let passwords = passwords.build();
        let segments: Vec<_> = segments.iter().copied().chain([passwords.as_ref()]).collect();
        context.schema.violations_in(dn, &segments)
    };
    let Some(first) = violations.first() else { return Ok(()) };
    let texts: Vec<String> = violations.iter().take(5).map(Violation::to_string).collect();
    Err(Failure::refused(first.result_code(), texts.join("; ")))
}

/// Checks an operational attribute that was given: the classes say nothing of them.
fn check_operational<'v>(
    context: &Context,
    name: &str,
    values: impl Iterator<Item = &'v [u8]>,
) -> Result<(), Failure> {
    let Some(kind) = context.schema.attribute_type(base(name)) else { return Ok(()) };
    for (number, value) in values.enumerate() {
        if kind.single_value && number > 0 {
            return Err(one_value_only(name));
        }
        kind.syntax.check(value).map_err(|error| {
            Failure::refused(ResultCode::INVALID_ATTRIBUTE_SYNTAX, format!("attribute `{name}`: {error}"))
        })?;
    }
    Ok(())
}

/// Whether these attributes may be part of a name. What the directory sets does not, and a password would be shown.
fn can_name(context: &Context, rdn: RdnRef<'_>) -> Result<(), Failure> {
    for ava in rdn.avas() {
        let name = ava.attribute_type();
        let kind = context.schema.attribute_type(name);
        if context.is_password(name) || kind.is_some_and(|kind| kind.is_operational()) {
            return Err(Failure::refused(
                ResultCode::NAMING_VIOLATION,
                format!("attribute `{name}` cannot be part of a name"),
            ));
        }
    }
    Ok(())
}

/// Whether a filter is true of an entry, as far as the one who asks may look, and as long as `meter` lets it.
pub(crate) fn holds(
    context: &Context,
    rows: &dyn ValueRows,
    filter: &Filter,
    access: &Access<'_>,
    view: &View,
    meter: &Meter,
) -> Result<Truth, Failure> {
    let dn: Dn = view.named.dn.parse().unwrap_or_else(|_| Dn::root());
    let matcher = Matcher::new(filter, &context.schema);
    let on = access.on(&view.named, &view.stored);
    view.truth(context, rows, &matcher, &dn, meter, &|attribute| {
        on.attribute(attribute, AttributeRight::Search)
    })
}

/// What `creatorsName` and `modifiersName` say: a name, as their syntax wants.
fn actor_name(actor: &Actor) -> Cow<'_, str> {
    match actor {
        Actor::User(identity) => identity.dn().map(|dn| Cow::Borrowed(dn.as_str())).unwrap_or_default(),
        Actor::Anonymous => Cow::Borrowed(""),
        Actor::Service => Cow::Borrowed("cn=directory"),
    }
}

impl Work<'_> {
    /// The entries an index has for what is asked of an attribute, what the open commit did included; none where no
    /// index tells. The attribute must be one that [`Constraints`](crate::constraint::Constraints) looks up.
    pub(crate) fn under(&self, attribute: &str, asked: Asked<'_>) -> Result<RoaringBitmap, Failure> {
        under(self.context, self.tables, Some(self.recent), attribute, asked)
    }
}

impl Effect {
    /// A change of an entry that follows from another.
    pub(crate) fn modify(id: Id, node: &Node, operational: AttributesRef<'_>) -> Self {
        Self::new(ChangeRowKind::Modify, id, node, operational)
    }

    /// Notes that an attribute is changed.
    pub(crate) fn changes(&mut self, context: &Context, attribute: &str) {
        self.change.attributes.push(context.canonical(attribute));
    }

    pub(crate) fn has_changed(&self, context: &Context, attribute: &str) -> bool {
        self.change.attributes.contains(&context.canonical(attribute))
    }

    fn new(kind: ChangeRowKind, id: Id, node: &Node, operational: AttributesRef<'_>) -> Self {
        let uuid = operational.get("entryUUID").and_then(|one| one.first()).unwrap_or_default().to_vec();
        Self {
            rows: Vec::new(),
            index: Vec::new(),
            keys: Keys::default(),
            values: Vec::new(),
            change: ChangeRow {
                kind,
                id,
                uuid,
                parent: node.parent,
                name: node.name.clone(),
                attributes: Vec::new(),
            },
            departed: None,
            context: None,
            takes_id: false,
            outcome: Outcome::new(LdapResult::success()),
        }
    }

    /// Puts it all; changes of indexes go to `index`.
    fn apply(
        &mut self,
        context: &Context,
        tables: &mut Writable<'_>,
        index: IndexSink<'_>,
        sequence: u64,
        stamp: &Stamp,
        actor: &Actor,
    ) -> Result<(), Failure> {
        for (key, id, present) in std::mem::take(&mut self.index) {
            index(tables, Keyed::One(&key), id, present)?;
        }
        for keyed in self.keys.iter() {
            index(tables, keyed, self.change.id, true)?;
        }
        for (name, key, value) in std::mem::take(&mut self.rows) {
            tables.put_owned(name, key, value)?;
        }
        for values in std::mem::take(&mut self.values) {
            values.apply(context, tables, index)?;
        }
        let row = self.change.encode(stamp, actor);
        tables.put_owned(Name::Change, sequence.to_be_bytes().to_vec(), Some(row))
    }
}

impl ChangeRow {
    fn encode(&self, stamp: &Stamp, actor: &Actor) -> Vec<u8> {
        let mut row = Vec::with_capacity(192);
        let Self { kind, id, uuid, parent, name, .. } = self;
        put_change(&mut row, *kind, stamp, *id, uuid, *parent, name.as_bytes(), &actor_name(actor));
        for attribute in &self.attributes {
            put_octets(&mut row, attribute.as_bytes());
        }
        row
    }
}

/// Appends a row of `change`, before the attributes that were changed.
#[expect(clippy::too_many_arguments, reason = "the parts of the row")]
fn put_change(
    row: &mut Vec<u8>,
    kind: ChangeRowKind,
    stamp: &Stamp,
    id: Id,
    uuid: &[u8],
    parent: Id,
    name: &[u8],
    actor: &str,
) {
    row.push(kind as u8);
    put_octets(row, stamp.csn.as_bytes());
    row.extend_from_slice(&id.to_be_bytes());
    put_octets(row, uuid);
    row.extend_from_slice(&parent.to_be_bytes());
    put_octets(row, name);
    put_octets(row, actor.as_bytes());
}

/// A name, or one below it, would be such as nobody could ask for.
fn too_long() -> Failure {
    Failure::refused(
        ResultCode::NAMING_VIOLATION,
        "a name would be longer than names can be: 65,536 octets in 1,000 components",
    )
}

fn one_value_only(attribute: &str) -> Failure {
    Failure::refused(
        ResultCode::CONSTRAINT_VIOLATION,
        format!("attribute `{attribute}` takes one value only"),
    )
}

/// What only the directory sets (RFC 4512 §3.4).
fn no_user_modification(attribute: &str) -> Failure {
    Failure::refused(
        ResultCode::CONSTRAINT_VIOLATION,
        format!("attribute `{attribute}` is set by the directory only"),
    )
}

/// The components a name has below its suffix's parent: what the new entry is called in `tree`.
fn own_key(key: &DnKey, levels: usize) -> Vec<flext_ldap_proto::dn::RdnKey> {
    let own = if key.rdns().len() == levels { levels } else { 1 };
    key.rdns().iter().take(own).cloned().collect()
}
