//! The stack: what it does when servers are lost, secrets are replaced and logs are rotated.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use flext_ldap::{
    Config, Stack,
    client::{Credentials, Server as _},
    directory::{
        Actor, BindReply, BindStep, Deadline, Directory as _, DirectoryExt, Error, ErrorKind, Peer, Request,
        SessionExt, Sessions as _,
        health::HealthStatus,
        proto::{
            dn::{Dn, Rdn},
            filter::Filter,
            message::{ChangeKind, Compare, Modify, Scope, Search},
        },
    },
};
use flext_ldap_testkit::TestDirectory;

const SUFFIX: &str = "dc=harbourlane,dc=example";
const ADA: &str = "uid=ada,dc=harbourlane,dc=example";
const LDIF: &str = "\
dn: dc=harbourlane,dc=example
objectClass: domain
dc: harbourlane

dn: uid=ada,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: ada
cn: Ada Byrne
sn: Byrne
userPassword: low water 7
";

fn directory() -> TestDirectory {
    TestDirectory::builder().suffix(SUFFIX).ldif(LDIF).anonymous_read().start().unwrap()
}

/// A configuration of servers without TLS, in this order, in a folder of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new(urls: &[&str], more: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let others: Vec<_> =
            urls[1..].iter().map(|url| format!("{{url: \"{url}\", start_tls: false}}")).collect();
        let text = format!(
            "flext_ldap:\n  primary_server: {{url: \"{}\", start_tls: false}}\n  failover_servers: [{}]\n  \
             directory_structure: {{base_dn: \"{SUFFIX}\"}}\n  security: {{require_ssl: false}}\n{more}",
            urls[0],
            others.join(", ")
        );
        fs::write(place.path("ldap.yaml"), text.replace("HERE", place.0.path().to_str().unwrap())).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn config(&self) -> Config {
        Config::read(self.path("ldap.yaml")).unwrap()
    }
}

fn ada(attribute: &str) -> Request<Search> {
    let filter: Filter = "(uid=ada)".parse().unwrap();
    let search = Search::new(SUFFIX.parse().unwrap(), Scope::Subtree, filter).attributes([attribute]);
    Request::new(search.size_limit(1), Actor::Service).within(Duration::from_secs(10))
}

async fn look(stack: &Stack) -> Result<(), Error> {
    stack.search_one(ada("cn")).await.map(drop)
}

async fn end(stack: Stack) {
    let started = Instant::now();
    stack.shutdown(Deadline::after(Duration::from_secs(5))).await;
    assert!(started.elapsed() < Duration::from_secs(8));
}

