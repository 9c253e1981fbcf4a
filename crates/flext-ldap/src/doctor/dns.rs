//! From a domain to its servers: SRV records (RFC 2782), or the domain's name taken for a host's.

use flext_ldap_client::{SrvLookup as _, SrvRecord};
use flext_ldap_directory::ErrorKind;

use super::{Doctor, Finding, MOST_SERVERS, Target, What, some, told};
use crate::config::{Protection, Server};

/// The ways to the servers of a domain, those to be preferred first.
pub(super) async fn ways(doctor: &Doctor, domain: &str, findings: &mut Vec<Finding>) -> Vec<Server> {
    let (mut ways, mut is_answered, mut failures) = (Vec::new(), false, Vec::new());
    let names = [format!("_ldaps._tcp.{domain}"), format!("_ldap._tcp.{domain}")];
    let [ldaps, ldap] = &names;
    let by = doctor.by();
    let (ldaps, ldap) = tokio::join!(doctor.resolver.lookup(ldaps, by), doctor.resolver.lookup(ldap, by));
    let answers = [(Protection::Ldaps, ldaps), (Protection::StartTls, ldap)];
    for (name, (protection, answer)) in names.iter().zip(answers) {
        match answer {
            Ok(answer) => {
                is_answered = true;
                take(name, domain, protection, answer.records, &mut ways, findings);
            }
            Err(error) if error.kind() == ErrorKind::NoEntry => is_answered = true,
            Err(error) => failures.push(told(&error)),
        }
    }
    let about = format!("domain {domain}");
    if ways.len() > MOST_SERVERS {
        let cause = format!("DNS names {} servers, and the first {MOST_SERVERS} are looked at", ways.len());
        findings.push(Finding::note(What::DnsRecords, &about, cause));
    }
    if !ways.is_empty() {
        ways.truncate(MOST_SERVERS);
        return ways;
    }
    let guess =
        vec![Server::tcp(domain, 636, Protection::Ldaps), Server::tcp(domain, 389, Protection::StartTls)];
    let records = format!("`_ldaps._tcp.{domain}. SRV 0 0 636 HOST.`");
    if let Some(failure) = failures.pop() {
        let cause = "DNS does not say which servers it has";
        let mend = "see that a name server of /etc/resolv.conf answers, or name a server: `ldaps://HOST`";
        let finding = Finding::failure(What::DnsSilent, about, ErrorKind::Unreachable, cause);
        findings.push(finding.evidence(failure).mend(mend));
        if !is_answered {
            // What does not find records finds no address either, and would be waited for again.
            return if doctor.is_its_own_host(domain).await { guess } else { Vec::new() };
        }
    } else if findings.iter().any(|finding| finding.what == What::DnsNotOffered) {
        return Vec::new();
    } else if doctor.is_its_own_host(domain).await {
        let cause = "no records (SRV) name its servers; it is taken for a host";
        let mend = format!("if it is a domain, add {records} to its zone, or name a server: `ldaps://HOST`");
        findings.push(Finding::note(What::DnsRecords, about, cause).mend(mend));
        return guess;
    } else {
        let cause = "it has no servers in DNS, and is no host either";
        let evidence = format!(
            "neither _ldaps._tcp.{domain} nor _ldap._tcp.{domain} have records, nor has {domain} an address"
        );
        let mend = format!("check the name, add {records} to its zone, or name a server: `ldaps://HOST`");
        let finding = Finding::failure(What::DnsRecords, about, ErrorKind::Unreachable, cause);
        findings.push(finding.evidence(evidence).mend(mend));
    }
    Vec::new()
}

/// The ways of some records, by priority, then by weight.
fn take(
    name: &str,
    domain: &str,
    protection: Protection,
    mut records: Vec<SrvRecord>,
    ways: &mut Vec<Server>,
    findings: &mut Vec<Finding>,
) {
    records.sort_by_key(|record| (record.priority, std::cmp::Reverse(record.weight)));
    let about = format!("domain {domain}");
    if records.iter().all(|record| record.target.is_empty()) {
        let cause = "it says that it does not offer this service";
        let evidence = format!("the record of {name} names `.` as its host");
        let mend = "name a server: `ldaps://HOST`, or mend the record";
        let finding = Finding::failure(What::DnsNotOffered, about, ErrorKind::Unreachable, cause);
        findings.push(finding.evidence(evidence).mend(mend));
        return;
    }
    let mut named = Vec::new();
    for SrvRecord { target, port, .. } in records.into_iter().filter(|record| !record.target.is_empty()) {
        let host = target.to_ascii_lowercase();
        if !is_within(&host, domain) && ways.len() < MOST_SERVERS {
            let cause =
                format!("a record names `{host}`, which is not in the domain: no password is sent there");
            let mend = "if it is meant, name the server: `ldaps://HOST`; a program that looks servers up by itself must \
                        be told that it may use hosts of that domain (`Discovery::hosts_within`)";
            let finding = Finding::warning(What::DnsOutside, &about, cause);
            findings.push(finding.evidence(format!("{name} has {host}:{port}")).mend(mend));
        }
        named.push(format!("{host}:{port}"));
        ways.push(Server::tcp(host, port, protection));
    }
    let cause = format!("{name} names {}", some(named));
    findings.push(Finding::good(What::DnsRecords, about, cause));
}

/// Whether a host is the domain's.
fn is_within(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl Doctor {
    /// Whether it was the domain that was asked for, or a host in it, that named this way. Whoever forges a record can name a
    /// host of their own, with a certificate that is good for it.
    pub(super) fn may_trust(&self, way: &Server) -> bool {
        match (&self.target, way.host()) {
            (Target::Domain(domain), Some(host)) => is_within(host, domain),
            _ => true,
        }
    }

    /// Whether a name has an address.
    async fn is_its_own_host(&self, name: &str) -> bool {
        let lookup = tokio::time::timeout(self.patience, tokio::net::lookup_host((name, 389)));
        lookup.await.is_ok_and(|found| found.is_ok_and(|mut addresses| addresses.next().is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_records_the_first_are_told() {
        let record = |number: u16| SrvRecord {
            priority: 0,
            weight: 4_000 - number,
            port: 636,
            target: format!("ldap{number}.else.example"),
        };
        let (mut ways, mut findings) = (Vec::new(), Vec::new());
        let records = (0..4_000).rev().map(record).collect();
        take(
            "_ldaps._tcp.harbourlane.example",
            "harbourlane.example",
            Protection::Ldaps,
            records,
            &mut ways,
            &mut findings,
        );
        assert_eq!(ways.len(), 4_000);
        let (last, outside) = findings.split_last().unwrap();
        assert_eq!(outside.len(), MOST_SERVERS);
        assert!(outside.iter().all(|one| one.what == What::DnsOutside));
        let (line, end) = (last.to_string(), "ldap11.else.example:636 and 3988 more");
        assert!(line.contains("names ldap0.else.example:636, ") && line.ends_with(end), "{line}");
    }
}
