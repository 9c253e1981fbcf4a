//! The folder of a store: which files it has, and that it belongs to one process.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use flext_ldap_directory::{Error, ErrorKind};

/// The file of all data.
pub(crate) const DATA_FILE: &str = "directory.redb";
const LOCK_FILE: &str = "lock";

/// Makes the folder and takes it for this process.
pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| {
        match folder.is_file() {
            true => Error::new(
                ErrorKind::Storage,
                format!("`{}` is a file, and a directory lives in a folder", folder.display()),
            ),
            false => unusable(folder, error),
        }
    })?;
    let path = folder.join(LOCK_FILE);
    let mut file = private_file(&path).map_err(|error| unusable(&path, error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who holds it is told if it can be.
            let _ = (&mut file).take(64).read_to_string(&mut holder);
            let holder = holder.trim();
            let holder = if holder.is_empty() { String::new() } else { format!(" ({holder})") };
            return Err(Error::new(
                ErrorKind::Storage,
                format!(
                    "the folder `{}` is in use by another process{holder}; stop it first",
                    folder.display()
                ),
            ));
        }
        Err(TryLockError::Error(error)) => return Err(unusable(&path, error)),
    }
    let named = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| write!(file, "process {}", std::process::id()));
    // The lock holds whether or not its holder's name could be written: the disk may be full.
    if let Err(error) = named {
        tracing::warn!(error = %error, "the lock file cannot be written");
    }
    Ok(file)
}

/// Removes the files of a store from a folder that this process has taken, and the folder if nothing else is in it.
pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    for path in [folder.join(DATA_FILE), folder.join(LOCK_FILE)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(&path, error)),
            _ => {}
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(unusable(folder, error)),
        _ => Ok(()),
    }
}

/// Whether a process has taken the folder.
pub(crate) fn is_locked(folder: &Path) -> bool {
    let lock = File::open(folder.join(LOCK_FILE)).map(|file| file.try_lock());
    matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// A file of its owner's, made if it is not there.
pub(crate) fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// A file that is there.
pub(crate) fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// The error for a file or folder that cannot be used.
pub(crate) fn unusable(path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("`{}` cannot be used ({})", path.display(), error.kind()))
        .with_source(error)
}
