//! Access rules as they are configured: what they allow in a directory, and what is said of rules that are wrong.

mod explained;
mod leaks;
mod model;
mod problems;
mod turns;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use flext_ldap_directory::{
    AccessPolicy, Actor, BindReply, BindStep, Deadline, Error, Group, Identity, Lookup, Op, Peer,
    PeerAddress, Protection, Requester, Rights, Sessions,
};
use flext_ldap_proto::{
    filter::Filter,
    message::{Change, ChangeKind, Delete, Modify, Rename},
    result::ResultCode,
    schema::Schema,
};
use flext_ldap_store::{
    StandardPolicy, Store,
    access::{AccessRules, RuleConfig},
};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";
const CLEO: &str = "uid=cleo,ou=people,dc=harbourlane,dc=example";
const HELP: &str = "cn=help desk,ou=groups,dc=harbourlane,dc=example";

fn configs(yaml: &str) -> Vec<RuleConfig> {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"))
}

fn rules(yaml: &str) -> AccessRules {
    AccessRules::from_config(&configs(yaml), Schema::standard())
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A small directory under these rules: Anna is at the help desk, Bert's manager is Cleo.
async fn under(yaml: &str) -> Store {
    under_policy(Arc::new(rules(yaml))).await
}

async fn under_policy(policy: Arc<dyn AccessPolicy>) -> Store {
    let store = Store::open(options().policy(policy)).unwrap();
    fill(&store).await;
    ok(&store, entry(HELP, &["objectClass: groupOfNames", &format!("member: {ANNA}")])).await;
    ok(&store, change(BERT, ChangeKind::Add, "manager", &[CLEO])).await;
    for name in [ANNA, BERT, CLEO] {
        ok(&store, change(name, ChangeKind::Replace, "userPassword", &["spring tide"])).await;
    }
    store
}

fn user(name: &str) -> Actor {
    Actor::User(Identity::from_successful_bind(dn(name)))
}

fn change(name: &str, kind: ChangeKind, description: &str, values: &[&str]) -> Modify {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Modify { dn: dn(name), changes: vec![Change { kind, attribute: attribute(description), values }] }
}

async fn allowed(store: &Store, op: impl Into<Op>, actor: &Actor) -> bool {
    match ask(store, op, actor.clone()).await.unwrap().result.code {
        ResultCode::SUCCESS => true,
        ResultCode::INSUFFICIENT_ACCESS_RIGHTS | ResultCode::NO_SUCH_OBJECT => false,
        other => panic!("{other}"),
    }
}

fn tcp(address: &str, protection: Protection) -> Peer {
    let address: SocketAddr = address.parse().unwrap();
    Peer { address: PeerAddress::Tcp(address), protection, external: None, bindings: None, tls: None }
}

async fn binds(store: &Store, peer: Peer, name: &str) -> bool {
    let mut session = Sessions::open(store, peer).await.unwrap();
    let by = Deadline::after(std::time::Duration::from_secs(60));
    match session.bind(BindStep::simple(name, "spring tide".into()), by).await.unwrap() {
        BindReply::Done { .. } => true,
        BindReply::Refused(outcome) => {
            assert_eq!(outcome.result.code, ResultCode::INVALID_CREDENTIALS);
            assert_eq!(outcome.result.diagnostic, "");
            false
        }
        BindReply::Continue { .. } => panic!("a simple bind has one step"),
    }
}

/// The first line that names the one who asks counts, in the first rule that is about what is asked for.
#[tokio::test]
async fn the_first_rule_and_in_it_the_first_line() {
    let store = under(
        "
- to: {attributes: [mail]}
  allow: [self: write, 'dn uid=bert,ou=people,dc=harbourlane,dc=example': none, users: read]
- allow: [users: read]
",
    )
    .await;
    let mail = |value: &str| change(ANNA, ChangeKind::Replace, "mail", &[value]);
    assert!(allowed(&store, mail("a@harbourlane.example"), &user(ANNA)).await);
    assert!(!allowed(&store, mail("b@harbourlane.example"), &user(BERT)).await);
    assert!(!allowed(&store, change(ANNA, ChangeKind::Add, "title", &["x"]), &user(ANNA)).await);
    for (actor, sees) in [(user(ANNA), true), (user(BERT), false), (user(CLEO), true)] {
        let (found, _) = entries(&store, subtree("(uid=anna)"), actor).await;
        assert_eq!(found[0].text("mail"), sees.then_some("a@harbourlane.example"));
        assert_eq!(found[0].text("sn"), Some("Quay"));
    }
    // A rule that names nobody who asks is the end too.
    assert_eq!(find(&store, subtree("(uid=anna)"), Actor::Anonymous).await.0.len(), 0);
}

#[tokio::test]
async fn rules_that_continue_add_up() {
    let store = under(
        "
- allow: ['group cn=help desk,ou=groups,dc=harbourlane,dc=example': [write, continue], anyone: continue]
- to: {attributes: ['@inetOrgPerson', entry]}
  allow: [users: read]
",
    )
    .await;
    assert!(allowed(&store, change(BERT, ChangeKind::Add, "title", &["x"]), &user(ANNA)).await);
    assert!(!allowed(&store, change(ANNA, ChangeKind::Add, "title", &["x"]), &user(BERT)).await);
    let (found, _) = entries(&store, subtree("(uid=bert)").attributes(["*", "+"]), user(CLEO)).await;
    assert_eq!(found[0].text("title"), Some("x"));
    assert_eq!(found[0].text("entryUUID"), None);
    let (found, _) = entries(&store, subtree("(uid=bert)").attributes(["*", "+"]), user(ANNA)).await;
    assert!(found[0].text("entryUUID").is_some());
    assert_eq!(find(&store, subtree("(uid=bert)"), Actor::Anonymous).await.0.len(), 0);
}

#[tokio::test]
async fn attributes_that_name_the_requester() {
    let store = under("[{allow: [attribute manager: write, self: read, users: [search, disclose]]}]").await;
    let title = |name: &str| change(name, ChangeKind::Replace, "title", &["x"]);
    assert!(allowed(&store, title(BERT), &user(CLEO)).await);
    assert!(allowed(&store, title(BERT), &user("UID=Cleo, ou=people,dc=harbourlane,dc=example")).await);
    assert!(!allowed(&store, title(ANNA), &user(CLEO)).await);
    assert!(!allowed(&store, title(BERT), &user(BERT)).await);
    for (who, name, reads) in [(CLEO, "bert", true), (ANNA, "bert", false), (ANNA, "anna", true)] {
        let (found, _) = entries(&store, subtree(&format!("(uid={name})")), user(who)).await;
        assert_eq!(found[0].text("sn").is_some(), reads, "{who} {name}");
    }
}

/// An entry is added if the rules allow it as it would be; it is changed if they allow it as it was.
#[tokio::test]
async fn what_is_decided_on() {
    let store = under(
        "
- to: {filter: '(|(employeeType=guest)(objectClass=organizationalUnit))'}
  allow: ['dn uid=anna,ou=people,dc=harbourlane,dc=example': [write, add, delete]]
- allow: [users: read]
",
    )
    .await;
    let anna = user(ANNA);
    let guest = |uid: &str, kind: &str| {
        let (name, cn) = (format!("uid={uid},ou=people,{SUFFIX}"), format!("cn: {uid}"));
        entry(&name, &["objectClass: inetOrgPerson", &cn, "sn: Quay", kind])
    };
    assert!(allowed(&store, guest("dora", "employeeType: guest"), &anna).await);
    assert!(!allowed(&store, guest("emil", "employeeType: staff"), &anna).await);
    assert!(!allowed(&store, guest("emil", "employeeType: guest"), &user(BERT)).await);
    let dora = format!("uid=dora,ou=people,{SUFFIX}");
    // The change that takes away the right is still allowed, the next one is not.
    assert!(allowed(&store, change(&dora, ChangeKind::Replace, "employeeType", &["staff"]), &anna).await);
    assert!(!allowed(&store, change(&dora, ChangeKind::Replace, "employeeType", &["guest"]), &anna).await);
    assert!(!allowed(&store, Delete { dn: dn(&dora) }, &anna).await);
    // No change of a request gives the right to another of the same request.
    let mut both = change(BERT, ChangeKind::Replace, "employeeType", &["guest"]);
    both.changes.push(change(BERT, ChangeKind::Add, "title", &["x"]).changes.remove(0));
    assert!(!allowed(&store, both, &anna).await);
}

/// A name can give rights, so an entry is renamed or moved by whoever may do so under both names.
#[tokio::test]
async fn renames_are_decided_on_both_names() {
    let store = under(
        "
- to: {entry: 'uid=root,ou=people,dc=harbourlane,dc=example'}
  allow: [users: read]
- to: {subtree: 'ou=people,dc=harbourlane,dc=example'}
  allow: [self: [write, rename], 'dn uid=anna,ou=people,dc=harbourlane,dc=example': [read, rename], users: read]
- allow: [users: read]
",
    )
    .await;
    assert!(!allowed(&store, rename(BERT, "uid=root", None), &user(ANNA)).await);
    assert!(
        !allowed(&store, rename(BERT, "uid=bert", Some(&format!("ou=groups,{SUFFIX}"))), &user(ANNA)).await
    );
    assert!(!allowed(&store, rename(HELP, "cn=x", Some(&format!("ou=people,{SUFFIX}"))), &user(ANNA)).await);
    assert!(allowed(&store, rename(BERT, "uid=bertram", None), &user(ANNA)).await);
    // It is not told that a name is taken where there is no right to it.
    let taken = ask(&store, rename(CLEO, "uid=root", None), user(ANNA)).await.unwrap().result;
    ok(&store, person("root")).await;
    assert_eq!(ask(&store, rename(CLEO, "uid=root", None), user(ANNA)).await.unwrap().result, taken);
    // To write one's own values is not to become another.
    let store = under("[{allow: [self: write, users: read]}]").await;
    assert!(!allowed(&store, rename(ANNA, "uid=root", None), &user(ANNA)).await);
    assert!(!allowed(&store, Delete { dn: dn(ANNA) }, &user(ANNA)).await);
}

/// The right to rename writes no attribute that does not name the entry already.
#[tokio::test]
async fn renames_write_no_other_attributes() {
    let store = under(
        "
- to: {attributes: [employeeType, title]}
  allow: [users: read]
- to: {subtree: 'ou=people,dc=harbourlane,dc=example'}
  allow: ['dn uid=anna,ou=people,dc=harbourlane,dc=example': [write, rename], users: [read, rename]]
- allow: [users: read]
",
    )
    .await;
    ok(&store, change(BERT, ChangeKind::Add, "employeeType", &["staff"])).await;
    for (to, by, may) in [
        ("uid=bert+employeeType=admin", ANNA, false),
        ("uid=bert+title=Harbour Master", ANNA, false),
        // A value that is there already is not written.
        ("uid=bert+employeeType=staff", ANNA, true),
    ] {
        assert_eq!(allowed(&store, rename(BERT, to, None), &user(by)).await, may, "{to}");
    }
    let named = "uid=bert+employeeType=staff,ou=people,dc=harbourlane,dc=example";
    let keeping = |to: &str, keep: bool| Rename { delete_old_rdn: !keep, ..rename(named, to, None) };
    assert!(!allowed(&store, keeping("uid=bert", false), &user(ANNA)).await);
    assert!(allowed(&store, keeping("uid=bert", true), &user(ANNA)).await);
    // What one may write by a modify, one may by a rename, and nobody else.
    assert!(!allowed(&store, rename(BERT, "uid=bert+sn=Pike", None), &user(CLEO)).await);
    assert!(allowed(&store, rename(BERT, "uid=bert+sn=Pike", None), &user(ANNA)).await);
}

/// Whoever may write their own entry does not let go of the password policy by that.
#[tokio::test]
async fn nobody_writes_how_their_own_account_is_held() {
    let store = under("[{allow: [self: write, users: [read, write]]}]").await;
    let policy = "cn=lax,dc=harbourlane,dc=example";
    for (name, value) in [
        ("pwdPolicySubentry", policy),
        ("1.3.6.1.4.1.42.2.27.8.1.23", policy),
        ("pwdAccountLockedTime", "000001010000Z"),
        ("pwdReset", "FALSE"),
        ("pwdEndTime", "20990101000000Z"),
    ] {
        let write = |on: &str| change(on, ChangeKind::Replace, name, &[value]);
        assert!(!allowed(&store, write(ANNA), &user(ANNA)).await, "{name}");
        assert!(allowed(&store, write(BERT), &user(ANNA)).await, "{name}");
    }
    // Who may do everything with the entry may do that.
    let store = under("[{allow: [self: manage, users: read]}]").await;
    assert!(allowed(&store, change(ANNA, ChangeKind::Replace, "pwdReset", &["FALSE"]), &user(ANNA)).await);
}

#[tokio::test]
async fn values_can_be_added_without_being_taken_away() {
    let store = under(
        "
- to: {attributes: [member]}
  allow: ['dn uid=bert,ou=people,dc=harbourlane,dc=example': [read, selfwrite], users: [read, add-values]]
- allow: [users: read]
",
    )
    .await;
    let member = |kind, values: &[&str]| change(HELP, kind, "member", values);
    let (bert, cleo) = (user(BERT), user(CLEO));
    // One's own name only, however it is spelt; not in place of others, and not with others.
    assert!(!allowed(&store, member(ChangeKind::Add, &[CLEO]), &bert).await);
    assert!(!allowed(&store, member(ChangeKind::Add, &[BERT, CLEO]), &bert).await);
    assert!(!allowed(&store, member(ChangeKind::Replace, &[BERT]), &bert).await);
    assert!(!allowed(&store, member(ChangeKind::Delete, &[]), &bert).await);
    assert!(!allowed(&store, member(ChangeKind::Delete, &[ANNA]), &bert).await);
    assert!(
        allowed(&store, member(ChangeKind::Add, &["UID=bert,OU=people, dc=harbourlane,dc=example"]), &bert)
            .await
    );
    assert!(allowed(&store, member(ChangeKind::Delete, &[BERT]), &bert).await);
    // Others add anybody and take away nobody.
    assert!(allowed(&store, member(ChangeKind::Add, &[CLEO]), &cleo).await);
    assert!(!allowed(&store, member(ChangeKind::Delete, &[CLEO]), &cleo).await);
    assert!(!allowed(&store, member(ChangeKind::Replace, &[CLEO]), &cleo).await);
}

#[tokio::test]
async fn binding_takes_the_right_to_it() {
    let store = under(
        "
- to: {attributes: [userPassword], subtree: 'ou=people,dc=harbourlane,dc=example', filter: '(!(uid=cleo))'}
  allow:
    - anonymous: auth
      over: [tls, local]
    - anonymous: auth
      from: [192.0.2.0/24, '2001:db8::/32']
- to: {attributes: [userPassword]}
  allow: [anyone: none]
- allow: [users: read]
",
    )
    .await;
    let table = [
        ("198.51.100.7:40000", Protection::Tls, ANNA, true),
        ("198.51.100.7:40000", Protection::Clear, ANNA, false),
        ("192.0.2.7:40000", Protection::Clear, ANNA, true),
        ("192.0.3.7:40000", Protection::Clear, ANNA, false),
        // An IPv4 address that comes in IPv6 form is the same address.
        ("[::ffff:192.0.2.7]:40000", Protection::Clear, ANNA, true),
        ("[2001:db8:1::7]:40000", Protection::Clear, ANNA, true),
        ("[2001:db9::7]:40000", Protection::Clear, ANNA, false),
        ("192.0.2.7:40000", Protection::Tls, CLEO, false),
    ];
    for (address, protection, name, binds_there) in table {
        let bound = binds(&store, tcp(address, protection), name).await;
        assert_eq!(bound, binds_there, "{address} {protection:?} {name}");
    }
    let unix = Peer {
        address: PeerAddress::Unix,
        protection: Protection::Local,
        external: None,
        bindings: None,
        tls: None,
    };
    assert!(binds(&store, unix.clone(), ANNA).await);
    // The administrator's password is not an entry's.
    let mut session = Sessions::open(&store, unix).await.unwrap();
    let by = Deadline::after(std::time::Duration::from_secs(60));
    let reply = session.bind(BindStep::simple(ADMIN, ADMIN_PASSWORD.into()), by).await.unwrap();
    assert!(matches!(reply, BindReply::Done { .. }));
}

#[tokio::test]
async fn who_may_write_passwords_resets_those_of_others() {
    use flext_ldap_proto::extended::{ExtendedOperation as _, PasswordModify};
    let store = under(
        "
- to: {attributes: userPassword}
  allow:
    - group cn=help desk,ou=groups,dc=harbourlane,dc=example: write
    - self: write
    - anonymous: auth
- allow: [users: read]
",
    )
    .await;
    let reset = |name: &str, old: Option<&str>| {
        PasswordModify {
            user: Some(name.to_owned()),
            old: old.map(Into::into),
            new: Some("a long and winding phrase".into()),
        }
        .request()
    };
    let code = async |op, actor| ask(&store, Op::Extended(op), actor).await.unwrap().result.code;
    assert_eq!(code(reset(BERT, None), user(ANNA)).await, ResultCode::SUCCESS);
    assert_eq!(code(reset(BERT, None), user(CLEO)).await, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    assert_eq!(code(reset(CLEO, Some("neap tide")), user(CLEO)).await, ResultCode::UNWILLING_TO_PERFORM);
    assert_eq!(code(reset(CLEO, Some("spring tide")), user(CLEO)).await, ResultCode::SUCCESS);
}

/// Group substring and same-CN escalation: a group is its entry, compared by its normalised name.
#[tokio::test]
async fn a_group_is_not_what_looks_like_it() {
    let groups = format!("ou=groups,{SUFFIX}");
    let real = format!("cn=enterprise-admins,{groups}");
    let lookalikes = [
        format!("cn=enterprise-admins-trainees,{groups}"),
        format!(r"cn=x\,cn\=enterprise-admins,{groups}"),
        format!("cn=enterprise-admins,ou=people,{SUFFIX}"),
        format!("cn=enterprise-admins+description=x,{groups}"),
        format!("ou=enterprise-admins,{groups}"),
        format!("cn=enterprise admins,{groups}"),
    ];
    for spelling in [
        real.clone(),
        "CN=Enterprise-Admins , ou=Groups,DC=harbourlane,dc=example".to_owned(),
        format!(r"cn=\65nterprise-admins,{groups}"),
        format!("2.5.4.3=enterprise-admins,{groups}"),
    ] {
        for kind in ["group", "nested-group"] {
            let store = under(&format!("[{{allow: ['{kind} {spelling}': write, users: disclose]}}]")).await;
            for name in &lookalikes {
                let class = if name.starts_with("ou=") { "organizationalUnit" } else { "groupOfNames" };
                let lines = [format!("objectClass: {class}"), format!("member: {BERT}")];
                let member = if class == "groupOfNames" { &lines[..] } else { &lines[..1] };
                let lines: Vec<&str> = member.iter().map(String::as_str).collect();
                ok(&store, entry(name, &lines)).await;
            }
            let title = || change(CLEO, ChangeKind::Replace, "title", &["x"]);
            assert!(!allowed(&store, title(), &user(ANNA)).await, "{spelling}");
            ok(&store, entry(&real, &["objectClass: groupOfNames", &format!("member: {ANNA}")])).await;
            assert!(allowed(&store, title(), &user(ANNA)).await, "{spelling}");
            assert!(!allowed(&store, title(), &user(BERT)).await, "{spelling}");
            for other in [
                r"uid=anna\,ou=people,dc=harbourlane,dc=example",
                "uid=anna,ou=groups,dc=harbourlane,dc=example",
                "uid=anna+cn=x,ou=people,dc=harbourlane,dc=example",
                "cn=anna,ou=people,dc=harbourlane,dc=example",
            ] {
                assert!(!allowed(&store, title(), &user(other)).await, "{other}");
            }
            // Out of the group, out of the rights, with the next operation.
            ok(&store, change(&real, ChangeKind::Replace, "member", &[BERT])).await;
            assert!(!allowed(&store, title(), &user(ANNA)).await, "{spelling}");
            assert!(allowed(&store, title(), &user(BERT)).await, "{spelling}");
        }
    }
}

/// Groups in groups, in a circle and in a long chain: found as far as twenty levels, and always an end.
#[tokio::test]
async fn nested_groups() {
    let yaml = "
- to: {attributes: title}
  allow: ['nested-group cn=g0,ou=groups,dc=harbourlane,dc=example': write]
- to: {attributes: description}
  allow: ['group cn=g0,ou=groups,dc=harbourlane,dc=example': write]
- allow: [users: disclose]
";
    let store = under(yaml).await;
    let group = |number: usize| format!("cn=g{number},ou=groups,{SUFFIX}");
    for number in 0..40 {
        let inner = if number == 39 { group(0) } else { group(number + 1) };
        let class = if number % 2 == 0 { "groupOfNames" } else { "groupOfUniqueNames" };
        let member = if number % 2 == 0 { "member" } else { "uniqueMember" };
        let lines = [format!("objectClass: {class}"), format!("{member}: {inner}")];
        ok(&store, entry(&group(number), &[&lines[0], &lines[1]])).await;
    }
    let title = || change(CLEO, ChangeKind::Replace, "title", &["x"]);
    let description = || change(CLEO, ChangeKind::Replace, "description", &["x"]);
    assert!(!allowed(&store, title(), &user(BERT)).await);
    for (level, nested, direct) in [(0, true, true), (2, true, false), (20, true, false), (30, false, false)]
    {
        ok(&store, change(&group(level), ChangeKind::Add, "member", &[BERT])).await;
        assert_eq!(allowed(&store, title(), &user(BERT)).await, nested, "{level}");
        assert_eq!(allowed(&store, description(), &user(BERT)).await, direct, "{level}");
        ok(&store, change(&group(level), ChangeKind::Delete, "member", &[BERT])).await;
    }
}

/// Counts what is asked of the policy and of the store.
struct Counted {
    rules: AccessRules,
    prepared: AtomicUsize,
    looked_up: AtomicUsize,
}

struct CountedLookup<'a>(&'a dyn Lookup, &'a AtomicUsize);

impl Lookup for CountedLookup<'_> {
    fn memberships(&self, groups: &[Group]) -> Result<Vec<bool>, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.memberships(groups)
    }
}

