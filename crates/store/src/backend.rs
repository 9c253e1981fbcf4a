//! Where pages lie: a file, memory, or a failed disk with what cannot be written held in memory.
//!
//! A failure of writing is kept from redb by [`Steady`], so that a full disk stops writes only. Where a read failed redb
//! refuses all that follows; the store then opens the same data again through an [`Overlay`]: recovery runs, but its
//! writes stay in memory.

mod steady;
mod unsynced;

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

use redb::StorageBackend;

pub(crate) use self::steady::Steady;

/// Storage that is used by more than one database, one after another. Closing is left to its last owner.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<dyn StorageBackend>);

impl StorageBackend for Shared {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// A file. The folder's lock keeps other processes away.
#[derive(Debug)]
pub(crate) struct Plain(pub(crate) File);

impl StorageBackend for Plain {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

const BLOCK: u64 = 4096;

/// Empties storage in which a database was being made when its process or the power ended. redb writes what it knows its
/// files by once the rest of their first block is safe, and takes a file without it for somebody else's; here nothing is
/// in it yet. Whatever has more than its first block is left alone.
pub(crate) fn forget_unfinished(storage: &dyn StorageBackend) -> io::Result<()> {
    const MARK: usize = 9;
    let len = storage.len()?;
    let mut mark = [0; MARK];
    if len < BLOCK {
        return Ok(());
    }
    storage.read(0, &mut mark)?;
    if mark != [0; MARK] {
        return Ok(());
    }
    let mut block = [0; BLOCK as usize];
    for start in (BLOCK..len).step_by(block.len()) {
        let block = block.get_mut(..usize::try_from((len - start).min(BLOCK)).unwrap_or_default());
        let block = block.unwrap_or_default();
        storage.read(start, block)?;
        if block.iter().any(|octet| *octet != 0) {
            return Ok(());
        }
    }
    storage.set_len(0)
}

/// Storage that is only read, with what is written over it in memory.
#[derive(Debug)]
pub(crate) struct Overlay {
    base: Arc<dyn StorageBackend>,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Octets of the base that can still be read; what lies beyond reads as zero.
    base_len: u64,
    blocks: HashMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(crate) fn new(base: Arc<dyn StorageBackend>) -> io::Result<Self> {
        let len = base.len()?;
        Ok(Self { base, written: Mutex::new(Written { len, base_len: len, blocks: HashMap::new() }) })
    }

    /// Octets that are held in memory.
    pub(crate) fn held(&self) -> usize {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.blocks.len().saturating_mul(usize::try_from(BLOCK).unwrap_or(usize::MAX))
    }

    /// Writes to the base what is held, and leaves it held: the base may not have it for good before it is synced.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.base_len < written.len {
            // What lay beyond reads as zero.
            self.base.set_len(written.base_len)?;
        }
        self.base.set_len(written.len)?;
        let put = |number: u64, block: &[u8]| {
            let start = number * BLOCK;
            let length = usize::try_from(written.len.saturating_sub(start).min(BLOCK)).unwrap_or_default();
            block.get(..length).map_or(Ok(()), |block| self.base.write(start, block))
        };
        for (number, block) in written.blocks.iter().filter(|(number, _)| **number > 0) {
            put(*number, block)?;
        }
        // The first block says which commit is the last, so it comes when all of that commit is safe.
        self.base.sync_data()?;
        written.blocks.get(&0).map_or(Ok(()), |block| put(0, block))
    }

    fn block(&self, written: &Written, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = written.blocks.get(&number) {
            return Ok(block.clone());
        }
        let start = number * BLOCK;
        let available = written.base_len.saturating_sub(start).min(BLOCK);
        let mut block = vec![0; usize::try_from(available).unwrap_or_default()];
        self.base.read(start, &mut block)?;
        block.resize(usize::try_from(BLOCK).unwrap_or_default(), 0);
        Ok(block)
    }
}

/// The parts of a range of octets, block by block: block, first octet in it, length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset.saturating_add(len as u64);
    let mut at = offset;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (block, within) = (at / BLOCK, at % BLOCK);
        let take = (BLOCK - within).min(end - at);
        at += take;
        Some((block, usize::try_from(within).ok()?, usize::try_from(take).ok()?))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (number, within, take) in parts(offset, out.len()) {
            let block = self.block(&written, number)?;
            let Some((to, rest)) = std::mem::take(&mut out).split_at_mut_checked(take) else { break };
            if let Some(from) = block.get(within..within + take) {
                to.copy_from_slice(from);
            }
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.len = len;
        written.base_len = written.base_len.min(len);
        // What is cut off reads as zero when the storage grows again.
        written.blocks.retain(|number, _| number * BLOCK < len);
        let last = len / BLOCK;
        let keep = usize::try_from(len % BLOCK).unwrap_or_default();
        if let Some(block) = written.blocks.get_mut(&last) {
            block.iter_mut().skip(keep).for_each(|octet| *octet = 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, within, take) in parts(offset, data.len()) {
            let mut block = self.block(&written, number)?;
            let Some((from, rest)) = data.split_at_checked(take) else { break };
            if let Some(to) = block.get_mut(within..within + take) {
                to.copy_from_slice(from);
            }
            data = rest;
            written.blocks.insert(number, block);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn an_overlay_reads_what_was_written_and_leaves_the_base_alone() {
        let base = InMemoryBackend::new();
        base.set_len(10_000).unwrap();
        base.write(0, &[7; 10_000]).unwrap();
        let base: Arc<dyn StorageBackend> = Arc::new(base);
        let overlay = Overlay::new(Arc::clone(&base)).unwrap();
        overlay.write(4_000, &[9; 5_000]).unwrap();
        let mut octets = vec![0; 10_000];
        overlay.read(0, &mut octets).unwrap();
        assert!(octets[..4_000].iter().all(|octet| *octet == 7));
        assert!(octets[4_000..9_000].iter().all(|octet| *octet == 9));
        assert!(octets[9_000..].iter().all(|octet| *octet == 7));
        overlay.set_len(4_100).unwrap();
        overlay.set_len(12_000).unwrap();
        let mut octets = vec![1; 12_000];
        overlay.read(0, &mut octets).unwrap();
        assert!(octets[4_000..4_100].iter().all(|octet| *octet == 9));
        assert!(octets[4_100..].iter().all(|octet| *octet == 0));
        assert!(overlay.read(11_999, &mut [0; 2]).is_err());
        base.read(4_000, &mut octets[..5_000]).unwrap();
        assert!(octets[..5_000].iter().all(|octet| *octet == 7));
    }
}
