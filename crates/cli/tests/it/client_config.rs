//! Servers and accounts from a configuration: looked at with the servers it names, and used by commands.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use flext_ldap_testkit::TestDirectory;
use socket2::{Domain, Socket, Type};

use crate::program::{Output, PEOPLE, finish, flext_ldap, people, run, wait_for_line};

const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

/// The small company over TLS too, for those who signed in.
fn guarded() -> TestDirectory {
    TestDirectory::builder().suffix("dc=harbourlane,dc=example").ldif(PEOPLE).tls().start().unwrap()
}

/// A folder with a configuration.
struct Place(tempfile::TempDir);

impl Place {
    fn new(text: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("ldap.yaml"), text).unwrap();
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// The way to a directory over TLS, whose authority is put beside the configuration.
    fn over_tls(directory: &TestDirectory, more: &str) -> Self {
        let place = Self::new("");
        fs::write(place.path("ca.pem"), directory.ca_pem().unwrap()).unwrap();
        let (url, ca) = (directory.ldaps_url().unwrap(), place.path("ca.pem"));
        let text =
            format!("flext_ldap:\n  primary_server: {{url: \"{url}\", ssl_ca_cert_path: \"{ca}\"}}\n{more}");
        fs::write(place.path("ldap.yaml"), text).unwrap();
        place
    }

    fn command(&self, words: &[&str]) -> Command {
        flext_ldap(&[words, &["--config", &self.path("ldap.yaml")]].concat())
    }

    fn run(&self, words: &[&str]) -> Output {
        run(self.command(words))
    }
}

/// A port that is taken and not listened on, for as long as this is held.
struct Deserted {
    port: u16,
    _held: Socket,
}

impl Deserted {
    fn new() -> Self {
        let held = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        held.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let port = held.local_addr().unwrap().as_socket().unwrap().port();
        Self { port, _held: held }
    }

    fn url(&self) -> String {
        format!("ldap://127.0.0.1:{}", self.port)
    }
}

/// A configuration of servers without TLS, in this order.
fn clear(urls: &[&str], more: &str) -> String {
    let others: Vec<_> =
        urls[1..].iter().map(|url| format!("{{url: \"{url}\", start_tls: false}}")).collect();
    format!(
        "flext_ldap:\n  primary_server: {{url: \"{}\", start_tls: false}}\n  failover_servers: [{}]\n  security: {{require_ssl: false}}\n{more}",
        urls[0],
        others.join(", ")
    )
}

