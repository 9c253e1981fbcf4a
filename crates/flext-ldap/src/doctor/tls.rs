//! What a server showed in a handshake, and the line that mends what is wrong with it.

use std::{
    net::{IpAddr, SocketAddr},
    time::{SystemTime, UNIX_EPOCH},
};

use flext_ldap_client::inspection::{Certificate, DistrustKind, TlsInspection};
use flext_ldap_directory::{ErrorKind, proto::schema::GeneralizedTime};

use super::{Finding, What, reach::host_and_port, some};

/// Certificates that are looked at.
const MOST_CERTIFICATES: usize = 10;

/// How long before its end a certificate is spoken of.
const SOON: i64 = 30 * 86_400;

/// Judges it. Whether the way can be used.
pub(super) fn judge(
    about: &str,
    host: &str,
    address: SocketAddr,
    by_start_tls: bool,
    shown: &TlsInspection,
    findings: &mut Vec<Finding>,
) -> bool {
    let start_tls = if by_start_tls { " -starttls ldap" } else { "" };
    let look = format!(
        "openssl s_client -connect {}{start_tls} -showcerts </dev/null",
        host_and_port(host, address.port())
    );
    let Some(distrust) = &shown.distrust else {
        let own = shown.certificates.first();
        let until = own.map_or_else(String::new, |own| {
            format!(", its certificate issued by `{}`, good until {}", own.issuer, day(own.not_after))
        });
        let how = if by_start_tls { " by StartTLS" } else { "" };
        findings.push(Finding::good(What::Tls, about, format!("{}{how}{until}", shown.version)));
        for one in shown
            .certificates
            .iter()
            .take(MOST_CERTIFICATES)
            .filter(|one| one.not_after.unix_seconds - now() < SOON)
        {
            let cause = format!("the certificate of `{}` expires on {}", one.subject, day(one.not_after));
            findings.push(
                Finding::warning(What::CertificateExpires, about, cause)
                    .mend("have it renewed before, and the server told"),
            );
        }
        return true;
    };
    let before = findings.len();
    let failure = |what, cause: String| Finding::failure(what, about, ErrorKind::Tls, cause);
    dates(shown, &look, &failure, findings);
    if !shown.is_for_host {
        findings.push(name(host, address, shown, &failure));
    }
    if distrust.kind == DistrustKind::UnknownIssuer {
        findings.push(issuer(shown, &look, &failure));
    }
    if findings.len() == before {
        let finding = failure(What::CertificateRefused, "its certificate is not to be trusted".to_owned());
        findings.push(
            finding.evidence(&distrust.message).mend(format!("have another issued; `{look}` shows it")),
        );
    }
    false
}

fn dates(
    shown: &TlsInspection,
    look: &str,
    failure: &impl Fn(What, String) -> Finding,
    findings: &mut Vec<Finding>,
) {
    let now = now();
    let today = GeneralizedTime { unix_seconds: now, nanoseconds: 0 }.to_rfc3339();
    for one in shown.certificates.iter().take(MOST_CERTIFICATES) {
        let subject = &one.subject;
        if one.not_after.unix_seconds < now {
            let cause = format!("the certificate of `{subject}` expired on {}", day(one.not_after));
            let evidence = format!("this machine's clock says {today}");
            let mend = format!(
                "have it renewed and the server told; `{look} | openssl x509 -noout -dates` shows it"
            );
            findings.push(failure(What::CertificateExpired, cause).evidence(evidence).mend(mend));
        } else if one.not_before.unix_seconds > now {
            let cause =
                format!("the certificate of `{subject}` is good from {} on", one.not_before.to_rfc3339());
            let evidence = format!("this machine's clock says {today}: one of the two is wrong");
            let mend = "set the clock of this machine (`timedatectl set-ntp true`), or that of who issued it; Kerberos \
                        allows 5 minutes";
            findings.push(failure(What::CertificateEarly, cause).evidence(evidence).mend(mend));
        }
    }
}

fn name(
    host: &str,
    address: SocketAddr,
    shown: &TlsInspection,
    failure: &impl Fn(What, String) -> Finding,
) -> Finding {
    let hosts = shown.certificates.first().map_or(&[][..], |own| &own.hosts);
    let kind = if host.parse::<IpAddr>().is_ok() { "IP" } else { "DNS" };
    let line = format!("`subjectAltName = {kind}:{host}`");
    let cause = format!("its certificate is not for `{host}`");
    match hosts.iter().find(|name| !name.starts_with('*')) {
        None if hosts.is_empty() => failure(What::CertificateName, cause)
            .evidence("it has no subjectAltName, and a common name does not count")
            .mend(format!("have one issued with {line}")),
        usual => {
            let usual = usual.map_or("NAME", String::as_str);
            let there = host_and_port(usual, address.port());
            failure(What::CertificateName, cause).evidence(format!("it is for {}", some(hosts))).mend(format!(
                "reach the server by such a name ({there}), say `ssl_server_name: {usual}`, or have one issued with {line}"
            ))
        }
    }
}

fn issuer(shown: &TlsInspection, look: &str, failure: &impl Fn(What, String) -> Finding) -> Finding {
    let (Some(own), Some(last)) = (shown.certificates.first(), top(&shown.certificates)) else {
        let cause = "its certificate cannot be read".to_owned();
        return failure(What::CertificateRefused, cause)
            .mend(format!("have another issued; `{look}` shows it"));
    };
    let confirmed = "once its fingerprint is confirmed by who runs the server";
    if own.is_self_issued() {
        return failure(What::CertificateSelfSigned, "its certificate is signed by itself".to_owned())
            .evidence(format!("`{}`, SHA-256 {}", own.subject, own.fingerprint))
            .mend(format!(
                "have one issued by an authority; or, {confirmed}, keep it (`{look} | openssl x509 -out server.pem`) and \
                 trust it: `ssl_ca_cert_path: server.pem`, --ca-file server.pem"
            ));
    }
    if last.is_self_issued() {
        let cause =
            format!("its certificate is issued by the authority `{}`, which is not trusted", last.subject);
        return failure(What::CertificateIssuer, cause)
            .evidence(format!("the server sends that authority's certificate, SHA-256 {}", last.fingerprint))
            .mend(format!(
                "{confirmed}, keep it (`{look}` prints it) and trust it: `ssl_ca_cert_path: FILE`, --ca-file FILE"
            ));
    }
    let cause = format!(
        "the issuer of its certificate, `{}`, is neither sent by the server nor trusted under its key",
        last.issuer
    );
    let sent = shown.certificates.len();
    let fetched =
        last.issuer_url.as_ref().map_or_else(String::new, |url| format!(" (it says that it is at {url})"));
    failure(What::CertificateIssuer, cause)
        .evidence(format!("the server sends {sent} certificate{}, the last is `{}`", plural(sent), last.subject))
        .mend(format!(
            "where that is an intermediate authority, append its certificate{fetched} to the file the server sends; where it is \
             the authority itself, trust it: `ssl_ca_cert_path: FILE`, --ca-file FILE"
        ))
}

/// The last certificate that can be come to from the server's own.
fn top(certificates: &[Certificate]) -> Option<&Certificate> {
    let mut top = certificates.first()?;
    for _ in certificates {
        match certificates.iter().find(|one| top.names_as_issuer(one)) {
            Some(next) if !top.is_self_issued() => top = next,
            _ => break,
        }
    }
    Some(top)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn day(time: GeneralizedTime) -> String {
    time.to_rfc3339().chars().take_while(|one| *one != 'T').collect()
}

/// Seconds since 1970, as this machine has it.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
