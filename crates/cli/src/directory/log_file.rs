//! The file of an access log, opened again when it is said so: whoever rotates logs renames the file and sends SIGHUP.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;

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
    let file = append(path).with_context(|| format!("failed to open {}", path.display()))?;
    Ok(Box::new(LogFile { path: path.to_owned(), file, reopen: reopen.clone() }))
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl Write for LogFile {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.reopen.0.swap(false, Ordering::Relaxed) {
            match append(&self.path) {
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
}
