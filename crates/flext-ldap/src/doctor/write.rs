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

use super::{Doctor, Finding, Severity, SignIn, What, reach::Looked};
use crate::{
    config::{Account, Address, Config, ConfigError, Protection, Server, TicketSource, quoted},
    password::PasswordSource,
};

/// What a configuration is made of.
pub(super) struct Found {
    ways: Vec<Server>,
    /// Keys that say how TLS is done, each with its file.
    tls_files: Vec<(String, PathBuf)>,
    accepts_any_certificate: bool,
    account: Option<Entry>,
    pub(super) base: Option<Dn>,
    pub(super) users: Option<Dn>,
    pub(super) groups: Option<Dn>,
}

/// The account that signed in, as the configuration is to have it.
enum Entry {
    /// It was one of a configuration.
    Known(String, Account),
    /// It signed in by a name that is its entry's.
    Named(Dn, Option<PasswordSource>),
    /// It signed in by a name that is not, such as `ada@harbourlane.example`.
    Unknown(String, Option<PasswordSource>),
}

impl Found {
    pub(super) fn new(doctor: &Doctor, usable: &[Looked]) -> Self {
        Self {
            ways: usable.iter().map(|looked| looked.way.clone()).collect(),
            tls_files: tls_files(doctor),
            accepts_any_certificate: doctor.ca_file.is_none()
                && doctor.config.as_ref().is_some_and(Config::accepts_any_certificate),
            account: None,
            base: None,
            users: None,
            groups: None,
        }
    }

    /// The account that signed in.
    pub(super) fn account(&mut self, sign_in: &SignIn) {
        let source = sign_in.source.clone();
        self.account = match (&sign_in.account, &sign_in.credentials) {
            (Some((key, account)), _) => Some(Entry::Known(key.clone(), account.clone())),
            (None, Credentials::Simple { name, .. }) => Some(match name.parse() {
                Ok(dn) => Entry::Named(dn, source),
                Err(_) => Entry::Unknown(name.clone(), source),
            }),
            // Whoever says so in a program has a configuration of their own for it.
            _ => None,
        };
    }

    /// The name that the account signed in by, where its entry is not known.
    pub(super) fn account_without_dn(&self) -> Option<String> {
        match &self.account {
            Some(Entry::Unknown(name, _)) => Some(name.clone()),
            _ => None,
        }
    }

