//! `flext-ldap bench`.

use std::{net::TcpListener, thread, time::Duration};

use flext_ldap_testkit::TestDirectory;
use serde_json::Value;

use crate::program::{Output, PEOPLE, flext_ldap, people, run};

const SUFFIX: &str = "dc=harbourlane,dc=example";
/// Short, and little of it: what is looked at is not how quick anything is.
const SHORT: [&str; 8] = ["--duration", "0.3", "--warm-up", "0", "--tasks", "4", "--connections", "2"];

/// A bench of such an operation on these servers, as JSON.
fn bench(operation: &str, urls: &[&str], arguments: &[&str]) -> (Output, Value) {
    let urls = urls.iter().flat_map(|url| ["-H", *url]);
    let all: Vec<_> = ["bench", operation, "--json"]
        .into_iter()
        .chain(urls)
        .chain(SHORT)
        .chain(arguments.iter().copied())
        .collect();
    let output = run(flext_ldap(&all));
    let report = serde_json::from_str(&output.out).unwrap_or(Value::Null);
    (output, report)
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("{field}: {report}"))
}

/// A directory with an administrator, and an entry for a bench.
struct Ground(TestDirectory, String);

impl Ground {
    fn new() -> Self {
        let ldif = format!("{PEOPLE}\ndn: ou=bench,{SUFFIX}\nobjectClass: organizationalUnit\nou: bench\n");
        let directory = TestDirectory::builder().suffix(SUFFIX).ldif(ldif).start().unwrap();
        let admin = directory.admin_dn().to_string();
        Self(directory, admin)
    }

    fn bench(&self, operation: &str, arguments: &[&str]) -> (Output, Value) {
        let login = ["-D", self.1.as_str(), "-w", self.0.admin_password()];
        bench(operation, &[self.0.url()], &[&login, arguments].concat())
    }

    fn below(&self, base: &str) -> usize {
        let output = run(flext_ldap(&[
            "search",
            "-LLL",
            "-H",
            self.0.url(),
            "-D",
            self.1.as_str(),
            "-w",
            self.0.admin_password(),
            "-b",
            base,
            "-s",
            "one",
            "1.1",
        ]));
        assert_eq!(output.code, 0, "{output:?}");
        output.out.matches("dn: ").count()
    }
}

