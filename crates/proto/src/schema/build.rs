//! From drafts to a schema: duplicates, references, what is inherited.
//!
//! Nothing here recurses: chains of supertypes are walked, and their length is capped.

use std::collections::HashMap;

use super::{
    AttributeType, ClassReferences, MatchingRule, ObjectClass, Schema, SchemaError, SchemaErrorKind, Syntax,
    index::NameIndex,
    lineages,
    parse::{AttributeDraft, Errors, MAX_INHERITANCE},
    source::{Drafts, Placed, Position},
};
use crate::attribute::AttributesRef;

/// Collects definitions into a [`Schema`].
#[derive(Debug, Default)]
#[must_use = "call `build` to get the schema"]
pub struct SchemaBuilder {
    drafts: Drafts,
}

impl SchemaBuilder {
    /// Starts from the definitions of `schema`. They give way to added ones with the same name or OID.
    pub(super) fn starting_from(schema: &Schema) -> Self {
        fn placed<T, D>(definitions: &[T], draft: impl Fn(&T) -> D) -> Vec<Placed<D>> {
            let place = |definition| Placed {
                draft: draft(definition),
                position: Position::default(),
                gives_way: true,
            };
            definitions.iter().map(place).collect()
        }
        let drafts = Drafts {
            attribute_types: placed(&schema.attribute_types, |definition| definition.into()),
            object_classes: placed(&schema.object_classes, Clone::clone),
            ..Drafts::default()
        };
        Self { drafts }
    }

    /// Adds the definitions of an OpenLDAP `.schema` file: `attributetype (…)`, `objectclass (…)`, `objectidentifier`
    /// macros, comments.
    pub fn add_openldap(&mut self, text: &str) -> &mut Self {
        self.drafts.read_openldap(text);
        self
    }

    /// Adds the definitions of an LDIF file: subschema entries or OpenLDAP's `olcAttributeTypes`.
    pub fn add_ldif(&mut self, text: &str) -> &mut Self {
        self.drafts.read_ldif(text);
        self
    }

    /// Adds the definitions of a subschema entry as a server sent it, with the quirks of OpenLDAP, 389-ds and Active
    /// Directory.
    pub fn add_subschema(&mut self, attributes: AttributesRef<'_>) -> &mut Self {
        self.drafts.read_subschema(attributes);
        self
    }

    /// The schema.
    ///
    /// # Errors
    ///
    /// Every definition that could not be parsed or contradicts another, with where it stood; the first 1,000 of them.
    pub fn build(self) -> Result<Schema, Vec<SchemaError>> {
        let (schema, errors) = self.build_lenient();
        if errors.is_empty() { Ok(schema) } else { Err(errors) }
    }

    /// The schema of all that could be used, and what could not (the first 1,000 errors): for a server's own schema, which
    /// is never perfect.
    ///
    /// A definition that refers to what is not there is kept without the reference.
    pub fn build_lenient(self) -> (Schema, Vec<SchemaError>) {
        let Drafts { attribute_types, object_classes, mut errors, .. } = self.drafts;
        let attributes = without_duplicates(attribute_types, &mut errors);
        let classes = without_duplicates(object_classes, &mut errors);
        let (attribute_types, attribute_superiors, attribute_index) =
            resolve_attributes(&attributes, &mut errors);
        let (object_classes, class_references, class_index) =
            resolve_classes(classes, &attribute_types, &attribute_index, &mut errors);
        let schema = Schema {
            attribute_types,
            attribute_subtypes: subtypes(&attribute_superiors),
            attribute_superiors,
            attribute_index,
            object_classes,
            class_lineages: lineages(&class_references),
            class_references,
            class_index,
        };
        (schema, errors.into_vec())
    }
}

/// The direct subtypes of each type, from the supertype of each.
fn subtypes(superiors: &[Option<u32>]) -> Vec<Box<[u32]>> {
    let mut subtypes = vec![Vec::new(); superiors.len()];
    for (number, superior) in (0..).zip(superiors) {
        if let Some(list) = superior.and_then(|superior| subtypes.get_mut(superior as usize)) {
            list.push(number);
        }
    }
    subtypes.into_iter().map(Vec::into_boxed_slice).collect()
}

/// What drafts of both kinds have in common.
trait Draft {
    fn oid(&self) -> &str;
    fn names(&self) -> &[Box<str>];
    fn means_the_same(&self, other: &Self) -> bool;

    fn preferred_name(&self) -> String {
        self.names().first().map(|name| &**name).unwrap_or_else(|| self.oid()).to_owned()
    }

    /// Its names and its OID, in lower case.
    fn keys(&self) -> impl Iterator<Item = String> {
        self.names().iter().map(|name| &**name).chain([self.oid()]).map(str::to_ascii_lowercase)
    }
}

impl Draft for AttributeDraft {
    fn oid(&self) -> &str {
        &self.definition.oid
    }

    fn names(&self) -> &[Box<str>] {
        &self.definition.names
    }

