//! krb5.conf(5): realms, where their key distribution centres are, and which hosts belong to them.

use std::collections::BTreeMap;

/// Settings that are kept at most.
const MOST_SETTINGS: usize = 10_000;

/// What is read of krb5.conf. What is said first holds, as with MIT's.
#[derive(Clone, Debug, Default)]
pub struct Krb5Conf {
    defaults: BTreeMap<String, String>,
    centres: BTreeMap<String, Vec<String>>,
    realms_of: BTreeMap<String, String>,
}

impl Krb5Conf {
    /// Adds what a file says. Returns the lines that name other files: `include FILE` and `includedir FOLDER`.
    pub fn add(&mut self, text: &str) -> Vec<String> {
        let mut includes = Vec::new();
        let (mut section, mut within) = (String::new(), Vec::<String>::new());
        for line in text.lines().map(str::trim).take(MOST_SETTINGS) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if line.starts_with("include ") || line.starts_with("includedir ") {
                includes.push(line.to_owned());
            } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                (section, within) = (name.trim().to_ascii_lowercase(), Vec::new());
            } else if line.starts_with('}') {
                within.pop();
            } else if let Some((name, value)) = line.split_once('=') {
                let (name, value) = (name.trim().trim_end_matches('*'), value.trim());
                match value.strip_prefix('{') {
                    // All in one line, or the beginning of several.
                    Some(rest) if !rest.contains('}') => within.push(name.to_owned()),
                    Some(_) => {}
                    None => self.set(&section, &within, name, value.trim_matches('"')),
                }
            }
        }
        includes
    }

    fn set(&mut self, section: &str, within: &[String], name: &str, value: &str) {
        match (section, within) {
            ("libdefaults", []) => {
                self.defaults.entry(name.to_ascii_lowercase()).or_insert_with(|| value.to_owned());
            }
            ("realms", [realm]) if name == "kdc" => {
                let centres = self.centres.entry(realm.clone()).or_default();
                centres.extend(value.split_whitespace().map(str::to_owned));
            }
            ("domain_realm", []) => {
                self.realms_of.entry(name.to_ascii_lowercase()).or_insert_with(|| value.to_owned());
            }
            _ => {}
        }
    }

    /// A setting of `libdefaults`.
    #[must_use]
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.defaults.get(name).map(String::as_str)
    }

    /// The realm of names that have none.
    #[must_use]
    pub fn default_realm(&self) -> Option<&str> {
        self.setting("default_realm")
    }

    /// Where the key distribution centres of a realm are, as hosts and ports: 88, where none is said.
    #[must_use]
    pub fn centres(&self, realm: &str) -> Vec<(String, u16)> {
        let listed = self.centres.get(realm).into_iter().flatten();
        listed.filter_map(|one| place(one)).collect()
    }

    /// Whether they may be looked for in DNS, where none is listed.
    #[must_use]
    pub fn asks_dns(&self) -> bool {
        let no = ["false", "no", "n", "f", "off", "0", "nil"];
        self.setting("dns_lookup_kdc").is_none_or(|value| !no.contains(&value.to_ascii_lowercase().as_str()))
    }

    /// The realm of a host, as far as it is said: by its name, or by the domains that it is in.
    #[must_use]
    pub fn realm_of(&self, host: &str) -> Option<&str> {
        let host = host.to_ascii_lowercase();
        if let Some(realm) = self.realms_of.get(&host) {
            return Some(realm);
        }
        let dots = host.match_indices('.').filter_map(|(at, _)| host.get(at..));
        let mut domains = dots.flat_map(|domain| [Some(domain), domain.strip_prefix('.')]).flatten();
        domains.find_map(|domain| self.realms_of.get(domain)).map(String::as_str)
    }
}

/// A host and its port. A protocol before it other than TCP is of no use here.
fn place(text: &str) -> Option<(String, u16)> {
    let text = text.strip_prefix("tcp/").unwrap_or(text);
    if text.contains('/') {
        return None;
    }
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = rest.strip_prefix(':').map_or(Ok(88), str::parse).ok()?;
        return Some((address.to_owned(), port));
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((text.to_owned(), 88)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let mut conf = Krb5Conf::default();
        let includes = conf.add(
            "includedir /etc/krb5.conf.d/\n# a comment\n[libdefaults]\n\tdefault_realm = HARBOURLANE.EXAMPLE\n\
             dns_lookup_kdc = no\n default_realm = LATER\n[realms]\n HARBOURLANE.EXAMPLE = {\n  kdc = kdc1.harbourlane.example\n\
             kdc = kdc2.harbourlane.example:8888\n  kdc = [::1]:88\n  kdc = https/proxy\n  v4 = {\n  kdc = deeper\n }\n }\n\
             OTHER = { kdc = a }\n[domain_realm]\n .harbourlane.example = HARBOURLANE.EXAMPLE\n\
             quay.example = QUAY\n lisbon.harbourlane.example = LISBON\n",
        );
        assert_eq!(includes, ["includedir /etc/krb5.conf.d/"]);
        conf.add("[libdefaults]\ndefault_realm = THIRD\nforwardable = true\n");
        assert_eq!(conf.default_realm(), Some("HARBOURLANE.EXAMPLE"));
        assert_eq!(conf.setting("forwardable"), Some("true"));
        assert!(!conf.asks_dns() && Krb5Conf::default().asks_dns());
        let places = [("kdc1.harbourlane.example", 88), ("kdc2.harbourlane.example", 8888), ("::1", 88)];
        assert_eq!(conf.centres("HARBOURLANE.EXAMPLE"), places.map(|(host, port)| (host.to_owned(), port)));
        assert!(conf.centres("ELSEWHERE").is_empty());
        let table = [
            ("ldap.harbourlane.example", Some("HARBOURLANE.EXAMPLE")),
            ("LDAP.Harbourlane.example", Some("HARBOURLANE.EXAMPLE")),
            ("lisbon.harbourlane.example", Some("LISBON")),
            ("a.lisbon.harbourlane.example", Some("LISBON")),
            ("ldap.quay.example", Some("QUAY")),
            ("harbourlane.example", None),
            ("localhost", None),
        ];
        for (host, want) in table {
            assert_eq!(conf.realm_of(host), want, "{host}");
        }
    }
}
