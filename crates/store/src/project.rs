//! Which attributes of an entry are returned (RFC 4511 §4.5.1.8, RFC 3673, RFC 4529), and what the directory computes.

use std::collections::{HashMap, HashSet};

use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    attribute::{AttributeDescription, AttributeRef, Attributes, AttributesRef, Selection, Selector},
    ber::{Tag, Writer},
    control::MatchedValues,
    filter::{Filter, Node as FilterNode},
};

use crate::{
    context::{Access, Context, SUBSCHEMA, base},
    matched_values::ValueFilter,
    read::Named,
    row::{Node, ROOT, Stored},
};

/// What is computed when it is asked for.
pub(crate) const COMPUTED: [&str; 4] = ["entryDN", "hasSubordinates", "subschemaSubentry", "contextCSN"];

/// An entry as it is looked at: what is stored and what is computed.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) named: Named,
    pub(crate) stored: Stored,
    pub(crate) computed: Attributes,
}

impl View {
    pub(crate) fn segments(&self) -> [AttributesRef<'_>; 3] {
        [self.stored.user(), self.stored.operational(), self.computed.as_ref()]
    }
}

/// What is computed of an entry.
pub(crate) fn computed(node: &Node, named: &Named, context_csn: &str) -> Attributes {
    let mut attributes = Attributes::builder();
    attributes.push("entryDN", [named.dn.as_bytes()]);
    let subordinates: &[u8] = if node.children > 0 { b"TRUE" } else { b"FALSE" };
    attributes.push("hasSubordinates", [subordinates]);
    attributes.push("subschemaSubentry", [SUBSCHEMA]);
    if node.parent == ROOT && !context_csn.is_empty() {
        attributes.push("contextCSN", [context_csn]);
    }
    attributes.build()
}

/// Whether a filter looks at what is computed.
pub(crate) fn looks_at_computed(context: &Context, filter: &Filter) -> bool {
    filter.nodes().iter().any(|node| match node {
        FilterNode::And { .. } | FilterNode::Or { .. } | FilterNode::Not => false,
        FilterNode::Equality(attribute, _)
        | FilterNode::Substrings(attribute, _)
        | FilterNode::GreaterOrEqual(attribute, _)
        | FilterNode::LessOrEqual(attribute, _)
        | FilterNode::Present(attribute)
        | FilterNode::Approximate(attribute, _) => is_computed(context, attribute.as_str()),
        FilterNode::Extensible(extensible) => {
            extensible.attribute.as_ref().is_none_or(|attribute| is_computed(context, attribute.as_str()))
        }
        _ => true,
    })
}

pub(crate) fn is_computed(context: &Context, description: &str) -> bool {
    is_computed_name(context.preferred(description))
}

/// Whether an attribute, by its preferred name, is never stored.
pub(crate) fn is_computed_name(name: &str) -> bool {
    COMPUTED.iter().any(|computed| computed.eq_ignore_ascii_case(name))
}

/// A selection made ready.
#[derive(Debug)]
pub(crate) struct Projection {
    all_user: bool,
    all_operational: bool,
    wanted: Vec<AttributeDescription>,
    types_only: bool,
    /// What a value must match to be returned (RFC 3876).
    values: Option<Filter>,
    /// Whether the attribute spelt so is selected by name. Bounded by `REMEMBERED`.
    selected: HashMap<Box<str>, bool>,
}

const REMEMBERED: usize = 4_096;

impl Projection {
    pub(crate) fn new(context: &Context, selection: &Selection, types_only: bool) -> Self {
        let mut projection = Self {
            all_user: selection.selectors().is_empty(),
            all_operational: false,
            wanted: Vec::new(),
            types_only,
            values: None,
            selected: HashMap::new(),
        };
        for selector in selection.selectors() {
            match selector {
                Selector::AllUser => projection.all_user = true,
                Selector::AllOperational => projection.all_operational = true,
                Selector::Attribute(attribute) => projection.wanted.push(attribute.clone()),
                Selector::ObjectClass(class) => projection.add_class(context, class),
                _ => {}
            }
        }
        projection
    }

