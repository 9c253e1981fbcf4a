//! New entries of an import as the rows they become, one after another in one buffer: made beside the writer, which has
//! but to see that the name is free, to number and stamp them, and to put them where they go.
//!
//! Nothing here looks at what is stored. An entry that needs more than its rows (large attributes, former passwords,
//! constraints that ask what is there, a suffix) does not come here, and whatever the writer finds odd about one that does is
//! decided as for any other add: the request is kept until then.

use std::{
    fmt,
    sync::{Arc, LazyLock},
};

use flext_ldap_proto::{
    attribute::Attributes,
    dn::{DnKey, RdnKey},
    message::Add,
};

use super::{
    Prepared, Write, WriteControls, WriteOp,
    add::name_below,
    new_entry::{NewEntry, STAMPED, When},
};
use crate::{
    clock::Stamp,
    context::{Caller, Context},
    index::{Keys, Pending},
    ppolicy::history,
    read::Size,
    row::{Id, encode_key},
    writer::Loaded,
};

/// New entries, made ready together.
pub(crate) struct Bundle {
    pub(super) context: Arc<Context>,
    pub(super) octets: Vec<u8>,
    pub(super) entries: Vec<Bundled>,
    /// The parents' names.
    pub(super) parents: Vec<DnKey>,
    /// The keys they are found under, their places in `entries` instead of ids.
    pub(super) keys: Pending,
}

/// One entry of a bundle: where its parts start or end in the octets. Each part follows the one before.
#[derive(Debug)]
pub(super) struct Bundled {
    pub(super) add: Add,
    pub(super) secrets: Vec<Vec<u8>>,
    pub(super) parts: Parts,
}

/// The parts of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// Its place among the parents.
    pub(super) parent: usize,
    /// Its own component's octets and parts.
    pub(super) size: Size,
    /// The rest of its key in `tree`, from here on.
    pub(super) start: usize,
    pub(super) name: usize,
    pub(super) uuid: usize,
    pub(super) secret: usize,
    pub(super) row: usize,
    /// After all.
    pub(super) end: usize,
    /// Where each stamp is to be written, in the order of [`STAMPED`]; 0 where none is.
    pub(super) stamps: [usize; STAMPED.len()],
}

/// Attributes that say when, each with octets to be written over at its end.
static BLANK: LazyLock<[(Vec<u8>, usize); STAMPED.len()]> = LazyLock::new(|| {
    STAMPED.map(|(name, when)| {
        let blank = when.of(&Stamp::blank()).to_vec();
        let mut attribute = Attributes::builder();
        attribute.push(name, [&blank]);
        (attribute.build().into_bytes().to_vec(), blank.len())
    })
});

