//! The file of an access log, opened again when it is said so: whoever rotates logs renames the file and sends SIGHUP.
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

use anyhow::Context as _;

/// Mode of a new file, of which the process's umask may leave less.
const MODE: u32 = 0o640;

/// Has log files opened again before the next line.
#[derive(Clone, Debug, Default)]
pub(super) struct Reopen(Arc<AtomicBool>);

impl Reopen {
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A log file under its name.
#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Reopen,
}

/// What to write a log to; `-` is standard output.
///
/// # Errors
///
/// The file cannot be opened.
pub(super) fn open(path: &Path, reopen: &Reopen) -> anyhow::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    let file = append(path, MODE).with_context(|| format!("failed to open {}", path.display()))?;
    Ok(Box::new(LogFile { path: path.to_owned(), file, reopen: reopen.clone() }))
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
                Err(error) => crate::say(format_args!(
                    "warning: {} could not be opened again: {error}",
                    self.path.display()
                )),
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
        let mut log = open(&path, &reopen).unwrap();
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
        let group = if nix::unistd::geteuid().is_root() { 4 } else { nix::unistd::getegid().as_raw() };
        std::os::unix::fs::chown(folder.path(), None, Some(group)).unwrap();
        let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let is = |path: &Path| {
            let file = path.metadata().unwrap();
            (file.permissions().mode() & 0o777, file.gid())
        };
        let reopen = Reopen::default();
        let mut log = open(&path, &reopen).unwrap();
        // What the umask takes away is never wanted of others.
        assert_eq!((is(&path).0 | 0o040, is(&path).1), (0o640, group));
        // Whoever changes it finds it changed, in the next one too, and it is not changed back.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::rename(&path, &rotated).unwrap();
        reopen.ask();
        log.write_all(b"one\n").unwrap();
        assert_eq!(is(&path), (0o600, group));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(open(&path, &reopen).unwrap());
        assert_eq!(is(&path), (0o644, group));
    }
}
