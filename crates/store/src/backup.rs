//! Backups: one commit as a stream of rows, written while the store is in use, and stores made from such streams.
//!
//! A backup is a text that says what it is of, then every row of every table in the order of keys, then the SHA-256 of
//! all that came before ([`stream`]). Being a stream it can go to a file, through a pipe, or to another machine; without
//! its last 32 octets, which are written when everything else is, it is no backup. A store made from it is as small as
//! it can be, since its pages are filled in order.
//!
//! It is read from one commit, in one read transaction: the stated exception to the rule that none outlives a batch.
//! Pages that are freed meanwhile are not used again before it ends, so the file grows by what is written while the
//! backup is, and uses that space afterwards. The alternative, slices that are caught up by the change log, would need a
//! log of values, which the store does not keep. Whoever reads the stream must not stall: what has to be done about a
//! reader that does is for the one who hands in the output, as [`save`] and `directory serve` do.

mod fill;
mod restore;
mod stream;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use flext_ldap_directory::{Error, ErrorKind};

pub(crate) use self::fill::fill;
use self::stream::StreamWriter;
pub use self::{
    restore::{RestoreOptions, RestoreReport, restore},
    stream::Manifest,
};
use crate::{
    Store,
    tables::{Failure, Name},
};

/// What was written.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BackupReport {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Octets, the checksum included.
    pub octets: u64,
    /// The SHA-256 that ends it, in hexadecimal.
    pub sha256: String,
}

impl Store {
    /// Writes the last commit to `output`. The store may be in use; what is written to it meanwhile is not in there.
    ///
    /// Blocks the thread, and keeps pages that are freed meanwhile from being used again until it returns. The output
    /// holds password hashes.
    ///
    /// # Errors
    ///
    /// When rows cannot be read or the output fails. What was written then is no backup, and is refused by
    /// [`restore`].
    pub fn backup(&self, output: &mut dyn Write) -> Result<BackupReport, Error> {
        self.reading("the backup", || {
            let tables = self.snapshot()?;
            let manifest = Manifest::of(&*tables, &self.context())?;
            let mut stream = StreamWriter::new(output, &manifest).map_err(unwritable)?;
            for name in Name::ALL {
                for row in tables.of(name).range::<&[u8]>(..)? {
                    let (key, value) = row?;
                    stream.row(key.value(), value.value()).map_err(unwritable)?;
                }
                stream.end_of_table().map_err(unwritable)?;
            }
            let (octets, sha256) = stream.finish().map_err(unwritable)?;
            Ok(BackupReport { manifest, octets, sha256 })
        })
        .map_err(Failure::into_error)
    }

    /// Writes the last commit to the file `path`, which is for its owner only. It is there when all of it is safe on
    /// disk, and not before: until then it has another name.
    ///
    /// # Errors
    ///
    /// As [`backup`](Self::backup), and when the file is there already.
    pub fn backup_to(&self, path: &Path) -> Result<BackupReport, Error> {
        save(path, |output| self.backup(output))
    }
}

/// Has a backup written to a file that has its name when all of it is safe on disk, and not before.
///
/// # Errors
///
/// Those of `write`, and when the file is there already or cannot be written.
pub fn save<R>(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<R, Error>) -> Result<R, Error> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(
            ErrorKind::Misuse,
            format!("`{}` is there already; a backup does not overwrite", path.display()),
        ));
    }
    let failed = |error| unusable(path, error);
    let part = part_of(path);
    let file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(failed)?;
    let written = (|| {
        let mut output = BufWriter::with_capacity(1 << 20, &file);
        let report = write(&mut output)?;
        output.flush().and_then(|()| file.sync_all()).map_err(failed)?;
        // Neither overwrites what somebody else put there meanwhile.
        fs::hard_link(&part, path).map_err(failed)?;
        Ok(report)
    })();
    // Under its own name it is not wanted, whatever became of it; that it is left over is no harm.
    let _ = fs::remove_file(&part);
    let report = written?;
    sync_folder_of(path).map_err(failed)?;
    Ok(report)
}

/// What a file is called until it is whole.
fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// Makes the names in the folder of `path` safe.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
}

fn unwritable(error: io::Error) -> Failure {
    Error::new(ErrorKind::Storage, format!("the backup cannot be written ({})", error.kind()))
        .with_source(error)
        .into()
}

fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("`{}` cannot be written ({})", path.display(), error.kind()))
        .with_source(error)
}