impl AccessPolicy for Counted {
    fn rights_of(&self, who: Requester<'_>, lookup: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        self.prepared.fetch_add(1, Ordering::Relaxed);
        self.rules.rights_of(who, &CountedLookup(lookup, &self.looked_up))
    }

    fn filters(&self) -> &[Filter] {
        self.rules.filters()
    }
}

/// However many entries a search returns and however many commits it sees, who asks is settled once.
#[tokio::test]
async fn who_asks_is_settled_once_for_an_operation() {
    let mut yaml = String::new();
    for number in 0..1_000 {
        yaml.push_str(&format!(
            "- {{to: {{subtree: 'ou=u{number},{SUFFIX}'}}, allow: ['group cn=g{number},ou=groups,{SUFFIX}': read]}}\n"
        ));
    }
    yaml.push_str("- {to: {filter: '(!(sn=nobody))'}, allow: [users: read]}\n");
    let policy = Arc::new(Counted {
        rules: rules(&yaml),
        prepared: AtomicUsize::default(),
        looked_up: AtomicUsize::default(),
    });
    let store = under_policy(policy.clone()).await;
    for number in 0..1_500 {
        ok(&store, person(&format!("p{number}"))).await;
    }
    policy.prepared.store(0, Ordering::Relaxed);
    policy.looked_up.store(0, Ordering::Relaxed);
    let (found, outcome) = find(&store, subtree("(objectClass=inetOrgPerson)"), user(ANNA)).await;
    assert_eq!((found.len(), outcome.result.code), (1_503, ResultCode::SUCCESS));
    assert_eq!(policy.prepared.load(Ordering::Relaxed), 1);
    assert_eq!(policy.looked_up.load(Ordering::Relaxed), 1);
}

