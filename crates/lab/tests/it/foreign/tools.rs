//! The command-line clients of OpenLDAP.

use flext_ldap_lab::Output;

use super::target::{ADMIN, BASE, Target, WAYS, Way};

const ADA: &str = "dn: cn=Ada Byrne,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
cn: Ada Byrne
sn: Byrne
mail: ada@harbourlane.example
description:: w4Rjb3V0ZXIgbGVzIG1hcsOpZXM=
jpegPhoto:: /9j/4AAQSkZJRgABAQ==
userPassword: tide gauge

dn: cn=Ben Ode,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
cn: Ben Ode
sn: Ode
employeeNumber: 41
";

fn code(output: &Output) -> i32 {
    output.code.unwrap_or(-1)
}

/// Lines of a client's output, sorted: the order of attributes and values means nothing.
fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines
}

/// The life of two entries, over one transport.
fn life_of_an_entry(target: &Target, way: Way) {
    let at = format!("{} over {way:?}", target.name);
    let run = |name: &str, arguments: &[&str]| target.admin_tool(name, way).args(arguments).run().unwrap();
    let search = |arguments: &[&str]| {
        let output =
            target.admin_tool("ldapsearch", way).args(["-LLL", "-o", "ldif-wrap=no"]).args(arguments);
        output.run().unwrap().success().unwrap_or_else(|error| panic!("{at}: {error:#}"))
    };
    let change = |name: &str, arguments: &[&str], ldif: &str| {
        target.admin_tool(name, way).args(arguments).input(ldif).run().unwrap()
    };
    let (ada, ben) = (format!("cn=Ada Byrne,ou=people,{BASE}"), format!("cn=Ben Ode,ou=people,{BASE}"));

    assert_eq!(run("ldapwhoami", &[]).success().unwrap(), format!("dn:{ADMIN}\n"), "{at}");
    let added = change("ldapadd", &[], ADA);
    assert_eq!(code(&added), 0, "{at}: {}", added.said());
    assert_eq!(code(&change("ldapadd", &[], ADA)), 68, "{at}: entryAlreadyExists");
    assert_eq!(code(&change("ldapadd", &["-c"], ADA)), 68, "{at}: -c goes on and tells");

    // ldapsearch: selections, base64, scopes, limits, pages, types only.
    let found = search(&["-b", BASE, "(cn=ada*)", "cn", "description", "jpegPhoto"]);
    let wanted = format!(
        "dn: {ada}\ncn: Ada Byrne\ndescription:: w4Rjb3V0ZXIgbGVzIG1hcsOpZXM=\njpegPhoto:: /9j/4AAQSkZJRgABAQ==\n\n"
    );
    assert_eq!(lines(&found), lines(&wanted), "{at}");
    let found = search(&["-b", &format!("ou=people,{BASE}"), "-s", "one", "(objectClass=person)", "1.1"]);
    assert_eq!(lines(&found), [format!("dn: {ada}"), format!("dn: {ben}")], "{at}");
    let found = search(&["-b", BASE, "-A", "(cn=ben ode)", "cn", "sn"]);
    assert_eq!(lines(&found), ["cn:".to_owned(), format!("dn: {ben}"), "sn:".to_owned()], "{at}");
    let limited = run("ldapsearch", &["-LLL", "-b", BASE, "-z", "1", "(objectClass=person)", "1.1"]);
    assert_eq!((code(&limited), lines(&String::from_utf8_lossy(&limited.stdout)).len()), (4, 1), "{at}: -z");
    for size in ["1", "2", "3", "100"] {
        let pages = search(&["-b", BASE, "-E", &format!("pr={size}/noprompt"), "(objectClass=*)", "1.1"]);
        let names = pages.lines().filter(|line| line.starts_with("dn:")).count();
        assert_eq!(names, 5, "{at}: pages of {size}");
    }
    assert_eq!(code(&run("ldapsearch", &["-b", &format!("ou=x,{BASE}")])), 32, "{at}: noSuchObject");
    let sorted = search(&["-b", BASE, "-S", "sn", "-l", "30", "(objectClass=person)", "sn"]);
    assert!(sorted.find("sn: Byrne") < sorted.find("sn: Ode"), "{at}: {sorted}");

    // ldapcompare says true and false by its exit code.
    for (assertion, wanted) in [("sn:BYRNE", 6), ("sn:Ode", 5), ("title:x", 16)] {
        assert_eq!(code(&run("ldapcompare", &[&ada, assertion])), wanted, "{at}: {assertion}");
    }

    // ldapmodify: every kind of change, increments, and the controls around a change.
    let changes = format!(
        "dn: {ben}\nchangetype: modify\nadd: description\ndescription: one\ndescription: two\n-\nreplace: sn\nsn: Ode-Lind\n-\n\
         delete: employeeNumber\n-\n\ndn: {ada}\nchangetype: modify\ndelete: description\n-\n\n"
    );
    let changed = change("ldapmodify", &[], &changes);
    assert_eq!(code(&changed), 0, "{at}: {}", changed.said());
    let found = search(&["-b", &ben, "-s", "base", "sn", "description", "employeeNumber"]);
    let wanted = format!("dn: {ben}\nsn: Ode-Lind\ndescription: one\ndescription: two\n");
    assert_eq!(lines(&found), lines(&wanted), "{at}");
    let title = |title: &str| format!("dn: {ben}\nchangetype: modify\nreplace: title\ntitle: {title}\n");
    let asserted = change("ldapmodify", &["-e", "!assert=(sn=Nobody)"], &title("x"));
    assert_eq!(code(&asserted), 122, "{at}: {}", asserted.said());
    let read = change("ldapmodify", &["-e", "!preread=title,sn", "-e", "!postread=title"], &title("Head"));
    assert_eq!(code(&read), 0, "{at}: {}", read.said());
    assert!(
        read.said().contains("sn: Ode-Lind") && read.said().contains("title: Head"),
        "{at}: {}",
        read.said()
    );
    assert_eq!(code(&change("ldapmodify", &["-M"], &title("Chief"))), 0, "{at}: ManageDsaIT");
    assert_eq!(
        code(&change("ldapmodify", &["-e", "!1.3.6.1.4.1.32473.3"], &title("x"))),
        12,
        "{at}: critical"
    );
    let counter = format!(
        "dn: cn=next,{BASE}\nchangetype: add\nobjectClass: device\nobjectClass: extensibleObject\ncn: next\nuidNumber: 7\n\n\
         dn: cn=next,{BASE}\nchangetype: modify\nincrement: uidNumber\nuidNumber: 3\n-\n"
    );
    assert_eq!(code(&change("ldapmodify", &[], &counter)), 0, "{at}: increment");
    let found = search(&["-b", &format!("cn=next,{BASE}"), "-s", "base", "uidNumber"]);
    assert_eq!(lines(&found), lines(&format!("dn: cn=next,{BASE}\nuidNumber: 10\n")), "{at}");

    // ldapmodrdn: a new name, then a new place.
    let renamed = run("ldapmodrdn", &["-r", &ben, "cn=Benedict Ode"]);
    assert_eq!(code(&renamed), 0, "{at}: {}", renamed.said());
    let moved = run(
        "ldapmodrdn",
        &[
            "-r",
            "-s",
            &format!("ou=former,{BASE}"),
            &format!("cn=Benedict Ode,ou=people,{BASE}"),
            "cn=Ben Ode",
        ],
    );
    assert_eq!(code(&moved), 0, "{at}: {}", moved.said());
    let former = format!("cn=Ben Ode,ou=former,{BASE}");
    assert_eq!(
        lines(&search(&["-b", BASE, "(title=chief)", "cn"])),
        ["cn: Ben Ode".to_owned(), format!("dn: {former}")],
        "{at}"
    );

    passwords(target, way, &at, &ada);

    // ldapexop, by name and by OID.
    assert_eq!(run("ldapexop", &["whoami"]).success().unwrap(), format!("dn:{ADMIN}\n"), "{at}");
    assert_eq!(code(&run("ldapexop", &["1.3.6.1.4.1.32473.4"])), 1, "{at}: an unknown operation");

    // ldapdelete: leaves, what is not there, and a whole subtree.
    assert_eq!(code(&run("ldapdelete", &[&former])), 0, "{at}");
    assert_eq!(code(&run("ldapdelete", &[&former])), 32, "{at}");
    assert_eq!(code(&run("ldapdelete", &[&format!("ou=people,{BASE}")])), 66, "{at}");
    assert_eq!(code(&run("ldapdelete", &[&ada, &format!("cn=next,{BASE}")])), 0, "{at}");
    let tree = format!(
        "dn: ou=a,{BASE}\nobjectClass: organizationalUnit\nou: a\n\ndn: ou=b,ou=a,{BASE}\nobjectClass: organizationalUnit\nou: b\n"
    );
    assert_eq!(code(&change("ldapadd", &[], &tree)), 0, "{at}");
    assert_eq!(code(&run("ldapdelete", &["-r", &format!("ou=a,{BASE}")])), 0, "{at}");
    assert_eq!(
        lines(&search(&["-b", BASE, "(ou=*)", "1.1"])).len(),
        2,
        "{at}: only people and former are left"
    );
}

