//! Files that are read, files that are not, what the environment changes, and that the table, the schema and the
//! documentation say the same.

use std::{collections::BTreeSet, path::Path};

use flext_ldap_client::Credentials;
use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::Value as Json;

use super::{
    keys::{KEYS, Key, Kind},
    *,
};

const PRODUCTION: &str = include_str!("../../tests/production.yaml");
const BARE: &str = "flext_ldap:\n  primary_server: {host: ldap1.harbourlane.example}\n";

fn environment(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse("ldap.yaml", text, environment(variables))
}

fn read(text: &str) -> Config {
    read_with(text, &[]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is said of a faulty file.
fn wrong_with(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    match read_with(text, variables) {
        Err(ConfigError::Faulty(findings)) => findings.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}\n{text}"),
    }
}

fn wrong(text: &str) -> Vec<String> {
    wrong_with(text, &[])
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(ToString::to_string).collect()
}

/// The value of a setting and its source, by its last key.
fn setting(config: &Config, key: &str) -> (Option<String>, String) {
    let setting = config.settings().iter().find(|setting| setting.key == key).unwrap();
    (setting.value.clone(), setting.source.to_string())
}

#[test]
fn a_key_without_a_value_is_not_passed_over_where_one_must_be() {
    let table = [
        (
            "service_accounts: {reader: {dn: , password_env: X}}",
            "3:30: `flext_ldap.service_accounts.reader`: `dn` is missing",
        ),
        (
            "service_accounts: {reader: {mechanism: plain, user: , password_env: X}}",
            "3:30: `flext_ldap.service_accounts.reader`: `user` is missing",
        ),
        ("failover_servers: [{host: }]", "3:22: `flext_ldap.failover_servers[1]`: say where the server is"),
    ];
    for (key, want) in table {
        let told = wrong(&format!("{BARE}  {key}\n"));
        assert!(told.len() == 1 && told[0].starts_with(&format!("ldap.yaml:{want}")), "{key}: {told:?}");
    }
}

#[test]
fn the_example_is_what_it_says() {
    let config = read(PRODUCTION);
    let servers: Vec<_> = config.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "ldaps://ldap1.harbourlane.example:636",
            "ldaps://ldap2.harbourlane.example:636",
            "ldaps://ldap3.harbourlane.example:636",
        ]
    );
    for server in &config.servers {
        assert_eq!(
            format!("{:?}", server.tls),
            "TlsOptions { trust: \"CA file /etc/ssl/certs/harbourlane-ca.crt\", client_certificate: None, server_name: None }"
        );
    }
    assert_eq!(
        config.accounts.keys().collect::<Vec<_>>(),
        ["authentication", "data_extraction", "monitoring"]
    );
    let dn = "cn=singer-etl,ou=service-accounts,dc=harbourlane,dc=example".parse().unwrap();
    let password = PasswordSource::Environment("FLEXT_LDAP_ETL_PASSWORD".to_owned());
    assert_eq!(config.accounts["data_extraction"], Account::Simple { dn, password });
    assert_eq!(config.structure.base, Some("dc=harbourlane,dc=example".parse().unwrap()));
    assert_eq!(config.structure.users, Some("ou=users,dc=harbourlane,dc=example".parse().unwrap()));
    assert_eq!(config.connection_timeout, Duration::from_secs(30));
    assert_eq!(config.warnings(), []);
    insta::assert_snapshot!(told(config.idle()).join("\n"));
}