impl Bundle {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            octets: Vec::new(),
            entries: Vec::new(),
            parents: Vec::new(),
            keys: Pending::default(),
        }
    }

    /// What has gathered, if something has; nothing is in it any more.
    pub(crate) fn filled(&mut self) -> Option<Loaded> {
        if self.entries.is_empty() {
            return None;
        }
        let empty = Self::new(Arc::clone(&self.context));
        Some(Loaded::Bundle(std::mem::replace(self, empty)))
    }

    /// Takes a new entry in, or gives it back if it needs more than its rows.
    pub(crate) fn take(&mut self, write: Write, prepared: Prepared) -> Option<Loaded> {
        let Some((own, parent, entry)) = self.plain(&write, &prepared) else {
            return Some(Loaded::Write(Box::new(write), Some(prepared)));
        };
        let operational = entry.whole.operational();
        let uuid = operational.get("entryUUID").and_then(|one| one.first()).unwrap_or_default();
        let mut parts = self.begin(own, parent, &write, uuid);
        entry.whole.encode_into(&mut self.octets);
        self.finish(&mut parts, entry.stamped);
        self.push(write, parts, &entry.keys).map(|write| Loaded::Write(Box::new(write), Some(prepared)))
    }

    /// Appends what comes before an entry's row. The row is to follow.
    pub(super) fn begin(&mut self, own: &RdnKey, parent: &[RdnKey], write: &Write, uuid: &[u8]) -> Parts {
        let parent = self.parent(parent);
        let written = match &write.op {
            WriteOp::Add(add) => name_below(&add.dn, false),
            _ => "",
        };
        let octets = &mut self.octets;
        let start = octets.len();
        encode_key(std::slice::from_ref(own), octets);
        let name = octets.len();
        octets.extend_from_slice(written.as_bytes());
        let uuid_start = octets.len();
        octets.extend_from_slice(uuid);
        let secret = octets.len();
        octets.extend_from_slice(&history::encode(&write.secrets, &[]).unwrap_or_default());
        let row = octets.len();
        let (size, stamps) = (Size::of(written), [0; STAMPED.len()]);
        Parts { parent, size, start, name, uuid: uuid_start, secret, row, end: row, stamps }
    }

    /// Appends what comes behind an entry's row: room for the stamps that are missing.
    pub(super) fn finish(&mut self, parts: &mut Parts, missing: [bool; STAMPED.len()]) {
        for ((stamp, missing), (blank, length)) in parts.stamps.iter_mut().zip(missing).zip(&*BLANK) {
            if missing {
                self.octets.extend_from_slice(blank);
                *stamp = self.octets.len().saturating_sub(*length);
            }
        }
        parts.end = self.octets.len();
    }

    /// Takes in an entry whose octets are there; gives back what is no add.
    pub(super) fn push(&mut self, write: Write, parts: Parts, keys: &Keys) -> Option<Write> {
        let Write { op: WriteOp::Add(add), secrets, .. } = write else { return Some(write) };
        let place = Id::try_from(self.entries.len()).unwrap_or(Id::MAX);
        for keyed in keys.iter() {
            self.keys.gain(keyed, place);
        }
        self.entries.push(Bundled { add, secrets, parts });
        None
    }

    /// Whether a write asks for more than to be done.
    pub(super) fn asks(&self, write: &Write) -> bool {
        write.controls.assertion.is_some()
            || write.controls.post_read.is_some()
            || self.context.constraints.look_at_adds()
    }

    /// An entry that needs nothing but its rows: its own component, those of its parent, and what it has.
    fn plain<'p>(
        &self,
        write: &Write,
        prepared: &'p Prepared,
    ) -> Option<(&'p RdnKey, &'p [RdnKey], &'p NewEntry)> {
        let context = &*self.context;
        let entry = prepared.entry.as_ref().ok().filter(|_| Arc::ptr_eq(&prepared.context, &self.context))?;
        let is_suffix =
            |key: &DnKey| context.suffix_levels(key).is_none_or(|levels| levels == key.rdns().len());
        let is_plain = entry.split.is_none()
            && !self.asks(write)
            && !is_suffix(&prepared.key)
            && entry.whole.operational().get(history::ATTRIBUTE).is_none();
        let (own, parent) = prepared.key.rdns().split_first().filter(|_| is_plain)?;
        Some((own, parent, entry))
    }

    /// Some of the octets.
    pub(super) fn part(&self, start: usize, end: usize) -> &[u8] {
        self.octets.get(start..end).unwrap_or_default()
    }

    fn parent(&mut self, name: &[RdnKey]) -> usize {
        // The last one most often.
        if let Some(place) = self.parents.iter().rposition(|parent| parent.rdns() == name) {
            return place;
        }
        self.parents.push(DnKey::from_rdns(name.to_vec()));
        self.parents.len().saturating_sub(1)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl Bundled {
    /// The request as it came.
    pub(super) fn to_write(&self) -> Write {
        Write {
            op: WriteOp::Add(self.add.clone()),
            caller: Caller::service(),
            controls: WriteControls { manage_dsa_it: true, ..WriteControls::default() },
            secrets: self.secrets.clone(),
            keep_operational: true,
        }
    }
}

impl When {
    /// What a stamp says of it.
    pub(super) fn of(self, stamp: &Stamp) -> &[u8] {
        match self {
            Self::Csn => stamp.csn.as_bytes(),
            Self::Time => stamp.time.as_bytes(),
        }
    }
}
