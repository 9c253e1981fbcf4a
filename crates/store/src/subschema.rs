//! Definitions that were added to the schema while the store was open: how they are kept, and what they make of the schema
//! the store was opened with.
//!
//! They are kept as they were given, so that what a client wrote is what the next start reads. Definitions the store was
//! opened with are its own: they cannot be removed or changed here.

use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    message::{Change, ChangeKind},
    result::ResultCode,
    schema::{Schema, SchemaError, SchemaErrorKind},
};

use crate::{
    clock::Stamp,
    options::SchemaHandle,
    row::{STORED, put_octets, take_octets},
    tables::{Failure, Rows, Tables},
};

/// The row of `meta` that has the definitions.
pub(crate) const SCHEMA_ROW: &[u8] = b"schema";

/// Octets of one definition, and definitions of one kind.
const LONGEST: usize = 64 << 10;
const MOST: usize = 10_000;
/// Octets of all definitions.
const LARGEST: usize = 16 << 20;

/// The two kinds of definitions that are used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    AttributeTypes,
    ObjectClasses,
}

/// A definition as given, with its OID.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Definition {
    oid: String,
    text: String,
}

/// The schema a store was opened with, and what was defined since.
#[derive(Clone)]
pub(crate) struct Subschema {
    pub(crate) base: SchemaHandle,
    attribute_types: Vec<Definition>,
    object_classes: Vec<Definition>,
    /// When it was changed last: CSN and Generalized Time; empty where it never was.
    csn: String,
    pub(crate) modified: String,
}

impl Kind {
    /// By the name or OID of the attribute of the subschema entry (RFC 4512 §4.2).
    pub(crate) fn find(attribute: &str) -> Option<Self> {
        let is = |names: [&str; 2]| names.iter().any(|name| name.eq_ignore_ascii_case(attribute));
        if is(["attributeTypes", "2.5.21.5"]) {
            Some(Self::AttributeTypes)
        } else if is(["objectClasses", "2.5.21.6"]) {
            Some(Self::ObjectClasses)
        } else {
            None
        }
    }

    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::AttributeTypes => "attributeTypes",
            Self::ObjectClasses => "objectClasses",
        }
    }
}

impl Subschema {
    /// Reads what was defined, and makes the schema of it.
    pub(crate) fn open<T: Rows>(
        base: SchemaHandle,
        tables: &Tables<T>,
    ) -> Result<(Self, SchemaHandle), Failure> {
        let mut subschema = Self {
            base,
            attribute_types: Vec::new(),
            object_classes: Vec::new(),
            csn: String::new(),
            modified: String::new(),
        };
        let Some(row) = tables.meta.get(SCHEMA_ROW)?.map(|row| bytes::Bytes::copy_from_slice(row.value()))
        else {
            let schema = subschema.base.clone();
            return Ok((subschema, schema));
        };
        let damaged = || Failure::damaged("the schema");
        let text = |octets: Option<&[u8]>| {
            octets.and_then(|octets| String::from_utf8(octets.to_vec()).ok()).ok_or_else(damaged)
        };
        let mut rest = &*row;
        subschema.csn = text(take_octets(&mut rest))?;
        subschema.modified = text(take_octets(&mut rest))?;
        let attributes = Attributes::check(row.slice_ref(rest), &STORED).map_err(|_| damaged())?;
        for kind in [Kind::AttributeTypes, Kind::ObjectClasses] {
            for value in attributes.as_ref().get(kind.attribute()).iter().flat_map(|one| one.values()) {
                let text = text(Some(value))?;
                let oid = oid_of(&text).ok_or_else(damaged)?;
                subschema.list(kind).push(Definition { oid, text });
            }
        }
        // What a newer standard schema defines itself, or no longer allows, must not keep the store from opening.
        let (schema, errors) = subschema.whole();
        for error in errors {
            tracing::warn!(error = %error.kind, "a definition that was added to the schema does not fit it any more");
        }
        Ok((subschema, SchemaHandle::Shared(schema.into())))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut row = Vec::new();
        put_octets(&mut row, self.csn.as_bytes());
        put_octets(&mut row, self.modified.as_bytes());
        row.extend_from_slice(self.definitions().as_ref().as_bytes());
        row
    }

