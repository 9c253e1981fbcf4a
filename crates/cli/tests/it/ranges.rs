//! Attributes that a server cuts unasked, as Active Directory does: every command has all their values.

use std::sync::Arc;

use flext_ldap_directory::{Directory, Layer, Layered, Op, Reply, Request, proto::attribute::Selection};
use flext_ldap_server::Server;
use flext_ldap_testkit::TestDirectory;

use crate::program::{flext_ldap, people, run, run_with, tap};

/// Cuts `member` after two values.
struct Cut;

impl Layer for Cut {
    fn call(&self, mut request: Request, next: &dyn Directory) -> Reply {
        if let Op::Search(search) = &mut request.op
            && !search.base.is_root()
        {
            let mut wanted = vec!["member;range=0-1".to_owned()];
            for text in search.attributes.selectors().iter().map(ToString::to_string) {
                match text.strip_prefix("member;range=").and_then(|range| range.strip_suffix("-*")) {
                    Some(first) => {
                        let first: u64 = first.parse().unwrap();
                        wanted = vec![format!("member;range={first}-{}", first + 1)];
                    }
                    None => wanted.push(text),
                }
            }
            if wanted.len() == 1 && search.attributes.selectors().is_empty() {
                wanted.push("*".to_owned());
            }
            search.attributes = wanted.iter().collect::<Selection>();
        }
        next.call(request)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_server_cuts_is_read_to_its_end() {
    let directory = people();
    let add = "dn: cn=fleet,ou=groups,dc=harbourlane,dc=example\nobjectClass: groupOfNames\ncn: fleet\n";
    let names: Vec<_> = (0..5).map(|number| format!("uid=p{number},dc=harbourlane,dc=example")).collect();
    let members: String = names.iter().map(|name| format!("member: {name}\n")).collect();
    let (_server, url) = served(&directory, &format!("{add}{members}")).await;
    let base = "dc=harbourlane,dc=example";
    let asked =
        run(flext_ldap(&["search", "-LLL", "-H", &url, "-b", base, "(cn=fleet)", "member;range=0-1"]));
    assert_eq!(asked.out.matches("\nmember;range=0-1: ").count(), 2, "it does cut: {asked:?}");

    for words in
        [&["search", "-LLL", "-H", &url, "-b", base, "(cn=fleet)"][..], &["export", "-H", &url, "-b", base]]
    {
        let output = run(flext_ldap(words));
        assert_eq!(output.code, 0, "{output:?}");
        for name in &names {
            assert!(output.out.contains(&format!("\nmember: {name}\n")), "{name}: {output:?}");
        }
        assert!(!output.out.contains("range=0-1"), "{output:?}");
    }

    let mut command = tap(&["--config", "ENV"]);
    command.env("TAP_LDAP_URL", &url).env("TAP_LDAP_BASE", base);
    let output = run(command);
    assert_eq!(output.code, 0, "{output:?}");
    let record = output.out.lines().find(|line| line.contains("cn=fleet")).unwrap();
    let record: serde_json::Value = serde_json::from_str(record).unwrap();
    assert_eq!(record["record"]["member"], serde_json::json!(names));
    let groups = output.out.lines().filter(|line| line.contains(r#""stream":"groups","record""#)).count();
    assert_eq!(groups, 2, "{output:?}");
}

/// What has more than fits unread behind the first that is cut, so that nothing more is read until that has gone on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_comes_behind_it_keeps_nothing_of_it_back() {
    const GROUPS: usize = 16;
    let directory = people();
    let long = "x".repeat(400_000);
    let mut groups = String::new();
    for group in 0..GROUPS {
        let member = |number| format!("member: uid=p{number},dc=harbourlane,dc=example\n");
        let members: String = (0..5).map(member).collect();
        groups += &format!(
            "dn: cn=g{group},ou=groups,dc=harbourlane,dc=example\nobjectClass: groupOfNames\n\
             description: {long}\n{members}\n"
        );
    }
    let (_server, url) = served(&directory, &groups).await;
    let base = "dc=harbourlane,dc=example";
    for words in [
        &["export", "-H", &url, "-b", base][..],
        &["search", "-H", &url, "-b", base],
        &["search", "-H", &url, "-b", base, "-E", "pr=100/noprompt"],
    ] {
        let output = run(flext_ldap(words));
        let found = output.out.matches("\nmember: uid=p4,").count();
        assert_eq!((output.code, found), (0, GROUPS), "{words:?}: {}", output.err);
    }

    let mut command = tap(&["--config", "ENV"]);
    command.env("TAP_LDAP_URL", &url).env("TAP_LDAP_BASE", base);
    let extracted = run(command);
    assert_eq!((extracted.code, extracted.out.matches("uid=p4,").count()), (0, GROUPS), "{}", extracted.err);
}

/// A server that cuts what is in this directory, to which `ldif` is added before, and its URL.
async fn served(directory: &TestDirectory, ldif: &str) -> (Server, String) {
    let admin = directory.admin_dn().to_string();
    let words = ["add", "-H", directory.url(), "-D", &admin, "-w", directory.admin_password()];
    let added = run_with(flext_ldap(&words), ldif);
    assert_eq!(added.code, 0, "{added:?}");
    let cutting = Arc::new(Layered::new(directory.store().clone(), Arc::new(Cut)));
    let builder = Server::builder(cutting).listen("ldap://127.0.0.1:0".parse().unwrap());
    let server = builder.start().await.unwrap();
    let url = server.urls().first().unwrap().to_string();
    (server, url)
}
