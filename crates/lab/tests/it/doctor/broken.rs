//! Set-ups that are broken, each in one way.

use std::{
    net::{TcpListener, UdpSocket},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use flext_ldap::doctor::{Severity, What};
use flext_ldap_directory::proto::{result::ResultCode, schema::GeneralizedTime};
use flext_ldap_lab::{Authority, Content, Identity, Slapd, SlapdOptions};
use flext_ldap_server::Server;
use flext_ldap_testkit::{TestDirectory, company::company};
use tempfile::TempDir;

use super::{
    by, doctor, examine, fails, finding, nothing_fails, on_a_runtime,
    played::{NameServer, Played},
    says, text,
};

const ACTIVE_DIRECTORY: &str = include_str!("../../../../client/tests/it/root_dse/active_directory.ldif");

/// A slapd with thirty people, and a folder with the authority that is trusted.
fn slapd(options: SlapdOptions) -> Slapd {
    let mut ldif = Vec::new();
    company(30, 1).write_ldif(&mut ldif).unwrap();
    let content = Content::Text(String::from_utf8(ldif).unwrap());
    Slapd::start(SlapdOptions { content, ..options }).unwrap()
}

/// A slapd with a certificate, looked at with this authority as the trusted one.
fn with_certificate(identity: Identity, trusted: &Authority) -> flext_ldap::doctor::Report {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, trusted.pem()).unwrap();
    let slapd = slapd(SlapdOptions { identity: Some(identity), ..SlapdOptions::default() });
    examine(&doctor(&slapd.ldaps_url()).ca_file(file))
}

/// A port nobody listens on.
fn deserted() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn dns_answers_nothing() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let report = examine(&doctor("harbourlane.invalid").name_server(silent.local_addr().unwrap()));
    fails(&report, What::DnsSilent, &["no answer in time", "name a server: `ldaps://HOST`"]);
}

#[test]
fn dns_knows_no_servers() {
    let names = NameServer::start("nothing", Vec::new());
    let report = examine(&doctor("harbourlane.invalid").name_server(names.address));
    let parts = [
        "neither _ldaps._tcp.harbourlane.invalid nor",
        "`_ldaps._tcp.harbourlane.invalid. SRV 0 0 636 HOST.`",
    ];
    fails(&report, What::DnsRecords, &parts);
}

#[test]
fn records_point_to_nothing() {
    let names = NameServer::start("_ldaps", vec![("", 0)]);
    let report = examine(&doctor("harbourlane.invalid").name_server(names.address));
    fails(&report, What::DnsNotOffered, &["names `.` as its host"]);

    let names = NameServer::start("_ldaps", vec![("ldap1.harbourlane.invalid", 636)]);
    let report = examine(&doctor("harbourlane.invalid").name_server(names.address));
    fails(&report, What::HostUnknown, &["server ldaps://ldap1.harbourlane.invalid:636", "has no address"]);

    let port = deserted();
    let names = NameServer::start("_ldaps", vec![("localhost", port)]);
    let report = examine(&doctor("harbourlane.invalid").name_server(names.address));
    fails(&report, What::PortRefused, &[&format!("server ldaps://localhost:{port}")]);
    says(finding(&report, What::DnsOutside), &["`localhost`, which is not in the domain", "hosts_within"]);
}

#[test]
fn a_record_that_may_be_forged_gets_no_password() {
    // Whoever forges records can have a certificate for a host of their own.
    let slapd = slapd(SlapdOptions::default());
    let names = NameServer::start("_ldaps", vec![("localhost", slapd.ldaps_port())]);
    let asked = doctor("harbourlane.invalid").name_server(names.address).ca_file(slapd.ca_pem_file());
    let report = examine(&asked.sign_in(by("cn=reader,dc=harbourlane,dc=example", "open water")));
    let said = text(&report);
    assert!(
        said.contains("outside of the domain that was asked") && said.contains("name one: `ldaps://HOST`"),
        "{said}"
    );
    assert!(
        !report.findings.iter().any(|one| [What::Account, What::AccountRefused].contains(&one.what)),
        "{said}"
    );
    assert_eq!(report.configuration, None, "{said}");
    assert!(report.failure().is_some_and(|one| one.what == What::DnsOutside), "{said}");
}

#[test]
fn a_port_is_closed() {
    let port = deserted();
    let report = examine(&doctor(&format!("ldaps://127.0.0.1:{port}")));
    fails(
        &report,
        What::PortRefused,
        &[&format!("127.0.0.1:{port} refused the connection"), "see that the server runs"],
    );
}

#[test]
fn a_port_is_silent() {
    // The kernel takes the connections, and nobody else does anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for scheme in ["ldaps", "ldap"] {
        let report = examine(&doctor(&format!("{scheme}://127.0.0.1:{port}")));
        fails(&report, What::NoAnswer, &["takes connections and answers nothing", "within 3s"]);
    }
}

