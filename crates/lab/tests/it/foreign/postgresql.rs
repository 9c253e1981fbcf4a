//! PostgreSQL's ldap authentication: whoever knows a password of our directory is let into the database.

use flext_ldap_lab::Postgresql;

use super::{
    sign_in::{SERVICE, SERVICE_PASSWORD, SignIn},
    target::BASE,
};

const STARTS_TLS: &str = "starttls oid=1.3.6.1.4.1.1466.20037 name=StartTLS → success (0)";
const FRONT_DOOR: &str = "bind name=cn=front door,ou=services mech=simple → success (0)";
const IS_ADA: &str = "bind name=uid=ada,ou=people mech=simple → success (0)";
const IS_NOT_ADA: &str = "bind name=uid=ada,ou=people mech=simple → invalidCredentials (49)";

#[test]
fn postgresql_lets_in_whom_the_directory_knows() {
    let directory = SignIn::start();
    let (port, ldaps_port) = (directory.port, directory.ldaps_port);
    let rule = |user: &str, options: &str| {
        format!("host all \"{user}\" 127.0.0.1/32 ldap ldapserver=127.0.0.1 {options}")
    };
    let others =
        format!("host all all 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapscheme=ldaps ldapport={ldaps_port}");
    let simple = format!("ldapprefix=\"uid=\" ldapsuffix=\",ou=people,{BASE}\"");
    let search = format!(
        "ldapbasedn=\"ou=people,{BASE}\" ldapbinddn=\"{SERVICE}\" ldapbindpasswd=\"{SERVICE_PASSWORD}\""
    );
    let server = Postgresql::start(
        &directory.ca_pem,
        &["ada", "ada@harbourlane.example", "cleo", "eve", "Ada Byrne", "ben*(ode)"],
        &[
            rule("ada", &format!("ldapport={port} {simple}")),
            rule("ada@harbourlane.example", &format!("ldapport={port} {search} ldapsearchattribute=mail")),
            rule("Ada Byrne", &format!("ldapport={port} ldaptls=1 {search} ldapsearchfilter=\"(&(objectClass=person)(cn=$username))\"")),
            format!("{others} {search}"),
        ],
    )
    .unwrap();
    let signs_in = |role: &str, password: &str, wanted: bool, heard: &[&str]| {
        let said = server.sign_in(role, password).unwrap();
        let seen = said.code == Some(0);
        assert_eq!(seen, wanted, "{role}: {}\n{}", said.said(), server.log().unwrap());
        if seen {
            assert_eq!(said.success().unwrap(), format!("{role}\n"));
        } else if !password.is_empty() {
            assert!(
                said.said().contains(&format!("LDAP authentication failed for user \"{role}\"")),
                "{}",
                said.said()
            );
        }
        assert_eq!(directory.heard(heard), heard, "{role}");
    };
    // Simple: one bind with a name made of the role's.
    signs_in("ada", "tide gauge", true, &[IS_ADA]);
    signs_in("ada", "tide", false, &[IS_NOT_ADA]);
    signs_in("ada", "", false, &[]);
    // Search, then bind, on connections of their own; StartTLS on each where the rule says so.
    let by_mail = "search base=ou=people scope=sub filter=(mail=ada@harbourlane.example) attrs=1.1 → success (0), 1 found";
    signs_in("ada@harbourlane.example", "tide gauge", true, &[FRONT_DOOR, by_mail, IS_ADA]);
    signs_in("ada@harbourlane.example", "tide", false, &[FRONT_DOOR, by_mail, IS_NOT_ADA]);
    let by_name = "search base=ou=people scope=sub filter=(&(objectClass=person)(cn=Ada Byrne)) attrs=1.1 → success (0), 1 found";
    let protected = [STARTS_TLS, FRONT_DOOR, by_name, STARTS_TLS];
    signs_in("Ada Byrne", "tide gauge", true, &[&protected[..], &[IS_ADA]].concat());
    signs_in("Ada Byrne", "tide", false, &[&protected[..], &[IS_NOT_ADA]].concat());
    // ldaps.
    let by_uid = "search base=ou=people scope=sub filter=(uid=cleo) attrs=1.1 → success (0), 1 found";
    let is_cleo = "bind name=uid=cleo,ou=people mech=simple → success (0)";
    signs_in("cleo", "plumb bob", true, &[FRONT_DOOR, by_uid, is_cleo]);
    let no_one = "search base=ou=people scope=sub filter=(uid=eve) attrs=1.1 → success (0), 0 found";
    signs_in("eve", "tide gauge", false, &[FRONT_DOOR, no_one]);
    // PostgreSQL takes no role with a character that means something in a filter.
    signs_in("ben*(ode)", "lead line", false, &[]);
}