    fn means_the_same(&self, other: &Self) -> bool {
        Self::means_the_same(self, other)
    }
}

impl Draft for ObjectClass {
    fn oid(&self) -> &str {
        &self.oid
    }

    fn names(&self) -> &[Box<str>] {
        &self.names
    }

    fn means_the_same(&self, other: &Self) -> bool {
        let Self { oid, names, description: _, obsolete, superiors, kind, must, may, extensions: _ } = self;
        let definition = (oid, names, obsolete, superiors, kind, must, may);
        let Self { oid, names, description: _, obsolete, superiors, kind, must, may, extensions: _ } = other;
        definition == (oid, names, obsolete, superiors, kind, must, may)
    }
}

fn error(position: Position, kind: SchemaErrorKind) -> SchemaError {
    SchemaError { line: position.line, column: position.column, kind }
}

/// Keeps the first of each name and OID, unless it gives way.
fn without_duplicates<D: Draft>(drafts: Vec<Placed<D>>, errors: &mut Errors) -> Vec<Placed<D>> {
    let mut kept: Vec<Option<Placed<D>>> = Vec::with_capacity(drafts.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(drafts.len() * 2);
    'drafts: for new in drafts {
        for key in new.draft.keys() {
            let Some(old) = places.get(&key).and_then(|place| kept.get_mut(*place)) else { continue };
            match old {
                Some(old) if !old.gives_way => {
                    if !old.draft.means_the_same(&new.draft) {
                        errors
                            .push(error(new.position, SchemaErrorKind::Conflict(new.draft.preferred_name())));
                    }
                    continue 'drafts;
                }
                // Its keys stay and lead to nothing, until the new definition takes those it has.
                old => *old = None,
            }
        }
        places.extend(new.draft.keys().map(|key| (key, kept.len())));
        kept.push(Some(new));
    }
    kept.into_iter().flatten().collect()
}

type Resolved<T, S> = (Vec<T>, Vec<S>, NameIndex);

fn resolve_attributes(
    drafts: &[Placed<AttributeDraft>],
    errors: &mut Errors,
) -> Resolved<AttributeType, Option<u32>> {
    let index = NameIndex::new(drafts.iter().map(|placed| placed.draft.keys()));
    let mut superiors: Vec<Option<u32>> = Vec::with_capacity(drafts.len());
    for Placed { draft, position, .. } in drafts {
        let superior = draft.definition.superior.as_deref();
        let found = superior.and_then(|name| index.find(name));
        if let (Some(missing), None) = (superior, found) {
            errors.push(missing_reference(*position, draft, missing));
        }
        superiors.push(found);
    }
    let positions: Vec<(Position, String)> =
        drafts.iter().map(|placed| (placed.position, placed.draft.preferred_name())).collect();
    let order =
        order_of(superiors.iter().map(|superior| superior.iter().copied().collect()), &positions, errors);
    let names: Vec<Box<str>> = positions.into_iter().map(|(_, name)| name.into()).collect();

    let mut types: Vec<AttributeType> = drafts.iter().map(|placed| placed.draft.definition.clone()).collect();
    for (number, edges) in order {
        let superior = edges.first().copied();
        // What is inherited and nothing else: a description can be as long as the schema.
        let inherited =
            superior.and_then(|superior| types.get(superior as usize)).map(|above| AttributeType {
                equality: above.equality,
                ordering: above.ordering,
                substrings: above.substrings,
                syntax: above.syntax,
                unknown_syntax: above.unknown_syntax.clone(),
                length: above.length,
                ..AttributeType::default()
            });
        let (Some(Placed { draft, position, .. }), Some(resolved)) =
            (drafts.get(number), types.get_mut(number))
        else {
            continue;
        };
        if let Some(place) = superiors.get_mut(number) {
            *place = superior;
        }
        resolved.superior = superior.and_then(|superior| names.get(superior as usize)).cloned();
        let mut rule = |name: &Option<Box<str>>, inherited: Option<MatchingRule>| match name.as_deref() {
            None => inherited,
            Some(name) => MatchingRule::find(name).or_else(|| {
                errors.push(missing_reference(*position, draft, name));
                None
            }),
        };
        let above = inherited.as_ref();
        resolved.equality = rule(&draft.equality, above.and_then(|above| above.equality));
        resolved.ordering = rule(&draft.ordering, above.and_then(|above| above.ordering));
        resolved.substrings = rule(&draft.substrings, above.and_then(|above| above.substrings));
        match (draft.syntax.as_deref(), above) {
            (Some(oid), _) => {
                resolved.syntax = Syntax::find(oid);
                resolved.unknown_syntax = (resolved.syntax == Syntax::UNKNOWN).then(|| oid.into());
            }
            (None, Some(above)) => {
                resolved.syntax = above.syntax;
                resolved.unknown_syntax.clone_from(&above.unknown_syntax);
                resolved.length = resolved.length.or(above.length);
            }
            // §4.1.2 asks for one of the two; a supertype that is missing was reported already.
            (None, None) if draft.definition.superior.is_none() => {
                errors.push(error(*position, SchemaErrorKind::Expected("SUP or SYNTAX")));
            }
            (None, None) => {}
        }
    }
    (types, superiors, index)
}

