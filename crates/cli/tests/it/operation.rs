//! A served directory in operation: its configuration file, reload, a service manager, `cn=Monitor`, slow searches.

use std::{
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::program::{Output, PEOPLE, finish, flext_ldap, run, run_with, wait_for_line};

const BASE: &str = "dc=harbourlane,dc=example";
const ADMIN: &str = "cn=admin,dc=harbourlane,dc=example";
const ADA: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("secret", "open water\n");
        std::fs::set_permissions(folder.path("secret"), std::fs::Permissions::from_mode(0o600)).unwrap();
        folder.write("people.ldif", PEOPLE);
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// A configuration with `more` at its end.
    fn configure(&self, more: &str) -> String {
        let (data, secret) = (self.path("data"), self.path("secret"));
        let text = format!(
            "data: {data}\nsuffixes: \"{BASE}\"\nadministrator:\n  dn: {ADMIN}\n  password_file: {secret}\n{more}"
        );
        self.write("flext-ldap.yaml", &text);
        self.path("flext-ldap.yaml")
    }

    fn import(&self) {
        let config = self.path("data");
        let import = ["directory", "import", "--data", &config, "--suffix", BASE, "--hash-passwords"];
        assert_eq!(run_with(flext_ldap(&import), PEOPLE).code, 0);
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

fn terminate(child: Child) -> Output {
    signal(&child, Signal::SIGTERM);
    finish(child)
}

fn url(child: &mut Child) -> String {
    wait_for_line(child, "listening on ldap://").replace("listening on ", "")
}

/// A certificate for 127.0.0.1 and its key, in these files.
fn certificate(folder: &Folder) -> String {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    folder.write("chain.pem", &made.cert.pem());
    folder.write("key.pem", &made.signing_key.serialize_pem());
    made.cert.pem()
}

#[test]
fn a_file_is_served_and_read_again() {
    let folder = Folder::new();
    folder.import();
    folder.write("first.pem", &certificate(&folder));
    let tls =
        format!("tls: {{certificate: {}, key: {}}}\n", folder.path("chain.pem"), folder.path("key.pem"));
    let listen = "listen: [\"ldap://127.0.0.1:0\", \"ldaps://127.0.0.1:0\"]\n";
    let config = folder.configure(&format!("{listen}{tls}"));
    let mut serve = flext_ldap(&["directory", "serve"]);
    let mut child = serve.env("FLEXT_LDAP_CONFIG", &config).spawn().unwrap();
    let ldap = url(&mut child);
    let ldaps = wait_for_line(&mut child, "listening on ldaps://").replace("listening on ", "");
    let ada = |arguments: &[&str]| {
        let search = ["search", "-LLL", "-b", BASE, "(uid=ada)", "mail"];
        run(flext_ldap(&[&search[..], arguments].concat()))
    };
    let mail = format!("dn: {ADA}\nmail: ada@harbourlane.example\n\n");
    assert_eq!(ada(&["-H", &ldap]).out, "");
    let (first, second) = (folder.path("first.pem"), folder.path("second.pem"));
    assert_eq!(ada(&["-H", &ldaps, "--ca-file", &first]).code, 32, "the base is not shown");

    // Rules, and a certificate that was renewed under the same name.
    folder.write("second.pem", &certificate(&folder));
    folder.configure(&format!("{listen}{tls}access:\n  - allow: [anyone: read]\n"));
    signal(&child, Signal::SIGHUP);
    wait_for_line(&mut child, "the configuration was read again");
    assert_eq!(ada(&["-H", &ldap]).out, mail);
    assert_eq!(ada(&["-H", &ldaps, "--ca-file", &second]).out, mail);
    assert_eq!(ada(&["-H", &ldaps, "--ca-file", &first]).code, 203);

    // What is faulty changes nothing, and says why.
    folder.configure(&format!("{listen}{tls}limits:\n  sise: 1\n"));
    signal(&child, Signal::SIGHUP);
    wait_for_line(&mut child, "the configuration stays as it was");
    let line = wait_for_line(&mut child, "line ");
    assert_eq!(line, "  line 9, column 3: `limits.sise`: unknown key; did you mean `size`?");
    assert_eq!(ada(&["-H", &ldap]).out, mail);

    // Limits change and indexes are built, the cache does not change while it is open.
    let search = ["directory", "explain", "--data", &folder.path("data"), "-b", BASE, "-n", "(title=Pilot)"];
    let explain = || run(flext_ldap(&search)).out;
    assert!(!explain().contains("equality"), "{}", explain());
    let more = "access: [{allow: [anyone: read]}]\nlimits: {size: 1, cache: 64MiB}\n";
    folder.configure(&format!("{listen}{tls}{more}indexes: {{title: eq}}\n"));
    signal(&child, Signal::SIGHUP);
    let line = wait_for_line(&mut child, "only after a restart");
    assert_eq!(line, "changed, but used only after a restart: `limits.cache`");
    while !explain().contains("equality") {
        assert!(child.try_wait().unwrap().is_none());
    }
    // What the directory itself looks up is settled when it is opened.
    folder.configure(&format!("{listen}{tls}{more}indexes: {{member: []}}\n"));
    signal(&child, Signal::SIGHUP);
    let line = wait_for_line(&mut child, "only after a restart");
    assert_eq!(line, "changed, but used only after a restart: `limits.cache`, `indexes`");
    assert!(explain().contains("equality"), "nothing of it was done");
    let all = run(flext_ldap(&["search", "-LLL", "-H", &ldap, "-b", BASE, "1.1"]));
    assert_eq!(all.code, 4, "{all:?}");
    assert_eq!(terminate(child).code, 0);
}

#[test]
fn a_file_is_checked_without_serving() {
    let folder = Folder::new();
    let config = folder
        .configure("listen: \"ldap://127.0.0.1:0\"\naccess:\n  - allow: [users: read, anonymous: auth]\n");
    let check = ["directory", "serve", "--config", &config, "--check"];
    let output = run(flext_ldap(&check));
    assert_eq!((output.code, output.err.as_str()), (0, "the configuration can be used\n"));
    assert!(!Path::new(&folder.path("data")).exists(), "nothing was opened");
    folder.configure("listen: \"ldap://127.0.0.1:0\"\naccess:\n  - allow: [users: raed]\n");
    let output = run(flext_ldap(&check));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(
        output.err.contains("line 8, column 13: `access[1].allow[1]`: unknown right `raed`"),
        "{output:?}"
    );
    std::fs::remove_file(folder.path("secret")).unwrap();
    folder.configure("");
    let output = run(flext_ldap(&check));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(
        output
            .err
            .contains("line 5, column 18: `administrator.password_file`: failed to read the password from"),
        "{output:?}"
    );
    let output = run(flext_ldap(&["directory", "serve", "--data", ":memory:", "--suffix", BASE]));
    assert_eq!(output.code, 201, "{output:?}");
    assert!(output.err.contains("nothing to listen on"), "{output:?}");
}

#[test]
fn the_same_file_explains() {
    let folder = Folder::new();
    folder.import();
    let config = folder.configure("access:\n  - name: all\n    allow: [anyone: read]\n");
    let access = run(flext_ldap(&["directory", "access", "--config", &config, "--on", ADA]));
    assert_eq!(access.code, 0, "{access:?}");
    assert!(access.out.contains("disclose       allowed, by rule 1"), "{access:?}");
    let explain = ["directory", "explain", "--config", &config, "-b", BASE, "(title=Pilot)"];
    let output = run(flext_ldap(&explain));
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.out.contains("title"), "{output:?}");
}

/// What a service manager is told next.
fn told(socket: &UnixDatagram) -> String {
    let mut message = [0; 4096];
    let length = socket.recv(&mut message).unwrap();
    String::from_utf8(message[..length].to_vec()).unwrap()
}

#[test]
fn a_service_manager_passes_sockets_and_is_told() {
    let folder = Folder::new();
    let config = folder.configure("");
    let notify = UnixDatagram::bind(folder.path("notify")).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // Passes two sockets as systemd does: the numbers from 3 on, and the process they are for.
    let program = env!("CARGO_BIN_EXE_flext-ldap");
    let script = format!(
        r#"
import fcntl, os, socket
tcp = socket.socket(); tcp.bind(("127.0.0.1", 0)); tcp.listen()
unix = socket.socket(socket.AF_UNIX); unix.bind("{unix}"); unix.listen()
high = [fcntl.fcntl(made.fileno(), fcntl.F_DUPFD, 100) for made in (tcp, unix)]
for place, number in enumerate(high):
    os.dup2(number, 3 + place, inheritable=True)
for number in high:
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2", LISTEN_FDNAMES="ldap:ldap")
os.execv("{program}", ["flext-ldap", "directory", "serve", "--config", "{config}"])
"#,
        unix = folder.path("ldapi"),
    );
    let mut command = Command::new("python3");
    command.args(["-c", &script]).env_clear().env("LDAPNOINIT", "1").env("PATH", "/usr/bin:/bin");
    command.env("NOTIFY_SOCKET", folder.path("notify"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let ldap = url(&mut child);
    let ldapi = wait_for_line(&mut child, "listening on ldapi://").replace("listening on ", "");
    assert_eq!(told(&notify), format!("READY=1\nSTATUS=Listening on {ldap}, {ldapi}"));
    let secret = folder.path("secret");
    let who = run(flext_ldap(&["whoami", "-H", &ldap, "-D", ADMIN, "-y", &secret]));
    assert_eq!(who.out, format!("dn:{ADMIN}\n"), "{who:?}");
    let who = run(flext_ldap(&["whoami", "-H", &ldapi, "-Y", "EXTERNAL"]));
    assert_eq!(who.out, format!("dn:{ADMIN}\n"), "{who:?}");
    signal(&child, Signal::SIGHUP);
    let reloading = told(&notify);
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0, "{reloading}");
    assert!(told(&notify).starts_with("READY=1\n"));
    signal(&child, Signal::SIGTERM);
    assert_eq!(told(&notify), "STOPPING=1\nSTATUS=Stopping");
    assert_eq!(finish(child).code, 0);
    assert!(Path::new(&folder.path("ldapi")).exists(), "whoever made the socket takes it away");
}

#[test]
fn the_monitor_is_the_administrators() {
    let folder = Folder::new();
    folder.import();
    let config =
        folder.configure(&format!("listen: \"ldap://127.0.0.1:0\"\nmonitor: {{readers: \"{ADA}\"}}\n"));
    let mut child = flext_ldap(&["directory", "serve", "--config", &config]).spawn().unwrap();
    let url = url(&mut child);
    let secret = folder.path("secret");
    folder.write("ada", "tall waves");
    let search = |arguments: &[&str]| {
        let monitor = ["search", "-LLL", "-H", &url, "-b", "cn=Passwords Verified,cn=Store,cn=Monitor"];
        run(flext_ldap(
            &[&monitor[..], arguments, &["-s", "base", "(objectClass=*)", "monitorCounter"]].concat(),
        ))
    };
    let found = |output: &Output| output.out.contains("\nmonitorCounter: ");
    assert!(!found(&search(&[])));
    let output = search(&["-D", ADMIN, "-y", &secret]);
    assert!(found(&output), "{output:?}");
    let output = search(&["-D", ADA, "-y", &folder.path("ada")]);
    assert!(found(&output), "{output:?}");
    let root = ["search", "-LLL", "-H", &url, "-b", "", "-s", "base", "monitorContext"];
    assert_eq!(run(flext_ldap(&root)).out, "dn:\nmonitorContext: cn=Monitor\n\n");

    // Others, without a restart: nobody, a group that she is in, one that she is not in.
    for (readers, may) in [
        ("[]", false),
        ("[\"group cn=crew,ou=groups,dc=harbourlane,dc=example\"]", true),
        ("\"nested-group ou=groups,dc=harbourlane,dc=example\"", false),
    ] {
        folder.configure(&format!("listen: \"ldap://127.0.0.1:0\"\nmonitor: {{readers: {readers}}}\n"));
        signal(&child, Signal::SIGHUP);
        wait_for_line(&mut child, "the configuration was read again");
        assert_eq!(found(&search(&["-D", ADA, "-y", &folder.path("ada")])), may, "{readers}");
        assert!(found(&search(&["-D", ADMIN, "-y", &secret])));
    }
    folder.configure("listen: \"ldap://127.0.0.1:0\"\nmonitor: false\n");
    signal(&child, Signal::SIGHUP);
    let line = wait_for_line(&mut child, "only after a restart");
    assert_eq!(line, "changed, but used only after a restart: `monitor`");
    assert_eq!(terminate(child).code, 0);
}

#[test]
fn a_slow_search_is_in_the_log() {
    let serve = ["directory", "serve", "--data", ":memory:", "--suffix", BASE, "--slow-search", "0ms"];
    let load = ["--listen", "ldap://127.0.0.1:0", "--import", "-", "--hash-passwords", "--anonymous-read"];
    let mut command = flext_ldap(&[&serve[..], &load].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), PEOPLE.as_bytes()).unwrap();
    let url = url(&mut child);
    assert_eq!(run(flext_ldap(&["search", "-H", &url, "-b", BASE, "(uid=ada)"])).code, 0);
    let line = wait_for_line(&mut child, "flext_ldap::slow");
    assert!(line.contains("who=\"anonymous\" from=\"127.0.0.1:"), "{line}");
    assert!(line.contains("base=\"dc=harbourlane,dc=example\"") && line.contains("(uid=ada)"), "{line}");
    // Nobody forges a line.
    let search = ["search", "-H", &url, "-b", "cn=a\nWARN forged,dc=example", "(uid=a\nWARN forged)"];
    assert_eq!(run(flext_ldap(&search)).code, 32);
    let line = wait_for_line(&mut child, "forged");
    assert!(line.contains("base=\"cn=a\\nWARN forged,dc=example\" scope=Subtree filter=\"(uid=a"), "{line}");
    assert_eq!(terminate(child).code, 0);
}

#[test]
fn a_second_signal_stops_at_once() {
    let serve = ["directory", "serve", "--data", ":memory:", "--suffix", BASE];
    let mut child = flext_ldap(&[&serve[..], &["--listen", "ldap://127.0.0.1:0"]].concat()).spawn().unwrap();
    url(&mut child);
    signal(&child, Signal::SIGTERM);
    signal(&child, Signal::SIGINT);
    assert_eq!(finish(child).code, 0);
}

#[test]
fn a_served_directory_explains() {
    let folder = Folder::new();
    folder.import();
    let rules = "access:\n  - {name: mine, allow: [anyone: read]}\n";
    let config = folder.configure(&format!("listen: \"ldap://127.0.0.1:0\"\n{rules}"));
    let data = folder.path("data");
    let directory = |command: &str, arguments: &[&str]| {
        run(flext_ldap(&[&["directory", command, "--data", &data], arguments].concat()))
    };
    let search: [&[&str]; 3] = [
        &["-b", BASE, "(&(uid=ada)(objectClass=person))"],
        &["-b", BASE, "-s", "one", "-n", "(mail=*)"],
        &["-b", "cn=elsewhere", "(uid=ada)"],
    ];
    let access: [&[&str]; 3] = [
        &["--on", ADA, "--attribute", "mail", "--anonymous-read", "--json"],
        &["--on", ADA, "--attribute", "nonsense"],
        &["--on", ADA, "--as", ADMIN, "--config", &config],
    ];
    let all = || {
        let searches = search.iter().map(|arguments| directory("explain", arguments));
        let rights = access.iter().map(|arguments| directory("access", arguments));
        searches.chain(rights).map(|Output { code, out, err }| (code, out, err)).collect::<Vec<_>>()
    };
    let alone = all();
    assert_eq!(alone.iter().map(|(code, ..)| *code).collect::<Vec<_>>(), [0, 0, 32, 0, 17, 0], "{alone:?}");
    let mut child = flext_ldap(&["directory", "serve", "--config", &config]).spawn().unwrap();
    url(&mut child);
    for ((code, out, err), alone) in all().iter().zip(&alone) {
        assert_eq!((code, out), (&alone.0, &alone.1), "{err}");
        assert!(alone.2.ends_with(err.trim_start_matches("flext-ldap: ")), "{err} {}", alone.2);
    }

    // Without rules of its own the question is about those in force, after a reload too.
    let read = |output: Output| {
        assert_eq!(output.code, 0, "{output:?}");
        output.out.lines().find(|line| line.trim_start().starts_with("disclose")).unwrap().trim().to_owned()
    };
    assert_eq!(read(directory("access", &["--on", ADA])), "disclose       allowed, by rule 1");
    folder.configure("listen: \"ldap://127.0.0.1:0\"\naccess:\n  - {allow: [users: read]}\n");
    signal(&child, Signal::SIGHUP);
    wait_for_line(&mut child, "the configuration was read again");
    assert_eq!(read(directory("access", &["--on", ADA])), "disclose       denied");
    let other = directory("access", &["--on", ADA, "--admin-dn", ADA]);
    assert_eq!(other.code, 201, "{other:?}");
    assert!(other.err.contains(&format!("its administrator is `{ADMIN}`")), "{other:?}");
    assert_eq!(terminate(child).code, 0);
}

#[test]
fn a_file_locks_accounts_without_a_policy_entry() {
    let folder = Folder::new();
    folder.import();
    let listen = "listen: [\"ldap://127.0.0.1:0\"]\n";
    let config = folder.configure(&format!("{listen}password_policy: {{lockout_threshold: 3}}\n"));
    let mut child = flext_ldap(&["directory", "serve", "--config", &config]).spawn().unwrap();
    let url = url(&mut child);
    let as_ada = |password: &str| run(flext_ldap(&["whoami", "-H", &url, "-D", ADA, "-w", password])).code;
    // The right one forgets the wrong ones before it.
    let tried = ["wrong", "wrong", "tall waves", "wrong", "wrong", "wrong", "tall waves"].map(as_ada);
    assert_eq!(tried, [49, 49, 0, 49, 49, 49, 49]);
    assert_eq!(terminate(child).code, 0);
}