/// What must not be seen is not even read, unless rules look at it; then it is read once.
#[tokio::test]
async fn entries_are_read_once_at_the_most() {
    let read = |store: &Store| store.counters().entries_read;
    for (yaml, sees, reads) in [
        ("[{allow: [self: read]}]", 0, 0),
        ("[{allow: [users: read]}]", 3, 3),
        ("[{to: {filter: '(uid=anna)'}, allow: [users: read]}]", 1, 3),
    ] {
        let store = under(yaml).await;
        let actor = user("cn=somebody,dc=harbourlane,dc=example");
        let before = read(&store);
        let all = flext_ldap_proto::message::Search::new(
            dn(""),
            flext_ldap_proto::message::Scope::Subtree,
            filter("(objectClass=inetOrgPerson)"),
        );
        assert_eq!(find(&store, all, actor).await.0.len(), sees, "{yaml}");
        assert_eq!(read(&store) - before, reads, "{yaml}");
    }
}

/// Rules are made ready for the schema of the store, and rules can take the place of others while it is open.
#[tokio::test]
async fn rules_follow_the_schema_of_the_store() {
    let mut builder = Schema::standard().to_builder();
    builder.add_openldap(
        "attributetype ( 1.3.6.1.4.1.99999.1 NAME 'doorCode' SUP description )
         attributetype ( 1.3.6.1.4.1.99999.2 NAME 'sambaNTPassword' SUP description )
         objectclass ( 1.3.6.1.4.1.99999.3 NAME 'keeper' SUP top AUXILIARY MAY ( doorCode $ sambaNTPassword ) )",
    );
    let schema = Arc::new(builder.build().unwrap());
    // The rules were made with a schema that does not know the subtype.
    let hidden = "[{to: {attributes: description}, allow: [self: write]}, {allow: [users: write]}]";
    let store = Store::open(options().schema(schema).policy(Arc::new(rules(hidden)))).unwrap();
    fill(&store).await;
    let mut keeper = change(BERT, ChangeKind::Add, "objectClass", &["keeper"]);
    keeper.changes.extend(change(BERT, ChangeKind::Add, "doorCode", &["4711"]).changes);
    keeper.changes.extend(change(BERT, ChangeKind::Add, "sambaNTPassword", &["old"]).changes);
    ok(&store, keeper).await;
    let shown = async |who: &str| {
        let (found, _) = entries(&store, subtree("(uid=bert)"), user(who)).await;
        ["doorCode", "sambaNTPassword", "sn"].map(|name| found[0].text(name).is_some())
    };
    assert_eq!(shown(ANNA).await, [false, false, true]);
    assert_eq!(shown(BERT).await, [true, true, true]);
    // The standard rules know secrets by name that the standard schema does not have.
    store.set_policy(Arc::new(StandardPolicy::default()));
    assert_eq!(shown(ANNA).await, [true, false, true]);
    assert!(!allowed(&store, change(BERT, ChangeKind::Add, "title", &["x"]), &user(ANNA)).await);
    store.set_policy(Arc::new(rules("[{allow: [users: write]}]")));
    assert_eq!(shown(ANNA).await, [true, true, true]);
    assert!(allowed(&store, change(BERT, ChangeKind::Add, "title", &["x"]), &user(ANNA)).await);
}
