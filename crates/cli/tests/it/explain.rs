//! `directory explain`: counts that stay the same as long as the data and the filter do.

use std::fmt::Write as _;

use crate::program::{flext_ldap, run};

#[test]
fn a_search_is_explained_with_its_counts() {
    let place = tempfile::tempdir().unwrap();
    let (data, ldif) = (place.path().join("data"), place.path().join("crew.ldif"));
    let mut text = "dn: dc=harbourlane,dc=example\nobjectClass: organization\nobjectClass: dcObject\n\
                    o: Harbour Lane Instruments\ndc: harbourlane\n\n"
        .to_owned();
    for number in 0..40 {
        write!(
            text,
            "dn: uid=crew{number},dc=harbourlane,dc=example\nobjectClass: inetOrgPerson\nuid: crew{number}\n\
             cn: Crew {number} Quay\nsn: Quay\n\n"
        )
        .unwrap();
    }
    std::fs::write(&ldif, text).unwrap();
    let (data, ldif) = (data.to_str().unwrap(), ldif.to_str().unwrap());
    let import = ["directory", "import", "--data", data, "--suffix", "dc=harbourlane,dc=example", "-f", ldif];
    assert_eq!(run(flext_ldap(&import)).code, 0);
    let explain = |more: &[&str]| {
        let arguments = ["directory", "explain", "--data", data, "-b", "dc=harbourlane,dc=example"];
        run(flext_ldap(&[&arguments, more].concat()))
    };
    let output = explain(&["(&(objectClass=person)(cn=*crew 3*)(!(uid=crew31))(userPassword=x))"]);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    insta::assert_snapshot!("explain", output.out);
    let output = explain(&["-s", "one", "-n", "(uid=crew7)"]);
    insta::assert_snapshot!("explain-dry-run", output.out);
    let output = explain(&["(uid="]);
    assert_eq!((output.code, output.out.as_str()), (201, ""), "{output:?}");
}
