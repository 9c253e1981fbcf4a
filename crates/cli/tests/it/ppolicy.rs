//! `-e ppolicy`, and a directory served with a password policy.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{PEOPLE, finish, flext_ldap, run, run_with, wait_for_line};

const BASE: &str = "dc=harbourlane,dc=example";
const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";
const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

const POLICY: &str = "
dn: cn=default,dc=harbourlane,dc=example
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdMaxAge: 262800
pwdExpireWarning: 262800
pwdLockout: TRUE
pwdMaxFailure: 2
pwdMustChange: TRUE
pwdInHistory: 2
";

#[test]
fn what_the_policy_says_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (secret, ldif) = (path("secret"), path("people.ldif"));
    std::fs::write(&secret, "open water\n").unwrap();
    std::fs::write(&ldif, format!("{PEOPLE}{POLICY}")).unwrap();
    let policy = format!("cn=default,{BASE}");
    let serve = [
        "directory",
        "serve",
        "--data",
        ":memory:",
        "--suffix",
        BASE,
        "--listen",
        "ldap://127.0.0.1:0",
        "--admin-dn",
        ADMIN,
        "--admin-password-file",
        &secret,
        "--import",
        &ldif,
        "--hash-passwords",
        "--password-policy",
        &policy,
        "--tell-lockout",
    ];
    let mut child = flext_ldap(&serve).spawn().unwrap();
    let url = wait_for_line(&mut child, "listening on ldap://").replace("listening on ", "");
    let admin = ["-H", &url, "-D", ADMIN, "-y", &secret];
    let as_ada = |command: &'static str, password: &str, more: &[&str]| {
        run(flext_ldap(&[&[command, "-H", &url, "-D", ADA, "-w", password, "-e", "ppolicy"], more].concat()))
    };

    // An import says nothing of a password's age.
    let output = as_ada("whoami", "tall waves", &[]);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    let output = run(flext_ldap(&[&["passwd"], &admin[..], &["-s", "flat sea 1", ADA]].concat()));
    assert_eq!(output.code, 0, "{output:?}");
    let must = "flext-ldap: password must be changed before anything else is done: flext-ldap passwd\n";
    let output = as_ada("whoami", "flat sea 1", &[]);
    assert_eq!((output.code, output.out, output.err.as_str()), (0, format!("dn:{ADA}\n"), must));
    let output = as_ada("search", "flat sea 1", &["-b", BASE]);
    assert_eq!(output.code, 50, "{output:?}");
    let output = as_ada("passwd", "flat sea 1", &["-a", "flat sea 1", "-s", "tall waves"]);
    assert_eq!(output.code, 19, "{output:?}");
    assert!(output.err.contains("flext-ldap: the new password was used before\n"), "{output:?}");
    let output = as_ada("passwd", "flat sea 1", &["-a", "flat sea 1", "-s", "grey swell 2"]);
    assert_eq!((output.code, output.err.as_str()), (0, must));
    let output = as_ada("whoami", "grey swell 2", &[]);
    assert_eq!((output.code, output.err.as_str()), (0, "flext-ldap: password expires in 3 days\n"));

    for _ in 0..2 {
        let output = as_ada("whoami", "wrong", &[]);
        assert_eq!(output.code, 49, "{output:?}");
        assert!(!output.err.contains("locked"), "{output:?}");
    }
    let output = as_ada("whoami", "grey swell 2", &[]);
    assert_eq!(output.code, 49, "{output:?}");
    assert!(output.err.starts_with("flext-ldap: account is locked\n"), "{output:?}");
    let unlock = format!("dn: {ADA}\nchangetype: modify\ndelete: pwdAccountLockedTime\n");
    let output = run_with(flext_ldap(&[&["modify"], &admin[..]].concat()), &unlock);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(as_ada("whoami", "grey swell 2", &[]).code, 0);

    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(finish(child).code, 0);
}
