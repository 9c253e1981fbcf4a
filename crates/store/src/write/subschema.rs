//! Changing the schema (RFC 4512 §4.2) by a modify of the subschema entry.
//!
//! Definitions are checked as a whole, and what entries use stays as it is: a definition that is in use can get more
//! lenient, not stricter and not another. So no stored entry, key or name has to be made anew, and the change takes effect
//! with its commit however large the directory is.

mod values;

use std::sync::Arc;

use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    message::Modify,
    result::ResultCode,
    schema::{AttributeType, ObjectClass, Schema},
};
use roaring::RoaringBitmap;

use super::{ChangeRowKind, Effect, Work, Write};
use crate::{
    constraint::Constraints,
    context::{Access, Context, base},
    index::{Asked, Indexes},
    options::SchemaHandle,
    project::is_computed_name,
    row::{Id, Node, ROOT},
    special,
    store::NAMES_ROW,
    subschema::{Kind, SCHEMA_ROW},
    tables::{Failure, Name},
};

/// Entries that are looked at to find out whether any has an attribute.
const LOOKED: u64 = 250_000;

impl Work<'_> {
    /// Whether a modify is one of the schema.
    pub(super) fn is_of_schema(context: &Context, op: &Modify) -> Result<bool, Failure> {
        Ok(op.dn.depth() == 1 && special::is_subschema(context, &context.key(&op.dn)?))
    }

    /// The effect of a change of the schema. What the open commit did must be in the indexes already.
    pub(super) fn modify_schema(
        &self,
        op: &Modify,
        write: &Write,
        access: &Access<'_>,
    ) -> Result<Effect, Failure> {
        let view = special::subschema(self.context);
        let node = Node { parent: ROOT, children: 0, key: Vec::new(), name: view.named.dn.clone() };
        let mut effect = Effect::new(ChangeRowKind::Modify, ROOT, &node, view.stored.operational());
        let mut subschema = self.context.subschema.clone();
        self.assert(write, &access.unrestricted(), &view)?;
        for change in &op.changes {
            let given = base(change.attribute.as_str());
            let name = match Kind::find(given) {
                Some(kind) => kind.attribute(),
                None => given,
            };
            if !access.attribute(&view.named, name, AttributeRight::Write) {
                return Err(Failure::refused(
                    ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                    format!("no right to change `{name}` of the schema"),
                ));
            }
            effect.changes(self.context, name);
            subschema.apply(change)?;
        }
        let schema = subschema.build()?;
        self.keeps_names(&schema)?;
        self.keeps_what_is_used(&schema)?;
        self.keeps_values(&schema)?;
        subschema.stamp(self.stamp);
        let row = subschema.encode();

        let schema = SchemaHandle::Shared(schema.into());
        let passwords = Context::password_types(&schema);
        let is_apart = |name: &str| is_computed_name(name) || passwords.contains(&name.to_ascii_lowercase());
        let mut indexes = self
            .context
            .indexes
            .by(&schema, &is_apart)
            .map_err(|wrong| Failure::refused(ResultCode::UNWILLING_TO_PERFORM, wrong))?;
        let definition = Indexes::names_definition(&schema);
        let before = &self.context.constraints;
        let constraints = Constraints::new(before.options.clone(), &schema, &indexes);
        let Some(constraints) = constraints.ok().filter(|after| after.cover(before)) else {
            return Err(Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                "a constraint looks up an attribute that would get a subtype without an index",
            ));
        };
        constraints.need(&schema, &mut indexes);
        let (standing_row, standing) = self.tables.standing.by(&indexes);
        let mut context = self.context.clone();
        context.passwords = passwords;
        if let Some(policy) = context.policy.for_schema(&schema) {
            context.policy = policy;
        }
        (context.schema, context.indexes, context.constraints) = (schema, indexes, constraints);
        context.subschema = subschema;
        effect.rows.push((Name::Meta, SCHEMA_ROW.to_vec(), Some(row)));
        effect.rows.push((Name::Meta, NAMES_ROW.to_vec(), Some(definition)));
        effect.rows.push((Name::Meta, standing_row, Some(standing)));
        self.pre_read(&mut effect, write, &access.unrestricted(), &view)?;
        self.post_read(&mut effect, write, &access.unrestricted(), &special::subschema(&context))?;
        effect.context = Some(Arc::new(context));
        Ok(effect)
    }

    /// Refuses a schema by which a name that is kept beside the entries would be compared otherwise: that of a naming
    /// context, whose upper part no entry has, and the administrator's.
    fn keeps_names(&self, new: &Schema) -> Result<(), Failure> {
        let Context { suffixes, administrator, .. } = self.context;
        let names = suffixes.iter().map(|(dn, key)| (dn, key));
        for (dn, key) in names.chain(administrator.iter().map(|one| (&one.dn, &one.key))) {
            if new.dn_key(dn).ok().as_ref() != Some(key) {
                return Err(Failure::refused(
                    ResultCode::UNWILLING_TO_PERFORM,
                    format!("the name `{dn}` is in use and would be compared otherwise"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses a schema in which a definition that entries use is missing, or means something else.
    fn keeps_what_is_used(&self, new: &Schema) -> Result<(), Failure> {
        let old = &self.context.schema;
        let is_used = |what: &str, name: &str| {
            Failure::refused(
                ResultCode::UNWILLING_TO_PERFORM,
                format!("{what} `{name}` is in use; its definition can only be made more lenient"),
            )
        };
        for class in old.object_classes() {
            let after = new.object_class(&class.oid).filter(|after| after.oid == class.oid);
            if after.is_some_and(|after| after == class || is_as_lenient(class, after)) {
                continue;
            }
            if !self.entries(class)?.is_empty() {
                return Err(is_used("object class", class.name()));
            }
        }
        for kind in old.attribute_types() {
            let after = new.attribute_type(&kind.oid).filter(|after| after.oid == kind.oid);
            if after.is_some_and(|after| after == kind || means_as_much(kind, after)) {
                continue;
            }
            if self.has_any(kind)? {
                return Err(is_used("attribute type", kind.name()));
            }
        }
        Ok(())
    }

    /// The entries of a class.
    fn entries(&self, class: &ObjectClass) -> Result<RoaringBitmap, Failure> {
        let context = self.context;
        let asked = Asked::Equality(class.oid.as_bytes());
        let keys = context
            .indexes
            .lookup(&context.schema, &self.tables.standing, "objectClass", asked)
            .unwrap_or_default();
        self.tables.candidates(&keys)
    }

    /// Whether any entry has an attribute of this type.
    fn has_any(&self, kind: &AttributeType) -> Result<bool, Failure> {
        const EXTENSIBLE: &str = "1.3.6.1.4.1.1466.101.120.111";
        let context = self.context;
        let mut could = RoaringBitmap::new();
        for class in context.schema.object_classes() {
            let allows = || context.schema.class_attributes(class).any(|one| one.oid == kind.oid);
            if &*class.oid == EXTENSIBLE || allows() {
                could |= self.entries(class)?;
            }
        }
        let everything = kind.is_operational();
        if could.len() > LOOKED
            || everything && self.tables.ids(ROOT + 1, LOOKED as usize + 1)?.len() as u64 > LOOKED
        {
            return Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!(
                    "more than {LOOKED} entries would have to be looked at to know that none has `{}`; leave its definition",
                    kind.name()
                ),
            ));
        }
        if everything {
            could = self.tables.ids(ROOT + 1, LOOKED as usize)?.into_iter().collect();
        }
        for id in could {
            if self.has(id, kind)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has(&self, id: Id, kind: &AttributeType) -> Result<bool, Failure> {
        let Some(stored) = self.tables.stored(id)? else { return Ok(false) };
        let inline = stored.user().iter().chain(stored.operational().iter());
        let mut names = inline
            .map(|attribute| attribute.description())
            .chain(stored.large().iter().map(|large| large.description.as_str()));
        Ok(names.any(|name| {
            let own = self.context.schema.attribute_type(base(name));
            own.is_some_and(|own| own.oid == kind.oid)
        }))
    }
}

/// Whether every entry of a class stays right when it is defined so.
fn is_as_lenient(before: &ObjectClass, after: &ObjectClass) -> bool {
    let within = |one: &[Box<str>], other: &[&[Box<str>]]| {
        one.iter()
            .all(|name| other.iter().any(|list| list.iter().any(|there| there.eq_ignore_ascii_case(name))))
    };
    before.kind == after.kind
        && before.superiors == after.superiors
        && within(&before.names, &[&after.names])
        && within(&after.must, &[&before.must])
        && within(&before.must, &[&after.must, &after.may])
        && within(&before.may, &[&after.must, &after.may])
}

/// Whether every value stays right, and is compared as before, when its type is defined so.
fn means_as_much(before: &AttributeType, after: &AttributeType) -> bool {
    before.superior == after.superior
        && before.equality == after.equality
        && before.syntax == after.syntax
        && before.unknown_syntax == after.unknown_syntax
        && before.usage == after.usage
        && before.collective == after.collective
        && (before.single_value || !after.single_value)
        && before.names.iter().all(|name| after.names.iter().any(|there| there.eq_ignore_ascii_case(name)))
}
