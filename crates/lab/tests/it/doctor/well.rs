//! Servers that are well: nothing fails, what they are is known, and the configuration that comes out works.

use std::time::Duration;

use flext_ldap::{
    Config, PasswordSource,
    doctor::{Doctor, Report, Severity, SignIn, What},
};
use flext_ldap_client::{Connector, Credentials};
use flext_ldap_directory::{
    Actor, DirectoryExt as _, Request,
    proto::{
        filter::Filter,
        message::{Scope, Search},
    },
};
use flext_ldap_lab::{Content, NsSlapd, Samba, Slapd, SlapdOptions, Tool};
use flext_ldap_testkit::{
    TestDirectory,
    company::{SUFFIX, company},
};
use tempfile::TempDir;

use super::{doctor, examine, finding, nothing_fails, on_a_runtime, played::NameServer, says, text};

fn ldif() -> String {
    let mut ldif = Vec::new();
    company(30, 1).write_ldif(&mut ldif).unwrap();
    String::from_utf8(ldif).unwrap()
}

/// A folder with the authority to trust and a password.
fn place(ca: &str, password: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("ca.pem"), ca).unwrap();
    std::fs::write(folder.path().join("password"), password).unwrap();
    folder
}

fn as_somebody(doctor: Doctor, place: &TempDir, name: &str, password: &str) -> Report {
    let sign_in = SignIn::new(Credentials::simple(name, password));
    let sign_in = sign_in.password_from(PasswordSource::File(place.path().join("password")));
    examine(&doctor.ca_file(place.path().join("ca.pem")).sign_in(sign_in))
}

/// The configuration that came out, and what reaches its first server as its account.
fn config(report: &Report) -> (Config, Connector) {
    let config = Config::parse("ldap.yaml", report.configuration.as_ref().unwrap(), []).unwrap();
    let surprises: Vec<_> =
        config.warnings().iter().filter(|one| !one.message.contains("is an unusual port")).collect();
    assert!(surprises.is_empty(), "{surprises:?}");
    let (name, account) = config.accounts.first_key_value().unwrap();
    let credentials = account.credentials(name).unwrap();
    let connector = config.connector(&config.servers[0]).credentials(credentials).build().unwrap();
    (config, connector)
}

/// That this configuration finds the thirty people where it says.
fn works(report: &Report) {
    let (config, connector) = config(report);
    let found = on_a_runtime(async {
        let connection = connector.connect().await.unwrap();
        let people = config.structure.users.unwrap();
        let search = Search::new(people, Scope::Subtree, "(uid=*)".parse::<Filter>().unwrap());
        let request = Request::new(search, Actor::Service).within(Duration::from_secs(30));
        connection.search_all(request).await.unwrap().len()
    });
    assert_eq!(found, 30, "{}", report.configuration.as_ref().unwrap());
}

#[test]
fn openldap() {
    let policy = format!(
        "\ndn: cn=default,{SUFFIX}\nobjectClass: device\nobjectClass: pwdPolicy\ncn: default\npwdAttribute: userPassword\n\
         pwdLockout: TRUE\npwdMaxFailure: 5\npwdFailureCountInterval: 600\npwdLockoutDuration: 900\n"
    );
    let slapd = Slapd::start(SlapdOptions {
        content: Content::Text(ldif() + &policy),
        overlays: vec![("ppolicy".to_owned(), vec![format!("ppolicy_default \"cn=default,{SUFFIX}\"")])],
        ..SlapdOptions::default()
    })
    .unwrap();
    let place = place(&slapd.ca_pem(), slapd.root_password());
    for url in [slapd.ldaps_url(), slapd.ldap_url(), slapd.ldapi_url()] {
        let report = as_somebody(doctor(&url), &place, &slapd.root_dn(), slapd.root_password());
        nothing_fails(&report);
        says(finding(&report, What::Server), &["OpenLDAP", "pages"]);
        says(finding(&report, What::People), &["people seen: 30"]);
        says(finding(&report, What::Attributes), &["entryUUID 30, memberOf 0, mail 30"]);
        says(finding(&report, What::AnonymousReads), &["without signing in"]);
        says(
            finding(&report, What::Lockout),
            &["5 wrong passwords within 10 min lock an account, for 15 min"],
        );
        assert_eq!(finding(&report, What::Clock).severity, Severity::Note, "it cannot be told");
        if !url.starts_with("ldapi") {
            says(
                finding(&report, What::Tls),
                &["TLS 1.3", "issued by `O=Lab, CN=Lab CA`, good until 2099-01-01"],
            );
        }
        works(&report);
        assert!(!text(&report).contains(slapd.root_password()), "{}", text(&report));
        assert!(!report.configuration.unwrap().contains(slapd.root_password()));
    }
    // A password on each way once, and never on the one without TLS, where an invented name is.
    let log = slapd.log().unwrap();
    let binds = |name: &str| log.matches(&format!("BIND dn=\"{name}\" method=128")).count();
    assert_eq!(binds(&slapd.root_dn()), 3 + 3, "one for each doctor, one for each configuration: {log}");
    assert_eq!(binds(&format!("cn=flext-ldap doctor,{SUFFIX}")), 1, "{log}");
}

