//! The files of the system's Kerberos: where they are, and reading them.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_kerberos::{Ccache, KerberosError, Keytab, Krb5Conf, Principal};

/// Octets of a file of settings.
const LONGEST_SETTINGS: usize = 1 << 20;
/// Files of settings that one may name.
const MOST_FILES: usize = 64;

/// The settings of these files: `path`, those of `KRB5_CONFIG`, or the system's, which may be missing.
pub(super) fn settings(path: Option<&Path>) -> Result<Krb5Conf, Error> {
    let mut conf = Krb5Conf::default();
    let named = match path {
        Some(path) => vec![path.to_owned()],
        None => match variable("KRB5_CONFIG") {
            Some(paths) => env::split_paths(&paths).collect(),
            None => vec![PathBuf::from("/etc/krb5.conf")],
        },
    };
    let must_be = path.is_some() || variable("KRB5_CONFIG").is_some();
    let mut files = 0;
    for path in named {
        match read(&path, LONGEST_SETTINGS) {
            Ok(octets) => add(&mut conf, &octets, &mut files),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be => {}
            Err(error) => return Err(unreadable("the settings of Kerberos", &path, "", error)),
        }
    }
    Ok(conf)
}

/// Adds a file, and those it names. As with MIT's, what they name may be missing.
fn add(conf: &mut Krb5Conf, octets: &[u8], files: &mut usize) {
    for line in conf.add(&String::from_utf8_lossy(octets)) {
        let mut paths = Vec::new();
        if let Some(path) = line.strip_prefix("include ") {
            paths.push(PathBuf::from(path.trim()));
        } else if let Some(folder) = line.strip_prefix("includedir ")
            && let Ok(entries) = fs::read_dir(folder.trim())
        {
            paths.extend(entries.flatten().map(|entry| entry.path()).filter(|path| is_settings(path)));
            paths.sort();
        }
        for path in paths {
            *files += 1;
            if *files > MOST_FILES {
                return;
            }
            match read(&path, LONGEST_SETTINGS) {
                Ok(octets) => add(conf, &octets, files),
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "settings of Kerberos are not read")
                }
            }
        }
    }
}

/// krb5.conf(5): names of letters, digits, dashes and underscores, or ones that end in `.conf`.
fn is_settings(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let plain = |name: &str| name.chars().all(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_');
    !name.starts_with('.') && (name.ends_with(".conf") || plain(name))
}

/// The tickets in the cache of this name, or in the system's.
pub(super) fn cache(name: Option<&str>, conf: &Krb5Conf) -> Result<Ccache, Error> {
    let uid = nix::unistd::getuid().to_string();
    let name = match (name, variable("KRB5CCNAME"), conf.setting("default_ccache_name")) {
        (Some(name), ..) => name.to_owned(),
        (None, Some(name), _) => name.to_string_lossy().into_owned(),
        (None, None, Some(name)) => name.replace("%{uid}", &uid).replace("%{euid}", &uid),
        (None, None, None) => format!("/tmp/krb5cc_{uid}"),
    };
    let path = match name.split_once(':') {
        Some(("FILE", path)) => path,
        None => &name,
        Some((before, _)) if before.contains('/') => &name,
        Some((kind, _)) => {
            let message = format!(
                "tickets are read of files, and the cache `{name}` is {kind}: call `kinit -c FILE:PATH`, and name that in \
                 KRB5CCNAME"
            );
            return Err(Error::new(ErrorKind::Misuse, message));
        }
    };
    let path = Path::new(path);
    let octets = read(path, Ccache::LONGEST).map_err(|error| {
        unreadable("the cache of tickets", path, ": call `kinit`, or name another in KRB5CCNAME", error)
    })?;
    Ccache::parse(&octets).map_err(|error| useless("the cache of tickets", path, &error))
}

/// Why a cache is of no use.
pub(super) fn no_ticket(principal: &Principal, has_expired: bool) -> Error {
    let what = if has_expired { "has expired" } else { "is not there, or not by AES" };
    let message = format!("the ticket of {principal} {what}: get a new one with `kinit`");
    Error::new(ErrorKind::Misuse, message)
}

/// The keytab that programs sign in with, if one is named.
pub(super) fn client_keytab() -> Option<PathBuf> {
    let name = variable("KRB5_CLIENT_KTNAME")?;
    let text = name.to_string_lossy();
    Some(text.strip_prefix("FILE:").map_or_else(|| PathBuf::from(&name), PathBuf::from))
}

/// The keys in this file.
pub(super) fn keytab(path: &Path) -> Result<Keytab, Error> {
    let octets = read(path, Keytab::LONGEST).map_err(|error| unreadable("the keytab", path, "", error))?;
    Keytab::parse(&octets).map_err(|error| useless("the keytab", path, &error))
}

fn read(path: &Path, longest: usize) -> io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut octets = zeroize::Zeroizing::new(Vec::new());
    let most = u64::try_from(longest).unwrap_or(u64::MAX);
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut octets)?;
    if octets.len() > longest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is longer than such files are"));
    }
    Ok(octets)
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn unreadable(what: &str, path: &Path, advice: &str, error: io::Error) -> Error {
    let message = format!("{what} {} cannot be read{advice}", path.display());
    Error::new(ErrorKind::Misuse, message).with_source(error)
}

fn useless(what: &str, path: &Path, error: &KerberosError) -> Error {
    let message = format!("{what} {} is of no use: {error}", path.display());
    Error::new(ErrorKind::Misuse, message)
}
