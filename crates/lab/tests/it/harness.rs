//! The harness itself: a real slapd is reached over every kind of listener, by every kind of client.

use std::time::Duration;

use flext_ldap_lab::{Authority, Content, DEFAULT_SUFFIX, Identity, Kit, Slapd, SlapdOptions, Tool};
use flext_ldap_testkit::company::{SUFFIX, company};

fn suffix_entry() -> Content {
    Content::Text(format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n"
    ))
}

fn start(content: Content) -> Slapd {
    Slapd::start(SlapdOptions { content, ..SlapdOptions::default() }).unwrap()
}

fn search(slapd: &Slapd, arguments: &[&str]) -> Tool {
    Tool::new("ldapsearch").unwrap().trust(slapd.ca_pem_file()).args(["-LLL"]).args(arguments)
}

#[test]
fn all_listeners_answer() {
    let slapd = start(suffix_entry());
    let (ldap, ldaps, ldapi) = (slapd.ldap_url(), slapd.ldaps_url(), slapd.ldapi_url());
    let by_name = ldaps.replace("127.0.0.1", "localhost");
    for how in [
        &["-x", "-H", &ldap][..],
        &["-x", "-ZZ", "-H", &ldap],
        &["-x", "-H", &ldaps],
        &["-x", "-H", &by_name],
        &["-x", "-H", &ldapi],
        &["-Q", "-Y", "EXTERNAL", "-H", &ldapi],
    ] {
        let found = search(&slapd, how).args(["-s", "base", "-b", SUFFIX, "o"]).run().unwrap().success();
        assert_eq!(found.unwrap(), format!("dn: {SUFFIX}\no: Harbour Lane\n\n"), "by {how:?}");
    }
}

#[test]
fn names_and_passwords_are_known() {
    let people = company(50, 1);
    let mut ldif = Vec::new();
    people.write_ldif(&mut ldif).unwrap();
    let slapd = start(Content::Text(String::from_utf8(ldif).unwrap()));

    let whoami = |how: &[&str]| Tool::new("ldapwhoami").unwrap().args(how).run().unwrap();
    let (url, root) = (slapd.ldap_url(), slapd.root_dn());
    let answer = whoami(&["-x", "-H", &url, "-D", &root, "-w", slapd.root_password()]).success().unwrap();
    assert_eq!(answer, format!("dn:{root}\n"));
    let answer = whoami(&["-Q", "-Y", "EXTERNAL", "-H", &slapd.ldapi_url()]).success().unwrap();
    assert_eq!(answer, format!("dn:{root}\n"), "the user of the test is the administrator over ldapi");
    for person in people.with_passwords() {
        let password = person.password.unwrap();
        let answer = whoami(&["-x", "-H", &url, "-D", &person.dn, "-w", &password]).success().unwrap();
        assert_eq!(answer, format!("dn:{}\n", person.dn));
        assert_eq!(whoami(&["-x", "-H", &url, "-D", &person.dn, "-w", "wrong"]).code, Some(49));
    }

    let person = people.people().next().unwrap();
    let client = slapd.authority().client(&person.uid).unwrap();
    let (certificate, key) = client.write(slapd.folder(), "client").unwrap();
    let answer = Tool::new("ldapwhoami")
        .unwrap()
        .trust(slapd.ca_pem_file())
        .certificate(&certificate, &key)
        .args(["-Q", "-Y", "EXTERNAL", "-H", &slapd.ldaps_url()])
        .run()
        .unwrap();
    assert_eq!(answer.success().unwrap(), format!("dn:{}\n", person.dn));
}

#[test]
fn the_whole_company_suits_the_schema() {
    let people = company(2_000, 17);
    let mut ldif = Vec::new();
    people.write_ldif(&mut ldif).unwrap();
    let slapd = start(Content::Text(String::from_utf8(ldif).unwrap()));
    let (url, root) = (slapd.ldap_url(), slapd.root_dn());
    let as_root = ["-x", "-H", &url, "-D", &root, "-w", slapd.root_password(), "-b", SUFFIX];
    let count = |filter: &str| {
        let found = search(&slapd, &as_root).args([filter, "1.1"]).run().unwrap().success().unwrap();
        found.lines().filter(|line| line.starts_with("dn:")).count() as u64
    };
    let counts = people.counts();
    assert_eq!(count("(objectClass=*)"), counts.entries);
    assert_eq!(count("(objectClass=inetOrgPerson)"), counts.people);
    assert_eq!(count("(objectClass=groupOfNames)"), counts.groups);
    assert_eq!(count("(shadowExpire=1)"), counts.disabled);
    assert_eq!(count("(ou=Research, Optics)"), 1 + count("(&(objectClass=person)(departmentNumber=01))"));
}

