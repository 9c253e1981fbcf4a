//! Where referrals may lead: the list of who is allowed, and a pool for each server that was gone to.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use flext_ldap_directory::{
    Error, ErrorKind,
    proto::url::{LdapUrl, Scheme},
};

use crate::{Connector, Pool, SharedAccount, TlsOptions};

/// Ports of hosts that were allowed without one: of LDAP, and of Active Directory's global catalogue.
const PORTS: [u16; 4] = [389, 636, 3268, 3269];

/// Servers whose connections are kept for the next referral. Which names there are below an allowed one is for others
/// to say, so there is an end to it.
const KEPT: usize = 16;

/// How long connections are kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// A server that a referral names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    ldaps: bool,
    host: String,
    port: u16,
}

impl Target {
    /// The server of a URL, if that names one that a network leads to.
    pub(super) fn of(url: &LdapUrl) -> Option<Self> {
        let host = url.host.strip_suffix('.').unwrap_or(&url.host).to_ascii_lowercase();
        let ldaps = match url.scheme {
            Scheme::Ldap => false,
            Scheme::Ldaps => true,
            _ => return None,
        };
        (!host.is_empty()).then(|| Self { ldaps, host, port: url.port() })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.ldaps { "ldaps" } else { "ldap" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// A host, or the hosts below a name, and who to be there.
pub(super) struct Allowed {
    host: String,
    /// Whether `host` begins with a dot and stands for all that end so.
    is_suffix: bool,
    port: Option<u16>,
    /// `None`: nobody.
    account: Option<SharedAccount>,
}

impl Allowed {
    pub(super) fn new(text: &str, account: Option<SharedAccount>) -> Result<Self, Error> {
        let misuse = || {
            let message = format!("`{text}` is no host to follow referrals to: NAME, *.DOMAIN or NAME:PORT");
            Error::new(ErrorKind::Misuse, message)
        };
        let (is_suffix, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // Hosts are written as in URLs, so they are read as there.
        let url: LdapUrl = format!("ldap://{rest}").parse().map_err(|_| misuse())?;
        let name = Target::of(&url).filter(|_| !rest.contains(['/', '*', '?'])).ok_or_else(misuse)?.host;
        let host = if is_suffix { format!(".{name}") } else { name };
        Ok(Self { host, is_suffix, port: url.explicit_port, account })
    }

    fn takes(&self, target: &Target) -> bool {
        let host_fits = match self.is_suffix {
            true => target.host.len() > self.host.len() && target.host.ends_with(&self.host),
            false => target.host == self.host,
        };
        host_fits && self.port.map_or_else(|| PORTS.contains(&target.port), |port| target.port == port)
    }
}

/// All of that.
pub(super) struct Targets {
    /// `None`: `ldap:` in clear.
    tls: Option<TlsOptions>,
    allowed: Vec<Allowed>,
    /// Who was gone to last stands last.
    pools: Mutex<Vec<(Target, Pool)>>,
}

impl Targets {
    pub(super) fn new(tls: Option<TlsOptions>, allowed: Vec<Allowed>) -> Result<Self, Error> {
        let targets = Self { tls, allowed, pools: Mutex::new(Vec::new()) };
        // What is wrong with the files is told now and not by the first referral.
        let nowhere = Target { ldaps: true, host: "localhost".to_owned(), port: 636 };
        targets.connector(&nowhere)?;
        Ok(targets)
    }

    pub(super) fn allows(&self, target: &Target) -> bool {
        self.allowed.iter().any(|one| one.takes(target))
    }

    /// The connections to a server that is allowed.
    pub(super) fn pool(&self, target: &Target) -> Result<Pool, Error> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = pools.iter().position(|(known, _)| known == target) {
            let known = pools.remove(place);
            let pool = known.1.clone();
            pools.push(known);
            return Ok(pool);
        }
        let Some(allowed) = self.allowed.iter().find(|one| one.takes(target)) else {
            return Err(Error::new(ErrorKind::Bug, format!("a referral to {target}, who is not allowed")));
        };
        let pool = Pool::builder(self.connector(target)?).min(0).max(4).idle(IDLE);
        let pool = match &allowed.account {
            Some(account) => pool.account(account).build()?,
            None => pool.build()?,
        };
        if pools.len() >= KEPT {
            pools.remove(0);
        }
        pools.push((target.clone(), pool.clone()));
        Ok(pool)
    }

    fn connector(&self, target: &Target) -> Result<Connector, Error> {
        let tls = || self.tls.clone().unwrap_or_default();
        let builder = match (target.ldaps, &self.tls) {
            (true, _) => Connector::builder().ldaps(tls()),
            (false, Some(_)) => Connector::builder().start_tls(tls()),
            (false, None) => Connector::builder().clear(),
        };
        builder.address(target.host.as_str(), target.port).build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Option<Target> {
        Target::of(&url.parse().unwrap())
    }

    #[test]
    fn who_is_allowed_is_compared_whole() {
        let table = [
            ("ldap.harbourlane.example", "ldap://LDAP.harbourlane.example./dc=x", true),
            ("ldap.harbourlane.example", "ldaps://ldap.harbourlane.example", true),
            ("ldap.harbourlane.example", "ldap://ldap.harbourlane.example:1389", false),
            ("ldap.harbourlane.example:1389", "ldap://ldap.harbourlane.example:1389", true),
            ("ldap.harbourlane.example:1389", "ldap://ldap.harbourlane.example", false),
            ("ldap.harbourlane.example", "ldap://ldap.harbourlane.example.evil.example", false),
            ("ldap.harbourlane.example", "ldap://xldap.harbourlane.example", false),
            ("*.harbourlane.example", "ldap://a.b.harbourlane.example", true),
            ("*.harbourlane.example", "ldap://harbourlane.example", false),
            ("*.harbourlane.example", "ldap://evilharbourlane.example", false),
            ("*.harbourlane.example", "ldap://.harbourlane.example", false),
            ("127.0.0.1:1389", "ldap://127.0.0.1:1389", true),
            ("[::1]:1389", "ldap://[::1]:1389", true),
        ];
        for (allowed, url, expected) in table {
            let allowed = Allowed::new(allowed, None).unwrap();
            assert_eq!(target(url).is_some_and(|target| allowed.takes(&target)), expected, "{url}");
        }
    }

    #[test]
    fn urls_without_a_host_of_the_network_lead_nowhere() {
        for url in ["ldap:///dc=x", "ldapi://%2Frun%2Fldapi", "ldap://"] {
            assert_eq!(target(url), None, "{url}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "*", "*.", "a/b", "a b", "host:port", "*.*.example", "ldap://host"] {
            let refused = Allowed::new(text, None).err();
            assert_eq!(refused.map(|error| error.kind()), Some(ErrorKind::Misuse), "{text}");
        }
    }
}