#[test]
fn an_online_check_says_of_each_thing_how_it_is() {
    let (directory, deserted) = (guarded(), Deserted::new());
    let more = format!(
        "  failover_servers: [{{host: 127.0.0.1, port: {}}}]
  service_accounts:
    ada: {{dn: \"{ADA}\", password_env: ADA_PASSWORD}}
    wrong: {{dn: \"uid=brook,ou=people,dc=harbourlane,dc=example\", password_env: ADA_PASSWORD}}
    lost: {{dn: \"{ADA}\", password_env: NOT_THERE}}
  directory_structure:
    base_dn: \"dc=harbourlane,dc=example\"
    users_ou: \"ou=people,dc=harbourlane,dc=example\"
    groups_ou: \"ou=nowhere,dc=harbourlane,dc=example\"
",
        deserted.port
    );
    let place = Place::over_tls(&directory, &more);
    let mut command = place.command(&["config", "check", "--online"]);
    command.env("ADA_PASSWORD", "tall waves");
    let output = run(command);
    let lines: Vec<_> =
        output.out.lines().filter(|line| !line.starts_with("note") && !line.starts_with("warn")).collect();
    let url = directory.ldaps_url().unwrap();
    let starts = [
        "ok    the configuration: 2 servers, 3 accounts".to_owned(),
        format!("ok    server {url}: answers over TLS, the certificate verified, in "),
        "fail  server ldaps://127.0.0.1:".to_owned(),
        format!("ok    account `ada`: signs in at {url}"),
        "fail  account `lost`: its password is not there; the environment has no `NOT_THERE`, which is to hold the account \
         `lost`'s password; put it there"
            .to_owned(),
        "fail  account `wrong`: the name or the password is wrong; ".to_owned(),
        "ok    base_dn `dc=harbourlane,dc=example`: is there, seen as account `ada`".to_owned(),
        "ok    users_ou `ou=people,dc=harbourlane,dc=example`: is there".to_owned(),
        "fail  groups_ou `ou=nowhere,dc=harbourlane,dc=example`, asked for as account `ada`: is not there".to_owned(),
    ];
    assert_eq!(lines.len(), starts.len(), "{output:?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(&start), "{line}\n{start}");
    }
    assert!(lines[2].contains(": cannot be reached; "), "{lines:?}");
    // The first that failed could not be reached.
    assert_eq!(output.code, 202, "{output:?}");
    assert!(!output.out.contains("tall waves") && !output.err.contains("tall waves"), "{output:?}");
}

/// What is not seen because nobody signed in is no failure of its own, and no reason to create anything.
#[test]
fn an_online_check_does_not_look_for_names_as_nobody_where_accounts_fail() {
    let directory = guarded();
    let structure = "  directory_structure:
    base_dn: \"dc=harbourlane,dc=example\"
    users_ou: \"ou=people,dc=harbourlane,dc=example\"
";
    let account = format!("  service_accounts: {{ada: {{dn: \"{ADA}\", password_env: ADA_PASSWORD}}}}\n");
    let check = |more: &str, password: Option<&str>| {
        let place = Place::over_tls(&directory, more);
        let mut command = place.command(&["config", "check", "--online"]);
        command.envs(password.map(|password| ("ADA_PASSWORD", password)));
        run(command)
    };
    for (password, code) in [(Some("short waves"), 49), (None, 201)] {
        let output = check(&format!("{account}{structure}"), password);
        assert_eq!(output.code, code, "{output:?}");
        let lines: Vec<_> = output.out.lines().skip_while(|line| !line.starts_with("fail")).collect();
        assert!(lines[0].starts_with("fail  account `ada`: "), "{output:?}");
        assert_eq!(
            lines[1..],
            ["note  no account signs in: base_dn, users_ou were not looked at"],
            "{output:?}"
        );
    }
    // Without an account, a program asks as nobody too.
    let output = check(structure, None);
    assert!(
        output.out.contains("users_ou `ou=people,dc=harbourlane,dc=example`, asked for as nobody: "),
        "{output:?}"
    );
}

/// The proxy's account has to have the right to act for users: one of them is asked for on their behalf.
#[test]
fn an_online_check_says_whether_the_account_of_the_proxy_may_act_for_users() {
    let directory = guarded();
    let check = |base: &str, account: &str, proxied: bool| {
        let admin = directory.admin_dn();
        let more = format!(
            "  service_accounts:
    ada: {{dn: \"{ADA}\", password_env: ADA_PASSWORD}}
    admin: {{dn: \"{admin}\", password_env: ADMIN_PASSWORD}}
  directory_structure: {{{base}}}
  proxy: {{account: {account}, proxied_authorization: {proxied}}}
"
        );
        let place = Place::over_tls(&directory, &more);
        let mut command = place.command(&["config", "check", "--online"]);
        command.env("ADA_PASSWORD", "tall waves").env("ADMIN_PASSWORD", directory.admin_password());
        let output = run(command);
        let told = output.out.lines().filter(|line| line.contains("act for")).map(str::to_owned);
        (output.code, told.collect::<Vec<_>>())
    };
    let base = "base_dn: \"dc=harbourlane,dc=example\"";
    let (code, told) = check(base, "ada", true);
    let brook = "`uid=brook,ou=people,dc=harbourlane,dc=example`";
    assert_eq!((code, told.len()), (123, 1), "{told:?}");
    // Ada herself comes first, and everybody may act for themselves.
    let start =
        format!("fail  account `ada`: may not act for {brook}, so what users ask of the proxy fails; ");
    assert!(told[0].starts_with(&start), "{told:?}");
    assert!(told[0].contains("(123)") && told[0].contains("`proxy` in an access rule"), "{told:?}");
    assert_eq!(check(base, "admin", true), (0, vec![format!("ok    account `admin`: may act for `{ADA}`")]));
    assert_eq!(check(base, "ada", false), (0, vec![]));
    for (base, why) in [
        ("", "neither `users_ou` nor `base_dn` says where users are"),
        (
            "users_ou: \"ou=groups,dc=harbourlane,dc=example\"",
            "it sees no person below `ou=groups,dc=harbourlane,dc=example`",
        ),
    ] {
        let (code, told) = check(base, "admin", true);
        assert_eq!((code, told.len()), (0, 1), "{told:?}");
        assert!(told[0].starts_with("note  account `admin`: ") && told[0].ends_with(why), "{told:?}");
    }
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_with_what_mends_it() {
    let (directory, other) = (guarded(), guarded());
    let place = Place::over_tls(&directory, "");
    fs::write(place.path("ca.pem"), other.ca_pem().unwrap()).unwrap();
    let output = place.run(&["config", "check", "--online"]);
    assert_eq!(output.code, 203, "{output:?}");
    assert!(output.out.contains(": no TLS; ") && output.out.contains("`ssl_ca_cert_path`"), "{output:?}");
    assert!(output.out.contains("note  no server answers"), "{output:?}");
}

#[test]
fn what_is_wrong_is_told_without_a_server() {
    let place = Place::new("flext_ldap:\n  primary_server: {host: a, prt: 1}\n  servce_accounts: {}\n");
    let path = place.path("ldap.yaml");
    let output = place.run(&["config", "check"]);
    assert_eq!((output.code, output.out.as_str()), (201, ""));
    assert_eq!(
        output.err,
        format!(
            "flext-ldap: the configuration cannot be used:\n  {path}:2:29: `flext_ldap.primary_server.prt`: unknown key; did \
             you mean `port`?\n  {path}:3:3: `flext_ldap.servce_accounts`: unknown key; did you mean `service_accounts`?\n"
        )
    );
    let place =
        Place::new("flext_ldap:\n  primary_server: {host: a, port: 10636, ssl_ca_cert_path: /nowhere}\n");
    let path = place.path("ldap.yaml");
    let output = place.run(&["config", "check"]);
    assert_eq!(output.code, 0, "{output:?}");
    let lines: Vec<_> = output.out.lines().collect();
    assert!(
        lines[0].starts_with(&format!(
            "warn  {path}:2:35: `flext_ldap.primary_server.port`: 10636 is an unusual"
        )),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("warn  server ldaps://a:10636: the CA file /nowhere cannot be read"),
        "{lines:?}"
    );
    assert!(lines.contains(&"ok    the configuration: 1 server, 0 accounts"), "{lines:?}");
    let output = place.run(&["config", "check", "--strict"]);
    assert!(output.out.starts_with("fail ") && !output.out.contains("\nok "), "{output:?}");
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.out.starts_with("fail  "), "{output:?}");
    let place = Place::new("");
    let password = place.path("password");
    fs::write(&password, "tall waves\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!(
        "flext_ldap: {{primary_server: {{host: a}}, service_accounts: {{ada: {{dn: \"{ADA}\", password_file: {password}}}}}}}"
    );
    fs::write(place.path("ldap.yaml"), text).unwrap();
    let output = place.run(&["config", "check"]);
    assert_eq!(
        output.out.lines().next(),
        Some(
            format!(
                "warn  account `ada`: everybody on this machine can read `{password}` (mode 0644); make it 0600"
            )
            .as_str()
        ),
        "{output:?}"
    );
    // A keytab is looked at as a password is.
    for (keytab, want) in
        [(password.as_str(), "everybody on this machine can read"), ("/nowhere", "cannot be read")]
    {
        let text = format!(
            "flext_ldap: {{primary_server: {{host: a}}, service_accounts: {{ada: {{mechanism: gssapi, keytab: {keytab}}}}}}}"
        );
        fs::write(place.path("ldap.yaml"), text).unwrap();
        let output = place.run(&["config", "check"]);
        let line = output.out.lines().next().unwrap_or_default();
        assert!(line.starts_with("warn  account `ada`: ") && line.contains(want), "{output:?}");
    }
    let output = run(flext_ldap(&["config", "check", "--config", "/nowhere/ldap.yaml"]));
    assert_eq!(output.code, 208, "{output:?}");
    let output = run(flext_ldap(&["config", "check"]));
    assert_eq!(output.code, 201);
    assert!(output.err.contains("`flext_ldap.primary_server`: is missing"), "{output:?}");
}

#[test]
fn each_value_is_shown_with_who_said_it() {
    let place = Place::new(
        "flext_ldap:\n  primary_server: {host: a}\n  service_accounts: {reader: {dn: \"cn=reader\", password_env: READER}}\n",
    );
    let mut command = place.command(&["config", "show"]);
    command.env("READER", "open water").env("FLEXT_LDAP_PRIMARY_SERVER__PORT", "3269");
    let output = run(command);
    assert_eq!(output.code, 0, "{output:?}");
    assert!(!output.out.contains("open water"), "{output:?}");
    let path = place.path("ldap.yaml");
    let line = |text: &str, source: &str| format!("{text:<60}  # {source}\n");
    for line in [
        line("    host: \"a\"", &format!("{path}:2")),
        line("    port: \"3269\"", "FLEXT_LDAP_PRIMARY_SERVER__PORT"),
        line("    ssl_verify: true", "default"),
        line("      password_env: \"READER\"", &format!("{path}:3")),
        line("    require_ssl: true", "default"),
    ] {
        assert!(output.out.contains(&line), "{line}{}", output.out);
    }
    let schema: serde_json::Value =
        serde_json::from_str(&run(flext_ldap(&["config", "schema"])).out).unwrap();
    assert_eq!(schema["required"], serde_json::json!(["flext_ldap"]));
}

#[test]
fn commands_take_servers_accounts_and_base_from_it() {
    let directory = guarded();
    let more = format!(
        "  service_accounts: {{ada: {{dn: \"{ADA}\", password_file: PASSWORD}}}}\n  directory_structure: {{base_dn: \"dc=harbourlane,dc=example\"}}\n"
    );
    let place = Place::over_tls(&directory, &more);
    let password = place.path("password");
    let text = fs::read_to_string(place.path("ldap.yaml")).unwrap().replace("PASSWORD", &password);
    fs::write(place.path("ldap.yaml"), text).unwrap();
    fs::write(&password, "tall waves\n").unwrap();

    assert_eq!(place.run(&["whoami", "--account", "ada"]).out, format!("dn:{ADA}\n"));
    assert_eq!(place.run(&["whoami"]).out, "anonymous\n");
    let output = place.run(&["search", "--account", "ada", "(uid=ada)", "mail"]);
    assert!(output.out.contains("mail: ada@harbourlane.example"), "{output:?}");
    // The variable does what the option does, and the command line goes before both.
    let mut command = flext_ldap(&["whoami", "--account", "ada"]);
    command.env("FLEXT_LDAP_CONFIG", place.path("ldap.yaml"));
    assert_eq!(run(command).out, format!("dn:{ADA}\n"));
    let output = place.run(&["whoami", "-H", directory.url(), "--account", "ada"]);
    assert_eq!(output.out, format!("dn:{ADA}\n"), "{output:?}");
    let words = ["search", "--account", "ada", "-LLL", "-s", "base", "(objectClass=*)", "1.1"];
    assert_eq!(place.run(&words).out, "dn: dc=harbourlane,dc=example\n\n");
    // With -H the base of the file is not used: this is the root DSE.
    let output = place.run(&[&words[..], &["-H", directory.url()]].concat());
    assert_eq!(output.out, "dn:\n\n", "{output:?}");
    let output = place.run(&["whoami", "-D", ADA, "-y", &password]);
    assert_eq!(output.out, format!("dn:{ADA}\n"), "{output:?}");

    let output = place.run(&["whoami", "--account", "eve"]);
    assert_eq!(output.code, 201);
    assert_eq!(output.err, "flext-ldap: the configuration has no account `eve`; it has `ada`\n");
    for (words, want) in [
        (&["whoami", "-ZZ"][..], "-Z goes with -H"),
        (&["whoami", "--account", "ada", "-D", "cn=x"], "cannot be used with"),
    ] {
        let output = place.run(words);
        assert_eq!(output.code, 201, "{output:?}");
        assert!(output.err.contains(want), "{output:?}");
    }
    let output = run(flext_ldap(&["whoami", "--account", "ada"]));
    assert_eq!(output.code, 201);
    assert!(output.err.contains("--account names an account of a configuration"), "{output:?}");
}

/// Every command takes from variables what it would take from a file.
#[test]
fn variables_that_name_a_server_are_a_configuration() {
    let (directory, elsewhere) = (people(), people());
    let place = Place::new(&clear(&[elsewhere.url()], ""));
    let command = |words: &[&str], name: &str, value: &str| {
        let mut command = flext_ldap(words);
        command.env("FLEXT_LDAP_PRIMARY_SERVER__START_TLS", "false");
        command.env("FLEXT_LDAP_SECURITY__REQUIRE_SSL", "false");
        command.env("FLEXT_LDAP_DIRECTORY_STRUCTURE__BASE_DN", "dc=harbourlane,dc=example");
        command.env("FLEXT_LDAP_SERVICE_ACCOUNTS__ADA__DN", ADA);
        command.env("FLEXT_LDAP_SERVICE_ACCOUNTS__ADA__PASSWORD_ENV", "ADA_PASSWORD");
        command.env("ADA_PASSWORD", "tall waves").env(name, value);
        command
    };
    const URL: &str = "FLEXT_LDAP_PRIMARY_SERVER__URL";
    let away = Deserted::new();
    let with = |words: &[&str]| run(command(words, URL, directory.url()));
    let output = with(&["search", "--account", "ada", "(uid=ada)", "mail"]);
    assert!(output.out.contains("mail: ada@harbourlane.example"), "{output:?}");
    let output = with(&["servers"]);
    assert!(output.out.starts_with(&format!("{}  answers ", directory.url())), "{output:?}");
    let output = with(&["doctor"]);
    assert!(output.out.contains(directory.url().trim_start_matches("ldap://")), "{output:?}");
    let whole = format!("{{url: \"{}\", start_tls: false}}", directory.url());
    let output = run(command(&["whoami", "--account", "ada"], "FLEXT_LDAP_PRIMARY_SERVER", &whole));
    assert_eq!(output.out, format!("dn:{ADA}\n"), "{output:?}");

    // The command line and a file go before them, as far as they say anything.
    let output = run(command(&["whoami", "-v", "-H", directory.url(), "--account", "ada"], URL, &away.url()));
    assert_eq!(output.out, format!("dn:{ADA}\n"), "{output:?}");
    let words = ["whoami", "-v", "--config", &place.path("ldap.yaml")];
    let output = run(command(&words, "FLEXT_LDAP_CONNECTION_SETTINGS__POOL_SIZE", "2"));
    let name = elsewhere.url().trim_start_matches("ldap://");
    assert_eq!(output.err, format!("connected to {name}, without TLS\n"), "{output:?}");
    // They go before ldap.conf, and are told when they cannot be used.
    let mut before = command(&["whoami"], URL, directory.url());
    before.env_remove("LDAPNOINIT").env("LDAPURI", away.url());
    assert_eq!(run(before).out, "anonymous\n");
    let output = run(command(&["ping"], "FLEXT_LDAP_PRIMARY_SERVER__HOST", "a b"));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("FLEXT_LDAP_PRIMARY_SERVER__HOST"), "{output:?}");

    // Those that name no server are for a file, which is not here.
    for (name, value) in [("FLEXT_LDAP_ENVIRONMENT", "staging"), (URL, "")] {
        let mut others = command(&["whoami"], name, value);
        others.env_remove("LDAPNOINIT").env("LDAPURI", directory.url());
        assert_eq!(run(others).out, "anonymous\n", "{name}");
    }
}

#[test]
fn the_next_server_is_asked_where_one_is_away_and_not_where_it_refuses() {
    let (first, second) = (people(), people());
    let (away, other) = (Deserted::new(), Deserted::new());
    let account = format!("  service_accounts: {{a: {{dn: \"{ADA}\", password_env: A}}}}\n");
    let place = Place::new(&clear(&[&away.url(), first.url()], &account));
    let output =
        place.run(&["search", "-b", "dc=harbourlane,dc=example", "-s", "base", "(objectClass=*)", "o"]);
    assert!(output.out.contains("o: Harbour Lane Instruments"), "{output:?}");
    let name = |url: &str| url.trim_start_matches("ldap://").to_owned();
    let output = place.run(&["whoami", "-v"]);
    assert_eq!(output.err, format!("connected to {}, without TLS\n", name(first.url())), "{output:?}");
    let output = place.run(&["ping", "-c", "1"]);
    assert!(output.out.starts_with(&format!("1: {} answered in ", name(first.url()))), "{output:?}");

    // Ada has another password on the first: it must not be tried on the second, where it is right.
    let modify = format!("dn: {ADA}\nchangetype: modify\nreplace: userPassword\nuserPassword: other waves\n");
    let admin = first.admin_dn().to_string();
    let arguments = ["modify", "-H", first.url(), "-D", &admin, "-w", first.admin_password()];
    let changed = crate::program::run_with(flext_ldap(&arguments), &modify);
    assert_eq!(changed.code, 0, "{changed:?}");
    let place = Place::new(&clear(&[first.url(), second.url()], &account));
    let mut command = place.command(&["whoami", "--account", "a"]);
    command.env("A", "tall waves");
    let output = run(command);
    assert_eq!(output.code, 49, "{output:?}");

    let place = Place::new(&clear(&[&away.url(), &other.url()], ""));
    let output = place.run(&["whoami"]);
    assert_eq!(output.code, 202, "{output:?}");
    assert!(output.err.contains(" answered: 127.0.0.1:"), "{output:?}");
}

/// Of two servers the first stops while a command reads.
#[test]
fn a_command_goes_on_at_the_next_server() {
    let (first, second) = (people(), people());
    let place = Place::new(&clear(&[first.url(), second.url()], ""));
    let words = ["search", "-vLLL", "-b", "dc=harbourlane,dc=example", "-f", "-", "(uid=%s)", "cn"];
    let mut command = place.command(&words);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut names = child.stdin.take().unwrap();
    names.write_all(b"ada\n").unwrap();
    wait_for_line(&mut child, "searching ");
    drop(first);
    names.write_all(b"brook\nchidi\n").unwrap();
    drop(names);
    let output = finish(child);
    assert_eq!(output.code, 0, "{output:?}");
    let asked = format!("asking {}\n", second.url().trim_start_matches("ldap://"));
    assert_eq!(output.err.matches("asking ").count(), 1, "{output:?}");
    assert!(output.err.contains(&asked), "{output:?}");
    for name in ["cn: Ada Nordin", "cn: Brook Ljung", "dn: uid=chidi"] {
        assert!(output.out.contains(name), "{output:?}");
    }
}

#[test]
fn servers_are_told_with_what_they_are() {
    let (first, second) = (people(), people());
    let away = Deserted::new();
    let account = format!(
        "  service_accounts: {{a: {{dn: \"{ADA}\", password_env: A}}}}\n  directory_structure: {{base_dn: \"ou=people,dc=harbourlane,dc=example\"}}\n"
    );
    let place = Place::new(&clear(&[first.url(), &away.url(), second.url()], &account));
    let output = place.run(&["servers"]);
    assert_eq!(output.code, 202, "{output:?}");
    let lines: Vec<_> = output.out.lines().collect();
    assert_eq!(lines.len(), 3, "{output:?}");
    assert!(lines[0].starts_with(&format!("{}  answers  FLEXT-LDAP (flext-ldap ", first.url())), "{lines:?}");
    assert!(lines[0].contains(" ms, no TLS, "), "{lines:?}");
    assert!(lines[1].starts_with(&format!("{}  away     ", away.url())), "{lines:?}");
    // The second was filled a little later, so its change is the newest.
    assert!(lines[2].ends_with(", has the newest change"), "{lines:?}");

    let mut command = place.command(&["servers", "--json", "--account", "a"]);
    command.env("A", "short waves");
    let output = run(command);
    assert_eq!(output.code, 49, "{output:?}");
    let told: Vec<serde_json::Value> =
        output.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = told.iter().map(|told| told["state"].as_str().unwrap()).collect();
    // What the first has refused is sent to no other: those are asked as nobody.
    assert_eq!(states, ["refuses", "away", "answers"]);
    assert_eq!(told[0]["kind"], "FLEXT-LDAP");
    assert!(told[2]["context_csn"][0].as_str().unwrap().contains('#'), "{told:?}");
    assert!(!output.out.contains("short waves") && !output.err.contains("short waves"), "{output:?}");
}

/// One that accepts and says nothing has its share of the time, and no more.
#[test]
fn a_silent_server_does_not_use_up_the_time_of_the_next() {
    let directory = people();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("ldap://127.0.0.1:{}", silent.local_addr().unwrap().port());
    let text = format!(
        "flext_ldap:\n  primary_server: {{url: \"{silent}\"}}\n  failover_servers: [{{url: \"{}\", start_tls: false}}]\n  security: {{require_ssl: false}}\n  connection_settings: {{connection_timeout: 4s}}\n",
        directory.url()
    );
    let place = Place::new(&text);
    let started = Instant::now();
    let output = place.run(&["whoami"]);
    assert_eq!(output.out, "anonymous\n", "{output:?}");
    assert!(started.elapsed() < Duration::from_secs(16), "{:?}", started.elapsed());
}

#[test]
fn accounts_sign_in_by_sasl() {
    let directory = TestDirectory::builder().ldif(PEOPLE).tls().scram().start().unwrap();
    let more = "  service_accounts:
    strongest: {user: ada, mechanism: sasl, password_env: ADA_PASSWORD}
    bound: {user: ada, mechanism: scram-sha-256-plus, password_env: ADA_PASSWORD}
    plain: {user: ada, mechanism: plain, password_env: ADA_PASSWORD}
";
    let place = Place::over_tls(&directory, more);
    for (account, password, code) in [
        ("strongest", "tall waves", 0),
        ("bound", "tall waves", 0),
        ("plain", "tall waves", 0),
        ("bound", "short waves", 49),
    ] {
        let mut command = place.command(&["whoami", "--account", account]);
        command.env("ADA_PASSWORD", password);
        let output = run(command);
        assert_eq!(output.code, code, "{account}: {output:?}");
        assert_eq!(output.out == format!("dn:{ADA}\n"), code == 0, "{account}: {output:?}");
        assert!(!output.err.contains(password), "{output:?}");
    }
    let mut check = place.command(&["config", "check", "--online"]);
    check.env("ADA_PASSWORD", "tall waves");
    let output = run(check);
    assert_eq!(output.code, 0, "{output:?}");
}

#[test]
fn the_file_of_a_served_directory_is_another() {
    let directory = people();
    let place = Place::new("data: /srv/x\nsuffixes: dc=a\n");
    let path = place.path("ldap.yaml");
    let output = place.run(&["whoami"]);
    assert_eq!(output.code, 201);
    assert!(output.err.contains("is the file of a served directory (docs/server.md)"), "{output:?}");
    // Where only the variable names it, it is meant for `directory serve`.
    let mut command = flext_ldap(&["whoami"]);
    command.env("FLEXT_LDAP_CONFIG", &path).env_remove("LDAPNOINIT").env("LDAPURI", directory.url());
    assert_eq!(run(command).out, "anonymous\n");
    assert!(Path::new(&path).exists());
}