#[test]
fn what_a_proxy_cannot_start_with_is_told() {
    let text = |below: &str| {
        format!(
            "flext_ldap:\n  primary_server: {{host: a}}\n  service_accounts: {{b: {{dn: cn=b, password_env: P}}}}\n  proxy: {below}\n"
        )
    };
    assert_eq!(
        wrong(&text("{account: c}")),
        ["ldap.yaml:4:20: `flext_ldap.proxy.account`: there is no account `c` in `service_accounts`"]
    );
    assert_eq!(
        wrong(&text("{proxied_authorization: true}")),
        [
            "ldap.yaml:4:34: `flext_ldap.proxy.proxied_authorization`: needs `proxy.account`, which acts for who has bound: \
             name one of `service_accounts` there, or leave this out"
        ]
    );
    assert!(read(&text("{account: b, proxied_authorization: true}")).proxy.proxied_authorization);
    assert!(!read(&text("{proxied_authorization: false}")).proxy.proxied_authorization);
    let listens = "{account: b, listen: \"ldap://[::1]:3389 ldaps://[::1]:3636\"";
    let needs = "ldaps needs `tls_cert` and `tls_key`, or --tls-cert and --tls-key";
    let warnings = told(read(&text(&format!("{listens}}}"))).warnings());
    assert!(warnings.len() == 1 && warnings[0].ends_with(needs), "{warnings:?}");
    assert_eq!(read(&text(&format!("{listens}, tls_cert: c, tls_key: k}}"))).warnings(), []);
}

#[test]
fn a_password_is_in_one_place() {
    let text = "flext_ldap:\n  primary_server: {host: a}\n  service_accounts:\n    b: {dn: cn=b, password_env: P, password_file: f}\n";
    let lines = wrong(text);
    assert!(lines.len() == 1 && lines[0].contains("more than once: keep one of"), "{lines:?}");
}

#[test]
fn servers_are_reached_as_they_say_and_else_protected() {
    let table = [
        ("{host: a}", Ok("ldaps://a:636 Ldaps")),
        ("{host: a, port: 389}", Ok("ldap://a:389 StartTls")),
        ("{host: a, port: 3268}", Ok("ldap://a:3268 StartTls")),
        ("{host: a, port: 3269}", Ok("ldaps://a:3269 Ldaps")),
        ("{host: a, use_ssl: false}", Ok("ldap://a:389 StartTls")),
        ("{host: a, port: 10389, use_ssl: false}", Ok("ldap://a:10389 StartTls")),
        ("{host: a, port: 10636}", Ok("ldaps://a:10636 Ldaps")),
        ("{host: \"[2001:db8::7]\"}", Ok("ldaps://[2001:db8::7]:636 Ldaps")),
        ("{url: \"ldap://a\"}", Ok("ldap://a:389 StartTls")),
        ("{url: \"ldaps://a:3269\"}", Ok("ldaps://a:3269 Ldaps")),
        ("{url: \"ldapi://%2Frun%2Fldapi\"}", Ok("ldapi:///run/ldapi None")),
        ("{host: a, use_ssl: false, start_tls: false}", Err("has no TLS")),
        ("{url: \"ldap://a\", start_tls: false}", Err("has no TLS")),
        ("{host: a, start_tls: true}", Err("is for `use_ssl: false`")),
        ("{host: a, url: \"ldap://a\"}", Err("not both")),
        ("{url: \"ldap://a\", port: 389}", Err("is said by `url` already")),
        ("{url: \"ldap://a/dc=x\"}", Err("belongs into `directory_structure.base_dn`")),
        ("{port: 636}", Err("say where the server is")),
        ("{host: }", Err("say where the server is")),
        ("{host: , url: ~}", Err("say where the server is")),
        ("{host: \"ldaps://a\"}", Err("expected a host name or address")),
        ("{host: \"a:636\"}", Err("expected a host name or address")),
        ("{host: a, port: 65536}", Err("expected a whole number from 1 to 65535")),
        ("{host: a, ssl_client_cert_path: /c}", Err("needs both")),
        ("{host: a, ssl_verify: false}", Err("`dangerous_accept_any_certificate: true`")),
    ];
    for (primary, want) in table {
        let text = format!("flext_ldap:\n  primary_server: {primary}\n");
        match want {
            Ok(want) => {
                let config = read(&text);
                let server = &config.servers[0];
                assert_eq!(format!("{server} {:?}", server.protection), want, "{primary}");
            }
            Err(want) => {
                let lines = wrong(&text);
                assert_eq!(lines.len(), 1, "{primary}: {lines:?}");
                assert!(
                    lines[0].starts_with("ldap.yaml:2:") && lines[0].contains(want),
                    "{primary}: {lines:?}"
                );
            }
        }
    }
}

