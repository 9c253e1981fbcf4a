//! A store made from a backup.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use flext_ldap_directory::{Error, ErrorKind};

use super::{
    fill,
    stream::{Manifest, StreamReader},
    sync_folder_of, unusable,
};
use crate::{
    CheckEvent, CheckReport, Fault, Store, StoreOptions,
    folder::{DATA_FILE, lock, remove},
    migrate::FORMAT,
    options::Location,
    tables::Failure,
};

/// Faults that an error names.
const NAMED: usize = 5;

/// How a store is made from a backup.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Takes the place of the store that is in the folder, which is kept there under another name. Without it a folder
    /// that holds one is refused.
    pub replace: bool,
    /// Takes a backup of a store that had faults. Without it nothing is restored that [`Store::check`] finds fault with.
    pub accept_faults: bool,
}

/// What was restored.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// What the backup says of itself.
    pub manifest: Manifest,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// What a check of the store found.
    pub check: CheckReport,
    /// Where the store is whose place was taken. Nobody removes it but whoever no longer wants it.
    pub replaced: Option<PathBuf>,
}

/// Makes the store in the folder `store` names from a backup, with the schema and whatever else `store` says.
///
/// The backup's checksum and the store made from it are proved before the store takes its place in the folder, in one
/// step: whatever happens, the folder holds what it held before or all of the backup.
///
/// # Errors
///
/// When the folder is in use or, without [`RestoreOptions::replace`], holds a store; when the backup cannot be read, is
/// not whole, or is of a newer format; when storage fails; when the store has faults.
pub fn restore(
    input: &mut dyn Read,
    store: StoreOptions,
    options: &RestoreOptions,
) -> Result<RestoreReport, Error> {
    let Location::Folder(folder) = store.location.clone() else {
        return Err(Error::new(ErrorKind::Misuse, "a backup is restored into a folder"));
    };
    let is_new = folder.symlink_metadata().is_err();
    let _lock = lock(&folder)?;
    let restored = restore_into(&folder, input, store, options);
    if restored.is_err() && is_new && !folder.join(DATA_FILE).exists() {
        // What is left is no harm, and the error that matters is at hand.
        let _ = remove(&folder);
    }
    restored
}

fn restore_into(
    folder: &Path,
    input: &mut dyn Read,
    store: StoreOptions,
    options: &RestoreOptions,
) -> Result<RestoreReport, Error> {
    let data = folder.join(DATA_FILE);
    let is_there = data.symlink_metadata().is_ok_and(|data| data.len() > 0);
    if is_there && !options.replace {
        return Err(Error::new(
            ErrorKind::Misuse,
            format!("`{}` holds a directory already; nothing was restored", folder.display()),
        ));
    }
    let making = Making::new(folder.join("restoring"))?;
    let (manifest, sha256) = read(input, &making.0.join(DATA_FILE)).map_err(Failure::into_error)?;
    let check = prove(store.located(Location::Folder(making.0.clone())), options)?;
    // A second name, so that there is a store under the first at every moment.
    let replaced = is_there.then(|| keep(&data)).transpose()?;
    if let Err(error) = fs::rename(making.0.join(DATA_FILE), &data) {
        if let Some(replaced) = &replaced {
            // It is there under its first name; that this one is left over is no harm.
            let _ = fs::remove_file(replaced);
        }
        return Err(unusable(&data, error));
    }
    sync_folder_of(&data).map_err(|error| unusable(&data, error))?;
    Ok(RestoreReport { manifest, sha256, check, replaced })
}

/// Gives a store's file another name besides its own: the first of these that is free.
fn keep(data: &Path) -> Result<PathBuf, Error> {
    let mut number = 1_u32;
    loop {
        let path = data.with_extension(format!("redb.replaced-{number}"));
        match fs::hard_link(data, &path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = number.saturating_add(1),
            Err(error) => return Err(unusable(&path, error)),
        }
    }
}

/// A folder that is gone when it is no longer needed.
struct Making(PathBuf);

impl Making {
    fn new(path: PathBuf) -> Result<Self, Error> {
        // Of a restore that was cut short. The folder's lock is held.
        if path.symlink_metadata().is_ok() {
            fs::remove_dir_all(&path).map_err(|error| unusable(&path, error))?;
        }
        fs::create_dir(&path).map_err(|error| unusable(&path, error))?;
        Ok(Self(path))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // What is left is removed by the next restore.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a file of a backup.
fn read(input: &mut dyn Read, path: &Path) -> Result<(Manifest, String), Failure> {
    let (mut stream, manifest) = StreamReader::new(input)?;
    if manifest.format > FORMAT {
        let format = manifest.format;
        let what =
            format!("it has format {format} and this version knows up to {FORMAT}; use a newer version");
        return Err(stream.bad(&what).into());
    }
    let mut tables = manifest.rows.iter();
    let mut reading: Option<&(String, u64)> = tables.next();
    let counts = fill(path, &mut |name| {
        // Tables come in this order; one that a backup of an older format does not have stays empty.
        if reading.is_none_or(|(table, _)| table != name.as_str()) {
            return Ok(None);
        }
        let row = stream.row()?;
        if row.is_none() {
            reading = tables.next();
        }
        Ok(row)
    })?;
    if let Some((table, _)) = reading {
        return Err(stream.bad(&format!("it has a table `{table}`, which is not known here")).into());
    }
    let found = |table: &str| counts.iter().find(|(name, _)| name.as_str() == table).map(|(_, rows)| *rows);
    for (table, rows) in &manifest.rows {
        if found(table) != Some(*rows) {
            return Err(stream
                .bad(&format!("the table `{table}` is to have {rows} rows and has others"))
                .into());
        }
    }
    Ok((manifest, stream.finish()?))
}

/// Opens what was made, so that all that opening does is done, and checks it.
fn prove(store: StoreOptions, options: &RestoreOptions) -> Result<CheckReport, Error> {
    let store = Store::open(store)?;
    let mut named = Vec::new();
    let report = store.check(&mut |event| {
        if let CheckEvent::Fault(fault) = event {
            tracing::warn!(%fault, "the backup is of a store with a fault");
            if named.len() < NAMED {
                named.push(Fault::to_string(fault));
            }
        }
    })?;
    store.close();
    if report.faults > 0 && !options.accept_faults {
        return Err(Error::new(
            ErrorKind::Storage,
            format!(
                "the backup is whole, and the store it was made of had {} faults; nothing was restored: {}",
                report.faults,
                named.join("; ")
            ),
        ));
    }
    Ok(report)
}
