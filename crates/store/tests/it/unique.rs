//! Unique values.

use std::sync::Arc;

use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, Directory, EntryRight, Error, Identity, Lookup, Request, Requester,
    Rights, Target,
};
use flext_ldap_proto::{message::Add, result::ResultCode};
use flext_ldap_store::{
    ImportOptions, IndexConfig, IndexKind, ReferentialIntegrity, Store, StoreOptions, UniqueValues,
};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERT: &str = "uid=bert,ou=people,dc=harbourlane,dc=example";
const TAKEN: ResultCode = ResultCode::CONSTRAINT_VIOLATION;

async fn with(constraints: impl IntoIterator<Item = UniqueValues>) -> Store {
    let options = constraints.into_iter().fold(options(), StoreOptions::unique);
    let store = Store::open(options).unwrap();
    fill(&store).await;
    store
}

/// What cannot be text has an index too.
#[tokio::test]
async fn numbers_and_times_can_be_unique() {
    let indexes = ["uidNumber", "shadowMax"]
        .into_iter()
        .fold(IndexConfig::none(), |config, name| config.index(name, [IndexKind::Equality]));
    let store = Store::open(options().indexes(indexes).unique(UniqueValues::of(["uidNumber"]))).unwrap();
    fill(&store).await;
    let account = |uid: &str, number: &str| {
        let dn = format!("uid={uid},ou=people,{SUFFIX}");
        let number = format!("uidNumber: {number}");
        let lines = ["objectClass: account", "objectClass: posixAccount", "cn: x", "gidNumber: 5", &number];
        entry(&dn, &[&lines[..], &["homeDirectory: /home/x"]].concat())
    };
    ok(&store, account("dora", "1007")).await;
    assert_eq!(code(&store, account("emil", "1007")).await, TAKEN);
    ok(&store, account("emil", "1008")).await;
}

#[tokio::test]
async fn add_modify_and_rename() {
    let store = with([UniqueValues::of(["mail"]), UniqueValues::of(["uid"])]).await;
    let below = |uid: &str, mail: &str| {
        let mut lines = vec!["objectClass: inetOrgPerson", "cn: x", "sn: x"];
        let mail = format!("mail: {mail}");
        lines.push(&mail);
        entry(&format!("uid={uid},ou=groups,{SUFFIX}"), &lines)
    };
    // As the attribute compares them.
    let outcome = ask(&store, below("dora", "Anna@HarbourLane.example"), Actor::Service).await.unwrap();
    assert_eq!(
        (outcome.result.code, outcome.result.diagnostic.as_str()),
        (
            TAKEN,
            "`uid=anna,ou=people,dc=harbourlane,dc=example` has a value of `mail` that this entry would get, and no two \
             may have the same"
        )
    );
    // The value of the name counts.
    assert_eq!(code(&store, below("Anna", "dora@harbourlane.example")).await, TAKEN);
    ok(&store, below("dora", "dora@harbourlane.example")).await;
    assert_eq!(code(&store, set(BERT, "mail", &["anna@harbourlane.example"])).await, TAKEN);
    // One's own values are no others'.
    ok(&store, set(ANNA, "mail", &["ANNA@harbourlane.example", "a@harbourlane.example"])).await;
    assert_eq!(code(&store, set(BERT, "mail", &["b@x.example", "a@harbourlane.example"])).await, TAKEN);
    ok(&store, set(ANNA, "mail", &["anna@harbourlane.example"])).await;
    ok(&store, set(BERT, "mail", &["a@harbourlane.example"])).await;
    let dora = format!("uid=dora,ou=groups,{SUFFIX}");
    assert_eq!(code(&store, rename(&dora, "uid=anna", None)).await, TAKEN);
    ok(&store, rename(&dora, "uid=dana", None)).await;
    ok(
        &store,
        rename(
            &format!("uid=dana,ou=groups,{SUFFIX}"),
            "uid=Dana",
            Some("ou=people,dc=harbourlane,dc=example"),
        ),
    )
    .await;
}