/// Binds and password changes of somebody who is not the administrator.
fn passwords(target: &Target, way: Way, at: &str, ada: &str) {
    let as_ada = |name: &str, password: &str, arguments: &[&str]| {
        target.tool(name, way).args(["-x", "-D", ada, "-w", password]).args(arguments).run().unwrap()
    };
    let whoami = |password: &str| code(&as_ada("ldapwhoami", password, &[]));
    assert_eq!(as_ada("ldapwhoami", "tide gauge", &[]).success().unwrap(), format!("dn:{ada}\n"), "{at}");
    assert_eq!((whoami("wrong"), whoami("")), (49, 53), "{at}: a wrong password and none");
    let changed = as_ada("ldappasswd", "tide gauge", &["-a", "tide gauge", "-s", "sounder"]);
    assert_eq!(code(&changed), 0, "{at}: {}", changed.said());
    assert_eq!((whoami("sounder"), whoami("tide gauge")), (0, 49), "{at}: the new and the old");
    let set = target.admin_tool("ldappasswd", way).args(["-s", "lead line", ada]).run().unwrap();
    assert_eq!((code(&set), whoami("lead line")), (0, 0), "{at}: {}", set.said());
    let made = target.admin_tool("ldappasswd", way).arg(ada).run().unwrap().success().unwrap();
    let made =
        made.trim().strip_prefix("New password: ").unwrap_or_else(|| panic!("{at}: {made}")).to_owned();
    assert_eq!(whoami(&made), 0, "{at}: the password that was made up");
    let denied = as_ada("ldapdelete", &made, &[&format!("ou=former,{BASE}")]);
    assert_eq!(code(&denied), 50, "{at}: {}", denied.said());
}