    pub(crate) fn stamp(&mut self, stamp: &Stamp) {
        self.csn.clone_from(&stamp.csn);
        self.modified.clone_from(&stamp.time);
    }

    fn definitions(&self) -> Attributes {
        let mut attributes = Attributes::builder();
        for (kind, list) in
            [(Kind::AttributeTypes, &self.attribute_types), (Kind::ObjectClasses, &self.object_classes)]
        {
            attributes.push(kind.attribute(), list.iter().map(|one| one.text.as_bytes()));
        }
        attributes.build()
    }

    fn list(&mut self, kind: Kind) -> &mut Vec<Definition> {
        match kind {
            Kind::AttributeTypes => &mut self.attribute_types,
            Kind::ObjectClasses => &mut self.object_classes,
        }
    }

    fn is_own(&self, kind: Kind, oid: &str) -> bool {
        match kind {
            Kind::AttributeTypes => {
                self.base.attribute_type(oid).is_some_and(|one| one.oid.eq_ignore_ascii_case(oid))
            }
            Kind::ObjectClasses => {
                self.base.object_class(oid).is_some_and(|one| one.oid.eq_ignore_ascii_case(oid))
            }
        }
    }

    /// Makes one change of the list of definitions. Definitions are equal when their OIDs are
    /// (objectIdentifierFirstComponentMatch).
    pub(crate) fn apply(&mut self, change: &Change) -> Result<(), Failure> {
        let name = change.attribute.as_str();
        let kind = Kind::find(name).ok_or_else(|| {
            unwilling(format!(
                "`{name}` of the schema cannot be changed; `attributeTypes` and `objectClasses` can"
            ))
        })?;
        let values = (1..).zip(&change.values).map(|(number, value)| definition(kind, number, value));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        match change.kind {
            ChangeKind::Add if values.is_empty() => {
                return Err(Failure::refused(
                    ResultCode::PROTOCOL_ERROR,
                    format!("`{name}` is to be added without a value"),
                ));
            }
            ChangeKind::Add => {
                for new in values {
                    if self.is_own(kind, &new.oid) || self.list(kind).iter().any(|one| one.oid == new.oid) {
                        return Err(Failure::refused(
                            ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                            format!(
                                "`{}` is defined already; delete its definition in the same operation",
                                new.oid
                            ),
                        ));
                    }
                    self.list(kind).push(new);
                }
            }
            ChangeKind::Delete if values.is_empty() => return Err(standard("all of it")),
            ChangeKind::Delete => {
                for old in values {
                    if self.is_own(kind, &old.oid) {
                        return Err(standard(&old.oid));
                    }
                    let list = self.list(kind);
                    let Some(place) = list.iter().position(|one| one.oid == old.oid) else {
                        return Err(Failure::refused(
                            ResultCode::NO_SUCH_ATTRIBUTE,
                            format!("`{}` is not defined", old.oid),
                        ));
                    };
                    list.remove(place);
                }
            }
            ChangeKind::Replace => {
                let has = |oid: &str| values.iter().any(|one| one.oid.eq_ignore_ascii_case(oid));
                let missing = match kind {
                    Kind::AttributeTypes => {
                        self.base.attribute_types().map(|one| &one.oid).find(|oid| !has(oid))
                    }
                    Kind::ObjectClasses => {
                        self.base.object_classes().map(|one| &one.oid).find(|oid| !has(oid))
                    }
                };
                if let Some(missing) = missing {
                    return Err(standard(missing));
                }
                let mut oids: Vec<&str> = values.iter().map(|one| one.oid.as_str()).collect();
                oids.sort_unstable();
                if let Some([twice, _]) =
                    oids.windows(2).find(|pair| matches!(pair, [one, other] if one == other))
                {
                    return Err(Failure::refused(
                        ResultCode::ATTRIBUTE_OR_VALUE_EXISTS,
                        format!("`{twice}` is defined twice"),
                    ));
                }
                *self.list(kind) = values;
            }
            _ => return Err(unwilling(format!("`{name}` cannot be changed so"))),
        }
        if self.list(kind).len() > MOST {
            return Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!("more than {MOST} values of `{name}`"),
            ));
        }
        Ok(())
    }

    /// The schema with all definitions, if they agree with each other and leave the store's own as they are.
    pub(crate) fn build(&mut self) -> Result<Schema, Failure> {
        let size: usize =
            self.attribute_types.iter().chain(&self.object_classes).map(|one| one.text.len()).sum();
        if size > LARGEST {
            return Err(Failure::refused(
                ResultCode::ADMIN_LIMIT_EXCEEDED,
                format!("the definitions together would have more than {LARGEST} octets"),
            ));
        }
        let (schema, errors) = self.whole();
        for own in self.base.attribute_types() {
            if schema.attribute_type(&own.oid) != Some(own) {
                return Err(standard(own.name()));
            }
        }
        for own in self.base.object_classes() {
            if schema.object_class(&own.oid) != Some(own) {
                return Err(standard(own.name()));
            }
        }
        if let Some(error) = errors.first() {
            return Err(wrong(&error.kind.to_string()));
        }
        for one in schema.attribute_types() {
            let Some(syntax) = one.unknown_syntax.as_deref() else { continue };
            if self.attribute_types.iter().any(|own| own.oid.eq_ignore_ascii_case(&one.oid)) {
                return Err(wrong(&format!("`{}` has the syntax {syntax}, which is not known", one.name())));
            }
        }
        let count = self.attribute_types.len() + self.object_classes.len();
        let base = self.base.clone();
        self.attribute_types.retain(|one| base.attribute_type(&one.oid).is_none());
        self.object_classes.retain(|one| base.object_class(&one.oid).is_none());
        // Those that say again what is defined anyway are not kept.
        let is_said_again = count > self.attribute_types.len() + self.object_classes.len();
        Ok(if is_said_again { self.whole().0 } else { schema })
    }

    fn whole(&self) -> (Schema, Vec<SchemaError>) {
        let mut builder = self.base.to_builder();
        builder.add_subschema(self.definitions().as_ref());
        builder.build_lenient()
    }
}