#[tokio::test]
async fn one_value_in_either_attribute() {
    let store = with([UniqueValues::of(["mail", "uid"])]).await;
    ok(&store, set(BERT, "mail", &["bert"])).await;
    assert_eq!(code(&store, set(BERT, "mail", &["anna"])).await, TAKEN);
}

#[tokio::test]
async fn within_one_commit() {
    let store = with([UniqueValues::of(["mail"])]).await;
    let twice =
        |name: &str| set(&format!("uid={name},ou=people,{SUFFIX}"), "mail", &["shared@harbourlane.example"]);
    let replies =
        ["anna", "bert", "cleo"].map(|name| store.call(Request::new(twice(name).into(), Actor::Service)));
    let [a, b, c] = replies.map(|reply| reply.outcome());
    let (a, b, c) = tokio::join!(a, b, c);
    let codes = [a, b, c].map(|outcome| outcome.unwrap().result.code);
    assert_eq!(codes, [ResultCode::SUCCESS, TAKEN, TAKEN]);
    let person = |uid: &str, mail: &str| {
        format!(
            "dn: uid={uid},ou=people,{SUFFIX}\nobjectClass: inetOrgPerson\ncn: x\nsn: x\nmail: {mail}\n\n"
        )
    };
    let ldif = [
        person("p1", "one@x.example"),
        person("p2", "two@x.example"),
        person("p3", "one@x.example"),
        format!(
            "dn: uid=p1,ou=people,{SUFFIX}\nchangetype: modify\nreplace: mail\nmail: three@x.example\n\n"
        ),
        person("p4", "one@x.example"),
    ]
    .concat();
    let mut go_on = ImportOptions::default();
    go_on.continue_on_error = true;
    let commits = store.counters().commits;
    let report = store.import(ldif.as_bytes(), &go_on, &mut |_| {}).unwrap();
    assert_eq!((report.applied, report.refused, store.counters().commits - commits), (4, 1, 1));
    assert_eq!(report.refusals[0].0, 13);
    assert!(report.refusals[0].1.contains("`mail`"), "{}", report.refusals[0].1);
}

#[tokio::test]
async fn below_a_base() {
    let people = dn("ou=people,dc=harbourlane,dc=example");
    let store = with([UniqueValues::of(["mail"]).below(people)]).await;
    let outside = |rdn: &str, above: &str| {
        entry(
            &format!("{rdn},{above}"),
            &["objectClass: inetOrgPerson", "cn: x", "sn: x", "mail: anna@harbourlane.example"],
        )
    };
    let groups = format!("ou=groups,{SUFFIX}");
    ok(&store, outside("uid=dora", &groups)).await;
    ok(&store, outside("uid=dana", &groups)).await;
    let moved =
        rename(&format!("uid=dora,{groups}"), "uid=dora", Some("ou=people,dc=harbourlane,dc=example"));
    assert_eq!(code(&store, moved).await, TAKEN);
    // With what stands below.
    ok(&store, entry(&format!("ou=crew,{groups}"), &["objectClass: organizationalUnit"])).await;
    ok(&store, outside("uid=ewan", &format!("ou=crew,{groups}"))).await;
    let moved =
        || rename(&format!("ou=crew,{groups}"), "ou=crew", Some("ou=people,dc=harbourlane,dc=example"));
    assert_eq!(code(&store, moved()).await, TAKEN);
    let ewan = format!("uid=ewan,ou=crew,{groups}");
    ok(&store, set(&ewan, "mail", &["ewan@harbourlane.example"])).await;
    // Two that come together share one.
    ok(&store, outside("uid=fritz", &format!("ou=crew,{groups}"))).await;
    let fritz = format!("uid=fritz,ou=crew,{groups}");
    ok(&store, set(&fritz, "mail", &["ewan@harbourlane.example"])).await;
    assert_eq!(code(&store, moved()).await, TAKEN);
    ok(&store, set(&fritz, "mail", &["fritz@harbourlane.example"])).await;
    ok(&store, moved()).await;
    assert_eq!(code(&store, set(BERT, "mail", &["fritz@harbourlane.example"])).await, TAKEN);
}

