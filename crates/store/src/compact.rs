//! Making the file of a store that nobody uses as small as it can be.

use std::{fs, path::Path, sync::Arc};

use flext_ldap_directory::Error;

use crate::{
    backend::Plain,
    backup::{fill, sync_folder_of},
    contain::contained,
    folder::{DATA_FILE, existing, lock, unusable},
    tables::{Counts, Failure},
    writer,
};

/// Memory for pages.
const CACHE: usize = 64 << 20;

/// Octets of a store's file before and after.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct CompactReport {
    /// Before.
    pub before: u64,
    /// After.
    pub after: u64,
}

/// Writes the store in `folder` anew, in the order of its keys, and puts what was written in its place in one step. It
/// needs room for both meanwhile.
///
/// # Errors
///
/// When the folder holds no store or is in use, or storage fails; the store is then as it was.
pub fn compact(folder: &Path) -> Result<CompactReport, Error> {
    let path = folder.join(DATA_FILE);
    let size = |path: &Path| path.metadata().map(|data| data.len()).map_err(|error| unusable(path, error));
    let before = size(&path)?;
    let _lock = lock(folder)?;
    let new = folder.join("directory.redb.compacting");
    if new.symlink_metadata().is_ok() {
        // Of a compaction that was cut short. The folder's lock is held.
        fs::remove_file(&new).map_err(|error| unusable(&new, error))?;
    }
    let file = existing(&path).map_err(|error| unusable(&path, error))?;
    let written = contained("the compaction", || {
        let database = writer::open(Arc::new(Plain(file)), CACHE, false)?;
        let tables = writer::snapshot(&database, &Arc::new(Counts::default()))?;
        let mut reading = None;
        fill(&new, &mut |name| {
            let rows = match &mut reading {
                Some((table, rows)) if *table == name => rows,
                reading => &mut reading.insert((name, tables.of(name).range::<&[u8]>(..)?)).1,
            };
            let row = rows.next().transpose()?;
            Ok(row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
        })?;
        Ok(())
    });
    let done = written.map_err(Failure::into_error).and_then(|()| {
        let after = size(&new)?;
        fs::rename(&new, &path)
            .and_then(|()| sync_folder_of(&path))
            .map_err(|error| unusable(&path, error))?;
        Ok(CompactReport { before, after })
    });
    if done.is_err() {
        // It is removed by the next compaction otherwise.
        let _ = fs::remove_file(&new);
    }
    done
}
