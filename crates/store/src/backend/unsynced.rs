//! What was written since the last sync, by where it goes: kept until then, and written to storage in its order there.
//!
//! redb hands over a page at a time, in no order. A kernel takes a megabyte that lies together in the time of a dozen pages
//! that do not.

use std::{collections::BTreeMap, io};

use redb::StorageBackend;

/// Octets that are allocated at once. What is larger has room of its own.
const BLOCK: usize = 1 << 20;

/// Blocks that are kept to be used again.
const FREE: usize = 4;

/// Octets that are written to storage at once.
const RUN: usize = 1 << 20;

/// Writes that overlap no other: of what was written twice, the later.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    /// By their offset.
    writes: BTreeMap<u64, Write>,
    /// What was written, one after another. A block never grows beyond its first room.
    blocks: Vec<Vec<u8>>,
    /// Blocks to be used again: memory that is new costs more than what is done with it.
    free: Vec<Vec<u8>>,
    octets: usize,
    /// Whether some are not in storage yet.
    is_waiting: bool,
}

/// Octets of a block.
#[derive(Clone, Copy, Debug)]
struct Write {
    block: usize,
    start: usize,
    len: usize,
    /// Whether storage does not have them yet.
    waits: bool,
}

impl Unsynced {
    /// Octets that are held, some of which may not be needed any more.
    pub(super) fn octets(&self) -> usize {
        self.octets
    }

    /// Whether something within a range waits.
    pub(super) fn waits_within(&self, offset: u64, len: usize) -> bool {
        self.is_waiting && self.overlapping(offset, len).any(|(_, write)| write.waits)
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset.saturating_add(data.len() as u64);
        let before: Vec<_> = self.overlapping(offset, data.len()).collect();
        for (start, write) in before {
            self.writes.remove(&start);
            let kept = usize::try_from(offset.saturating_sub(start)).unwrap_or_default();
            if kept > 0 {
                self.writes.insert(start, Write { len: kept, ..write });
            }
            let covered = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
            if covered < write.len {
                let rest = Write { start: write.start + covered, len: write.len - covered, ..write };
                self.writes.insert(end, rest);
            }
        }
        if self.blocks.last().is_none_or(|block| block.capacity() - block.len() < data.len()) {
            let free = self.free.pop().filter(|_| data.len() <= BLOCK);
            self.blocks.push(free.unwrap_or_else(|| Vec::with_capacity(data.len().max(BLOCK))));
        }
        let place = self.blocks.len().saturating_sub(1);
        let Some(block) = self.blocks.last_mut() else { return };
        self.writes.insert(offset, Write { block: place, start: block.len(), len: data.len(), waits: true });
        block.extend_from_slice(data);
        self.octets = self.octets.saturating_add(data.len());
        self.is_waiting = true;
    }

    /// Writes to storage what it does not have. Where that fails, all of it still waits.
    pub(super) fn write_out(&mut self, to: &dyn StorageBackend) -> io::Result<()> {
        if self.is_waiting {
            self.write_waiting(to)?;
            self.writes.values_mut().for_each(|write| write.waits = false);
            self.is_waiting = false;
        }
        Ok(())
    }

    /// Writes what waits, and leaves it waiting.
    pub(super) fn write_waiting(&self, to: &dyn StorageBackend) -> io::Result<()> {
        self.write_to(to, |write| write.waits)
    }

    /// Writes all to storage, what it had before too.
    pub(super) fn write_again(&self, to: &dyn StorageBackend) -> io::Result<()> {
        self.write_to(to, |_| true)
    }

    fn write_to(&self, to: &dyn StorageBackend, wanted: impl Fn(&Write) -> bool) -> io::Result<()> {
        let mut run = Vec::new();
        let mut writes = self.writes.iter().filter(|(_, write)| wanted(write)).peekable();
        while let Some((first, write)) = writes.next() {
            // What lies together here too needs no copy.
            let (mut piece, mut end) = (*write, *first + write.len as u64);
            run.clear();
            while let Some((offset, next)) = writes.peek()
                && **offset == end
                && run.len() + piece.len + next.len <= RUN
            {
                end += next.len as u64;
                if (next.block, next.start) == (piece.block, piece.start + piece.len) {
                    piece.len += next.len;
                } else {
                    run.extend_from_slice(self.data(&piece));
                    piece = **next;
                }
                writes.next();
            }
            if run.is_empty() {
                to.write(*first, self.data(&piece))?;
            } else {
                run.extend_from_slice(self.data(&piece));
                to.write(*first, &run)?;
            }
        }
        Ok(())
    }

