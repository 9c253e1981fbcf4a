//! What was found, as a configuration: docs/configuration.md has its keys.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use flext_ldap_client::Credentials;
use flext_ldap_directory::{
    ErrorKind,
    proto::{dn::Dn, url::LdapUrl},
};

use super::{Doctor, Finding, Severity, SignIn, Way, What, reach::Looked};
use crate::{
    config::{Address, Config, ConfigError, Protection},
    password::PasswordSource,
};

/// What a configuration is made of.
pub(super) struct Found {
    ways: Vec<Way>,
    ca_file: Option<PathBuf>,
    account: Option<Account>,
    pub(super) base: Option<Dn>,
    pub(super) users: Option<Dn>,
    pub(super) groups: Option<Dn>,
}

struct Account {
    /// What it is to be called, if somebody said so.
    key: Option<String>,
    /// None for EXTERNAL.
    signs_in_by: Option<String>,
    dn: Option<Dn>,
    source: Option<PasswordSource>,
}

impl Found {
    pub(super) fn new(doctor: &Doctor, usable: &[Looked]) -> Self {
        Self {
            ways: usable.iter().map(|looked| looked.way.clone()).collect(),
            ca_file: doctor.ca_file.clone(),
            account: None,
            base: None,
            users: None,
            groups: None,
        }
    }

    /// The account that signed in.
    pub(super) fn account(&mut self, sign_in: &SignIn) {
        let (signs_in_by, dn) = match &sign_in.credentials {
            Credentials::Simple { name, .. } => (Some(name.clone()), name.parse().ok()),
            _ => (None, None),
        };
        self.account =
            Some(Account { key: sign_in.key.clone(), signs_in_by, dn, source: sign_in.source.clone() });
    }

    /// The name that the account signed in by, where its entry is not known.
    pub(super) fn account_without_dn(&self) -> Option<String> {
        let account = self.account.as_ref().filter(|account| account.dn.is_none())?;
        account.signs_in_by.clone()
    }

    /// The account's entry.
    pub(super) fn account_dn(&mut self, dn: Option<Dn>) {
        if let Some(account) = &mut self.account {
            account.dn = dn;
        }
    }

    /// The configuration; `None` where something keeps it from working, which has been told.
    pub(super) fn text(self, findings: &mut Vec<Finding>) -> Option<String> {
        if findings.iter().any(|finding| finding.severity == Severity::Failure) {
            return None;
        }
        let text = self.yaml(findings)?;
        match Config::parse("the configuration", &text, []) {
            Ok(_) => Some(text),
            Err(error) => {
                let told = match error {
                    ConfigError::Faulty(faults) => {
                        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
                    }
                    error => error.to_string(),
                };
                let cause = "what was found does not make a configuration";
                let mend = "write one by hand (docs/configuration.md), and tell the maintainers";
                let finding = Finding::failure(What::Configuration, "configuration", ErrorKind::Bug, cause);
                findings.push(finding.evidence(told).mend(mend));
                None
            }
        }
    }

    fn yaml(self, findings: &mut Vec<Finding>) -> Option<String> {
        let mut lines = Lines(String::from("flext_ldap:\n"));
        let (first, others) = self.ways.split_first()?;
        lines.line(1, "primary_server:");
        for (index, way) in std::iter::once(first).chain(others).enumerate() {
            let (depth, lead) = if index == 0 { (2, "") } else { (2, "- ") };
            if index == 1 {
                lines.line(1, "failover_servers:");
            }
            lines.text(depth, &format!("{lead}url"), &url(way)?);
            let depth = if index == 0 { 2 } else { 3 };
            if way.protection == Protection::None && way.host().is_some() {
                lines.line(depth, "start_tls: false");
            }
            if index == 0
                && let Some(path) = &self.ca_file
            {
                lines.text(depth, "ssl_ca_cert_path", &absolute(path));
            }
        }
        if let Some(account) = &self.account {
            account.yaml(&mut lines, findings);
        }
        if let Some(base) = &self.base {
            lines.line(1, "directory_structure:");
            lines.text(2, "base_dn", base.as_str());
            for (key, dn) in [("users_ou", &self.users), ("groups_ou", &self.groups)] {
                if let Some(dn) = dn {
                    lines.text(2, key, dn.as_str());
                }
            }
        }
        if self.ways.iter().any(|way| way.protection == Protection::None && way.host().is_some()) {
            lines.line(1, "security:");
            lines.line(2, "require_ssl: false");
        }
        Some(lines.0)
    }
}