#[test]
fn the_port_for_ldaps_speaks_clear() {
    let slapd = slapd(SlapdOptions::default());
    let report = examine(&doctor(&slapd.ldap_url().replace("ldap:", "ldaps:")).ca_file(slapd.ca_pem_file()));
    let mend = format!("use StartTLS, `url: ldap://127.0.0.1:{}`", slapd.ldap_port());
    fails(&report, What::ClearPort, &["speaks LDAP without TLS", &mend]);
}

#[test]
fn the_port_speaks_ldaps() {
    let slapd = slapd(SlapdOptions::default());
    let report = examine(&doctor(&slapd.ldaps_url().replace("ldaps:", "ldap:")).ca_file(slapd.ca_pem_file()));
    let mend = format!("`url: ldaps://127.0.0.1:{}`", slapd.ldaps_port());
    fails(&report, What::TlsPort, &["speaks TLS from the first octet on", &mend]);
}

#[test]
fn something_else_listens() {
    // It hangs up on everybody, as what speaks another protocol does.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    std::thread::spawn(move || other.incoming().for_each(drop));
    let report = examine(&doctor(&format!("ldap://127.0.0.1:{port}")));
    fails(&report, What::NotLdap, &["does not speak LDAP, or hangs up"]);
    let report = examine(&doctor(&format!("ldaps://127.0.0.1:{port}")));
    fails(&report, What::NoTls, &["see that this is its port for ldaps"]);
}

#[test]
fn start_tls_is_refused() {
    let directory = TestDirectory::builder().anonymous_read().start().unwrap();
    let port = directory.url().rsplit(':').next().unwrap().parse().unwrap();
    // What DNS names needs TLS, also where it leads to this machine.
    let names = NameServer::start("_ldap\u{4}", vec![("localhost", port)]);
    let asked = doctor("localhost").name_server(names.address).sign_in(by("cn=reader", "open water"));
    fails(
        &examine(&asked),
        What::StartTlsRefused,
        &["without TLS no password goes there", "have TLS set up on the server"],
    );
    // What somebody names on this machine may do without.
    let report = examine(&doctor(directory.url()));
    says(
        finding(&report, What::NoTlsNeeded),
        &["StartTLS is refused", "programs on other machines need TLS"],
    );
}

#[test]
fn a_certificate_has_expired() {
    let authority = Authority::new().unwrap();
    let report = with_certificate(authority.expired_server().unwrap(), &authority);
    let parts = [
        "`O=Lab, CN=Lab server` expired on 2021-01-01",
        "have it renewed",
        "-showcerts </dev/null | openssl x509 -noout -dates",
    ];
    fails(&report, What::CertificateExpired, &parts);
}

#[test]
fn a_certificate_is_for_another_host() {
    let authority = Authority::new().unwrap();
    let report = with_certificate(authority.server_for(&["elsewhere.example"]).unwrap(), &authority);
    let parts = [
        "it is for elsewhere.example",
        "`ssl_server_name: elsewhere.example`",
        "`subjectAltName = IP:127.0.0.1`",
    ];
    fails(&report, What::CertificateName, &parts);
    let none: [&str; 0] = [];
    let report = with_certificate(authority.server_for(&none).unwrap(), &authority);
    fails(&report, What::CertificateName, &["it has no subjectAltName, and a common name does not count"]);
}

#[test]
fn a_certificate_is_of_nobody_who_is_trusted() {
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let report = with_certificate(stranger.server().unwrap(), &authority);
    fails(
        &report,
        What::CertificateIssuer,
        &["`O=Lab, CN=Lab CA`", "trust it: `ssl_ca_cert_path: FILE`, --ca-file FILE"],
    );
    // The server sends the authority's own.
    let mut identity = stranger.server().unwrap();
    identity.certificate_pem.push_str(&stranger.pem());
    let report = with_certificate(identity, &authority);
    fails(
        &report,
        What::CertificateIssuer,
        &["`O=Lab, CN=Lab CA`, which is not trusted", "SHA-256 ", "-showcerts"],
    );

    let report = with_certificate(Identity::self_signed().unwrap(), &authority);
    fails(
        &report,
        What::CertificateSelfSigned,
        &["signed by itself", "SHA-256 ", "`ssl_ca_cert_path: server.pem`"],
    );
}

#[test]
fn an_intermediate_certificate_is_missing() {
    let authority = Authority::new().unwrap();
    let intermediate = authority.intermediate("Lab Issuing CA").unwrap();
    let mut identity = intermediate.server().unwrap();
    let report = with_certificate(identity.clone(), &authority);
    let parts = [
        "`O=Lab, CN=Lab Issuing CA`, is neither sent by the server nor trusted",
        "the server sends 1 certificate, the last is `O=Lab, CN=Lab server`",
        "append its certificate to the file the server sends",
    ];
    fails(&report, What::CertificateIssuer, &parts);
    identity.certificate_pem.push_str(&intermediate.pem());
    nothing_fails(&with_certificate(identity, &authority));
}

