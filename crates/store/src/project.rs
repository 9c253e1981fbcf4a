//! Which attributes of an entry are returned (RFC 4511 §4.5.1.8, RFC 3673, RFC 4529), and what the directory computes.

mod marks;
mod range;

use std::collections::{HashMap, HashSet};

pub(crate) use self::marks::Marks;
use self::range::Range;
use flext_ldap_directory::AttributeRight;
use flext_ldap_proto::{
    attribute::{AttributeDescription, AttributeRef, Attributes, AttributesRef, Selection, Selector},
    ber::{Tag, Writer},
    control::MatchedValues,
    dn::Dn,
    filter::{Filter, Matcher, Node as FilterNode, Truth},
    result::ResultCode,
};

use crate::{
    context::{Access, Context, SUBSCHEMA, base},
    matched_values::ValueFilter,
    meter::Meter,
    read::Named,
    row::{Node, ROOT, Stored},
    tables::Failure,
    values::{Large, ValueRows, encoded_length, evaluate},
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
    /// What a filter says of the entry. Its large attributes are looked at in `rows`: by one look-up each for equality
    /// and presence, value by value for anything else, as long as `meter` lets it.
    ///
    /// # Errors
    ///
    /// When storage fails, or `meter` has ended.
    pub(crate) fn truth(
        &self,
        context: &Context,
        rows: &dyn ValueRows,
        matcher: &Matcher<'_>,
        dn: &Dn,
        meter: &Meter,
        readable: &dyn Fn(&str) -> bool,
    ) -> Result<Truth, Failure> {
        self.truth_knowing(context, rows, matcher, dn, meter, readable, &|_| None)
    }

    /// The same, where the outcome of some assertions is known otherwise.
    #[expect(clippy::too_many_arguments, reason = "an entry in all its parts, and who looks at it")]
    pub(crate) fn truth_knowing(
        &self,
        context: &Context,
        rows: &dyn ValueRows,
        matcher: &Matcher<'_>,
        dn: &Dn,
        meter: &Meter,
        readable: &dyn Fn(&str) -> bool,
        known: &dyn Fn(usize) -> Option<Truth>,
    ) -> Result<Truth, Failure> {
        let (segments, large) = (self.segments(), self.stored.large());
        evaluate(context, rows, matcher, dn, &segments, large, meter, readable, known)
    }

    /// The attributes that are in wire form. Those that are large are not among them.
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
    /// What is asked for in parts.
    ranges: Vec<Range>,
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
            ranges: Vec::new(),
            types_only,
            values: None,
            selected: HashMap::new(),
        };
        for selector in selection.selectors() {
            match selector {
                Selector::AllUser => projection.all_user = true,
                Selector::AllOperational => projection.all_operational = true,
                Selector::Attribute(attribute) => match Range::of(attribute) {
                    Some(range) => projection.ranges.push(range),
                    None => projection.wanted.push(attribute.clone()),
                },
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

    /// Refuses an entry whose large attributes make it longer than an answer may be. To be asked before
    /// [`write`](Self::write) begins.
    pub(crate) fn check_size(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        view: &View,
    ) -> Result<(), Failure> {
        let large = view.stored.large();
        // Of what is matched first it is found out as it is written.
        if large.is_empty() || self.types_only || self.values.is_some() {
            return Ok(());
        }
        let on = access.on(&view.named, &view.stored);
        let limit = context.limits.entry as u64;
        let mut octets: u64 = view.segments().iter().map(|segment| segment.as_bytes().len() as u64).sum();
        octets = octets.saturating_add(view.named.dn.len() as u64);
        for one in large {
            let name = &one.description;
            let all = if one.operational { self.all_operational } else { self.all_user };
            if self.range(context, name).is_some()
                || !(all || self.selects(context, name))
                || !on.attribute(name, AttributeRight::Read)
            {
                continue;
            }
            octets = octets.saturating_add(one.encoded_length());
            if octets > limit {
                return Err(too_many(one));
            }
        }
        Ok(())
    }

    /// Writes what is selected of an entry and may be read. Values of large attributes are matched, where that is asked
    /// for, as long as `meter` lets them be.
    ///
    /// # Errors
    ///
    /// When the rows of large attributes cannot be read, when those of them that match take too long to find or are
    /// too many for one message; part of the entry is written then.
    pub(crate) fn write(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        rows: &dyn ValueRows,
        view: &View,
        meter: &Meter,
        writer: &mut Writer,
    ) -> Result<(), Failure> {
        writer.reserve(view.segments().iter().map(|segment| segment.as_bytes().len()).sum());
        let on = access.on(&view.named, &view.stored);
        let readable = |attribute: &str| on.attribute(attribute, AttributeRight::Read);
        let searched = |attribute: &str| on.attribute(attribute, AttributeRight::Search);
        let wanted = self.values.take();
        let values = wanted.as_ref().map(|filter| ValueFilter::new(context, filter, &searched, meter));
        let values = values.as_ref();
        let (user, operational) = (self.all_user, self.all_operational);
        let unrestricted = access.all && values.is_none();
        self.segment(context, view.stored.user(), user, unrestricted, &readable, values, writer);
        self.segment(
            context,
            view.stored.operational(),
            operational,
            unrestricted,
            &readable,
            values,
            writer,
        );
        self.segment(context, view.computed.as_ref(), operational, unrestricted, &readable, values, writer);
        let mut written = Ok(());
        for one in view.stored.large() {
            let all = if one.operational { operational } else { user };
            let range = self.range(context, &one.description);
            if (range.is_some() || all || self.selects(context, &one.description))
                && readable(&one.description)
            {
                let part = Part { rows, stored: &view.stored, range, values };
                written = written.and_then(|()| self.large(context, one, &part, writer));
            }
        }
        self.values = wanted;
        written.and_then(|()| meter.settled())
    }

    fn large(
        &self,
        context: &Context,
        large: &Large,
        part: &Part<'_>,
        writer: &mut Writer,
    ) -> Result<(), Failure> {
        let Part { rows, stored, range, values } = part;
        match (range, values) {
            _ if self.types_only => {
                writer.sequence(|writer| {
                    writer.octets(large.description.as_bytes());
                    writer.constructed(Tag::SET, |_| {});
                });
                Ok(())
            }
            (Some(range), values) => range.write_large(context, *rows, stored, large, *values, writer),
            (None, Some(values)) => values.write_large(context, *rows, large, writer),
            (None, None) => large.write(*rows, writer),
        }
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
        if all && unrestricted && !self.types_only && self.ranges.is_empty() {
            writer.raw(segment.as_bytes());
            return;
        }
        if !all && self.wanted.is_empty() && self.ranges.is_empty() {
            return;
        }
        for attribute in segment.iter() {
            let name = attribute.description();
            let range = self.range(context, name);
            if (range.is_some() || all || self.selects(context, name)) && readable(name) {
                match range {
                    Some(range) if !self.types_only => range.write(attribute, values, writer),
                    _ => write_attribute(attribute, self.types_only, values, writer),
                }
            }
        }
    }

    /// The part of an attribute that is asked for, where it is asked for in parts.
    fn range(&self, context: &Context, description: &str) -> Option<Range> {
        let asked = |range: &&Range| context.schema.is_within(description, &range.attribute);
        self.ranges.iter().find(asked).cloned()
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

/// What is to be written of one large attribute.
struct Part<'p> {
    rows: &'p dyn ValueRows,
    stored: &'p Stored,
    range: Option<Range>,
    values: Option<&'p ValueFilter<'p>>,
}

/// The refusal of an entry that would not fit in a message.
pub(crate) fn too_many(large: &Large) -> Failure {
    let (name, count) = (&large.description, large.count);
    Failure::refused(
        ResultCode::ADMIN_LIMIT_EXCEEDED,
        format!(
            "`{name}` of an entry has {count} values, too many for one message; ask for `{name};range=0-*` and what \
             follows"
        ),
    )
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
    let (description, values) = (attribute.description(), attribute.values());
    let Some(filter) = filter else {
        let values = if types_only { &[] } else { values.as_bytes() };
        let length = |contents: usize| usize::try_from(encoded_length(contents as u64)).unwrap_or(usize::MAX);
        writer.header(Tag::SEQUENCE, length(description.len()).saturating_add(length(values.len())));
        writer.octets(description.as_bytes());
        writer.header(Tag::SET, values.len());
        return writer.raw(values);
    };
    writer.sequence(|writer| {
        writer.octets(description.as_bytes());
        writer.constructed(Tag::SET, |writer| {
            for value in values.filter(|value| !types_only && filter.passes(description, value)) {
                writer.octets(value);
            }
        });
    });
}
