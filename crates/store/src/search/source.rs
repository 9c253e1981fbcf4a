//! Where candidates come from, and what has still to be checked of their places.

use std::{collections::HashMap, sync::Arc};

use roaring::RoaringBitmap;

use crate::{
    lists::ListId,
    page::Token,
    row::{Id, Node},
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

impl Within {
    /// The place of a candidate, if it is in scope.
    pub(super) fn admits(
        self,
        tables: &Snapshot,
        id: Id,
        known: &mut HashMap<Id, bool>,
    ) -> Result<Option<Node>, Failure> {
        let Some(node) = tables.node(id)? else { return Ok(None) };
        let admitted = match self {
            Self::Exactly => true,
            Self::Other(base) => id != base,
            Self::ChildOf(base) => node.parent == base,
            Self::Below(base) => id == base || tables.is_within(node.parent, base, known)?,
            Self::StrictlyBelow(base) => tables.is_within(node.parent, base, known)?,
        };
        Ok(admitted.then_some(node))
    }
}

impl Source {
    /// The next candidates; none at the end.
    pub(super) fn next(&self, tables: &Snapshot) -> Result<Vec<(Token, Id)>, Failure> {
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
            Self::All(from) => {
                Ok(tables.ids(*from, SOME)?.into_iter().map(|id| (Token::Id(id), id)).collect())
            }
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