fn missing_reference(position: Position, draft: &impl Draft, missing: &str) -> SchemaError {
    error(
        position,
        SchemaErrorKind::Missing { definition: draft.preferred_name(), missing: missing.to_owned() },
    )
}

fn resolve_classes(
    drafts: Vec<Placed<ObjectClass>>,
    types: &[AttributeType],
    type_index: &NameIndex,
    errors: &mut Errors,
) -> Resolved<ObjectClass, ClassReferences> {
    let index = NameIndex::new(drafts.iter().map(|placed| placed.draft.keys()));
    let mut edges: Vec<Vec<u32>> = Vec::with_capacity(drafts.len());
    for Placed { draft, position, .. } in &drafts {
        let mut above = Vec::with_capacity(draft.superiors.len());
        for name in &draft.superiors {
            match index.find(name) {
                Some(superior) => above.push(superior),
                None => errors.push(missing_reference(*position, draft, name)),
            }
        }
        edges.push(above);
    }
    let positions: Vec<(Position, String)> =
        drafts.iter().map(|placed| (placed.position, placed.draft.preferred_name())).collect();
    let mut references = vec![ClassReferences::default(); drafts.len()];
    for (number, edges) in order_of(edges.into_iter(), &positions, errors) {
        if let Some(class) = references.get_mut(number) {
            class.superiors = edges.into_boxed_slice();
        }
    }
    let mut classes = Vec::with_capacity(drafts.len());
    for (Placed { mut draft, position, .. }, class) in drafts.into_iter().zip(&mut references) {
        let preferred = |number: &u32| positions.get(*number as usize).map(|(_, name)| name.as_str().into());
        draft.superiors = class.superiors.iter().filter_map(preferred).collect();
        let mut known = |names: &[Box<str>]| {
            let (mut numbers, mut preferred) = (Vec::new(), Vec::new());
            for name in names {
                let number = type_index.find(name);
                match number.and_then(|number| Some((number, types.get(number as usize)?))) {
                    Some((number, attribute)) => {
                        numbers.push(number);
                        preferred.push(attribute.name().into());
                    }
                    None => errors.push(missing_reference(position, &draft, name)),
                }
            }
            (numbers.into_boxed_slice(), preferred)
        };
        let (must, may) = (known(&draft.must), known(&draft.may));
        (class.must, draft.must) = must;
        (class.may, draft.may) = may;
        classes.push(draft);
    }
    (classes, references, index)
}

/// The definitions so that each comes after those it inherits from, with the references that may stay: one that would
/// close a circle, or make a chain longer than the cap, is reported and left out.
fn order_of(
    edges: impl Iterator<Item = Vec<u32>>,
    positions: &[(Position, String)],
    errors: &mut Errors,
) -> Vec<(usize, Vec<u32>)> {
    /// How far a definition is: how many it inherits from in a row, once it is placed.
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Waiting,
        Open,
        Placed(usize),
    }
    let edges: Vec<Vec<u32>> = edges.collect();
    let mut states = vec![State::Waiting; edges.len()];
    let mut order = Vec::with_capacity(edges.len());
    let mut report = |number: usize, kind: fn(String) -> SchemaErrorKind| {
        let (position, name) = positions.get(number).cloned().unwrap_or_default();
        errors.push(error(position, kind(name)));
    };
    for root in 0..edges.len() {
        // The definitions being placed, each inheriting from the next: number, references looked at, kept, depth.
        let mut open: Vec<(usize, usize, Vec<u32>, usize)> = vec![(root, 0, Vec::new(), 0)];
        if states.get(root) != Some(&State::Waiting) {
            continue;
        }
        while let Some((number, seen, mut kept, mut depth)) = open.pop() {
            let next = edges.get(number).and_then(|edges| edges.get(seen)).copied();
            let Some(superior) = next else {
                if let Some(state) = states.get_mut(number) {
                    *state = State::Placed(depth);
                }
                order.push((number, kept));
                continue;
            };
            if let Some(state) = states.get_mut(number) {
                *state = State::Open;
            }
            match states.get(superior as usize) {
                Some(State::Placed(above)) if *above < MAX_INHERITANCE => {
                    kept.push(superior);
                    depth = depth.max(above + 1);
                }
                Some(State::Placed(_)) => report(number, SchemaErrorKind::TooDeep),
                Some(State::Open) => report(number, SchemaErrorKind::Cycle),
                Some(State::Waiting) => {
                    open.push((number, seen, kept, depth));
                    open.push((superior as usize, 0, Vec::new(), 0));
                    continue;
                }
                None => {}
            }
            open.push((number, seen + 1, kept, depth));
        }
    }
    order
}