    /// Forgets all; keeps a little room.
    pub(super) fn clear(&mut self) {
        let mut free = std::mem::take(&mut self.free);
        free.append(&mut self.blocks);
        free.retain(|block| block.capacity() == BLOCK);
        free.truncate(FREE);
        free.iter_mut().for_each(Vec::clear);
        *self = Self { free, ..Self::default() };
    }

    /// What lies beyond an end is not needed any more.
    pub(super) fn cut(&mut self, len: u64) {
        self.writes.retain(|offset, _| *offset < len);
        if let Some((offset, write)) = self.writes.iter_mut().next_back() {
            write.len = write.len.min(usize::try_from(len - *offset).unwrap_or(usize::MAX));
        }
    }

    fn data(&self, write: &Write) -> &[u8] {
        let block = self.blocks.get(write.block).map(Vec::as_slice).unwrap_or_default();
        block.get(write.start..write.start + write.len).unwrap_or_default()
    }

    fn overlapping(&self, offset: u64, len: usize) -> impl Iterator<Item = (u64, Write)> {
        let end = offset.saturating_add(len as u64);
        let reaches = move |(start, write): &(u64, Write)| *start + write.len as u64 > offset;
        self.writes.range(..end).rev().map(|(start, write)| (*start, *write)).take_while(reaches)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Out,
        Cut(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0..60_u64, prop::collection::vec(any::<u8>(), 1..30)).prop_map(|(at, data)| Step::Write(at, data)),
            1 => Just(Step::Out),
            1 => (1..90_u64).prop_map(Step::Cut),
        ]
    }

    fn content(storage: &InMemoryBackend) -> Vec<u8> {
        let mut octets = vec![0; usize::try_from(storage.len().unwrap()).unwrap()];
        storage.read(0, &mut octets).unwrap();
        octets
    }

    proptest! {
        /// What comes to storage is what was written, whatever overlaps and whenever it is written out; and all of it can
        /// be written again.
        #[test]
        fn storage_has_what_was_written(steps in prop::collection::vec(step(), 0..40)) {
            let (storage, again) = (InMemoryBackend::new(), InMemoryBackend::new());
            let mut unsynced = Unsynced::default();
            let mut model = vec![0_u8; 100];
            storage.set_len(100).unwrap();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        unsynced.write(at, &data);
                        let at = usize::try_from(at).unwrap();
                        prop_assert!(unsynced.waits_within(at as u64, 1));
                        model[at..at + data.len()].copy_from_slice(&data);
                    }
                    Step::Out => unsynced.write_out(&storage).unwrap(),
                    Step::Cut(len) => {
                        unsynced.write_out(&storage).unwrap();
                        unsynced.cut(len);
                        storage.set_len(len).unwrap();
                        storage.set_len(100).unwrap();
                        model[usize::try_from(len).unwrap()..].fill(0);
                    }
                }
            }
            unsynced.write_out(&storage).unwrap();
            prop_assert!(!unsynced.waits_within(0, 100));
            prop_assert_eq!(&content(&storage), &model);
            again.set_len(100).unwrap();
            unsynced.write_again(&again).unwrap();
            prop_assert_eq!(content(&again), model);
        }
    }

    #[test]
    fn what_lies_together_is_written_at_once() {
        #[derive(Debug, Default)]
        struct Calls(std::sync::Mutex<Vec<(u64, usize)>>);
        impl StorageBackend for Calls {
            fn len(&self) -> io::Result<u64> {
                Ok(0)
            }
            fn read(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
                Ok(())
            }
            fn set_len(&self, _: u64) -> io::Result<()> {
                Ok(())
            }
            fn sync_data(&self) -> io::Result<()> {
                Ok(())
            }
            fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
                self.0.lock().unwrap().push((offset, data.len()));
                Ok(())
            }
        }
        let calls = Calls::default();
        let mut unsynced = Unsynced::default();
        for page in [3, 0, 2, 9, 1, 3] {
            unsynced.write(page * 4096, &[1; 4096]);
        }
        unsynced.write_out(&calls).unwrap();
        unsynced.write_out(&calls).unwrap();
        assert_eq!(*calls.0.lock().unwrap(), [(0, 4 * 4096), (9 * 4096, 4096)]);
        assert_eq!(unsynced.octets(), 6 * 4096);
        unsynced.clear();
        assert_eq!((unsynced.octets(), unsynced.blocks.len(), unsynced.free.len()), (0, 0, 1));
    }
}
