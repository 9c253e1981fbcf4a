//! New entries of an import as the rows they become, one after another in one buffer: made beside the writer, which has
//! but to see that the name is free, to number and stamp them, and to put them where they go.
//!
//! Nothing here looks at what is stored. An entry that needs more than its rows (large attributes, former passwords,
//! constraints that ask what is there, a suffix) does not come here, and whatever the writer finds odd about one that does is
//! decided as for any other add, whose request is made of the rows again.

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
    row::{Id, Stored, decode_secret, encode_key},
    tables::Failure,
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
    /// Keys that entries have in common, with the places of these.
    pub(super) shared: Vec<(Arc<Keys>, Vec<Id>)>,
}

/// One entry of a bundle: where its parts start or end in the octets. Each part follows the one before.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bundled {
    /// Its place among the parents.
    pub(super) parent: usize,
    /// Its own component's octets and parts.
    pub(super) size: Size,
    /// The rest of its key in `tree`, from here on.
    pub(super) start: usize,
    /// Its name as written, its own component first.
    pub(super) name: usize,
    pub(super) above: usize,
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
            shared: Vec::new(),
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
        let mut bundled = self.begin(own, parent, &write, uuid);
        entry.whole.encode_into(&mut self.octets);
        self.finish(&mut bundled, entry.stamped);
        self.push(bundled, &entry.keys, None);
        None
    }

    /// Appends what comes before an entry's row. The row is to follow.
    pub(super) fn begin(&mut self, own: &RdnKey, parent: &[RdnKey], write: &Write, uuid: &[u8]) -> Bundled {
        let parent = self.parent(parent);
        let (dn, own_name) = match &write.op {
            WriteOp::Add(add) => (add.dn.as_str(), name_below(&add.dn, false)),
            _ => ("", ""),
        };
        let octets = &mut self.octets;
        let start = octets.len();
        encode_key(std::slice::from_ref(own), octets);
        let name = octets.len();
        octets.extend_from_slice(dn.as_bytes());
        let above = name.saturating_add(own_name.len());
        let uuid_start = octets.len();
        octets.extend_from_slice(uuid);
        let secret = octets.len();
        octets.extend_from_slice(&history::encode(&write.secrets, &[]).unwrap_or_default());
        let row = octets.len();
        let (size, stamps) = (Size::of(own_name), [0; STAMPED.len()]);
        Bundled { parent, size, start, name, above, uuid: uuid_start, secret, row, end: row, stamps }
    }

    /// Appends what comes behind an entry's row: room for the stamps that are missing.
    pub(super) fn finish(&mut self, entry: &mut Bundled, missing: [bool; STAMPED.len()]) {
        for ((stamp, missing), (blank, length)) in entry.stamps.iter_mut().zip(missing).zip(&*BLANK) {
            if missing {
                self.octets.extend_from_slice(blank);
                *stamp = self.octets.len().saturating_sub(*length);
            }
        }
        entry.end = self.octets.len();
    }

    /// Takes in an entry whose octets are there, with keys of its own and those that it shares with others.
    pub(super) fn push(&mut self, entry: Bundled, keys: &Keys, shared: Option<&Arc<Keys>>) {
        let place = Id::try_from(self.entries.len()).unwrap_or(Id::MAX);
        for keyed in keys.iter() {
            self.keys.gain(keyed, place);
        }
        if let Some(keys) = shared {
            match self.shared.iter_mut().find(|(shared, _)| Arc::ptr_eq(shared, keys)) {
                Some((_, places)) => places.push(place),
                None => self.shared.push((Arc::clone(keys), vec![place])),
            }
        }
        self.entries.push(entry);
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

    /// The request for an entry, as it would have come from one who knows what the directory adds to it.
    pub(super) fn write_of(&self, entry: &Bundled) -> Result<Write, Failure> {
        let lost = || Failure::damaged("an entry that is loaded");
        let dn = std::str::from_utf8(self.part(entry.name, entry.uuid)).map_err(|_| lost())?;
        // What it is stamped with comes last, and is not known.
        let stamps = entry.stamps.iter().zip(&*BLANK).filter(|(at, _)| **at > 0);
        let stamped: usize = stamps.map(|(_, (blank, _))| blank.len()).sum();
        let row = Stored::decode(0, self.part(entry.row, entry.end.saturating_sub(stamped)))?;
        let mut attributes = Attributes::builder();
        row.segments().into_iter().for_each(|segment| attributes.extend(segment.as_ref()));
        Ok(Write {
            op: WriteOp::Add(Add::new(dn.parse().map_err(|_| lost())?, attributes.build())),
            caller: Caller::service(),
            controls: WriteControls { manage_dsa_it: true, ..WriteControls::default() },
            secrets: decode_secret(self.part(entry.secret, entry.row))?,
            keep_operational: true,
        })
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

impl When {
    /// What a stamp says of it.
    pub(super) fn of(self, stamp: &Stamp) -> &[u8] {
        match self {
            Self::Csn => stamp.csn.as_bytes(),
            Self::Time => stamp.time.as_bytes(),
        }
    }
}
