//! What a search would do, or did, as people read it.

use std::fmt;

use flext_ldap_proto::{
    dn::Dn,
    filter::{Filter, Node},
    message::Scope,
    result::ResultCode,
};

use super::Note;
use crate::{
    context::Context,
    index::{IndexKind, Untold},
    policy::is_secret,
};

/// Octets of one part of a filter, and of a plan in one line, that are shown.
const PART: usize = 200;
const LINE: usize = 1_000;

/// How a search is done: what the indexes told, what was chosen, how the scope is seen to.
///
/// `Display` prints it as an indented tree. The text is stable for the same data, filter and version.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// Where the search starts.
    pub base: Dn,
    /// How far it goes from there.
    pub scope: Scope,
    /// The parts of the filter, each followed by its own. Empty where no index was needed.
    pub parts: Vec<ExplainedPart>,
    /// Entries the indexes leave over; `None` where they leave all.
    pub candidates: Option<u64>,
    /// Where entries are taken from, and how those out of scope are told.
    pub strategy: ScopeStrategy,
    /// What came of it, if the search was done.
    pub run: Option<ExplainedRun>,
}

/// One part of a filter: a list, or an assertion.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExplainedPart {
    /// Levels below the whole filter.
    pub depth: usize,
    /// The part as text, values of passwords left out; `and`, `or` or `not` for lists.
    pub text: String,
    /// The index that tells of it.
    pub index: Option<IndexKind>,
    /// Keys the index was asked for.
    pub keys: usize,
    /// Entries under them, as far as they were counted.
    pub entries: u64,
    /// Whether there are more.
    pub more: bool,
    /// What became of it.
    pub part_use: PartUse,
    /// What there is to say.
    finding: Finding,
}

/// What became of a part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PartUse {
    /// Its entries were read.
    Read,
    /// They were not: looking at what other parts leave over costs less, or nothing is known.
    NotRead,
}

/// Where the entries of a search are taken from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ScopeStrategy {
    /// The base alone.
    #[default]
    Base,
    /// The children of the base, one after another.
    Children,
    /// Candidates, all of which are in scope.
    Candidates,
    /// Candidates, of which those are in scope that are children of the base.
    CandidateChildren,
    /// Candidates, from each of which the tree is climbed to see whether the base is above.
    ClimbedCandidates,
    /// The tree below the base is walked, and what is not among the candidates left out.
    Walk,
    /// All entries there are.
    All,
    /// All entries, from each of which the tree is climbed.
    ClimbedAll,
}

/// What a search came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ExplainedRun {
    /// Entries looked at.
    pub looked_at: u64,
    /// Entries that matched and were returned.
    pub returned: u64,
    /// How it ended.
    pub code: ResultCode,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finding {
    List,
    /// Its entries, or all but these.
    Told {
        but: bool,
    },
    /// The index does not tell for sure, so its opposite is not told either.
    Unsure,
    Undefined,
    Untold(Option<Untold>),
}

impl Explanation {
    pub(crate) fn new(
        context: &Context,
        (base, scope, filter): (&Dn, Scope, &Filter),
        notes: &[Note],
        candidates: Option<u64>,
        strategy: ScopeStrategy,
    ) -> Self {
        let depths = depths(filter.nodes());
        let parts = filter.nodes().iter().zip(depths).zip(notes);
        Self {
            base: base.clone(),
            scope,
            parts: parts.map(|((node, depth), note)| part(context, node, depth, note)).collect(),
            candidates,
            strategy,
            run: None,
        }
    }
}

fn part(context: &Context, node: &Node, depth: usize, note: &Note) -> ExplainedPart {
    let is_list = matches!(node, Node::And { .. } | Node::Or { .. } | Node::Not);
    let finding = match note.told {
        _ if is_list => Finding::List,
        Ok(_) if note.keys == 0 => Finding::Unsure,
        Ok(_) => Finding::Told { but: note.but },
        Err(_) if note.undefined => Finding::Undefined,
        Err(untold) => Finding::Untold(untold),
    };
    ExplainedPart {
        depth,
        text: text(context, node),
        index: note.told.ok(),
        keys: note.keys,
        entries: note.count.entries,
        more: note.count.more,
        part_use: note.part,
        finding,
    }
}

/// Levels of each node.
fn depths(nodes: &[Node]) -> Vec<usize> {
    let mut depths = Vec::with_capacity(nodes.len());
    let mut open: Vec<usize> = Vec::new();
    for node in nodes {
        depths.push(open.len());
        if let Some(left) = open.last_mut() {
            *left = left.saturating_sub(1);
        }
        if node.children() > 0 {
            open.push(node.children());
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    depths
}

/// A node as text, bounded, without what is asserted of passwords.
fn text(context: &Context, node: &Node) -> String {
    let attribute = match node {
        Node::And { .. } => return "and".to_owned(),
        Node::Or { .. } => return "or".to_owned(),
        Node::Not => return "not".to_owned(),
        Node::Equality(attribute, _)
        | Node::Substrings(attribute, _)
        | Node::GreaterOrEqual(attribute, _)
        | Node::LessOrEqual(attribute, _)
        | Node::Present(attribute)
        | Node::Approximate(attribute, _) => Some(attribute),
        Node::Extensible(extensible) => extensible.attribute.as_ref(),
        _ => None,
    };
    if let Some(attribute) = attribute
        && (context.is_password(attribute.as_str()) || is_secret(context.preferred(attribute.as_str())))
    {
        return cut(format!("({attribute}=***)"), PART);
    }
    let Some(leaf) = Filter::leaf(node.clone()) else { return "(?)".to_owned() };
    cut(leaf.to_string(), PART)
}

/// A text of at most so many octets.
fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        text.truncate(end);
        text.push('…');
    }
    text
}

