//! Signing in by SASL: -Y, -U, -R, -X and -O.

use flext_ldap_testkit::TestDirectory;

use crate::program::{PEOPLE, flext_ldap, run};

const ADA: &str = "dn:uid=ada,ou=people,dc=harbourlane,dc=example\n";

#[test]
fn a_user_signs_in_by_a_mechanism_or_by_the_strongest() {
    let directory = TestDirectory::builder().ldif(PEOPLE).scram().start().unwrap();
    let whoami = |flags: &[&str]| run(flext_ldap(&[&["whoami", "-H", directory.url()], flags].concat()));
    let as_ada = |flags: &[&str]| whoami(&[&["-U", "ada", "-w", "tall waves"], flags].concat());
    for flags in [
        &[][..],
        &["-Y", "SCRAM-SHA-256"],
        &["-Y", "scram-sha-512", "-Q"],
        &["-X", "u:ada"],
        &["-O", "noplain,minssf=0"],
    ] {
        let output = as_ada(flags);
        assert_eq!((output.code, output.out.as_str(), output.err.as_str()), (0, ADA, ""), "{flags:?}");
    }
    let refused: [(&[&str], i32, &str); 6] = [
        (&["-X", "u:ben"], 123, "no right to act for them"),
        (&["-Y", "PLAIN"], 13, "use TLS before sending a password"),
        (&["-Y", "PLAIN", "-O", "noplain"], 201, "shows the password"),
        (&["-Y", "SCRAM-SHA-256-PLUS"], 201, "there is no TLS to bind to"),
        (&["-Y", "SCRAM-MD5"], 201, "the mechanisms are SCRAM-SHA-512-PLUS"),
        (&["-O", "forwardsec"], 201, "the properties are none"),
    ];
    for (flags, code, text) in refused {
        let output = as_ada(flags);
        assert_eq!((output.code, output.out.as_str()), (code, ""), "{flags:?} {output:?}");
        assert!(output.err.contains(text), "{flags:?} {output:?}");
        assert!(!output.err.contains("tall waves"));
    }
    let wrong = whoami(&["-U", "ada", "-w", "short waves"]);
    assert!(wrong.code == 49 && wrong.err.contains("the name or the password is wrong"), "{wrong:?}");
    let nobody = whoami(&["-Y", "SCRAM-SHA-256", "-w", "tall waves"]);
    assert!(nobody.code == 201 && nobody.err.contains("-Y needs a user: -U"), "{nobody:?}");
}