#[tokio::test]
async fn among_those_that_match() {
    let store = with([UniqueValues::of(["mail"]).among(filter("(employeeType=active)"))]).await;
    ok(&store, set(ANNA, "mail", &["shared@x.example"])).await;
    ok(&store, set(BERT, "mail", &["shared@x.example"])).await;
    ok(&store, set(ANNA, "employeeType", &["active"])).await;
    assert_eq!(code(&store, set(BERT, "employeeType", &["active"])).await, TAKEN);
    ok(&store, set(BERT, "mail", &["bert@x.example"])).await;
    ok(&store, set(BERT, "employeeType", &["active"])).await;
    assert_eq!(code(&store, set(BERT, "mail", &["shared@x.example"])).await, TAKEN);
}

/// Everybody may write everything; nobody but administrators may know of `ou=people`.
struct Blind;

impl AccessPolicy for Blind {
    fn rights_of(&self, _: Requester<'_>, _: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(Self))
    }
}

impl Rights for Blind {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, target: Target<'_>, _: EntryRight) -> bool {
        !target.dn.rdns().iter().any(|rdn| rdn.as_bytes().ends_with(b"=people"))
    }

    fn attribute(&self, _: Target<'_>, _: &str, _: AttributeRight) -> bool {
        true
    }
}

#[tokio::test]
async fn who_has_a_value_is_not_told_to_everybody() {
    let store = Store::open(options().unique(UniqueValues::of(["mail"])).policy(Arc::new(Blind))).unwrap();
    fill(&store).await;
    let add = entry(
        &format!("uid=dora,ou=groups,{SUFFIX}"),
        &["objectClass: inetOrgPerson", "cn: x", "sn: x", "mail: anna@harbourlane.example"],
    );
    let eve = Actor::User(Identity::from_successful_bind(dn("cn=eve")));
    let outcome = ask(&store, add, eve).await.unwrap();
    assert_eq!(
        (outcome.result.code, outcome.result.diagnostic.as_str()),
        (
            TAKEN,
            "another entry has a value of `mail` that this entry would get, and no two may have the same"
        )
    );
}

#[tokio::test]
async fn what_cannot_be_held_is_said_when_the_store_is_opened() {
    for (constraint, want) in [
        (UniqueValues::of([""; 0]), "unique values: no attribute is named"),
        (UniqueValues::of(["nonesuch"]), "unique values: attribute `nonesuch` is not defined"),
        (
            UniqueValues::of(["homePhone"]),
            "unique values: attribute `homePhone` has no index for equality; add one",
        ),
        (
            UniqueValues::of(["userPassword"]),
            "unique values: attribute `userPassword` has no index for equality; add one",
        ),
        (
            UniqueValues::of(["uid"]).below(dn("nonesuch=x")),
            "unique values: the base `nonesuch=x`: nonesuch: the attribute type is not defined",
        ),
    ] {
        assert_eq!(Store::open(options().unique(constraint)).unwrap_err().to_string(), want);
    }
}

/// Each entry once, however many share the value.
#[tokio::test]
async fn a_check_names_those_that_share_a_value_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let open = || StoreOptions::folder(folder.path()).suffix(dn(SUFFIX));
    let store = Store::open(open()).unwrap();
    fill(&store).await;
    for uid in ["dora", "emil", "fay", "gus"] {
        let lines = ["objectClass: inetOrgPerson", "cn: x", "sn: x", "mail: all@harbourlane.example"];
        ok(&store, entry(&format!("uid={uid},ou=people,{SUFFIX}"), &lines)).await;
    }
    drop(store);
    let store = Store::open(open().unique(UniqueValues::of(["mail"]))).unwrap();
    let faults = faults(&store);
    let dora = format!("that `uid=dora,ou=people,{SUFFIX}` has too");
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.contains(&dora)), "{faults:?}");
}