/// Waits until something holds, at most 30 seconds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn reads_go_on_when_a_server_is_lost() {
    let (first, second) = (directory(), directory());
    let place = Place::new(&[first.url(), second.url()], "");
    let stack = place.config().stack().build().unwrap();
    until("all are well", async || stack.health().status == HealthStatus::Healthy).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let stack = stack.clone();
        readers.spawn(async move {
            let until = Instant::now() + Duration::from_secs(2);
            let mut count = 0;
            while Instant::now() < until {
                look(&stack).await?;
                count += 1;
            }
            Ok::<u32, Error>(count)
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::task::spawn_blocking(move || drop(first)).await.unwrap();
    while let Some(read) = readers.join_next().await {
        assert!(read.unwrap().unwrap() > 0);
    }
    until("one is lost", async || stack.health().status == HealthStatus::Degraded).await;
    let report: serde_json::Value = serde_json::from_str(&stack.health().to_string()).unwrap();
    assert_eq!(report["servers"][0]["choice"], "down", "{report}");
    assert_eq!(report["servers"][1]["status"], "healthy", "{report}");
    let metrics = stack.metrics().to_string();
    for name in [
        "flext_ldap_operations_total{operation_type=\"search\",server=\"all servers\",status=\"success\"}",
        "ldap_breaker_state{",
        "ldap_server_health{",
        "ldap_pool_connections{",
        "ldap_retries_total",
    ] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    assert!(!metrics.contains("status=\"exception\",server=\"all servers\""), "{metrics}");

    // Pages and people are on what is left.
    let pinned = stack.pin(Deadline::after(Duration::from_secs(10))).await.unwrap();
    let all = Search::new(SUFFIX.parse().unwrap(), Scope::Subtree, Filter::any());
    let found = pinned.search_pages(Request::new(all, Actor::Service), 1).all().await.unwrap();
    assert_eq!(found.len(), 2);
    drop(pinned);
    let mut session = stack.open(Peer::in_process()).await.unwrap();
    let step = BindStep::simple(ADA, "low water 7".into());
    let bound = session.bind(step, Deadline::after(Duration::from_secs(10))).await.unwrap();
    assert!(matches!(bound, BindReply::Done { .. }), "{bound:?}");
    drop(session);
    end(stack).await;
}

#[tokio::test]
async fn a_replaced_password_is_found() {
    let directory = directory();
    let account =
        format!("  service_accounts: {{ada: {{dn: \"{ADA}\", password_file: \"HERE/password\"}}}}\n");
    let place = Place::new(&[directory.url()], &account);
    fs::write(place.path("password"), "high water 7\n").unwrap();
    let stack = place.config().stack().account("ada").unwrap().build().unwrap();
    let error = look(&stack).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("refuses this program's own credentials"), "{error}");
    assert!(!format!("{error:?}").contains("high water"), "{error:?}");
    fs::write(place.path("password"), "low water 7\n").unwrap();
    until("the new one is used", async || look(&stack).await.is_ok()).await;
    end(stack).await;

    let error = place.config().stack().account("eve").unwrap_err();
    assert_eq!(error.to_string(), "the configuration has no account `eve`; it has `ada`");
    fs::remove_file(place.path("password")).unwrap();
    let stack = place.config().stack().account("ada").unwrap().for_one_command().build().unwrap();
    let error = stack.pin(Deadline::after(Duration::from_secs(5))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    end(stack).await;
}

/// Directories that copy each other count failures together: what one has refused the other is not sent at once.
#[tokio::test]
async fn a_wrong_password_is_not_sent_to_every_server() {
    let policy = "\ndn: cn=policy,dc=harbourlane,dc=example\nobjectClass: device\nobjectClass: pwdPolicy\npwdAttribute: \
                  userPassword\npwdLockout: TRUE\npwdMaxFailure: 100\n";
    let ldif = format!("{}pwdPolicySubentry: cn=policy,{SUFFIX}\n{policy}", LDIF);
    let directory = || TestDirectory::builder().suffix(SUFFIX).ldif(&ldif).anonymous_read().start().unwrap();
    let both = [directory(), directory()];
    let failures = async || {
        let mut failures = 0;
        for directory in &both {
            let ada = directory.store().search_one(ada("pwdFailureTime")).await.unwrap();
            failures += ada.attributes().get("pwdFailureTime").map_or(0, |times| times.values().count());
        }
        failures
    };
    let account =
        format!("  service_accounts: {{ada: {{dn: \"{ADA}\", password_file: \"HERE/password\"}}}}\n");
    let place = Place::new(&[both[0].url(), both[1].url()], &account);
    fs::write(place.path("password"), "high water 7").unwrap();
    let stack = place.config().stack().account("ada").unwrap().build().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let error = look(&stack).await.unwrap_err();
    assert!(format!("{error:?}").contains("so that the account is not locked"), "{error:?}");
    assert_eq!(failures().await, 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(failures().await, 2);
    fs::write(place.path("password"), "low water 7").unwrap();
    until("both are signed in to", async || {
        stack.health().servers.iter().all(|server| server.connections > 0)
    })
    .await;
    look(&stack).await.unwrap();
    end(stack).await;
}

#[tokio::test]
async fn no_secret_is_in_what_is_counted_recorded_or_told() {
    let directory = directory();
    let more = format!(
        "  service_accounts: {{ada: {{dn: \"{ADA}\", password_file: \"HERE/password\"}}}}\n  \
         observability: {{enable_audit_logging: true, audit_log_file: \"HERE/audit.jsonl\"}}\n"
    );
    let place = Place::new(&[directory.url()], &more);
    fs::write(place.path("password"), "low water 7").unwrap();
    let config = place.config();
    assert_eq!(config.idle(), []);
    let stack = config.stack().account("ada").unwrap().build().unwrap();
    look(&stack).await.unwrap();

    let secret = "planted-5f1c";
    let name: Dn = ADA.parse().unwrap();
    let filter = format!("(userPassword={secret})").parse().unwrap();
    let search = Search::new(name.clone(), Scope::Base, filter);
    let _none = stack.search_all(Request::new(search, Actor::Service)).await;
    let compare = Compare {
        dn: name.clone(),
        attribute: "userPassword".parse().unwrap(),
        value: secret.as_bytes().into(),
    };
    let _no = stack.compare(Request::new(compare, Actor::Service)).await;
    let modify = Modify::new(name).change(ChangeKind::Replace, "userPassword".parse().unwrap(), [secret]);
    let _refused = stack.modify(Request::new(modify, Actor::Service)).await;
    let mut session = stack.open(Peer::in_process()).await.unwrap();
    let by = Deadline::after(Duration::from_secs(10));
    let _refused = session.bind(BindStep::simple(ADA, secret.into()), by).await.unwrap();
    drop(session);

    // Who rotates logs renames them, and says so.
    until("all is written", async || lines(&place.path("audit.jsonl")) >= 4).await;
    fs::rename(place.path("audit.jsonl"), place.path("audit.jsonl.1")).unwrap();
    stack.reopen_logs();
    look(&stack).await.unwrap();
    until("the new file is written", async || lines(&place.path("audit.jsonl")) == 1).await;

    let (metrics, health) = (stack.metrics().to_string(), stack.health().to_string());
    let debug = format!("{stack:?} {config:?}");
    end(stack).await;
    let audit = fs::read_to_string(place.path("audit.jsonl.1")).unwrap();
    assert!(audit.contains("\"operation\":\"modify\"") && audit.contains("userPassword"), "{audit}");
    for text in [&metrics, &health, &debug, &audit] {
        assert!(!text.contains(secret) && !text.contains("low water"), "{text}");
    }
    // Nor is anything that whoever asks could make up in a label.
    assert!(!metrics.contains("uid=ada"), "{metrics}");
}

fn lines(path: &std::path::Path) -> usize {
    fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test]
async fn one_command_reaches_no_server_it_does_not_need() {
    let directory = directory();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let url = format!("ldap://{}", other.local_addr().unwrap());
    let place = Place::new(&[directory.url(), &url], "");
    let stack = place.config().stack().for_one_command().build().unwrap();
    look(&stack).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    end(stack).await;
    assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    // What is refused is refused: the password goes to nobody else.
    let wrong = Credentials::simple(ADA, "high water 7");
    let stack = place.config().stack().for_one_command().credentials(wrong).build().unwrap();
    let error = stack.pin(Deadline::after(Duration::from_secs(10))).await.unwrap_err();
    assert_eq!(error.result_code().map(|code| code.0), Some(49), "{error:?}");
    end(stack).await;
    assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn who_is_behind_for_long_is_degraded() {
    let (first, second) = (directory(), directory());
    let place = Place::new(&[first.url(), second.url()], "  observability: {replication_lag_limit: 2s}\n");
    let stack = place.config().stack().build().unwrap();
    let lag = |number: usize| stack.health().servers[number].lag_seconds;
    until("all have said how far they are", async || lag(0).is_some() && lag(1).is_some()).await;
    // Nothing copies what the second one has from now on.
    let admin = Credentials::simple(second.admin_dn().as_str(), second.admin_password());
    let url = second.url().parse().unwrap();
    let admin =
        flext_ldap::client::Connector::builder().clear().url(&url).credentials(admin).build().unwrap();
    let admin = admin.connect().await.unwrap();
    let modify = Modify::new(ADA.parse().unwrap()).change(
        ChangeKind::Replace,
        "description".parse().unwrap(),
        ["Harbour master"],
    );
    admin.modify(Request::new(modify, Actor::Service)).await.unwrap();
    until("the first one is behind", async || {
        stack.health().servers[0].status == Some(HealthStatus::Degraded)
    })
    .await;
    assert!(lag(0).unwrap() > 2.0, "{}", stack.health());
    assert_eq!(stack.health().status, HealthStatus::Degraded);
    assert!(stack.metrics().to_string().contains("ldap_replication_lag_seconds{server="));
    end(stack).await;
}

/// All there is before the values.
fn series(stack: &Stack) -> BTreeSet<String> {
    let text = stack.metrics().to_string();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_anybody_asks_for_makes_a_series() {
    const TASKS: u64 = 50;
    let directory = directory();
    let place = Place::new(&[directory.url()], "");
    let stack = place.config().stack().build().unwrap();
    // What is asked has what somebody made up as a name, an attribute's value, a user or all of them.
    let ask = async |stack: &Stack, made_up: &str, kind: u64| {
        let rdn = Rdn::new(&"cn".parse().unwrap(), made_up.as_bytes());
        let name: Dn = format!("{rdn},{SUFFIX}").parse().unwrap();
        let filter = Filter::equality("uid".parse().unwrap(), made_up);
        let search = |base, filter| Request::new(Search::new(base, Scope::Base, filter), Actor::Service);
        match kind % 8 {
            0 => drop(stack.search_all(search(name, Filter::any())).await),
            1 => drop(stack.search_all(search(SUFFIX.parse().unwrap(), filter)).await),
            2 => {
                let value = made_up.to_owned().into();
                let compare = Compare { dn: name, attribute: "cn".parse().unwrap(), value };
                drop(stack.compare(Request::new(compare, Actor::Service)).await);
            }
            // Nobody waits for it.
            _ => drop(stack.call(search(name, filter).into_any())),
        }
    };
    let sign_in = async |stack: &Stack, made_up: &str| {
        let mut session = stack.open(Peer::in_process()).await.unwrap();
        let step = BindStep::simple(made_up, "made up".into());
        drop(session.bind(step, Deadline::after(Duration::from_secs(30))).await);
    };
    for kind in 0..8 {
        ask(&stack, "first", kind).await;
        // No character, so this is no name to the server.
        ask(&stack, "\u{e000}", kind).await;
    }
    sign_in(&stack, "cn=first").await;
    let before = series(&stack);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let stack = stack.clone();
        tasks.spawn(async move {
            let mut random = task;
            for turn in 0..100_000 / TASKS {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let odd = char::from_u32((random >> 44) as u32).unwrap_or('\n');
                let made_up = format!("{odd}{:x}", random >> 13);
                ask(&stack, &made_up, turn).await;
                if turn % 1_000 == 0 {
                    sign_in(&stack, &format!("cn={:x}", random >> 13)).await;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let after = series(&stack);
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(stack.metrics().to_string().contains("operation_type=\"compare\",server=\"all servers\""));
    println!("{} series after 100,000 operations", after.len());
    end(stack).await;
}