    /// The account's entry.
    pub(super) fn account_dn(&mut self, dn: Dn) {
        if let Some(Entry::Unknown(_, source)) = &mut self.account {
            self.account = Some(Entry::Named(dn, source.take()));
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
            if index == 0 {
                self.tls_files.iter().for_each(|(key, path)| lines.text(depth, key, &absolute(path)));
                if self.accepts_any_certificate {
                    lines.line(depth, "ssl_verify: false");
                }
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
        let is_clear = self.ways.iter().any(|way| way.protection == Protection::None && way.host().is_some());
        if is_clear || self.accepts_any_certificate {
            lines.line(1, "security:");
        }
        if is_clear {
            lines.line(2, "require_ssl: false");
        }
        if self.accepts_any_certificate {
            lines.line(2, "dangerous_accept_any_certificate: true");
        }
        Some(lines.0)
    }
}

impl Entry {
    fn yaml(&self, lines: &mut Lines, findings: &mut Vec<Finding>) {
        let key = match self {
            Self::Known(key, _) => key.clone(),
            Self::Named(dn, _) => key(dn),
            Self::Unknown(name, _) => {
                let about = format!("account `{name}`");
                let cause = "its entry is not known: it is not in the configuration";
                findings
                    .push(Finding::warning(What::Configuration, about, cause).mend("name its entry: -D DN"));
                return;
            }
        };
        lines.line(1, "service_accounts:");
        lines.line(2, &format!("{key}:"));
        let source = match self {
            Self::Known(_, Account::Simple { dn, password }) => {
                lines.text(3, "dn", dn.as_str());
                password
            }
            Self::Known(_, Account::Sasl { user, mechanism, password }) => {
                lines.text(3, "user", user);
                let mechanism =
                    mechanism.map_or_else(|| "sasl".to_owned(), |one| one.name().to_ascii_lowercase());
                lines.text(3, "mechanism", &mechanism);
                password
            }
            Self::Known(_, Account::Kerberos { mechanism, user, tickets }) => {
                if let Some(user) = user {
                    lines.text(3, "user", user);
                }
                lines.text(3, "mechanism", &mechanism.name().to_ascii_lowercase());
                let (key, path) = match tickets {
                    TicketSource::Keytab(path) => ("keytab", path),
                    TicketSource::Cache(path) => ("ccache", path),
                };
                return lines.text(3, key, &path.display().to_string());
            }
            Self::Known(_, Account::External) => return lines.line(3, "mechanism: external"),
            Self::Named(dn, source) => {
                lines.text(3, "dn", dn.as_str());
                match source {
                    Some(source) => source,
                    None => &unsaid(&key, findings),
                }
            }
            Self::Unknown(..) => return,
        };
        match source {
            PasswordSource::File(path) => lines.text(3, "password_file", &absolute(path)),
            PasswordSource::Environment(name) => lines.text(3, "password_env", name),
            PasswordSource::Credential(name) => lines.text(3, "password_credential", name),
        }
    }
}

/// What an account is called after the first part of its name.
fn key(dn: &Dn) -> String {
    let rdn = dn.rdn();
    let value = rdn.and_then(|rdn| rdn.as_ref().avas().next().map(|ava| ava.value().into_owned()));
    let mut key = String::from_utf8_lossy(&value.unwrap_or_default()).to_lowercase().replace(' ', "-");
    key.retain(|one| one.is_ascii_alphanumeric() || one == '-' || one == '_');
    if key.is_empty() { "reader".to_owned() } else { key }
}

/// Where a password is to be put of which nobody said where it is.
fn unsaid(key: &str, findings: &mut Vec<Finding>) -> PasswordSource {
    let name = key.to_ascii_uppercase().replace('-', "_");
    let variable = format!("FLEXT_LDAP_{name}_PASSWORD").replace("__", "_");
    let cause = format!("the configuration expects its password in the variable `{variable}`");
    let mend = "set it, or name a file of the password: -y FILE";
    findings.push(Finding::note(What::Configuration, format!("account `{key}`"), cause).mend(mend));
    PasswordSource::Environment(variable)
}

/// What was said of TLS, by --ca-file or by a configuration.
fn tls_files(doctor: &Doctor) -> Vec<(String, PathBuf)> {
    let ca_file = doctor.ca_file.clone();
    let said = doctor.config.iter().flat_map(Config::settings).filter_map(|one| {
        let is_file =
            one.variable.starts_with("FLEXT_LDAP_PRIMARY_SERVER__SSL_") && one.key.ends_with("_path");
        let is_replaced = ca_file.is_some() && one.key == "ssl_ca_cert_path";
        let path: String = one
            .value
            .as_deref()
            .filter(|_| is_file && !is_replaced)
            .and_then(|value| serde_json::from_str(value).ok())?;
        Some((one.key.clone(), PathBuf::from(path)))
    });
    ca_file.iter().map(|path| ("ssl_ca_cert_path".to_owned(), path.clone())).chain(said).collect()
}

fn url(way: &Server) -> Option<String> {
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

/// Lines of YAML.
struct Lines(String);

impl Lines {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "{:1$}{text}", "", depth * 2);
    }

    fn text(&mut self, depth: usize, key: &str, value: &str) {
        self.line(depth, &format!("{key}: {}", quoted(value)));
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_client::Mechanism;

    use super::*;

    #[test]
    fn what_was_found_is_a_configuration() {
        let found = Found {
            ways: vec![
                Server::tcp("ldap1.harbourlane.example", 636, Protection::Ldaps),
                Server::tcp("::1", 389, Protection::None),
                Server {
                    address: Address::Socket("/run/ldap i".into()),
                    ..Server::tcp("", 0, Protection::None)
                },
            ],
            tls_files: vec![("ssl_ca_cert_path".to_owned(), "/etc/ca \"x\".pem".into())],
            accepts_any_certificate: false,
            account: Some(Entry::Named("cn=Re\\,ad er,dc=harbourlane,dc=example".parse().unwrap(), None)),
            base: Some("dc=harbourlane,dc=example".parse().unwrap()),
            users: Some("ou=pe\u{9b}ople,dc=harbourlane,dc=example".parse().unwrap()),
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
    users_ou: "ou=pe\u009bople,dc=harbourlane,dc=example"
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

    #[test]
    fn an_account_of_a_configuration_stays_as_it_is() {
        let password = || PasswordSource::Environment("READER_PASSWORD".to_owned());
        let sasl = |mechanism| Account::Sasl { user: "reader".to_owned(), mechanism, password: password() };
        let dn: Dn = "cn=reader,dc=harbourlane,dc=example".parse().unwrap();
        let accounts = [
            Account::Simple { dn, password: password() },
            Account::External,
            sasl(None),
            sasl(Mechanism::named("SCRAM-SHA-256-PLUS")),
            Account::Kerberos {
                mechanism: Mechanism::Gssapi,
                user: Some("reader@HARBOURLANE.EXAMPLE".to_owned()),
                tickets: TicketSource::Keytab("/etc/harbourlane/reader.keytab".into()),
            },
        ];
        for account in accounts {
            let found = Found {
                ways: vec![Server::tcp("ldap1.harbourlane.example", 636, Protection::Ldaps)],
                tls_files: Vec::new(),
                accepts_any_certificate: false,
                account: Some(Entry::Known("reader".to_owned(), account.clone())),
                base: None,
                users: None,
                groups: None,
            };
            let text = found.text(&mut Vec::new()).unwrap();
            let config = Config::parse("ldap.yaml", &text, []).unwrap();
            assert_eq!(config.accounts["reader"], account, "{text}");
        }
    }
}