/// Values from before a constraint was configured stay, and `check` names them.
#[tokio::test]
async fn a_check_names_what_breaks_a_constraint() {
    let folder = tempfile::tempdir().unwrap();
    let open = || StoreOptions::folder(folder.path()).suffix(dn(SUFFIX));
    let store = Store::open(open()).unwrap();
    fill(&store).await;
    ok(&store, set(BERT, "mail", &["Anna@harbourlane.example", "b@x.example"])).await;
    let gone = format!("uid=gone,ou=people,{SUFFIX}");
    ok(&store, set(BERT, "manager", &[ANNA, &gone])).await;
    clean(&store);
    drop(store);
    let strict = ReferentialIntegrity::default().must_exist();
    let store =
        Store::open(open().unique(UniqueValues::of(["mail"])).referential_integrity(Some(strict))).unwrap();
    let bert = format!(
        "entry: entry 5 `{BERT}`: its `manager` names `{gone}`, which is not there; change the entry"
    );
    assert_eq!(
        faults(&store),
        [
            format!(
                "entry: entry 5 `{BERT}`: it has a value of `mail` that `{ANNA}` has too; change the entry"
            ),
            bert.clone()
        ]
    );
    // Nobody gets it a third time; who has it may lose it.
    assert_eq!(code(&store, set(ANNA, "title", &["Mate"])).await, ResultCode::SUCCESS);
    assert_eq!(code(&store, person_with("dora", "anna@harbourlane.example")).await, TAKEN);
    ok(&store, set(BERT, "mail", &["b@x.example"])).await;
    assert_eq!(faults(&store), [bert]);
}

fn person_with(uid: &str, mail: &str) -> Add {
    let mail = format!("mail: {mail}");
    entry(&format!("uid={uid},ou=people,{SUFFIX}"), &["objectClass: inetOrgPerson", "cn: x", "sn: x", &mail])
}

/// What is there against a constraint is counted before the store is opened with it: values in rows of their own too, as
/// the attribute compares them, each but the first of those that share it.
#[tokio::test]
async fn what_is_there_is_told_before_it_is_configured() {
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    let with = |uid: &str, numbers: std::ops::Range<u32>, case: &str| {
        let dn = format!("uid={uid},ou=people,{SUFFIX}");
        let mails: Vec<String> = numbers.map(|n| format!("mail: {case}{n}@harbourlane.example")).collect();
        let lines = ["objectClass: inetOrgPerson", "cn: x", "sn: x"].into_iter();
        entry(&dn, &lines.chain(mails.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    ok(&store, with("dora", 0..200, "a")).await;
    ok(&store, with("emil", 150..350, "A")).await;
    ok(&store, with("finn", 199..201, "a")).await;
    let unique = |values: UniqueValues| StoreOptions::memory().unique(values);
    let broken = |options: &StoreOptions| {
        let mut looked = 0;
        let broken = store.broken_constraints(options, &mut |count| looked = count).unwrap();
        assert!(looked >= 6, "{looked}");
        broken.into_iter().map(|one| (one.key, one.values, one.first)).collect::<Vec<_>>()
    };
    let first =
        format!("`uid=dora,ou=people,{SUFFIX}` and `uid=emil,ou=people,{SUFFIX}` have the same `mail`");
    // 50 of emil's, and both of finn's.
    assert_eq!(broken(&unique(UniqueValues::of(["mail"]))), [("unique[1]".to_owned(), 52, first)]);
    let elsewhere = UniqueValues::of(["mail"]).below(format!("ou=groups,{SUFFIX}").parse().unwrap());
    assert_eq!(broken(&unique(elsewhere)), []);
    let options = StoreOptions::memory()
        .unique(UniqueValues::of(["uid"]))
        .referential_integrity(Some(ReferentialIntegrity::default().must_exist()));
    assert_eq!(options.constraints_on_values(), ["unique[1]", "referential_integrity.must_exist"]);
    assert_eq!(broken(&options), []);
    let misnamed = store.broken_constraints(&unique(UniqueValues::of(["noSuch"])), &mut |_| {});
    assert!(misnamed.unwrap_err().to_string().contains("`noSuch` is not defined"));
}
