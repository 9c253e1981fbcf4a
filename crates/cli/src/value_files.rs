//! `-t`: values in files of their own, and their URLs in the LDIF, as ldapsearch has it.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Octets of an attribute description in the name of a file.
const LONGEST: usize = 64;

/// Where values go, and which.
pub(crate) struct ValueFiles {
    /// All of them, not only those that are no text.
    all: bool,
    folder: PathBuf,
    /// What the URLs of the files begin with.
    prefix: String,
}

impl ValueFiles {
    /// Files in `folder`, that of temporary files if there is none, whose URLs begin with `prefix`, the folder's if there is
    /// none.
    ///
    /// # Errors
    ///
    /// There is no such folder.
    pub(crate) fn new(all: bool, folder: Option<&Path>, prefix: Option<&str>) -> io::Result<Self> {
        let folder = folder.map_or_else(std::env::temp_dir, Path::to_path_buf).canonicalize()?;
        let mut prefix = prefix.map_or_else(|| url(&folder), str::to_owned);
        if !prefix.ends_with('/') {
            prefix.push('/');
        }
        Ok(Self { all, folder, prefix })
    }

    /// Writes a value to a new file that only its owner can read, and returns the URL of it; nothing where the value stays
    /// in the LDIF.
    pub(crate) fn put(&self, description: &str, value: &[u8]) -> io::Result<Option<String>> {
        let is_text = str::from_utf8(value).is_ok_and(|text| !text.chars().any(char::is_control));
        if is_text && !self.all {
            return Ok(None);
        }
        // A server has chosen it.
        let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
        let name: String = description.chars().take(LONGEST).map(safe).collect();
        let mut file =
            tempfile::Builder::new().prefix(&format!("ldapsearch-{name}-")).tempfile_in(&self.folder)?;
        file.write_all(value)?;
        let (_, path) = file.keep()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Some(format!("{}{name}", self.prefix)))
    }
}

/// The URL of a folder.
fn url(folder: &Path) -> String {
    let mut url = "file://".to_owned();
    for octet in folder.as_os_str().as_bytes() {
        match octet {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                url.push(char::from(*octet))
            }
            // A string takes what is written.
            _ => drop(write!(url, "%{octet:02X}")),
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_value_is_in_a_file_of_its_own_wherever_a_server_would_have_it() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a b");
        fs::create_dir(&inner).unwrap();
        let files = ValueFiles::new(false, Some(&inner), None).unwrap();
        assert_eq!(files.put("cn", "Chidi Öberg".as_bytes()).unwrap(), None);
        let url = files.put("../../etc/passwd;binary", b"\xff\0").unwrap().unwrap();
        let (start, name) = url.rsplit_once('/').unwrap();
        assert_eq!(start, format!("file://{}/a%20b", folder.path().canonicalize().unwrap().display()));
        assert!(name.starts_with("ldapsearch-------etc-passwd-binary-"), "{name}");
        let path = inner.join(name);
        assert_eq!(fs::read(&path).unwrap(), b"\xff\0");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let files = ValueFiles::new(true, Some(&inner), Some("http://example.org/x")).unwrap();
        assert!(files.put("cn", b"Ada").unwrap().unwrap().starts_with("http://example.org/x/ldapsearch-cn-"));
    }
}