#[test]
fn searches_are_counted_and_timed() {
    let directory = people();
    let (output, report) =
        bench("search", &[directory.url()], &["-b", SUFFIX, "--filter", "(uid=ada)", "-z", "2"]);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
    let ok = number(&report, "ok");
    assert!(ok > 10, "{report}");
    assert_eq!((number(&report, "operations"), number(&report, "failed")), (ok, 0));
    assert_eq!(number(&report, "entries"), ok, "each finds one");
    let latency = |name: &str| report["latency_ms"][name].as_f64().unwrap();
    let order = ["min", "p50", "p90", "p99", "p99.9", "max"].map(latency);
    assert!(order.is_sorted() && order[0] > 0.0 && order[5] < 10_000.0, "{report}");
    assert!((latency("min")..=latency("max")).contains(&latency("mean")), "{report}");
    let rate = report["ok_per_second"].as_f64().unwrap();
    assert!((rate - ok as f64 / report["seconds"].as_f64().unwrap()).abs() < 1.0, "{report}");
    let [server] = report["servers"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((server["health"].as_str(), number(server, "connections")), (Some("well"), 2), "{report}");
    assert!(number(server, "operations") >= ok, "{report}");

    // For people: one thing a line.
    let arguments =
        ["bench", "search", "-H", directory.url(), "-b", SUFFIX, "--filter", "(uid=u{n})", "--range", "1-9"];
    let output = run(flext_ldap(&[&arguments[..], &SHORT].concat()));
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
    let starts = [
        "search: 4 tasks, 2 connections, ",
        "ok       ",
        "errors   0",
        "latency  min ",
        "server   127.0.0.1:",
    ];
    let lines: Vec<_> = output.out.lines().collect();
    assert_eq!(lines.len(), starts.len(), "{output:?}");
    assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{output:?}");
    assert!(lines[1].ends_with("/s, 0 entries"), "nobody is called so: {output:?}");
}

#[test]
fn at_a_rate_so_many_are_begun() {
    let directory = people();
    let arguments = ["-b", SUFFIX, "--filter", "(uid=ada)", "--rate", "50", "--duration", "1"];
    let urls = ["-H", directory.url()];
    let output = run(flext_ldap(
        &[&["bench", "search", "--json", "--warm-up", "0", "--tasks", "4"], &urls[..], &arguments].concat(),
    ));
    let report: Value = serde_json::from_str(&output.out).unwrap();
    assert!((45..=50).contains(&number(&report, "ok")), "{report}");
}

#[test]
fn errors_are_told_by_kind_and_by_the_exit_code() {
    let directory = people();
    let (output, report) = bench("search", &[directory.url()], &["-b", "dc=nowhere,dc=example"]);
    assert_eq!(output.code, 32, "{output:?}");
    assert_eq!(number(&report, "ok"), 0);
    assert_eq!(
        report["errors"]["noSuchObject (32)"].as_u64().unwrap(),
        number(&report, "failed"),
        "{report}"
    );
    assert_eq!(report["ok_per_second"].as_f64(), Some(0.0));
    // What keeps it from beginning is said as by any other command.
    let (output, _) = bench(
        "search",
        &[directory.url()],
        &["-b", SUFFIX, "-D", "uid=ada,ou=people,dc=harbourlane,dc=example", "-w", "short waves"],
    );
    assert_eq!(output.code, 49, "{output:?}");
    assert!(output.err.contains("the name or the password is wrong"), "{output:?}");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (output, _) = bench("search", &[&format!("ldap://{closed}")], &["-b", SUFFIX]);
    assert_eq!(output.code, 202, "{output:?}");
    for (arguments, why) in [
        (&["--filter", "(uid={n}"][..], "expected"),
        (&["--filter", "(uid=ada)", "--range", "1-9"], "--range is for a filter with {n} in it"),
        (&["--range", "9-1"], "expected two numbers like 1-100000"),
        (&["--in-turn"], "--range"),
    ] {
        let (output, _) = bench("search", &[directory.url()], &[&["-b", SUFFIX], arguments].concat());
        assert!(output.code == 201 && output.err.contains(why), "{arguments:?}: {output:?}");
    }
}

/// The first server ends in the middle; what was under way goes on at the second, and nothing fails.
#[test]
fn several_servers_are_a_failover_set() {
    let (first, second) = (people(), people());
    let urls = [first.url().to_owned(), second.url().to_owned()];
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_millis(700));
        drop(first);
    });
    let arguments = ["-b", SUFFIX, "--filter", "(uid=ada)", "-z", "2"];
    let output = run(flext_ldap(
        &[
            &[
                "bench",
                "search",
                "--json",
                "--duration",
                "2",
                "--warm-up",
                "0",
                "-H",
                &urls[0],
                "-H",
                &urls[1],
            ],
            &arguments[..],
        ]
        .concat(),
    ));
    ends.join().unwrap();
    let report: Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!((output.code, number(&report, "failed")), (0, 0), "{output:?}");
    let servers = report["servers"].as_array().unwrap();
    assert_eq!(servers[0]["name"].as_str(), urls[0].strip_prefix("ldap://"), "in order");
    assert!(number(&servers[0], "operations") > 0 && number(&servers[1], "operations") > 0, "{report}");
    assert_eq!((servers[0]["health"].as_str(), servers[1]["health"].as_str()), (Some("down"), Some("well")));
}

#[test]
fn users_sign_in_and_a_wrong_password_is_sent_once() {
    let directory = people();
    let ada = "uid=ada,ou=people,dc=harbourlane,dc=example";
    let (output, report) = bench("bind", &[directory.url()], &["-D", ada, "-w", "tall waves"]);
    assert_eq!((output.code, output.err.as_str()), (0, ""), "{output:?}");
    assert!(number(&report, "ok") > 2 && report.get("entries").is_none(), "{report}");
    let (output, report) = bench("bind", &[directory.url()], &["-D", ada, "-w", "short waves"]);
    assert_eq!((output.code, report), (49, Value::Null), "{output:?}");
    assert!(output.err.starts_with("flext-ldap: failed to sign in"), "{output:?}");
    let (output, _) = bench("bind", &[directory.url()], &[]);
    assert!(output.code == 201 && output.err.contains("-D"), "{output:?}");
}

#[test]
fn writes_have_a_base_of_their_own_and_leave_it_as_it_was() {
    let ground = Ground::new();
    let base = format!("ou=bench,{SUFFIX}");
    for (operation, more) in [("add", &[][..]), ("modify", &["--entries", "10"])] {
        let (output, report) = ground.bench(operation, &[&["-b", base.as_str()], more].concat());
        assert_eq!((output.code, output.err.as_str()), (0, ""), "{operation}: {output:?}");
        assert!(number(&report, "ok") > 2, "{report}");
        assert_eq!((number(&report, "failed"), number(&report, "left")), (0, 0), "{report}");
        assert_eq!(ground.below(&base), 0, "{operation}");
    }
    // Not among people.
    let (output, report) = ground.bench("modify", &["-b", &format!("ou=people,{SUFFIX}")]);
    assert_eq!((output.code, report), (201, Value::Null), "{output:?}");
    assert!(output.err.contains("wants a base of its own"), "{output:?}");
    let (output, _) = ground.bench("add", &["-b", &format!("ou=none,{SUFFIX}")]);
    assert!(output.code == 32 && output.err.contains("add it first"), "{output:?}");
    let (output, _) = ground.bench("add", &[]);
    assert!(output.code == 201 && output.err.contains("--base"), "{output:?}");
}