#[test]
fn content_that_breaks_the_schema_is_refused_with_the_reason() {
    let Content::Text(mut ldif) = suffix_entry() else { panic!("text") };
    ldif.push_str("colour: blue\n");
    let options = SlapdOptions { content: Content::Text(ldif), ..SlapdOptions::default() };
    let error = Slapd::start(options).err().unwrap().to_string();
    assert!(
        error.contains("slapadd refused") && error.contains("(colour): attribute type undefined"),
        "{error}"
    );
}

#[test]
fn a_wrong_setting_is_refused_with_the_reason() {
    let options = SlapdOptions { global_lines: vec!["colour blue".to_owned()], ..SlapdOptions::default() };
    let error = Slapd::start(options).err().unwrap().to_string();
    assert!(error.contains("slapd ended at once") && error.contains("colour"), "{error}");
}

#[test]
fn settings_limits_and_overlays_take_effect() {
    let mut ldif = Vec::new();
    company(30, 1).write_ldif(&mut ldif).unwrap();
    let slapd = Slapd::start(SlapdOptions {
        content: Content::Text(String::from_utf8(ldif).unwrap()),
        size_limit: Some(7),
        database_lines: vec!["access to attrs=employeeNumber by * none".to_owned()],
        overlays: vec![("unique".to_owned(), vec![format!("unique_uri ldap:///ou=people,{SUFFIX}?uid?sub")])],
        ..SlapdOptions::default()
    })
    .unwrap();
    let url = slapd.ldap_url();

    let limited = search(&slapd, &["-x", "-H", &url, "-b", SUFFIX, "(objectClass=person)", "employeeNumber"]);
    let limited = limited.run().unwrap();
    assert_eq!(limited.code, Some(4), "sizeLimitExceeded");
    let text = String::from_utf8(limited.stdout).unwrap();
    assert_eq!(text.matches("dn: uid=").count(), 7);
    assert!(!text.contains("employeeNumber"));

    let taken = company(30, 1).people().next().unwrap().uid;
    let twin = format!(
        "dn: cn=twin,ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\ncn: twin\nsn: twin\nuid: {taken}\n"
    );
    let added = Tool::new("ldapadd")
        .unwrap()
        .args(["-x", "-H", &url, "-D", &slapd.root_dn(), "-w", slapd.root_password()])
        .input(twin)
        .run()
        .unwrap();
    assert_eq!(added.code, Some(19), "constraintViolation: {}", added.said());
}

#[test]
fn bad_certificates_are_refused_by_the_foreign_client_too() {
    let stranger = Authority::new().unwrap();
    for (kind, identity) in
        [("self-signed", Identity::self_signed().unwrap()), ("of a stranger", stranger.server().unwrap())]
    {
        let options = SlapdOptions { identity: Some(identity), ..SlapdOptions::default() };
        let slapd = Slapd::start(options).unwrap();
        let answer = search(&slapd, &["-x", "-H", &slapd.ldaps_url(), "-s", "base", "-b", ""]).run().unwrap();
        assert_eq!(answer.code, Some(255), "a certificate {kind}");
    }
    // Of the right authority, as shown by the third, which is good.
    let authority = Authority::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, authority.pem()).unwrap();
    for (kind, identity, code) in [
        ("expired", authority.expired_server().unwrap(), 255),
        ("for another host", authority.server_for(&["elsewhere.example"]).unwrap(), 255),
        ("good", authority.server().unwrap(), 0),
    ] {
        let options = SlapdOptions { identity: Some(identity), ..SlapdOptions::default() };
        let slapd = Slapd::start(options).unwrap();
        let answer = Tool::new("ldapsearch")
            .unwrap()
            .trust(&trusted)
            .args(["-x", "-H", &slapd.ldaps_url(), "-s", "base", "-b", ""])
            .run()
            .unwrap();
        assert_eq!(answer.code, Some(code), "a certificate {kind}: {}", answer.said());
    }
}