#[test]
fn clocks_are_apart() {
    let authority = Authority::new().unwrap();
    let report = with_certificate(authority.early_server().unwrap(), &authority);
    let parts =
        ["is good from 2090-01-01T00:00:00", "this machine's clock says 20", "Kerberos allows 5 minutes"];
    fails(&report, What::CertificateEarly, &parts);

    let here = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let there = GeneralizedTime { unix_seconds: i64::try_from(here).unwrap() - 3_600, nanoseconds: 0 };
    let report = as_active_directory(&format!("currentTime: {there}\n"), |played| played).0;
    let clock = finding(&report, What::Clock);
    assert_eq!(clock.severity, Severity::Warning);
    says(clock, &["is 60 min ahead of the server's", "Kerberos refuses tickets from 5 minutes on"]);
}

const DOMAIN: &str = "dn: DC=harbourlane,DC=example\nobjectClass: domainDNS\nlockoutThreshold: 3\n\
    lockOutObservationWindow: -18000000000\nlockoutDuration: -18000000000\n\n\
    dn: CN=Ada Nordin,OU=Staff,DC=harbourlane,DC=example\nobjectClass: user\ncn: Ada Nordin\nmail: ada@harbourlane.example\n\
    objectGUID:: AAAAAAAAAAAAAAAAAAAAAA==\n";

/// A listener that plays Active Directory, looked at as somebody; and how often somebody tried to sign in.
fn as_active_directory(
    more: &str,
    change: impl FnOnce(Played) -> Played,
) -> (flext_ldap::doctor::Report, usize) {
    let root: Vec<_> = ACTIVE_DIRECTORY.lines().filter(|line| !line.starts_with("currentTime")).collect();
    let played = change(Played::new(&root.join("\n"), more, DOMAIN));
    let report = on_a_runtime(async {
        let server = Server::builder(Arc::new(played.clone()));
        let server = server.listen("ldap://127.0.0.1:0".parse().unwrap()).start().await.unwrap();
        let url = server.urls()[0].to_string();
        let doctor = doctor(&url).base("DC=harbourlane,DC=example".parse().unwrap());
        doctor.sign_in(by("ada@harbourlane.example", "tall waves")).examine().await
    });
    (report, played.count())
}

#[test]
fn active_directory_locks_after_three() {
    let (report, binds) = as_active_directory("", |played| played);
    assert_eq!(binds, 1, "{}", text(&report));
    nothing_fails(&report);
    let lockout = finding(&report, What::Lockout);
    assert_eq!(lockout.severity, Severity::Warning);
    says(lockout, &["3 wrong passwords within 30 min lock an account, for 30 min", "2 times within 30 min"]);
    says(finding(&report, What::Server), &["Active Directory", "pages of 1000 entries at most"]);
    // Who signs in by a principal name is written by the name of the entry.
    let text = report.configuration.unwrap();
    assert!(
        text.contains("    ada-nordin:\n      dn: \"CN=Ada Nordin,OU=Staff,DC=harbourlane,DC=example\"\n"),
        "{text}"
    );
}

#[test]
fn the_account_is_refused_once() {
    let slapd = slapd(SlapdOptions::default());
    let asked = doctor(&slapd.ldaps_url()).ca_file(slapd.ca_pem_file());
    let report = examine(&asked.sign_in(by(&slapd.root_dn(), "not the password")));
    fails(&report, What::AccountRefused, &["the name or the password is wrong", "it was sent once"]);
    assert_eq!(report.failure().unwrap().result_code, Some(ResultCode::INVALID_CREDENTIALS));
    let log = slapd.log().unwrap();
    assert_eq!(log.matches("BIND dn=").count(), 1, "{log}");

    let data = "80090308: LdapErr: DSID-0C09030B, comment: AcceptSecurityContext error, data 775, v893";
    let (report, binds) =
        as_active_directory("", |played| played.binds(ResultCode::INVALID_CREDENTIALS, data));
    fails(&report, What::AccountRefused, &["the account is locked", "data 775", "have it unlocked"]);
    assert_eq!(binds, 1);
}

#[test]
fn nobody_signs_in_and_nobody_sees_anything() {
    let lines =
        ["access to attrs=userPassword by anonymous auth by * none", "access to * by users read by * none"];
    let options =
        SlapdOptions { database_lines: lines.map(str::to_owned).to_vec(), ..SlapdOptions::default() };
    let slapd = slapd(options);
    let report = examine(&doctor(&slapd.ldaps_url()).ca_file(slapd.ca_pem_file()));
    nothing_fails(&report);
    says(finding(&report, What::NoAccount), &["say as whom: -D DN -W"]);
    let nothing = finding(&report, What::NothingSeen);
    assert_eq!(nothing.severity, Severity::Note);
    says(nothing, &["seen as nobody: no people are seen there"]);
}

