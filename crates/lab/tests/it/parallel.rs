//! A tree read in parts over several connections is the tree read in one: on slapd, 389-ds and ours, no entry lost, none
//! twice, each with the same values.

use std::{sync::Arc, time::Duration};

use flext_ldap_client::{Connector, Credentials, Parallel, Pool, Server as _};
use flext_ldap_directory::{
    Actor, Deadline, Directory, DirectoryExt as _, Request,
    proto::message::{Scope, Search},
};
use flext_ldap_lab::{Content, DEFAULT_SUFFIX, NsSlapd, Slapd, SlapdOptions, Tool};
use flext_ldap_testkit::TestDirectory;

const LONG: Duration = Duration::from_secs(120);

/// A suffix, branches of different sizes and depths with people, an empty one, and entries right below the suffix.
fn tree() -> String {
    let mut ldif = format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n"
    );
    for (branch, people) in [("hull", 300), ("rigging, old", 40), ("sails", 1), ("keel", 0)] {
        let branch = format!("ou={},{DEFAULT_SUFFIX}", branch.replace(',', "\\,"));
        ldif += &format!("dn: {branch}\nobjectClass: organizationalUnit\n\n");
        for number in 0..people {
            let above =
                if number % 10 == 9 { format!("cn=p{},{branch}", number - 1) } else { branch.clone() };
            ldif +=
                &format!("dn: cn=p{number},{above}\nobjectClass: person\ncn: p{number}\nsn: n{number}\n\n");
        }
    }
    for number in 0..5 {
        ldif += &format!(
            "dn: cn=d{number},{DEFAULT_SUFFIX}\nobjectClass: person\ncn: d{number}\nsn: n{number}\n\n"
        );
    }
    ldif
}

/// All that is found, as text, in an order of ours.
async fn found(directory: &impl Directory, base: &str, filter: &str) -> Vec<String> {
    let search = Search::new(base.parse().unwrap(), Scope::Subtree, filter.parse().unwrap());
    let mut entries = directory.search(Request::new(search, Actor::Service));
    let mut found = Vec::new();
    while let Some(entry) = entries.next().await.unwrap() {
        let mut lines: Vec<_> = entry
            .attributes()
            .iter()
            .flat_map(|attribute| {
                let name = attribute.description().to_lowercase();
                attribute
                    .values()
                    .map(move |value| format!("{name}={}", value.escape_ascii()))
                    .collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        found.push(format!("{} {lines:?}", entry.dn_str()));
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_tree_read_in_parts_is_the_tree() {
    let slapd =
        Slapd::start(SlapdOptions { content: Content::Text(tree()), ..SlapdOptions::default() }).unwrap();
    let ds389 = NsSlapd::start().unwrap();
    let (url, root) = (ds389.ldap_url(), ds389.root_dn());
    let arguments = ["-x", "-H", &url, "-D", &root, "-w", ds389.root_password()];
    Tool::new("ldapadd").unwrap().args(arguments).input(tree()).run().unwrap().success().unwrap();
    let ours = TestDirectory::builder().ldif(tree()).start().unwrap();
    let servers = [
        ("slapd", slapd.ldap_url(), slapd.root_dn(), slapd.root_password()),
        ("389-ds", url.clone(), root.clone(), ds389.root_password()),
        ("ours", ours.url().to_owned(), ours.admin_dn().to_string(), ours.admin_password()),
    ];
    for (name, url, dn, password) in servers {
        let connector = Connector::builder().clear().url(&url.parse().unwrap());
        let connector = connector.credentials(Credentials::simple(dn, password)).build().unwrap();
        let pool = Pool::builder(connector).max(5).build().unwrap();
        let parallel = Parallel::new(Arc::new(pool.clone()), 4);
        let hull = format!("ou=hull,{DEFAULT_SUFFIX}");
        for (base, filter) in [
            (DEFAULT_SUFFIX, "(objectClass=*)"),
            (DEFAULT_SUFFIX, "(sn=n1)"),
            (DEFAULT_SUFFIX, "(sn=nobody)"),
            // It has many children, so this is one search.
            (&hull, "(objectClass=*)"),
        ] {
            let (whole, parts) = tokio::join!(found(&pool, base, filter), found(&parallel, base, filter));
            assert_eq!(parts, whole, "{filter} below {base} at {name}");
            assert_eq!(whole.is_empty(), filter == "(sn=nobody)", "{filter} below {base} at {name}");
        }
        assert!(pool.stats().opened > 1, "{name}: {:?}", pool.stats());
        pool.shutdown(Deadline::after(LONG)).await;
    }
}