#[test]
fn both_python_clients_work() {
    let slapd = start(suffix_entry());
    let program = "
import sys, ldap, ldap3, ssl
url, dn, password, ca, base = sys.argv[1:]
one = ldap.initialize(url)
one.set_option(ldap.OPT_X_TLS_CACERTFILE, ca)
one.set_option(ldap.OPT_X_TLS_NEWCTX, 0)
one.start_tls_s()
one.simple_bind_s(dn, password)
print(one.search_s(base, ldap.SCOPE_BASE, attrlist=['o']))
server = ldap3.Server(url, tls=ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=ca))
two = ldap3.Connection(server, dn, password, auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND)
two.search(base, '(objectClass=*)', ldap3.BASE, attributes=['o'])
print(two.entries[0].o)
";
    let answer = Tool::python(program)
        .unwrap()
        .args([slapd.ldap_url(), slapd.root_dn(), slapd.root_password().to_owned()])
        .arg(slapd.ca_pem_file())
        .arg(slapd.suffix())
        .run()
        .unwrap();
    assert_eq!(
        answer.success().unwrap(),
        format!("[('{DEFAULT_SUFFIX}', {{'o': [b'Harbour Lane']}})]\nHarbour Lane\n")
    );
}

#[test]
fn every_foreign_client_is_there() {
    for name in [
        "ldapadd",
        "ldapcompare",
        "ldapdelete",
        "ldapexop",
        "ldapmodify",
        "ldapmodrdn",
        "ldappasswd",
        "ldapsearch",
        "ldapwhoami",
    ] {
        assert_eq!(Tool::new(name).unwrap().arg("-VV").run().unwrap().code, Some(0), "{name}");
    }
    assert!(Tool::new("ldapfly").unwrap_err().to_string().ends_with("has no ldapfly"));
    assert!(Kit::load().unwrap().schema.join("core.schema").is_file());
}

#[test]
fn a_stopped_server_is_gone_with_its_files() {
    let mut slapd = start(Content::Empty);
    let (folder, url) = (slapd.folder().to_owned(), slapd.ldap_url());
    assert!(slapd.log().unwrap().contains("slapd starting"));
    slapd.stop().unwrap();
    let refused = Tool::new("ldapsearch").unwrap().args(["-x", "-H", &url, "-s", "base", "-b", ""]);
    assert_eq!(refused.timeout(Duration::from_secs(20)).run().unwrap().code, Some(255));
    drop(slapd);
    assert!(!folder.exists());
}

#[test]
fn a_killed_server_starts_again_with_what_it_answered() {
    let options = SlapdOptions { content: suffix_entry(), durable: true, ..SlapdOptions::default() };
    let mut slapd = Slapd::start(options).unwrap();
    let (url, root, killed) = (slapd.ldap_url(), slapd.root_dn(), slapd.pid());
    let change = format!("dn: {SUFFIX}\nchangetype: modify\nreplace: o\no: Harbour Lane Instruments\n");
    let modify =
        Tool::new("ldapmodify").unwrap().args(["-x", "-H", &url, "-D", &root, "-w", slapd.root_password()]);
    modify.input(change).run().unwrap().success().unwrap();
    slapd.kill().unwrap();
    slapd.restart().unwrap();
    assert_ne!(slapd.pid(), killed);
    let found = search(&slapd, &["-x", "-H", &url, "-s", "base", "-b", SUFFIX, "o"]).run().unwrap().success();
    assert_eq!(found.unwrap(), format!("dn: {SUFFIX}\no: Harbour Lane Instruments\n\n"));
}

#[test]
fn many_servers_run_side_by_side() {
    let servers: Vec<_> = (0..4).map(|_| std::thread::spawn(|| start(suffix_entry()))).collect();
    for server in servers {
        let slapd = server.join().unwrap();
        let found = search(&slapd, &["-x", "-H", &slapd.ldap_url(), "-b", SUFFIX, "dc"]).run().unwrap();
        assert!(found.success().unwrap().contains("dc: harbourlane"));
    }
}