#[test]
fn the_account_sees_nothing() {
    let person = company(30, 1).with_passwords().remove(0);
    let lines = ["access to attrs=userPassword by anonymous auth by * none", "access to * by * none"];
    let options =
        SlapdOptions { database_lines: lines.map(str::to_owned).to_vec(), ..SlapdOptions::default() };
    let slapd = slapd(options);
    let asked = doctor(&slapd.ldaps_url()).ca_file(slapd.ca_pem_file());
    let report = examine(&asked.sign_in(by(&person.dn.to_string(), &person.password.unwrap())));
    fails(&report, What::NothingSeen, &["no people are seen there", "let the account read them", "-b BASE"]);
}

#[test]
fn a_size_limit_is_below_the_people() {
    let person = company(30, 1).with_passwords().remove(0);
    let person = (person.dn.to_string(), person.password.unwrap());
    let options = || SlapdOptions { size_limit: Some(7), ..SlapdOptions::default() };
    let look = |slapd: &Slapd| {
        let asked = doctor(&slapd.ldaps_url()).ca_file(slapd.ca_pem_file());
        examine(&asked.sign_in(by(&person.0, &person.1)))
    };
    let report = look(&slapd(options()));
    let limit = finding(&report, What::SizeLimit);
    assert_eq!(limit.severity, Severity::Warning);
    says(
        limit,
        &[
            "one search gives 7 people, and there are more",
            "in pages it gives no more than 7 either",
            "size=unlimited",
        ],
    );
    // With pages that are not bounded, too.
    let lines = vec!["limits users size.prtotal=unlimited size.pr=unlimited".to_owned()];
    let report = look(&slapd(SlapdOptions { database_lines: lines, ..options() }));
    says(finding(&report, What::SizeLimit), &["in pages of 500 it gives 30", "read in pages"]);
    says(finding(&report, What::People), &["people seen: 30"]);
}

#[test]
fn tls_is_demanded() {
    // By the server, and there is TLS: that is as it should be.
    let lines = vec!["security simple_bind=128".to_owned()];
    let demanding = slapd(SlapdOptions { global_lines: lines, ..SlapdOptions::default() });
    let report = examine(&doctor(&demanding.ldap_url()).ca_file(demanding.ca_pem_file()));
    nothing_fails(&report);
    let demanded = finding(&report, What::TlsDemanded);
    assert_eq!(demanded.severity, Severity::Good);
    says(demanded, &["refuses passwords without TLS", "confidentialityRequired"]);
    // And where there is none.
    let signing = "00002028: LdapErr: DSID-0C090276, comment: The server requires binds to turn on integrity checking if \
                   SSL\\TLS are not already active on the connection, data 0, v3839";
    for code in [ResultCode::STRONGER_AUTH_REQUIRED, ResultCode::CONFIDENTIALITY_REQUIRED] {
        let (report, binds) = as_active_directory("", |played| played.binds(code, signing));
        fails(
            &report,
            What::TlsDemanded,
            &["demands TLS, and there is none on this way", "00002028", "`url: ldaps://HOST`"],
        );
        assert_eq!((binds, report.failure().unwrap().result_code), (1, Some(code)));
    }
    let data = "80090346: LdapErr: DSID-0C0906B5, comment: AcceptSecurityContext error, data 80090346, v3839";
    let (report, _) = as_active_directory("", |played| played.binds(ResultCode::INVALID_CREDENTIALS, data));
    fails(&report, What::TlsDemanded, &["channel bindings", "and not through what ends TLS"]);
}

#[test]
fn active_directory_tells_nobody_anything() {
    let text = "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed";
    let (report, _) = as_active_directory("", |played| {
        played.unbound(ResultCode::OPERATIONS_ERROR, text).binds(
            ResultCode::INVALID_CREDENTIALS,
            "80090308: comment: AcceptSecurityContext error, data 52e, v1",
        )
    });
    fails(&report, What::AccountRefused, &["the name or the password is wrong", "data 52e"]);
}

#[test]
fn one_server_of_two_is_broken() {
    let slapd = slapd(SlapdOptions::default());
    let names =
        NameServer::start("_ldaps", vec![("localhost", deserted()), ("localhost", slapd.ldaps_port())]);
    let report = examine(&doctor("localhost").name_server(names.address).ca_file(slapd.ca_pem_file()));
    nothing_fails(&report);
    assert_eq!(finding(&report, What::PortRefused).severity, Severity::Warning);
    assert!(
        report.configuration.unwrap().contains(&format!("url: \"ldaps://localhost:{}\"", slapd.ldaps_port()))
    );
}
