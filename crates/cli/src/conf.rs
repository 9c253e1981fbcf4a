//! Settings the users of OpenLDAP's tools have already: `ldap.conf`, `~/.ldaprc`, `LDAPURI` and their kin (ldap.conf(5)).
//!
//! Later ones win: system file, `~/ldaprc`, `~/.ldaprc`, `./ldaprc`, the file `LDAPCONF`, which counts as a system file,
//! `~/$LDAPRC`, `~/.$LDAPRC`, `./$LDAPRC`, then `LDAP…` variables. `LDAPNOINIT` leaves all of them out. As with OpenLDAP,
//! a file that is not there or may not be read is passed over.

use std::{
    collections::HashMap,
    env,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use crate::exit::Usage;

/// The settings found, by upper-case name without the `LDAP` prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conf(HashMap<String, String>);

/// Settings that mean something here. Others are left to the tools they belong to.
const KNOWN: &[&str] = &[
    "URI",
    "BASE",
    "BINDDN",
    "TLS_CACERT",
    "TLS_CERT",
    "TLS_KEY",
    "TLS_REQCERT",
    "SIZELIMIT",
    "TIMELIMIT",
    "DEREF",
    "NETWORK_TIMEOUT",
    "SASL_MECH",
];

/// Settings a user may make but a system file may not (ldap.conf(5): user-only options).
const USER_ONLY: &[&str] = &["BINDDN", "TLS_CERT", "TLS_KEY", "SASL_MECH"];

impl Conf {
    /// Reads everything there is.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let mut conf = Self::default();
        if env::var_os("LDAPNOINIT").is_some() {
            return Ok(conf);
        }
        for path in ["/etc/ldap/ldap.conf", "/etc/openldap/ldap.conf"] {
            conf.read(Path::new(path), false)?;
        }
        let home = env::var_os("HOME").map(PathBuf::from);
        conf.read_user(home.as_deref(), OsStr::new("ldaprc"))?;
        if let Some(path) = env::var_os("LDAPCONF") {
            conf.read(Path::new(&path), false)?;
        }
        if let Some(name) = env::var_os("LDAPRC") {
            conf.read_user(home.as_deref(), &name)?;
        }
        for (name, value) in env::vars() {
            if let Some(name) = name.strip_prefix("LDAP").filter(|name| KNOWN.contains(name)) {
                conf.0.insert(name.to_owned(), value);
            }
        }
        Ok(conf)
    }

    /// The value of a setting, e.g. `URI`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A setting that is a number.
    pub(crate) fn number(&self, name: &str) -> anyhow::Result<Option<u32>> {
        match self.get(name) {
            None => Ok(None),
            Some(value) if value.eq_ignore_ascii_case("none") || value.eq_ignore_ascii_case("unlimited") => {
                Ok(Some(0))
            }
            Some(value) => match value.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => {
                    Err(Usage(format!("setting {name} of ldap.conf is `{value}`; it must be a number"))
                        .into())
                }
            },
        }
    }

    /// The files of a user that have this name.
    fn read_user(&mut self, home: Option<&Path>, name: &OsStr) -> anyhow::Result<()> {
        if let Some(home) = home {
            self.read(&home.join(name), true)?;
            let mut hidden = OsString::from(".");
            hidden.push(name);
            self.read(&home.join(hidden), true)?;
        }
        self.read(Path::new(name), true)
    }

    fn read(&mut self, path: &Path, user: bool) -> anyhow::Result<()> {
        use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
        match fs::read(path) {
            // What is not UTF-8 is a comment, or a value that will be complained about where it is used.
            Ok(octets) => self.parse(&String::from_utf8_lossy(&octets), user),
            Err(error) if matches!(error.kind(), NotFound | PermissionDenied | NotADirectory) => {}
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("failed to read {}", path.display())));
            }
        }
        Ok(())
    }

    fn parse(&mut self, text: &str, user: bool) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.trim_start().split_once(char::is_whitespace) else { continue };
            let name = name.to_ascii_uppercase();
            if KNOWN.contains(&name.as_str()) && (user || !USER_ONLY.contains(&name.as_str())) {
                self.0.insert(name, value.trim().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_lines_win_and_a_system_file_sets_no_user_options() {
        let mut conf = Conf::default();
        conf.parse(
            "# BASE dc=no\nBASE\tdc=one,dc=example\nbase dc=two,dc=example  \nBINDDN cn=x\nFOO bar\n  URI ldap://one.example\n",
            false,
        );
        assert_eq!(conf.get("BASE"), Some("dc=two,dc=example"));
        assert_eq!((conf.get("BINDDN"), conf.get("FOO")), (None, None));
        assert_eq!(conf.get("URI"), Some("ldap://one.example"), "white space before a name is nothing");
        conf.parse("BINDDN cn=me,dc=example\nSIZELIMIT none\nTIMELIMIT soon\n", true);
        assert_eq!(conf.get("BINDDN"), Some("cn=me,dc=example"));
        assert_eq!(conf.number("SIZELIMIT").unwrap(), Some(0));
        let error = conf.number("TIMELIMIT").unwrap_err().to_string();
        assert_eq!(error, "setting TIMELIMIT of ldap.conf is `soon`; it must be a number");
    }
}