/// A filter in one line, bounded, without what is asserted of passwords.
pub(crate) fn one_line(context: &Context, filter: &Filter) -> String {
    let nodes = filter.nodes();
    let mut line = String::new();
    // How many parts the open lists still have.
    let mut open: Vec<usize> = Vec::new();
    for node in nodes {
        if line.len() > LINE {
            break;
        }
        if let Some(left) = open.last_mut() {
            *left = left.saturating_sub(1);
        }
        match node {
            Node::And { .. } => line.push_str("(&"),
            Node::Or { .. } => line.push_str("(|"),
            Node::Not => line.push_str("(!"),
            leaf => line.push_str(&text(context, leaf)),
        }
        if matches!(node, Node::And { .. } | Node::Or { .. } | Node::Not) {
            open.push(node.children());
        }
        while open.last() == Some(&0) {
            open.pop();
            line.push(')');
        }
    }
    cut(line, LINE)
}

impl Explanation {
    /// What was read and how, in one line of bounded length.
    pub(crate) fn plan(&self) -> String {
        let mut line = String::new();
        for part in self.parts.iter().filter(|part| part.part_use == PartUse::Read) {
            if line.len() > LINE {
                break;
            }
            line.push_str(&format!("{part}, "));
        }
        match self.candidates {
            Some(candidates) => line.push_str(&format!("{candidates} candidates, {}", self.strategy)),
            None => line.push_str(&format!("no candidates, {}", self.strategy)),
        }
        cut(line, LINE)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = match self.scope {
            Scope::Base => "base",
            Scope::One => "one",
            Scope::Subtree => "sub",
            Scope::Children => "children",
            _ => "other",
        };
        writeln!(f, "base: {}\nscope: {scope}", self.base)?;
        if !self.parts.is_empty() {
            writeln!(f, "filter:")?;
        }
        for part in &self.parts {
            // Deeper levels are not indented further.
            writeln!(f, "{:width$}{part}", "", width = 2 + 2 * part.depth.min(20))?;
        }
        match self.candidates {
            Some(candidates) => writeln!(f, "candidates: {candidates}")?,
            None if self.parts.is_empty() => {}
            None => writeln!(f, "candidates: any entry")?,
        }
        write!(f, "taken from: {}", self.strategy)?;
        if let Some(run) = &self.run {
            write!(f, "\nlooked at: {}\nreturned: {}", run.looked_at, run.returned)?;
            if run.code != ResultCode::SUCCESS {
                write!(f, "\nended with: {}", run.code)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match (self.finding, self.index) {
            (Finding::List, _) => Ok(()),
            (Finding::Undefined, _) => f.write_str(": undefined for every entry"),
            (Finding::Untold(untold), _) => write!(f, ": {}", why(untold)),
            (Finding::Unsure, Some(kind)) => write!(f, ": {kind} does not tell the opposite for sure"),
            (Finding::Told { but }, Some(kind)) => {
                let of = if but { "all but those of " } else { "" };
                let keys = if self.keys == 1 { "key" } else { "keys" };
                let entries = if self.entries == 1 && !self.more { "entry" } else { "entries" };
                let more = if self.more { "more than " } else { "" };
                let read = if self.part_use == PartUse::Read { "read" } else { "not read" };
                write!(f, ": {of}{kind}, {} {keys}, {more}{} {entries}, {read}", self.keys, self.entries)
            }
            (Finding::Unsure | Finding::Told { .. }, None) => Ok(()),
        }
    }
}

fn why(untold: Option<Untold>) -> &'static str {
    match untold {
        None => "no index can tell",
        Some(Untold::NotIndexed) => "not indexed",
        Some(Untold::Subtype) => "a subtype is not indexed, or by another rule",
        Some(Untold::Building) => "its index is being built",
        Some(Untold::TooShort) => "too short a part",
        Some(Untold::Every) => "every entry",
        Some(Untold::TooMany) => "more rows of its index than are read",
    }
}

impl fmt::Display for ScopeStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "the base alone",
            Self::Children => "the children of the base",
            Self::Candidates => "the candidates, all of which are in scope",
            Self::CandidateChildren => "the candidates that are children of the base",
            Self::ClimbedCandidates => "the candidates, climbing from each to the base",
            Self::Walk => "the tree below the base, walked",
            Self::All => "all entries",
            Self::ClimbedAll => "all entries, climbing from each to the base",
        })
    }
}
