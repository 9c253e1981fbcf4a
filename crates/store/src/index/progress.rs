//! How far the building of indexes is, for whoever runs the store.

use std::{fmt, sync::Arc};

use flext_ldap_proto::schema::Schema;

use super::{IndexKind, Standing, key, standing::Stage};

/// How far one index is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IndexProgress {
    /// The attribute, by the name its schema prefers; its OID where the schema does not know it any more.
    pub attribute: String,
    /// What the index tells.
    pub kind: IndexKind,
    /// How far it is.
    pub stage: IndexStage,
}

/// How far an index is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IndexStage {
    /// Searches ask it.
    Ready,
    /// Entries are still to be looked at. Writes keep it up; searches do not ask it yet.
    Building {
        /// Ids looked at.
        done: u32,
        /// Ids to look at, entries that were deleted included.
        total: u32,
    },
    /// It is not wanted any more, or was made by other rules, and is being deleted.
    Removing,
}

impl fmt::Display for IndexProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}: ", self.kind, self.attribute)?;
        match self.stage {
            IndexStage::Ready => f.write_str("ready"),
            IndexStage::Building { done, total } => write!(f, "{done} of {total} entries"),
            IndexStage::Removing => f.write_str("being removed"),
        }
    }
}

/// Who hears of progress, on the thread that writes.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Arc<Told>>);

type Told = dyn Fn(&IndexProgress) + Send + Sync;

impl Listener {
    pub(crate) fn new(listener: impl Fn(&IndexProgress) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(super) fn tell(&self, progress: &IndexProgress) {
        if let Some(listener) = &self.0 {
            listener(progress);
        }
    }
}

impl Standing {
    /// How far each index is; `total` ids were given out.
    pub(crate) fn progress(&self, schema: &Schema, total: u32) -> Vec<IndexProgress> {
        self.iter().filter_map(|(prefix, one)| progress(schema, prefix, one.stage, total)).collect()
    }
}

pub(super) fn progress(schema: &Schema, prefix: &[u8], stage: Stage, total: u32) -> Option<IndexProgress> {
    let (oid, kind) = key::index_of(prefix)?;
    let attribute = schema.attribute_type(oid).map_or(oid, |attribute| attribute.name()).to_owned();
    let stage = match stage {
        Stage::Ready => IndexStage::Ready,
        Stage::Building(from) => IndexStage::Building { done: from.saturating_sub(1).min(total), total },
        Stage::Removing { .. } => IndexStage::Removing,
    };
    Some(IndexProgress { attribute, kind, stage })
}
