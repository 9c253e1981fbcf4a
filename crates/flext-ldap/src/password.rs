//! Where passwords are: never in a configuration file, which says where instead. They are read when they are needed and
//! each time anew, so that a new one is used without a restart.

use std::{
    error::Error as StdError,
    fmt, fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use flext_ldap_directory::proto::secret::Secret;

/// Where a password is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "another place is to be looked at by whoever looks at these")]
pub enum PasswordSource {
    /// In a file of its own; one line end at its end is not part of it.
    File(PathBuf),
    /// In a variable of the environment.
    Environment(String),
    /// In a file in the folder that systemd makes for `LoadCredential=`.
    Credential(String),
}

/// A password that is not where it should be.
#[derive(Debug)]
#[non_exhaustive]
pub enum PasswordError {
    /// The variable or the credential is not there.
    Missing(String),
    /// The file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PasswordSource {
    /// The password, as it is now; `whose` it is, like `the administrator's`, goes into the error. It may block for as
    /// long as a file takes to be read.
    ///
    /// # Errors
    ///
    /// It is not there, or cannot be read.
    pub fn read(&self, whose: &str) -> Result<Secret, PasswordError> {
        match self {
            Self::File(path) => password_file(path),
            Self::Environment(name) => {
                std::env::var_os(name).map(|value| Secret::new(value.into_vec())).ok_or_else(|| {
                    PasswordError::Missing(format!(
                        "the environment has no `{name}`, which is to hold {whose} password"
                    ))
                })
            }
            Self::Credential(name) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| {
                    PasswordError::Missing(format!(
                        "there are no systemd credentials here; the unit needs `LoadCredential={name}:FILE`"
                    ))
                })?;
                password_file(&Path::new(&folder).join(name))
            }
        }
    }
}

/// Reads a password from a file, without the line end at its end.
///
/// # Errors
///
/// The file cannot be read.
pub fn password_file(path: &Path) -> Result<Secret, PasswordError> {
    let mut octets =
        fs::read(path).map_err(|source| PasswordError::Unreadable { path: path.to_owned(), source })?;
    // One line end, as editors write it; what is before it is the password.
    if octets.pop_if(|last| *last == b'\n').is_some() {
        octets.pop_if(|last| *last == b'\r');
    }
    Ok(Secret::new(octets))
}

impl fmt::Display for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Environment(name) => write!(f, "the variable {name}"),
            Self::Credential(name) => write!(f, "the credential {name}"),
        }
    }
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(message) => f.write_str(message),
            Self::Unreadable { path, .. } => {
                write!(f, "failed to read the password from {}", path.display())
            }
        }
    }
}

impl StdError for PasswordError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Missing(_) => None,
            Self::Unreadable { source, .. } => Some(source),
        }
    }
}