#[test]
fn failover_follows_the_first_and_its_own_port() {
    let text = "\
flext_ldap:
  primary_server: {host: a, use_ssl: false, ssl_ca_cert_path: /ca.pem}
  failover_servers:
    - {host: late}
    - {host: third, port: 636, priority: 3}
    - {host: first, priority: 1, use_ssl: true, ssl_ca_cert_path: /other.pem, ssl_server_name: one}
    - {url: \"ldap://second\", priority: 2}
";
    let config = read(text);
    let servers: Vec<_> =
        config.servers.iter().map(|server| format!("{server} {:?}", server.protection)).collect();
    assert_eq!(
        servers,
        [
            "ldap://a:389 StartTls",
            "ldaps://first:636 Ldaps",
            "ldap://second:389 StartTls",
            "ldaps://third:636 Ldaps",
            "ldap://late:389 StartTls",
        ]
    );
    let tls = format!("{:?}", config.servers[1].tls);
    assert!(tls.contains("/other.pem") && tls.contains("Some(\"one\")"), "{tls}");
    assert!(format!("{:?}", config.servers[2].tls).contains("/ca.pem"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let text = "\
flext_ldap:
  version: 1
  environment: prod
  primary_sever: {host: a}
  primary_server:
    host: ldap://a
    port: none
    use_ssl: yes
  failover_servers: {host: b}
  service_accounts:
    one: {dn: nonsense, password_env: \"open water!\"}
    two: {password_file: /x, password_env: Y}
    three: {dn: \"cn=x\", password: \"open water!\"}
    four: \"open water!\"
    fi__ve: {}
  connection_settings: {connection_timeout: 0, pool_size: 0}
  security: {certificate_validation: none, account_lockout_threshold: 2, account_lockout_threshold: 3}
  observability: {trace_sampling_rate: 1.5, audit_log_level: loud}
more: 1
";
    let lines = wrong(text).join("\n");
    assert!(!lines.contains("open water"), "{lines}");
    insta::assert_snapshot!(lines);
}

#[test]
fn a_file_that_is_none_says_so() {
    assert_eq!(wrong("flext_ldap: ["), wrong("flext_ldap: ["));
    assert!(wrong("flext_ldap: [")[0].starts_with("ldap.yaml:1:"));
    assert!(wrong("").iter().any(|line| line.contains("`flext_ldap`: is missing")));
    let laughs = (1..10).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        format!("{text}a{level}: &a{level} [{below}]\n")
    });
    assert_eq!(wrong(&laughs).len(), 1);
    let served = Config::parse("ldap.yaml", "data: /srv\nsuffixes: dc=a\n", []);
    assert!(matches!(served, Err(ConfigError::ServedDirectory(_))), "{served:?}");
    let missing = Config::read("/nowhere/ldap.yaml").unwrap_err();
    assert_eq!(missing.to_string(), "failed to read /nowhere/ldap.yaml");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latin1.yaml");
    fs::write(&path, b"flext_ldap:\n  environment: \"caf\xe9\"\n").unwrap();
    let error = Config::read(&path).unwrap_err().to_string();
    assert!(error.contains(":2:1: has octets that are no UTF-8"), "{error}");
}

#[test]
fn accounts_sign_in_by_sasl() {
    let with = |account: &str| {
        let text = format!(
            "flext_ldap:\n  primary_server: {{host: ldap1.harbourlane.example}}\n  service_accounts:\n    reader: {{{account}}}\n"
        );
        read_with(&text, &[])
    };
    let sha_256 = Mechanism::named("SCRAM-SHA-256");
    for (word, mechanism) in [("sasl", None), ("scram-sha-256", sha_256), ("SCRAM-SHA-256", sha_256)] {
        let config = with(&format!("user: reader, mechanism: {word}, password_env: X")).unwrap();
        let password = PasswordSource::Environment("X".to_owned());
        let want = Account::Sasl { user: "reader".to_owned(), mechanism, password };
        assert_eq!(config.accounts["reader"], want, "{word}");
    }
    let (mechanism, user) = (Mechanism::GssSpnego, Some("reader@HARBOURLANE.EXAMPLE".to_owned()));
    for (account, want) in [
        (
            "keytab: /etc/reader.keytab, mechanism: gss-spnego, user: reader@HARBOURLANE.EXAMPLE",
            Account::Kerberos { mechanism, user, tickets: TicketSource::Keytab("/etc/reader.keytab".into()) },
        ),
        (
            "ccache: /run/reader.tickets, mechanism: GSSAPI",
            Account::Kerberos {
                mechanism: Mechanism::Gssapi,
                user: None,
                tickets: TicketSource::Cache("/run/reader.tickets".into()),
            },
        ),
    ] {
        assert_eq!(with(account).unwrap().accounts["reader"], want, "{account}");
        assert!(matches!(want.credentials("reader"), Ok(Credentials::Sasl(_))));
    }
    let table = [
        ("mechanism: sasl, password_env: X", "`user` is missing: whom `mechanism: sasl` signs in as"),
        (
            "user: a, dn: cn=a, mechanism: plain, password_env: X",
            "`mechanism: plain` takes `user` and no `dn`",
        ),
        ("user: a, dn: cn=a, password_env: X", "`mechanism: simple` takes `dn` and no `user`"),
        ("user: a, mechanism: sasl", "say where the password is"),
        ("user: a, mechanism: external", "no `user` and no password"),
        ("user: a, mechanism: scram-md5, password_env: X", "scram-sha-256"),
        ("user: a, mechanism: gssapi", "`password_credential`, `keytab`, `ccache`"),
        ("keytab: a, ccache: b, mechanism: gssapi", "either `keytab` or `ccache`"),
        ("user: a, keytab: a, mechanism: plain", "are for `mechanism: gssapi`"),
        ("user: a, keytab: a", "are for `mechanism: gssapi`"),
        ("keytab: a, password_env: X, mechanism: gssapi", "stand for a password"),
        ("keytab: a, dn: cn=a, mechanism: gssapi", "`user` for a `dn`"),
    ];
    for (account, want) in table {
        let error = with(account).unwrap_err().to_string();
        assert!(error.contains(want) && error.lines().count() == 2, "{account}: {error}");
    }
}

#[test]
fn the_environment_overrides_every_key() {
    let config = read_with(
        PRODUCTION,
        &[
            ("FLEXT_LDAP_PRIMARY_SERVER__HOST", "other.harbourlane.example"),
            ("FLEXT_LDAP_PRIMARY_SERVER__SSL_CA_CERT_PATH", ""),
            ("FLEXT_LDAP_FAILOVER_SERVERS__2__PRIORITY", "0"),
            ("FLEXT_LDAP_FAILOVER_SERVERS__3__HOST", "ldap4.harbourlane.example"),
            ("FLEXT_LDAP_SERVICE_ACCOUNTS__MONITORING__PASSWORD_ENV", "OTHER"),
            ("FLEXT_LDAP_SERVICE_ACCOUNTS__EXTRA__MECHANISM", "external"),
            ("FLEXT_LDAP_CONNECTION_SETTINGS", "{connection_timeout: 7}"),
            ("FLEXT_LDAP_CONNECTION_SETTINGS__POOL_SIZE", "3"),
            ("FLEXT_LDAP_ENVIRONMENT", "staging"),
            ("FLEXT_LDAP_ETL_PASSWORD", "x"),
            ("FLEXT_LDAP_ELSEWHERE", "x"),
            ("FLEXT_LDAP_BIND_DN", "x"),
            ("FLEXT_LDAP_CONFIG", "ldap.yaml"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    let servers: Vec<_> = config.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "ldaps://other.harbourlane.example:636",
            "ldaps://ldap3.harbourlane.example:636",
            "ldaps://ldap2.harbourlane.example:636",
            "ldaps://ldap4.harbourlane.example:636",
        ]
    );
    assert!(format!("{:?}", config.servers[0].tls).contains("system"));
    assert!(matches!(
        &config.accounts["monitoring"],
        Account::Simple { password: PasswordSource::Environment(name), .. } if name == "OTHER"
    ));
    assert_eq!(config.accounts["extra"], Account::External);
    assert_eq!(config.connection_timeout, Duration::from_secs(7));
    let source = |key| setting(&config, key).1;
    assert_eq!(source("host"), "FLEXT_LDAP_PRIMARY_SERVER__HOST");
    assert_eq!(source("connection_timeout"), "FLEXT_LDAP_CONNECTION_SETTINGS");
    assert_eq!(source("pool_size"), "FLEXT_LDAP_CONNECTION_SETTINGS__POOL_SIZE");
    assert_eq!(source("use_ssl"), "ldap.yaml:10:14");
    assert_eq!(source("dangerous_clear_passwords"), "default");
    let strange: Vec<_> =
        told(config.idle()).into_iter().filter(|line| line.contains("passed over")).collect();
    assert_eq!(
        strange,
        [
            "FLEXT_LDAP_BIND_DN: names no key and no password of an account; it is passed over; \
             `FLEXT_LDAP_SERVICE_ACCOUNTS__NAME__DN` names one for this",
            "FLEXT_LDAP_ELSEWHERE: names no key and no password of an account; it is passed over",
        ]
    );

    let config = Config::new(None, environment(&[("FLEXT_LDAP_PRIMARY_SERVER__HOST", "a")])).unwrap();
    assert_eq!(config.servers[0].to_string(), "ldaps://a:636");
}

#[test]
fn every_key_has_its_variable() {
    for (path, _, right, _) in examples() {
        let dotted = path.replace("/0/", "[1]/").trim_start_matches('/').replace('/', ".");
        // A name that is new is written in small letters, with `_`.
        let dotted = dotted.replace("some-name", "some_name");
        let name = environment::variable(&dotted);
        for value in right {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut tree = yaml::parse("{}").unwrap();
            let overrides = environment::Overrides::apply(&mut tree, environment(&[(&name, &value)]));
            assert_eq!(overrides.of(&dotted), Some(name.as_str()), "{overrides:?}");
            let found = match tree.at(&dotted).value {
                yaml::Value::Flag(flag) => flag.to_string(),
                _ => yaml::text_of(tree.at(&dotted)).unwrap().to_owned(),
            };
            assert_eq!(found, value, "{name}");
        }
    }
}

proptest! {
    /// Whatever is done to a file, it is read or its faults are told, each in bounds; what is read shows itself as a file
    /// that says the same.
    #[test]
    fn a_spoilt_file_is_read_or_refused(
        cuts in proptest::collection::vec((0_usize..PRODUCTION.len(), 0_usize..12, "[ -~\n]{0,6}"), 1..6),
        variables in proptest::collection::vec(("(FLEXT_LDAP_)?[A-Z_0-9]{0,24}", "[ -~]{0,12}"), 0..3),
    ) {
        let mut text = PRODUCTION.to_owned();
        for (at, length, put) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.replace_range(at..end, &put);
        }
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        match Config::parse("ldap.yaml", &text, variables) {
            Ok(config) => {
                let lines: Vec<_> = config.settings().iter().map(ToString::to_string).collect();
                let again = read(&format!("flext_ldap:\n{}\n", lines.join("\n")));
                let servers = |config: &Config| config.servers.iter().map(ToString::to_string).collect::<Vec<_>>();
                prop_assert_eq!(servers(&again), servers(&config));
                prop_assert_eq!(again.accounts, config.accounts);
                prop_assert_eq!(again.structure, config.structure);
            }
            Err(ConfigError::Faulty(findings)) => {
                prop_assert!(!findings.is_empty() && findings.len() < 200);
            }
            Err(ConfigError::ServedDirectory(_)) => {}
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
}

#[test]
fn what_is_wrong_in_the_environment_is_told_by_its_name() {
    let table = [
        ("FLEXT_LDAP_PRIMARY_SERVER__PORT", "x", "`flext_ldap.primary_server.port`: expected a whole number"),
        ("FLEXT_LDAP_PRIMARY_SERVER__HOS", "x", "did you mean `host`?"),
        ("FLEXT_LDAP__PRIMARY_SERVER__HOST", "x", "there is one `_` before the first key"),
        ("FLEXT_LDAP_FAILOVER_SERVERS__2__HOST", "x", "the next to add is number 1"),
        ("FLEXT_LDAP_FAILOVER_SERVERS__0__HOST", "x", "the next to add is number 1"),
        ("FLEXT_LDAP_FAILOVER_SERVERS__99999999999999999999__HOST", "x", "the next to add is number 1"),
        ("FLEXT_LDAP_PRIMARY_SERVER__HOST__X", "x", "has none below it"),
        ("FLEXT_LDAP_SECURITY", "{", "is no YAML"),
        ("FLEXT_LDAP_SECURITY", "[1]", "`flext_ldap.security`: expected a map of keys, found a list"),
        ("FLEXT_LDAP_SECURITY__REQUIRE_SSL", "maybe", "expected `true` or `false`, found `maybe`"),
        ("FLEXT_LDAP_SERVICE_ACCOUNTS__X", "y", "names no key below a name"),
    ];
    for (name, value, want) in table {
        let lines = wrong_with(BARE, &[(name, value)]);
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(lines[0].starts_with(&format!("{name}: ")) && lines[0].contains(want), "{name}: {lines:?}");
    }
    let lines = wrong_with(BARE, &[("FLEXT_LDAP_SERVICE_ACCOUNTS__X__PASSWORD", "open water")]).join("\n");
    assert!(
        !lines.contains("open water") && lines.contains("there is no `password` here; expected one of `dn`"),
        "{lines}"
    );
}

#[test]
fn what_may_surprise_is_a_warning() {
    let text = "\
flext_ldap:
  primary_server: {host: a, port: 389, use_ssl: true, ssl_verify: false}
  failover_servers: [{host: b, port: 10636}, {host: c, port: 636, use_ssl: false}, {host: d, port: 1389, use_ssl: false}]
  directory_structure: {base_dn: \"dc=a\", users_ou: \"ou=people,DC=A\", groups_ou: \"ou=groups,dc=b\"}
  security: {dangerous_accept_any_certificate: true}
";
    let config = read(text);
    assert!(config.accepts_any_certificate());
    insta::assert_snapshot!(told(config.warnings()).join("\n"));
}

/// Every key with a value that is right and one that is wrong.
fn examples() -> Vec<(String, &'static Key, Vec<Json>, Vec<Json>)> {
    let mut found = Vec::new();
    let mut waiting: Vec<(String, &'static [Key])> = vec![(String::new(), KEYS)];
    while let Some((path, keys)) = waiting.pop() {
        for key in keys {
            let path = format!("{path}/{}", key.name);
            let (right, wrong): (&[&str], &[&str]) = match &key.kind {
                Kind::Map(below) => {
                    waiting.push((path, below));
                    continue;
                }
                Kind::List(below) => {
                    waiting.push((format!("{path}/0"), below));
                    continue;
                }
                Kind::Named(below) => {
                    waiting.push((format!("{path}/some-name"), below));
                    continue;
                }
                Kind::Flag => (&["true", "false"], &["1", "\"yes\"", "[]"]),
                Kind::Text | Kind::File => (&["\"x\""], &["\"\"", "{}"]),
                Kind::Host => (&["\"ldap1\"", "\"2001:db8::7\""], &["\"ldap://x\"", "\"a b\"", "[]"]),
                Kind::Dn => (&["\"cn=a,dc=b\""], &["\"\"", "[]"]),
                Kind::Url => (&["\"ldaps://x\"", "\"ldapi:///run/x\""], &["\"http://x\"", "[]"]),
                Kind::Urls => (&["\"ldaps://x\"", "\"ldap://x ldapi:///run/x\""], &["\"http://x\"", "[]"]),
                Kind::Address => (&["9389", "\"127.0.0.1:80\"", "\"[::1]:80\""], &["\"\"", "[]"]),
                Kind::Variable => (&["\"A_1\""], &["\"a b\"", "\"1A\"", "\"\""]),
                Kind::Credential => (&["\"a.b\""], &["\"a/b\"", "\"\""]),
                Kind::Time => (&["30", "\"500ms\"", "\"1h\""], &["0", "\"soon\"", "\"0s\"", "-1"]),
                Kind::Number(..) => (&[], &["\"x\"", "-1", "1.5"]),
                Kind::Share => (&["0", "0.25", "1"], &["1.01", "-0.5", "\"x\""]),
                Kind::Word(_) => (&[], &["\"nonsense\"", "[]"]),
                Kind::Version => (&["\"1.2.3\""], &["\"1.2\"", "\"1.2.x\"", "\"\""]),
            };
            let json = |text: &&str| serde_json::from_str(text).unwrap();
            let mut right: Vec<Json> = right.iter().map(json).collect();
            match &key.kind {
                Kind::Number(least, most) => right.extend([Json::from(*least), Json::from(*most)]),
                Kind::Word(words) => right.extend(words.iter().map(|word| Json::from(*word))),
                _ => {}
            }
            found.push((path, key, right, wrong.iter().map(json).collect()));
        }
    }
    found
}

/// Whether a schema lets a value be: as much of JSON Schema as ours has.
fn allows(schema: &Json, value: &Json) -> bool {
    let Some(schema) = schema.as_object() else { panic!("no schema: {schema}") };
    schema.iter().all(|(word, rule)| match word.as_str() {
        "$schema" | "title" | "description" | "default" => true,
        "type" => match rule.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            other => panic!("{other}"),
        },
        "properties" => value.as_object().is_none_or(|value| {
            value.iter().all(|(key, value)| rule.get(key).is_none_or(|schema| allows(schema, value)))
        }),
        "required" => rule.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some()),
        "additionalProperties" => value.as_object().is_none_or(|value| {
            let others = value
                .iter()
                .filter(|(key, _)| schema.get("properties").is_none_or(|known| known.get(key).is_none()));
            others.into_iter().all(|(_, value)| rule != &Json::Bool(false) && allows(rule, value))
        }),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| allows(rule, item))),
        "anyOf" => rule.as_array().unwrap().iter().any(|schema| allows(schema, value)),
        "enum" => rule.as_array().unwrap().contains(value),
        "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|value| value <= rule.as_f64().unwrap()),
        "minLength" => value.as_str().is_none_or(|value| value.len() as u64 >= rule.as_u64().unwrap()),
        // The patterns are the reader's rules, and looked at by an editor; here the kinds are.
        "pattern" => value.as_str().is_none_or(|value| matches_pattern(rule.as_str().unwrap(), value)),
        "propertyNames" => true,
        other => panic!("the schema has `{other}`, which this test does not know"),
    })
}

/// The few patterns there are, by hand.
fn matches_pattern(pattern: &str, value: &str) -> bool {
    let parts = |value: &str| value.split('.').map(str::to_owned).collect::<Vec<_>>();
    match pattern {
        "^[^/@%\\s]+$" => !value.is_empty() && !value.contains(['/', '@', '%', ' ']),
        "^[Ll][Dd][Aa][Pp][SsIi]?://" => {
            value.to_ascii_lowercase().starts_with("ldap") && value.contains("://")
        }
        "^[A-Za-z_][A-Za-z0-9_]*$" => {
            !value.is_empty()
                && !value.starts_with(|first: char| first.is_ascii_digit())
                && value.chars().all(|one| one.is_ascii_alphanumeric() || one == '_')
        }
        "^[^/]+$" => !value.is_empty() && !value.contains('/'),
        "^0*[1-9][0-9]* ?(ms|s|m|h|d)?$" => yaml::time(value).is_some_and(|time| !time.is_zero()),
        "^[0-9]+\\.[0-9]+\\.[0-9]+$" => {
            parts(value).len() == 3 && parts(value).iter().all(|part| part.parse::<u64>().is_ok())
        }
        other => panic!("the schema has the pattern `{other}`, which this test does not know"),
    }
}

#[test]
fn the_schema_and_the_reader_agree() {
    let schema = json_schema();
    for text in [PRODUCTION, BARE] {
        let value = yaml::parse(text).unwrap();
        // Numbers are texts in the tree; what is meant by them is put back.
        assert!(allows(&schema, &typed(&value)), "{text}");
    }
    assert!(!allows(&schema, &serde_json::json!({})), "there is a server");
    for (path, key, right, wrong) in examples() {
        let cases = right.iter().map(|value| (value, true)).chain(wrong.iter().map(|value| (value, false)));
        for (value, is_right) in cases {
            let whole = around(&path, value.clone());
            assert_eq!(allows(&schema, &whole), is_right, "schema: {path}: {value}");
            let text = whole.to_string();
            // What keys mean together is another matter: only what is said of this key is looked at.
            let dotted = path.replace("/0/", "[1]/").trim_start_matches('/').replace('/', ".");
            let told = match read_with(&text, &[]) {
                Ok(_) => Vec::new(),
                Err(ConfigError::Faulty(findings)) => findings,
                Err(other) => panic!("{other}"),
            };
            let is_told = told.iter().any(|finding| {
                finding.key == format!("flext_ldap.{dotted}") && finding.message.starts_with("expected")
            });
            assert_eq!(!is_told, is_right, "reader: {path}: {value}: {told:?}");
        }
        if let Some(default) = key.default {
            let value = match key.kind {
                Kind::Flag => (default == "true").into(),
                Kind::Number(..) => default.parse::<u64>().unwrap().into(),
                Kind::Share => default.parse::<f64>().unwrap().into(),
                _ => default.into(),
            };
            assert!(allows(&schema, &around(&path, value)), "default of {path}");
        }
    }
}

/// A file in which this path has this value.
fn around(path: &str, value: Json) -> Json {
    let mut value = value;
    for part in path.rsplit('/').filter(|part| !part.is_empty()) {
        value = match part {
            "0" => Json::Array(vec![value]),
            _ => serde_json::json!({ part: value }),
        };
    }
    if value.get("primary_server").is_none() {
        value["primary_server"] = serde_json::json!({ "host": "a" });
    }
    serde_json::json!({ "flext_ldap": value })
}

fn typed(node: &yaml::Node) -> Json {
    match &node.value {
        yaml::Value::Number(number) => serde_json::from_str(number).unwrap(),
        yaml::Value::List(items) => items.iter().map(typed).collect(),
        yaml::Value::Map(entries) => {
            Json::Object(entries.iter().map(|(key, node)| (key.name.clone(), typed(node))).collect())
        }
        _ => node.to_json(),
    }
}

#[test]
fn the_documentation_has_every_key() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let docs = fs::read_to_string(docs).unwrap();
    let mut missing = BTreeSet::new();
    for (path, key, ..) in examples() {
        let section = path.split('/').nth(1).unwrap();
        let (_, after) = docs.split_once(&format!("`{section}`")).unwrap_or_default();
        if !after.contains(&format!("`{}`", key.name)) && section != key.name {
            missing.insert(path);
        }
    }
    assert!(missing.is_empty(), "docs/configuration.md lacks {missing:?}");
}

#[test]
fn what_is_shown_says_the_same_and_no_password() {
    let config = read(PRODUCTION);
    let lines: Vec<_> = config.settings().iter().map(ToString::to_string).collect();
    let again = read(&format!("flext_ldap:\n{}\n", lines.join("\n")));
    let values = |config: &Config| {
        let values = config.settings().iter().map(|setting| {
            (setting.variable.clone(), setting.value.as_ref().map(|value| value.replace('"', "")))
        });
        values.collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&config));
}
