//! The file of a log, opened again when it is said so: whoever rotates logs renames the file and sends SIGHUP.
//!
//! Names and addresses are nobody's business but that of who runs the server: a new file is for its owner and the group of
//! the folder. One that is there keeps its mode, and the one that takes its place has it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Mode of a new file, of which the process's umask may leave less.
const MODE: u32 = 0o640;

/// Has the file of a log opened again before its next line. It is for one file.
#[derive(Clone, Debug, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// Says so.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A log file under its name.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Reopen,
}

impl LogFile {
    /// Opens a file to write at its end. One that is not there is made, for its owner and the group of its folder.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn open(path: impl Into<PathBuf>, reopen: &Reopen) -> io::Result<Self> {
        let path = path.into();
        let file = append(&path, MODE)?;
        Ok(Self { path, file, reopen: reopen.clone() })
    }
}

/// Opens a file to write at its end; one that is not there is made with `mode`.
fn append(path: &Path, mode: u32) -> io::Result<File> {
    match OpenOptions::new().append(true).create_new(true).mode(mode).open(path) {
        Ok(file) => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let group = folder.unwrap_or_else(|| Path::new(".")).metadata()?.gid();
            // Who is not of that group cannot give it a file; then it stays with theirs.
            let _ = fchown(&file, None, Some(group));
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // If it has gone by now there is one more to be made.
            OpenOptions::new().append(true).create(true).mode(mode).open(path)
        }
        Err(error) => Err(error),
    }
}

impl Write for LogFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.reopen.0.swap(false, Ordering::Relaxed) {
            let mode = self.file.metadata().map_or(MODE, |file| file.permissions().mode() & 0o777);
            match append(&self.path, mode) {
                Ok(file) => self.file = file,
                // The old file goes on being written, which is better than none.
                Err(error) => {
                    tracing::warn!(path = %self.path.display(), %error, "a log could not be opened again");
                }
            }
        }
        self.file.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_renamed_log_is_followed_until_it_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let reopen = Reopen::default();
        let mut log = LogFile::open(&path, &reopen).unwrap();
        log.write_all(b"one\n").unwrap();
        fs::rename(&path, &rotated).unwrap();
        log.write_all(b"two\n").unwrap();
        reopen.ask();
        log.write_all(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&rotated).unwrap(), "one\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_log_is_for_its_owner_and_a_group_unless_it_was_there() {
        let folder = tempfile::tempdir().unwrap();
        // Whose folder it is, only root can choose freely.
        let group = match folder.path().metadata().unwrap().uid() {
            0 => 4,
            _ => folder.path().metadata().unwrap().gid(),
        };
        std::os::unix::fs::chown(folder.path(), None, Some(group)).unwrap();
        let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let is = |path: &Path| {
            let file = path.metadata().unwrap();
            (file.permissions().mode() & 0o777, file.gid())
        };
        let reopen = Reopen::default();
        let mut log = LogFile::open(&path, &reopen).unwrap();
        // What the umask takes away is never wanted of others.
        assert_eq!((is(&path).0 | 0o040, is(&path).1), (0o640, group));
        // Whoever changes it finds it changed, in the next one too, and it is not changed back.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&path, &rotated).unwrap();
        reopen.ask();
        log.write_all(b"one\n").unwrap();
        assert_eq!(is(&path), (0o600, group));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(LogFile::open(&path, &reopen).unwrap());
        assert_eq!(is(&path), (0o644, group));
    }
}
