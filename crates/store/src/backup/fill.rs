//! Tables written in the order of their keys into a file that holds nothing yet.

use std::{fs::OpenOptions, ops::Bound, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use redb::{CursorError, Database};

use crate::{
    backend::Plain,
    tables::{Failure, Name, storage_error},
    writer,
};

/// Rows and octets of one commit.
const ROWS: usize = 50_000;
const OCTETS: usize = 32 << 20;

/// Memory for pages.
const CACHE: usize = 128 << 20;

/// What a row comes as.
type Row = Option<(Vec<u8>, Vec<u8>)>;

/// Makes the file `path` of the rows that `next` gives for each table, until it gives none, and makes it safe on disk.
/// Returns how many rows each table has.
pub(crate) fn fill(
    path: &Path,
    next: &mut dyn FnMut(Name) -> Result<Row, Failure>,
) -> Result<Vec<(Name, u64)>, Failure> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| super::unusable(path, error))?;
    let mut database = writer::open(Arc::new(Plain(file)), CACHE, false)?;
    let mut counts = Vec::new();
    for name in Name::ALL {
        counts.push((name, table(&database, name, next)?));
    }
    // The file is longer than what was written needs.
    database.compact().map_err(|error| storage_error(redb::Error::from(error)))?;
    database.close().map_err(storage_error)?;
    super::sync_folder_of(path).map_err(|error| super::unusable(path, error))?;
    Ok(counts)
}

fn table(
    database: &Database,
    name: Name,
    next: &mut dyn FnMut(Name) -> Result<Row, Failure>,
) -> Result<u64, Failure> {
    let mut total = 0;
    loop {
        let transaction = database.begin_write().map_err(storage_error)?;
        let mut ended = false;
        {
            let mut table = transaction.open_table(name.definition()).map_err(storage_error)?;
            let mut end = table.upper_bound_mut(Bound::<&[u8]>::Unbounded)?;
            let (mut rows, mut octets) = (0, 0);
            while rows < ROWS && octets < OCTETS {
                let Some((key, value)) = next(name)? else {
                    ended = true;
                    break;
                };
                rows += 1;
                octets += key.len() + value.len();
                total += 1;
                match end.insert_before(key.as_slice(), value.as_slice()) {
                    Ok(()) => {}
                    Err(CursorError::Storage(error)) => return Err(error.into()),
                    Err(_) => return Err(Failure::damaged("the order of rows")),
                }
            }
        }
        transaction.commit().map_err(storage_error)?;
        if ended {
            return Ok(total);
        }
    }
}
