//! Apache httpd's mod_authnz_ldap: Basic authentication and authorisation through our directory.

use flext_ldap_lab::Httpd;

use super::{
    sign_in::{SERVICE, SERVICE_PASSWORD, SignIn},
    target::BASE,
};

const STARTS_TLS: &str = "starttls oid=1.3.6.1.4.1.1466.20037 name=StartTLS → success (0)";
const FRONT_DOOR: &str = "bind name=cn=front door,ou=services mech=simple → success (0)";
const FINDS_ADA: &str = "search base=ou=people scope=sub filter=(&(objectClass=inetOrgPerson)(uid=ada)) attrs=uid → success (0), 1 found";
const IS_ADA: &str = "bind name=uid=ada,ou=people mech=simple → success (0)";
const IS_NOT_ADA: &str = "bind name=uid=ada,ou=people mech=simple → invalidCredentials (49)";
const FINDS_BEN: &str = "search base=ou=people scope=sub \
     filter=(&(objectClass=inetOrgPerson)(uid=ben\\2a\\28ode\\29)) attrs=uid → success (0), 1 found";
const IS_BEN: &str = "bind name=uid=ben*(ode),ou=people mech=simple → success (0)";

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            (0..3).fold(0, |bits, index| bits << 8 | u32::from(chunk.get(index).copied().unwrap_or(0)));
        for index in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * index)) as usize & 63];
            text.push(if index <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
}

/// The lines that let the module look for people, with a URL's scheme and port, and its mode.
fn provider(url: &str, mode: &str) -> String {
    format!(
        "AuthLDAPURL \"{url}/ou=people,{BASE}?uid?sub?(objectClass=inetOrgPerson)\" {mode}\n\
         AuthLDAPBindDN \"{SERVICE}\"\nAuthLDAPBindPassword \"{SERVICE_PASSWORD}\"\n"
    )
}

#[test]
fn httpd_lets_in_whom_the_directory_knows() {
    let directory = SignIn::start();
    let clear = provider(&format!("ldap://127.0.0.1:{}", directory.port), "NONE");
    let start_tls = provider(&format!("ldap://127.0.0.1:{}", directory.port), "STARTTLS");
    let ldaps = provider(&format!("ldaps://127.0.0.1:{}", directory.ldaps_port), "");
    let httpd = Httpd::start(
        &directory.ca_pem,
        &[
            ("anyone", format!("{clear}Require valid-user")),
            ("pilots", format!("{clear}Require ldap-group cn=pilots,ou=groups,{BASE}")),
            ("clerks", format!("{clear}Require ldap-attribute employeeType=clerk")),
            ("titled", format!("{clear}Require ldap-filter &(sn=byrne)(mail=*)")),
            ("start-tls", format!("{start_tls}Require valid-user")),
            ("ldaps", format!("{ldaps}Require valid-user")),
        ],
    )
    .unwrap();
    let status = |path: &str, user: &str, password: &str| {
        let (status, body) = httpd.get(path, Some(&basic(user, password))).unwrap();
        assert_eq!(
            status == 200,
            body == format!("welcome to {}\n", path.trim_start_matches('/')),
            "{path}: {body}"
        );
        status
    };
    let (status_alone, _) = httpd.get("/anyone", None).unwrap();
    assert_eq!(status_alone, 401, "nobody in particular");
    assert_eq!(directory.heard(&[]), [""; 0], "nobody was asked about");

    let asked = |path: &str, (user, password): (&str, &str), wanted: u16, heard: &[&str]| {
        let seen = status(path, user, password);
        assert_eq!(seen, wanted, "{path} as {user}\n{}", httpd.log().unwrap());
        assert_eq!(directory.heard(heard), heard, "{path} as {user}");
    };
    let (ada, ben) = (("ada", "tide gauge"), ("ben*(ode)", "lead line"));
    asked("/anyone", ada, 200, &[FRONT_DOOR, FINDS_ADA, IS_ADA]);
    asked("/anyone", ("ada", "tide"), 401, &[FRONT_DOOR, FINDS_ADA, IS_NOT_ADA]);
    let no_one = "search base=ou=people scope=sub filter=(&(objectClass=inetOrgPerson)(uid=eve)) attrs=uid → success (0), 0 found";
    asked("/anyone", ("eve", "tide gauge"), 401, &[FRONT_DOOR, no_one]);
    // The connection is the service's still. A star is no wildcard, and no password is no question.
    asked("/anyone", ("*", "tide gauge"), 401, &[&no_one.replace("eve", "\\2a")]);
    asked("/anyone", ("ada", ""), 401, &[]);
    asked("/anyone", ben, 200, &[FINDS_BEN, IS_BEN]);

    let is_pilot = "compare dn=cn=pilots,ou=groups attr=member → compareTrue (6)";
    asked("/pilots", ada, 200, &[FRONT_DOOR, FINDS_ADA, IS_ADA, FRONT_DOOR, is_pilot]);
    // Before it gives up it looks for other kinds of members, and for groups in the group, once for each kind.
    let groups_in_the_group = [
        "compare dn=cn=pilots,ou=groups attr=objectClass → compareTrue (6)",
        "search base=cn=pilots,ou=groups scope=base filter=(objectclass=*) attrs=member uniqueMember → success (0), 1 found",
        "compare dn=uid=ada,ou=people attr=objectClass → compareFalse (5)",
        "compare dn=uid=ada,ou=people attr=objectClass → compareFalse (5)",
    ];
    let is_no_pilot = [
        &[FINDS_BEN, IS_BEN, FRONT_DOOR][..],
        &["compare dn=cn=pilots,ou=groups attr=member → compareFalse (5)"],
        &["compare dn=cn=pilots,ou=groups attr=uniqueMember → noSuchAttribute (16)"],
        &groups_in_the_group,
        &groups_in_the_group,
    ];
    asked("/pilots", ben, 401, &is_no_pilot.concat());

    let is_clerk = "compare dn=uid=ada,ou=people attr=employeeType → compareFalse (5)";
    asked("/clerks", ada, 401, &[FINDS_ADA, IS_ADA, FRONT_DOOR, is_clerk]);
    let is_clerk = "compare dn=uid=ben*(ode),ou=people attr=employeeType → compareTrue (6)";
    asked("/clerks", ben, 200, &[FINDS_BEN, IS_BEN, FRONT_DOOR, is_clerk]);

    assert_eq!(status("/titled", "ada", "tide gauge"), 200, "{}", httpd.log().unwrap());
    assert_eq!(status("/titled", "ben*(ode)", "lead line"), 401, "{}", httpd.log().unwrap());
    let filter = "filter=(&(&(sn=byrne)(mail=*))(uid=ada)) attrs=uid → success (0), 1 found";
    let lines = directory.heard(&[]);
    assert!(lines.iter().any(|line| line.contains(filter)), "{lines:#?}");

    asked("/start-tls", ada, 200, &[STARTS_TLS, FRONT_DOOR, FINDS_ADA, IS_ADA]);
    asked("/start-tls", ("ada", "tide"), 401, &[FRONT_DOOR, FINDS_ADA, IS_NOT_ADA]);
    asked("/ldaps", ada, 200, &[FRONT_DOOR, FINDS_ADA, IS_ADA]);
    asked("/ldaps", ("ada", "tide"), 401, &[FRONT_DOOR, FINDS_ADA, IS_NOT_ADA]);
}
