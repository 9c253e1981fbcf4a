//! Settings the users of OpenLDAP's tools have already: `ldap.conf`, `~/.ldaprc`, `LDAPURI` and their kin (ldap.conf(5)).
//!
//! Later ones win: system file, `~/ldaprc`, `~/.ldaprc`, `./ldaprc`, the files named by `LDAPCONF` and `LDAPRC`, then `LDAP…`
//! variables. `LDAPNOINIT` leaves all of them out.

use std::{
    collections::HashMap,
    env, fs,
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
        for name in ["ldaprc", ".ldaprc"] {
            if let Some(home) = &home {
                conf.read(&home.join(name), true)?;
            }
        }
        conf.read(Path::new("ldaprc"), true)?;
        if let Some(path) = env::var_os("LDAPCONF") {
            conf.read(Path::new(&path), true)?;
        }
        if let (Some(name), Some(home)) = (env::var_os("LDAPRC"), &home) {
            conf.read(&home.join(&name), true)?;
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

    fn read(&mut self, path: &Path, user: bool) -> anyhow::Result<()> {
        match fs::read_to_string(path) {
            Ok(text) => self.parse(&text, user),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("failed to read {}", path.display())));
            }
        }
        Ok(())
    }

    fn parse(&mut self, text: &str, user: bool) {
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.split_once(char::is_whitespace) else { continue };
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
            "# BASE dc=no\nBASE\tdc=one,dc=example\nbase dc=two,dc=example  \nBINDDN cn=x\nFOO bar\n",
            false,
        );
        assert_eq!(conf.get("BASE"), Some("dc=two,dc=example"));
        assert_eq!((conf.get("BINDDN"), conf.get("FOO")), (None, None));
        conf.parse("BINDDN cn=me,dc=example\nSIZELIMIT none\nTIMELIMIT soon\n", true);
        assert_eq!(conf.get("BINDDN"), Some("cn=me,dc=example"));
        assert_eq!(conf.number("SIZELIMIT").unwrap(), Some(0));
        let error = conf.number("TIMELIMIT").unwrap_err().to_string();
        assert_eq!(error, "setting TIMELIMIT of ldap.conf is `soon`; it must be a number");
    }
}
