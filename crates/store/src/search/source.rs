//! Where candidates come from, and what has still to be checked of their places.

use std::{collections::HashMap, sync::Arc, vec};

use roaring::RoaringBitmap;

use crate::{
    lists::ListId,
    page::Token,
    read::read_id,
    row::{Id, Node, parent_of},
    rows::Range,
    tables::{Failure, Snapshot},
};

/// Where candidates come from.
pub(super) enum Source {
    /// A set, from this id on.
    Ids(RoaringBitmap, Id),
    /// The children of one entry, in the order of their names.
    Children(Id, Option<Vec<u8>>),
    /// All entries, from this id on.
    All(Id),
    /// A sorted list, from one place up to another.
    List { ids: Arc<[Id]>, list: ListId, order: [u8; 8], at: u32, end: u32 },
}

/// What has still to be checked of a candidate's place.
#[derive(Clone, Copy)]
pub(super) enum Within {
    /// Nothing: it is in scope.
    Exactly,
    /// Anything but this entry.
    Other(Id),
    ChildOf(Id),
    Below(Id),
    /// Without the base itself.
    StrictlyBelow(Id),
}

/// Candidates in their order, and of those in scope where they stand.
pub(super) struct Candidates<'t> {
    tables: &'t Snapshot,
    scope: Within,
    within: IsWithin,
    /// Names of candidates that were read ahead, where they are not read from `node` itself.
    ahead: vec::IntoIter<(Token, Id)>,
    nodes: Option<Range<'t>>,
}

/// One candidate.
pub(super) struct Candidate {
    pub(super) token: Token,
    pub(super) id: Id,
    /// Where it stands, if it is in scope.
    pub(super) node: Option<Node>,
}

/// Which entries stand below the base, or are it, as far as was climbed.
#[derive(Default)]
struct IsWithin {
    /// Neighbours mostly have the same parent.
    last: Option<(Id, bool)>,
    known: HashMap<Id, bool>,
}

impl<'t> Candidates<'t> {
    pub(super) fn new(tables: &'t Snapshot, scope: Within) -> Self {
        Self { tables, scope, within: IsWithin::default(), ahead: Vec::new().into_iter(), nodes: None }
    }

    /// The next of `source`, which has passed the one before; none at the end.
    pub(super) fn next(&mut self, source: &Source) -> Result<Option<Candidate>, Failure> {
        if let Source::All(from) = source {
            let nodes = match &mut self.nodes {
                Some(nodes) => nodes,
                none => none.insert(self.tables.node.range::<&[u8]>(from.to_be_bytes().as_slice()..)?),
            };
            let Some(row) = nodes.next() else { return Ok(None) };
            let (key, row) = row?;
            let id = read_id(key.value())?;
            return Ok(Some(Candidate { token: Token::Id(id), id, node: self.admitted(id, row.value())? }));
        }
        if self.ahead.as_slice().is_empty() {
            self.ahead = source.ahead(self.tables)?.into_iter();
        }
        let Some((token, id)) = self.ahead.next() else { return Ok(None) };
        Ok(Some(Candidate { token, id, node: self.place(id)? }))
    }

    /// The place of an entry, if it is there and in scope.
    pub(super) fn place(&mut self, id: Id) -> Result<Option<Node>, Failure> {
        let row = self.tables.node.get(id.to_be_bytes().as_slice())?;
        row.map_or(Ok(None), |row| self.admitted(id, row.value()))
    }

    /// The place of a candidate whose row of `node` this is, if it is in scope.
    fn admitted(&mut self, id: Id, row: &[u8]) -> Result<Option<Node>, Failure> {
        let admitted = match self.scope {
            Within::Exactly => true,
            Within::Other(base) => id != base,
            Within::ChildOf(base) => parent_of(row)? == base,
            Within::Below(base) if id == base => true,
            Within::Below(base) | Within::StrictlyBelow(base) => {
                self.within.has(self.tables, parent_of(row)?, base)?
            }
        };
        admitted.then(|| Node::decode(row)).transpose()
    }
}

impl IsWithin {
    /// Whether an entry is `base` or below it.
    fn has(&mut self, tables: &Snapshot, id: Id, base: Id) -> Result<bool, Failure> {
        match self.last {
            Some((last, within)) if last == id => Ok(within),
            _ => {
                let within = tables.is_within(id, base, &mut self.known)?;
                self.last = Some((id, within));
                Ok(within)
            }
        }
    }
}

impl Source {
    /// Some candidates to read ahead; none at the end. All entries are read as they come.
    fn ahead(&self, tables: &Snapshot) -> Result<Vec<(Token, Id)>, Failure> {
        const SOME: usize = 256;
        match self {
            Self::Ids(ids, from) => Ok(ids.range(*from..).take(SOME).map(|id| (Token::Id(id), id)).collect()),
            Self::Children(parent, name) => Ok(tables
                .children(*parent, name.as_deref(), SOME)?
                .into_iter()
                .map(|(name, id)| (Token::Child(name), id))
                .collect()),
            Self::List { ids, list, order, at, end } => {
                let places = (*at..*end).take(SOME);
                Ok(places
                    .filter_map(|at| {
                        let id = *ids.get(at as usize)?;
                        Some((Token::Place { list: *list, order: *order, at, id }, id))
                    })
                    .collect())
            }
            Self::All(_) => Ok(Vec::new()),
        }
    }

    /// Goes on after a candidate.
    pub(super) fn pass(&mut self, token: Token) {
        match (self, token) {
            (Self::Ids(_, from) | Self::All(from), Token::Id(id)) => *from = id.saturating_add(1),
            (Self::Children(_, name), Token::Child(child)) => *name = Some(child),
            (Self::List { at, .. }, Token::Place { at: place, .. }) => *at = place.saturating_add(1),
            _ => {}
        }
    }
}