impl Account {
    /// What it is called: as somebody said, or as the first part of its name.
    fn key(&self) -> String {
        if let Some(key) = &self.key {
            return key.clone();
        }
        let rdn = self.dn.as_ref().and_then(Dn::rdn);
        let value = rdn.and_then(|rdn| rdn.as_ref().avas().next().map(|ava| ava.value().into_owned()));
        let mut key = String::from_utf8_lossy(&value.unwrap_or_default()).to_lowercase().replace(' ', "-");
        key.retain(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_');
        if key.is_empty() { "reader".to_owned() } else { key }
    }

    fn yaml(&self, lines: &mut Lines, findings: &mut Vec<Finding>) {
        let key = self.key();
        let about = format!("account `{key}`");
        if self.dn.is_none()
            && let Some(name) = &self.signs_in_by
        {
            let cause = format!(
                "its entry is not known, only that it signs in as `{name}`: it is not in the configuration"
            );
            let mend = "name its entry: -D DN";
            findings.push(Finding::warning(What::Configuration, about, cause).mend(mend));
            return;
        }
        lines.line(1, "service_accounts:");
        lines.line(2, &format!("{key}:"));
        let Some(dn) = &self.dn else {
            lines.line(3, "mechanism: external");
            return;
        };
        lines.text(3, "dn", dn.as_str());
        match &self.source {
            Some(PasswordSource::File(path)) => lines.text(3, "password_file", &absolute(path)),
            Some(PasswordSource::Environment(name)) => lines.text(3, "password_env", name),
            Some(PasswordSource::Credential(name)) => lines.text(3, "password_credential", name),
            None => {
                let key = key.to_ascii_uppercase().replace('-', "_");
                let variable = format!("FLEXT_LDAP_{key}_PASSWORD").replace("__", "_");
                lines.text(3, "password_env", &variable);
                let cause = format!("the configuration expects its password in the variable `{variable}`");
                let mend = "set it, or name a file of the password: -y FILE";
                findings.push(Finding::note(What::Configuration, about, cause).mend(mend));
            }
        }
    }
}

fn url(way: &Way) -> Option<String> {
    match &way.address {
        Address::Tcp { .. } => Some(way.to_string()),
        Address::Socket(path) => {
            let mut url: LdapUrl = "ldapi://".parse().ok()?;
            path.to_str()?.clone_into(&mut url.host);
            Some(url.to_string())
        }
    }
}

/// A path that means the same wherever the program is started.
fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

/// Lines of YAML. Texts are quoted as JSON, which YAML reads.
struct Lines(String);

impl Lines {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "{:1$}{text}", "", depth * 2);
    }

    fn text(&mut self, depth: usize, key: &str, value: &str) {
        let value = serde_json::Value::from(value);
        self.line(depth, &format!("{key}: {value}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_a_configuration() {
        let found = Found {
            ways: vec![
                Way::tcp("ldap1.harbourlane.example", 636, Protection::Ldaps),
                Way::tcp("::1", 389, Protection::None),
                Way { address: Address::Socket("/run/ldap i".into()), protection: Protection::None },
            ],
            ca_file: Some("/etc/ca \"x\".pem".into()),
            account: Some(Account {
                key: None,
                signs_in_by: None,
                dn: Some("cn=Re\\,ad er,dc=harbourlane,dc=example".parse().unwrap()),
                source: None,
            }),
            base: Some("dc=harbourlane,dc=example".parse().unwrap()),
            users: Some("ou=people,dc=harbourlane,dc=example".parse().unwrap()),
            groups: None,
        };
        let mut findings = Vec::new();
        let text = found.text(&mut findings).unwrap();
        assert_eq!(
            text,
            r#"flext_ldap:
  primary_server:
    url: "ldaps://ldap1.harbourlane.example:636"
    ssl_ca_cert_path: "/etc/ca \"x\".pem"
  failover_servers:
    - url: "ldap://[::1]:389"
      start_tls: false
    - url: "ldapi://%2Frun%2Fldap%20i"
  service_accounts:
    read-er:
      dn: "cn=Re\\,ad er,dc=harbourlane,dc=example"
      password_env: "FLEXT_LDAP_READ_ER_PASSWORD"
  directory_structure:
    base_dn: "dc=harbourlane,dc=example"
    users_ou: "ou=people,dc=harbourlane,dc=example"
  security:
    require_ssl: false
"#
        );
        let config = Config::parse("ldap.yaml", &text, []).unwrap();
        assert_eq!(
            config.servers.iter().map(|server| server.protection).collect::<Vec<_>>(),
            [Protection::Ldaps, Protection::None, Protection::None]
        );
        assert_eq!(findings.len(), 1, "{findings:?}");
    }
}