    /// Returns only values that match, of attributes that are returned with values (RFC 3876 §3).
    pub(crate) fn matching(mut self, values: Option<&MatchedValues>) -> Self {
        self.values = values.filter(|_| !self.types_only).map(MatchedValues::to_filter);
        self
    }

    /// All attributes of a class and of those it inherits from (RFC 4529).
    fn add_class(&mut self, context: &Context, class: &str) {
        let mut seen = HashSet::new();
        let mut classes = vec![class.to_owned()];
        while let Some(name) = classes.pop() {
            let Some(class) = context.schema.object_class(&name) else { continue };
            if !seen.insert(class.oid.clone()) {
                continue;
            }
            classes.extend(class.superiors.iter().map(|name| name.to_string()));
            let names = class.must.iter().chain(&class.may);
            self.wanted.extend(names.filter_map(|name| name.parse::<AttributeDescription>().ok()));
        }
    }

    pub(crate) fn needs_computed(&self, context: &Context) -> bool {
        self.all_operational || self.wanted.iter().any(|wanted| is_computed(context, wanted.as_str()))
    }

    /// Whether `memberOf` is selected, where it is computed.
    pub(crate) fn wants_member_of(&mut self, context: &Context) -> bool {
        context.constraints.membership.is_some()
            && (self.all_operational || self.selects(context, "memberOf"))
    }

    /// Writes what is selected of an entry and may be read.
    pub(crate) fn write(&mut self, context: &Context, access: &Access<'_>, view: &View, writer: &mut Writer) {
        let on = access.on(&view.named, &view.stored);
        let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Read);
        let searched = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
        let wanted = self.values.take();
        let values = wanted.as_ref().map(|filter| ValueFilter::new(context, filter, &searched));
        let values = values.as_ref();
        let unrestricted = access.all && values.is_none();
        self.segment(context, view.stored.user(), self.all_user, unrestricted, &readable, values, writer);
        let all = self.all_operational;
        self.segment(context, view.stored.operational(), all, unrestricted, &readable, values, writer);
        self.segment(context, view.computed.as_ref(), all, unrestricted, &readable, values, writer);
        self.values = wanted;
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is settled once for an entry")]
    fn segment(
        &mut self,
        context: &Context,
        segment: AttributesRef<'_>,
        all: bool,
        unrestricted: bool,
        readable: &dyn Fn(&str) -> bool,
        values: Option<&ValueFilter<'_>>,
        writer: &mut Writer,
    ) {
        if all && unrestricted && !self.types_only {
            writer.raw(segment.as_bytes());
            return;
        }
        if !all && self.wanted.is_empty() {
            return;
        }
        for attribute in segment.iter() {
            let name = attribute.description();
            if (all || self.selects(context, name)) && readable(name) {
                write_attribute(attribute, self.types_only, values, writer);
            }
        }
    }

    fn selects(&mut self, context: &Context, description: &str) -> bool {
        if let Some(selected) = self.selected.get(description) {
            return *selected;
        }
        let selected = self.wanted.iter().any(|wanted| {
            // A name that an entry does not know by `;binary` is asked for with it all the same (RFC 4522 §3).
            context.schema.is_within(description, wanted) || same_but_binary(context, description, wanted)
        });
        if self.selected.len() >= REMEMBERED {
            self.selected.clear();
        }
        self.selected.insert(description.into(), selected);
        selected
    }
}

fn same_but_binary(context: &Context, description: &str, wanted: &AttributeDescription) -> bool {
    wanted.as_str().len() > description.len()
        && wanted.options().any(|option| option.eq_ignore_ascii_case("binary"))
        && wanted.options().count() == 1
        && !description.contains(';')
        && context.preferred(base(wanted.as_str())) == context.preferred(description)
}

pub(crate) fn write_attribute(
    attribute: AttributeRef<'_>,
    types_only: bool,
    filter: Option<&ValueFilter<'_>>,
    writer: &mut Writer,
) {
    writer.sequence(|writer| {
        writer.octets(attribute.description().as_bytes());
        writer.constructed(Tag::SET, |writer| {
            if !types_only {
                for value in attribute.values() {
                    if filter.is_none_or(|filter| filter.passes(attribute.description(), value)) {
                        writer.octets(value);
                    }
                }
            }
        });
    });
}