#[test]
fn ours_by_its_domain() {
    let directory = TestDirectory::builder().ldif(ldif()).tls().start().unwrap();
    let (name, password) = (directory.admin_dn().to_string(), directory.admin_password().to_owned());
    let place = place(directory.ca_pem().unwrap(), &password);
    let port = |url: &str| url.trim_end_matches('/').rsplit(':').next().unwrap().parse::<u16>().unwrap();
    let names = NameServer::start("_ldaps", vec![("localhost", port(directory.ldaps_url().unwrap()))]);
    let asked = doctor("localhost").name_server(names.address);
    let report = as_somebody(asked, &place, &name, &password);
    nothing_fails(&report);
    says(finding(&report, What::DnsRecords), &["_ldaps._tcp.localhost names localhost:"]);
    says(finding(&report, What::Server), &["FLEXT-LDAP"]);
    says(finding(&report, What::People), &["people seen: 30"]);
    assert!(!report.findings.iter().any(|finding| finding.what == What::AnonymousReads), "{}", text(&report));
    works(&report);
    let report = as_somebody(doctor(directory.url()), &place, &name, &password);
    nothing_fails(&report);
    says(finding(&report, What::Tls), &["by StartTLS"]);
    works(&report);
}

#[test]
fn ds389() {
    let server = NsSlapd::start().unwrap();
    let (url, root) = (server.ldap_url(), server.root_dn());
    let arguments = ["-x", "-H", &url, "-D", &root, "-w", server.root_password()];
    Tool::new("ldapadd").unwrap().args(arguments).input(ldif()).run().unwrap().success().unwrap();
    let lockout = "dn: cn=config\nchangetype: modify\nreplace: passwordLockout\npasswordLockout: on\n-\n\
                   replace: passwordMaxFailure\npasswordMaxFailure: 2\n";
    Tool::new("ldapmodify").unwrap().args(arguments).input(lockout).run().unwrap().success().unwrap();
    let place = place(server.ca_pem(), server.root_password());
    for url in [server.ldaps_url(), server.ldap_url()] {
        let report = as_somebody(doctor(&url), &place, &root, server.root_password());
        nothing_fails(&report);
        says(finding(&report, What::Server), &["389 Directory Server"]);
        says(finding(&report, What::People), &["people seen: 30"]);
        let lockout = finding(&report, What::Lockout);
        assert_eq!(lockout.severity, Severity::Warning);
        says(lockout, &["policy `cn=config`: 2 wrong passwords within 10 min lock an account"]);
        works(&report);
    }
}

#[test]
fn samba() {
    // Its own: the people of other tests, in branches of theirs, would be people for the doctor.
    let server = Samba::start().unwrap();
    let (name, password) = (server.root_dn(), server.root_password());
    let place = place(&server.ca_pem(), password);
    for url in [server.ldaps_url(), server.ldap_url()] {
        let report = as_somebody(doctor(&url), &place, &name, password);
        nothing_fails(&report);
        says(finding(&report, What::Server), &["Samba", "DirSync"]);
        says(finding(&report, What::Attributes), &["objectGUID "]);
        assert_eq!(finding(&report, What::Clock).severity, Severity::Good, "{}", text(&report));
        let lockout = finding(&report, What::Lockout);
        assert_eq!(lockout.severity, Severity::Warning);
        says(lockout, &["3 wrong passwords within 30 min lock an account"]);
        let shown = report.findings.iter().any(|finding| finding.what == What::AnonymousReads);
        assert!(!shown, "{}", text(&report));
        let (config, connector) = config(&report);
        on_a_runtime(async { connector.connect().await.unwrap().close().await });
        assert_eq!(config.structure.users.unwrap().to_string().to_lowercase(), format!("cn=users,{SUFFIX}"));
    }
}

#[test]
fn samba_as_it_is_unless_told_otherwise() {
    let server = Samba::start_demanding().unwrap();
    let place = place(&server.ca_pem(), server.root_password());
    let report = as_somebody(doctor(&server.ldap_url()), &place, &server.root_dn(), server.root_password());
    nothing_fails(&report);
    let demanded = finding(&report, What::TlsDemanded);
    assert_eq!(demanded.severity, Severity::Good);
    says(demanded, &["refuses passwords without TLS", "strongerAuthRequired (8)"]);
}