fn wrong(reason: &str) -> Failure {
    Failure::refused(ResultCode::CONSTRAINT_VIOLATION, format!("the schema would not be right: {reason}"))
}

fn unwilling(diagnostic: String) -> Failure {
    Failure::refused(ResultCode::UNWILLING_TO_PERFORM, diagnostic)
}

fn standard(what: &str) -> Failure {
    unwilling(format!("`{what}` is part of the standard schema, which cannot be removed or changed"))
}

/// One value as a definition.
fn definition(kind: Kind, number: usize, value: &[u8]) -> Result<Definition, Failure> {
    let refused = |reason: &dyn std::fmt::Display| {
        Failure::refused(
            ResultCode::INVALID_ATTRIBUTE_SYNTAX,
            format!("value {number} of `{}`: {reason}", kind.attribute()),
        )
    };
    if value.len() > LONGEST {
        return Err(refused(&format!("a definition has at most {LONGEST} octets")));
    }
    let mut attributes = Attributes::builder();
    attributes.push(kind.attribute(), [value]);
    if let Some(error) = malformed(attributes.build().as_ref()) {
        return Err(refused(&format!("column {}: {}", error.column, error.kind)));
    }
    let text = std::str::from_utf8(value).map_err(|error| refused(&error))?;
    let oid = oid_of(text).ok_or_else(|| refused(&"it has no object identifier"))?;
    Ok(Definition { oid, text: text.to_owned() })
}

/// What is wrong with definitions that are looked at alone. One that says what is to be deleted needs neither a syntax nor
/// a supertype, and whether one fits others is asked elsewhere.
fn malformed(attributes: AttributesRef<'_>) -> Option<SchemaError> {
    let mut builder = Schema::builder();
    builder.add_subschema(attributes);
    let (_, errors) = builder.build_lenient();
    errors
        .into_iter()
        .find(|error| matches!(error.kind, SchemaErrorKind::Expected(what) if what != "SUP or SYNTAX"))
}

/// The first component of a definition, in lower case.
fn oid_of(text: &str) -> Option<String> {
    let inner = text.trim_start().strip_prefix('(')?.trim_start().trim_start_matches('\'');
    let end = inner.find(|c: char| c.is_whitespace() || matches!(c, ')' | '\'')).unwrap_or(inner.len());
    inner.get(..end).filter(|oid| !oid.is_empty()).map(str::to_ascii_lowercase)
}