#[test]
fn an_entry_lives_over_every_transport() {
    for target in Target::both() {
        for way in WAYS {
            life_of_an_entry(&target, way);
        }
    }
}

#[test]
fn an_entry_lives_behind_the_proxy() {
    let target = Target::proxy();
    for way in [Way::Plain, Way::StartTls, Way::Ldaps] {
        life_of_an_entry(&target, way);
    }
    // What is about the connection to the proxy is not carried, and said so.
    let refused = target.tool("ldapwhoami", Way::StartTls).args(["-Y", "EXTERNAL"]).run().unwrap();
    assert_ne!(code(&refused), 0, "{}", refused.said());
}

#[test]
fn external_makes_this_user_the_administrator() {
    for target in Target::both() {
        let who = target.tool("ldapwhoami", Way::Ldapi).args(["-Q", "-Y", "EXTERNAL"]).run().unwrap();
        assert_eq!(who.success().unwrap(), format!("dn:{ADMIN}\n"), "{}", target.name);
        let tool = target.tool("ldapadd", Way::Ldapi).args(["-Q", "-Y", "EXTERNAL"]);
        let added =
            tool.input(format!("dn: ou=x,{BASE}\nobjectClass: organizationalUnit\nou: x\n")).run().unwrap();
        assert_eq!(code(&added), 0, "{}: {}", target.name, added.said());
    }
}

#[test]
fn anonymous_sees_what_there_is_to_know() {
    for target in Target::both() {
        let ask = |way, base: &str, attributes: &[&str]| {
            let tool = target.tool("ldapsearch", way).args([
                "-x",
                "-LLL",
                "-o",
                "ldif-wrap=no",
                "-s",
                "base",
                "-b",
                base,
            ]);
            tool.args(["(objectClass=*)"]).args(attributes).run().unwrap().success().unwrap()
        };
        assert_eq!(
            target.tool("ldapwhoami", Way::Plain).arg("-x").run().unwrap().success().unwrap(),
            "anonymous\n"
        );
        for way in WAYS {
            let root = ask(way, "", &["namingContexts", "supportedLDAPVersion"]);
            let wanted = format!("dn:\nnamingContexts: {BASE}\nsupportedLDAPVersion: 3\n");
            assert_eq!(lines(&root), lines(&wanted), "{} over {way:?}", target.name);
        }
        let everything = ask(Way::Plain, "", &["+"]);
        for line in [
            "supportedExtension: 1.3.6.1.4.1.1466.20037",
            "supportedExtension: 1.3.6.1.4.1.4203.1.11.1",
            "supportedExtension: 1.3.6.1.4.1.4203.1.11.3",
            "supportedControl: 1.2.840.113556.1.4.319",
            "supportedFeatures: 1.3.6.1.4.1.4203.1.5.1",
        ] {
            assert!(everything.contains(line), "{}: no {line} in\n{everything}", target.name);
        }
        let subschema = everything.lines().find_map(|line| line.strip_prefix("subschemaSubentry: ")).unwrap();
        let schema = ask(Way::Plain, subschema, &["attributeTypes", "objectClasses"]);
        assert!(
            schema.contains("NAME 'inetOrgPerson'") && schema.contains("NAME 'uidNumber'"),
            "{}",
            target.name
        );
    }
}

#[test]
fn a_strict_client_sees_no_certificate_it_cannot_trust() {
    for target in Target::both() {
        for (way, wanted) in [(Way::StartTls, 0), (Way::Ldaps, 0)] {
            let trusted = target.tool("ldapwhoami", way).arg("-x").run().unwrap();
            assert_eq!(code(&trusted), wanted, "{}: {}", target.name, trusted.said());
        }
        let stranger = flext_ldap_lab::Authority::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stranger.pem");
        std::fs::write(&file, stranger.pem()).unwrap();
        for way in [Way::StartTls, Way::Ldaps] {
            let output = target.tool("ldapwhoami", way).trust(&file).arg("-x").run().unwrap();
            assert_ne!(code(&output), 0, "{} over {way:?}", target.name);
        }
    }
}
