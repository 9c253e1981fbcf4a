//! The schema changed while the store is open.

use std::time::Duration;

use bytes::Bytes;
use flext_ldap_directory::{Actor, BindReply, BindStep, Deadline, Identity};
use flext_ldap_proto::{
    filter::Filter,
    message::{Change, ChangeKind, Delete, Modify, Scope, Search},
    result::ResultCode,
    schema::Schema,
};
use flext_ldap_store::{ImportOptions, IndexConfig, IndexKind, Store, StoreOptions};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const BERTH: &str = "( 1.3.6.1.4.1.55555.1.1 NAME 'berth' DESC 'where a boat lies' \
    EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )";
const SAILOR: &str =
    "( 1.3.6.1.4.1.55555.2.1 NAME 'sailor' SUP top AUXILIARY MUST berth MAY ( description $ title ) )";

fn change(kind: ChangeKind, name: &str, values: &[&str]) -> Change {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Change { kind, attribute: attribute(name), values }
}

fn modify(changes: Vec<Change>) -> Modify {
    Modify { dn: dn("cn=Subschema"), changes }
}

fn add(name: &str, value: &str) -> Modify {
    modify(vec![change(ChangeKind::Add, name, &[value])])
}

fn sailing() -> Modify {
    modify(vec![
        change(ChangeKind::Add, "objectClasses", &[SAILOR]),
        change(ChangeKind::Add, "attributeTypes", &[BERTH]),
    ])
}

fn sailor(uid: &str) -> flext_ldap_proto::message::Add {
    entry(
        &format!("uid={uid},ou=people,{SUFFIX}"),
        &["objectClass: account", "objectClass: sailor", "berth: North Quay 7"],
    )
}

async fn told(store: &Store, op: Modify) -> (ResultCode, String) {
    let outcome = ask(store, op, Actor::Service).await.unwrap();
    (outcome.result.code, outcome.result.diagnostic)
}

async fn values(store: &Store, name: &str) -> Vec<String> {
    let search = Search::new(dn("cn=subschema"), Scope::Base, Filter::any()).attributes([name]);
    let (found, _) = entries(store, search, Actor::Anonymous).await;
    found[0].attributes().get(name).map_or_else(Vec::new, |one| {
        one.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    })
}

#[tokio::test]
async fn what_is_defined_is_used_at_once_and_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(StoreOptions::folder(folder.path()).suffix(dn(SUFFIX))).unwrap();
    let store = open();
    fill(&store).await;
    assert_eq!(code(&store, sailor("dora")).await, ResultCode::UNDEFINED_ATTRIBUTE_TYPE);
    assert_eq!(values(&store, "modifyTimestamp").await, [""; 0]);
    ok(&store, sailing()).await;
    ok(&store, sailor("dora")).await;
    let missing =
        entry(&format!("uid=ewan,ou=people,{SUFFIX}"), &["objectClass: account", "objectClass: sailor"]);
    assert_eq!(code(&store, missing).await, ResultCode::OBJECT_CLASS_VIOLATION);
    let dora = format!("uid=dora,ou=people,{SUFFIX}");
    let stamp = values(&store, "modifyTimestamp").await;
    assert_eq!(stamp.len(), 1);
    let mut store = store;
    for round in 0..2 {
        if round == 1 {
            drop(store);
            store = open();
        }
        assert_eq!(find(&store, subtree("(berth=north  QUAY*)"), Actor::Service).await.0, [dora.as_str()]);
        assert_eq!(find(&store, subtree("(objectClass=sailor)"), Actor::Service).await.0, [dora.as_str()]);
        assert_eq!(
            find(&store, subtree("(1.3.6.1.4.1.55555.1.1=north quay 7)"), Actor::Service).await.0.len(),
            1
        );
        assert_eq!(values(&store, "modifyTimestamp").await, stamp);
        let is_defined = |values: Vec<String>, name: &str| {
            values.iter().any(|one| one.contains(&format!("NAME '{name}'")))
        };
        assert!(is_defined(values(&store, "attributeTypes").await, "berth"));
        assert!(is_defined(values(&store, "objectClasses").await, "sailor"));
    }
    drop(store);
    // As long as it was not used, it goes again; and it stays gone.
    let store = open();
    ok(&store, Delete { dn: dn(&dora) }).await;
    let away = modify(vec![
        change(ChangeKind::Delete, "objectClasses", &[SAILOR]),
        change(ChangeKind::Delete, "2.5.21.5", &["( 1.3.6.1.4.1.55555.1.1 )"]),
    ]);
    ok(&store, away).await;
    drop(store);
    let store = open();
    assert_eq!(code(&store, sailor("dora")).await, ResultCode::UNDEFINED_ATTRIBUTE_TYPE);
    assert_eq!(values(&store, "attributeTypes").await.len(), Schema::standard().attribute_types().count());
}

#[tokio::test]
async fn what_does_not_fit_is_refused_as_a_whole() {
    let store = small().await;
    let syntax = ResultCode::INVALID_ATTRIBUTE_SYNTAX;
    let wrong = ResultCode::CONSTRAINT_VIOLATION;
    let unwilling = ResultCode::UNWILLING_TO_PERFORM;
    let exists = ResultCode::ATTRIBUTE_OR_VALUE_EXISTS;
    let table: Vec<(Modify, ResultCode, &str)> = vec![
        (
            add("attributeTypes", "( 1.2.3 NAME )"),
            syntax,
            "value 1 of `attributeTypes`: column 14: expected a quoted name",
        ),
        (add("attributeTypes", "berth"), syntax, "value 1 of `attributeTypes`: column 1: expected `(`"),
        (
            add("attributeTypes", "( 1.2.3 NAME 'berth' )"),
            wrong,
            "the schema would not be right: expected SUP or SYNTAX",
        ),
        (
            add("attributeTypes", "( 1.2.3 NAME 'berth' SUP nonesuch )"),
            wrong,
            "the schema would not be right: `berth` refers to `nonesuch`, which is not defined",
        ),
        (
            add("attributeTypes", "( 1.2.3 NAME 'berth' SYNTAX 1.2.3.4 )"),
            wrong,
            "the schema would not be right: `berth` has the syntax 1.2.3.4, which is not known",
        ),
        (
            add("objectClasses", SAILOR),
            wrong,
            "the schema would not be right: `sailor` refers to `berth`, which is not defined",
        ),
        (
            modify(vec![change(
                ChangeKind::Add,
                "attributeTypes",
                &["( 1.2.3 NAME 'a1' SUP a2 )", "( 1.2.4 NAME 'a2' SUP a1 )"],
            )]),
            wrong,
            "the schema would not be right: `a2` inherits from itself",
        ),
        (
            modify(vec![change(
                ChangeKind::Add,
                "attributeTypes",
                &["( 1.2.3 NAME 'berth' SUP name )", "( 1.2.4 NAME 'BERTH' SUP name )"],
            )]),
            wrong,
            "the schema would not be right: `BERTH` is defined twice, differently",
        ),
        (
            add("attributeTypes", "( 1.2.3 NAME 'commonName' SUP name )"),
            unwilling,
            "`cn` is part of the standard schema, which cannot be removed or changed",
        ),
        (
            add("attributeTypes", "( 2.5.4.3 NAME 'cn' SUP name )"),
            exists,
            "`2.5.4.3` is defined already; delete its definition in the same operation",
        ),
        (
            modify(vec![change(ChangeKind::Delete, "attributeTypes", &["( 2.5.4.3 )"])]),
            unwilling,
            "`2.5.4.3` is part of the standard schema, which cannot be removed or changed",
        ),
        (
            modify(vec![change(ChangeKind::Delete, "objectClasses", &[])]),
            unwilling,
            "`all of it` is part of the standard schema, which cannot be removed or changed",
        ),
        (
            modify(vec![change(ChangeKind::Delete, "objectClasses", &[SAILOR])]),
            ResultCode::NO_SUCH_ATTRIBUTE,
            "`1.3.6.1.4.1.55555.2.1` is not defined",
        ),
        (
            add("matchingRules", "( 1.2.3 NAME 'x' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"),
            unwilling,
            "`matchingRules` of the schema cannot be changed; `attributeTypes` and `objectClasses` can",
        ),
        (
            add("attributeTypes", "( 1.2.3 NAME 'deputy' SUP member )"),
            unwilling,
            "a constraint looks up an attribute that would get a subtype without an index",
        ),
    ];
    for (op, want, diagnostic) in table {
        let text = format!("{op:?}");
        assert_eq!(told(&store, op).await, (want, diagnostic.to_owned()), "{text}");
    }
    assert_eq!(values(&store, "attributeTypes").await.len(), Schema::standard().attribute_types().count());
    assert_eq!(values(&store, "modifyTimestamp").await, [""; 0]);
    // Nothing of a change is done when a later part of it is wrong.
    let half = modify(vec![
        change(ChangeKind::Add, "attributeTypes", &[BERTH]),
        change(ChangeKind::Add, "objectClasses", &["( 1.2.3 NAME 'x' MUST nonesuch )"]),
    ]);
    assert_eq!(told(&store, half).await.0, wrong);
    assert_eq!(told(&store, add("attributeTypes", BERTH)).await.0, ResultCode::SUCCESS);
    assert_eq!(told(&store, add("attributeTypes", BERTH)).await.0, exists);
}

#[tokio::test]
async fn what_is_in_use_gets_more_lenient_only() {
    let store = small().await;
    ok(&store, sailing()).await;
    ok(&store, sailor("dora")).await;
    let again = |name: &str, old: &str, new: &str| {
        modify(vec![change(ChangeKind::Delete, name, &[old]), change(ChangeKind::Add, name, &[new])])
    };
    let refused = ResultCode::UNWILLING_TO_PERFORM;
    let class = |rest: &str| format!("( 1.3.6.1.4.1.55555.2.1 {rest} )");
    let kind = |rest: &str| format!("( 1.3.6.1.4.1.55555.1.1 {rest} )");
    for (name, old, new, want) in [
        (
            "objectClasses",
            SAILOR,
            class("NAME 'sailor' AUXILIARY MUST ( berth $ title ) MAY description"),
            refused,
        ),
        ("objectClasses", SAILOR, class("NAME 'sailor' AUXILIARY MUST berth"), refused),
        (
            "objectClasses",
            SAILOR,
            class("NAME 'seaman' AUXILIARY MUST berth MAY ( description $ title )"),
            refused,
        ),
        (
            "objectClasses",
            SAILOR,
            class("NAME 'sailor' STRUCTURAL MUST berth MAY ( description $ title )"),
            refused,
        ),
        ("attributeTypes", BERTH, kind("NAME 'berth' SUP name SINGLE-VALUE"), refused),
        ("attributeTypes", BERTH, kind("NAME 'berth' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27"), refused),
        (
            "attributeTypes",
            BERTH,
            kind("NAME ( 'berth' 'mooring' ) EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"),
            ResultCode::SUCCESS,
        ),
        (
            "objectClasses",
            SAILOR,
            class("NAME ( 'sailor' 'seaman' ) SUP top AUXILIARY MAY ( berth $ description $ title $ cn )"),
            ResultCode::SUCCESS,
        ),
    ] {
        assert_eq!(told(&store, again(name, old, &new)).await.0, want, "{new}");
    }
    assert_eq!(find(&store, subtree("(mooring=north quay 7)"), Actor::Service).await.0.len(), 1);
    assert_eq!(find(&store, subtree("(objectClass=seaman)"), Actor::Service).await.0.len(), 1);
    let gone = modify(vec![change(ChangeKind::Delete, "objectClasses", &[SAILOR])]);
    assert_eq!(
        told(&store, gone).await,
        (refused, "object class `sailor` is in use; its definition can only be made more lenient".to_owned())
    );
    let both = modify(vec![
        change(ChangeKind::Delete, "objectClasses", &[SAILOR]),
        change(ChangeKind::Delete, "attributeTypes", &[BERTH]),
    ]);
    assert_eq!(told(&store, both.clone()).await.0, refused);
    // Dependants count too.
    let kind_alone = modify(vec![change(ChangeKind::Delete, "attributeTypes", &[BERTH])]);
    assert_eq!(told(&store, kind_alone).await.0, ResultCode::CONSTRAINT_VIOLATION);
    ok(&store, Delete { dn: dn(&format!("uid=dora,ou=people,{SUFFIX}")) }).await;
    ok(&store, both).await;
}

/// An attribute no class allows can be had by what may have anything.
#[tokio::test]
async fn an_attribute_without_a_class() {
    let store = small().await;
    ok(&store, add("attributeTypes", BERTH)).await;
    ok(
        &store,
        entry(
            &format!("cn=x,ou=groups,{SUFFIX}"),
            &["objectClass: device", "objectClass: extensibleObject", "berth: 7"],
        ),
    )
    .await;
    let away = || modify(vec![change(ChangeKind::Delete, "attributeTypes", &[BERTH])]);
    assert_eq!(told(&store, away()).await.0, ResultCode::UNWILLING_TO_PERFORM);
    ok(&store, Delete { dn: dn(&format!("cn=x,ou=groups,{SUFFIX}")) }).await;
    ok(&store, away()).await;
}

#[tokio::test]
async fn within_one_commit_and_by_replacing() {
    let store = small().await;
    let ldif = format!(
        "dn: uid=early,ou=people,{SUFFIX}\nchangetype: add\nobjectClass: account\n\n\
         dn: cn=subschema\nchangetype: modify\nadd: attributeTypes\nattributeTypes: {BERTH}\n-\n\
         add: objectClasses\nobjectClasses: {SAILOR}\n\n\
         dn: uid=dora,ou=people,{SUFFIX}\nchangetype: add\nobjectClass: account\nobjectClass: sailor\nberth: 7\n\n\
         dn: cn=subschema\nchangetype: modify\ndelete: objectClasses\nobjectClasses: {SAILOR}\n\n"
    );
    let commits = store.counters().commits;
    let mut go_on = ImportOptions::default();
    go_on.continue_on_error = true;
    let report = store.import(ldif.as_bytes(), &go_on, &mut |_| {}).unwrap();
    // What the same commit has put into use is in use.
    assert_eq!((report.applied, report.refused, store.counters().commits - commits), (3, 1, 1));
    assert!(report.refusals[0].1.contains("in use"), "{}", report.refusals[0].1);
    assert_eq!(find(&store, subtree("(berth=7)"), Actor::Service).await.0.len(), 1);
    assert_eq!(find(&store, subtree("(uid=early)"), Actor::Service).await.0.len(), 1);

    // All of them again as they are printed, with one more.
    let mut all = values(&store, "attributeTypes").await;
    all.push("( 1.2.3.4 NAME 'draught' SUP name )".to_owned());
    let replace = |all: &[String]| {
        let values: Vec<&str> = all.iter().map(String::as_str).collect();
        modify(vec![change(ChangeKind::Replace, "attributeTypes", &values)])
    };
    ok(&store, replace(&all)).await;
    assert_eq!(values(&store, "attributeTypes").await.len(), all.len());
    let without_cn: Vec<String> = all.iter().filter(|one| !one.contains(" 2.5.4.3 ")).cloned().collect();
    assert_eq!(without_cn.len() + 1, all.len());
    assert_eq!(told(&store, replace(&without_cn)).await.0, ResultCode::UNWILLING_TO_PERFORM);
    let changed: Vec<String> = all.iter().map(|one| one.replace("'commonName'", "'usualName'")).collect();
    assert_eq!(told(&store, replace(&changed)).await.0, ResultCode::UNWILLING_TO_PERFORM);
}

#[tokio::test]
async fn by_administrators_only() {
    let store = small().await;
    let anna = Actor::User(Identity::from_successful_bind(dn(ANNA)));
    for actor in [Actor::Anonymous, anna] {
        let outcome = ask(&store, sailing(), actor).await.unwrap();
        assert_eq!(outcome.result.code, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    }
    let admin = bind(&store, ADMIN, ADMIN_PASSWORD).await.unwrap();
    assert_eq!(ask(&store, sailing(), admin).await.unwrap().result.code, ResultCode::SUCCESS);
    assert_eq!(code(&store, Delete { dn: dn("cn=subschema") }).await, ResultCode::NO_SUCH_OBJECT);
}

/// What nobody may read stays so under a subtype that is defined later.
#[tokio::test]
async fn access_rules_follow() {
    let store = small().await;
    ok(&store, add("attributeTypes", "( 1.2.3.9 NAME 'oldPKCS12' SUP userPKCS12 )")).await;
    let token = entry(
        &format!("cn=token,ou=groups,{SUFFIX}"),
        &["objectClass: device", "objectClass: extensibleObject", "oldPKCS12: x", "berth: 7"],
    );
    assert_eq!(code(&store, token.clone()).await, ResultCode::UNDEFINED_ATTRIBUTE_TYPE);
    ok(&store, add("attributeTypes", BERTH)).await;
    ok(&store, token).await;
    let anna = Actor::User(Identity::from_successful_bind(dn(ANNA)));
    let (found, _) = entries(&store, subtree("(berth=7)"), anna.clone()).await;
    let attributes = found[0].attributes();
    assert!(attributes.get("berth").is_some() && attributes.get("oldPKCS12").is_none());
    assert_eq!(find(&store, subtree("(oldPKCS12=*)"), anna).await.0, [""; 0]);
}

/// What the configuration names counts as used, whether or not there are entries: whoever is signed in by such a name is
/// compared by it.
#[tokio::test]
async fn names_of_the_configuration_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let options = || StoreOptions::folder(folder.path());
    let store = Store::open(options().suffix(dn(SUFFIX))).unwrap();
    ok(&store, add("attributeTypes", BERTH)).await;
    drop(store);
    let (harbour, admin) = (dn("o=Quay,berth=North"), dn("berth=Master,o=Crew"));
    let options = || options().suffix(harbour.clone()).administrator(admin.clone(), ADMIN_PASSWORD.into());
    let store = Store::open(options()).unwrap();
    ok(&store, entry("o=Quay,berth=North", &["objectClass: organization"])).await;
    ok(
        &store,
        entry(
            "cn=anna,o=Quay,berth=North",
            &["objectClass: person", "sn: Quay", &format!("userPassword: {ADMIN_PASSWORD}")],
        ),
    )
    .await;
    let again = |new: &str| {
        modify(vec![
            change(ChangeKind::Delete, "attributeTypes", &[BERTH]),
            change(ChangeKind::Add, "attributeTypes", &[new]),
        ])
    };
    let exact = BERTH.replace("caseIgnoreMatch", "caseExactMatch");
    let unwilling = ResultCode::UNWILLING_TO_PERFORM;
    assert_eq!(
        told(&store, again(&exact)).await,
        (unwilling, "the name `o=Quay,berth=North` is in use and would be compared otherwise".to_owned())
    );
    assert_eq!(told(&store, again(&exact.replace("1.1 ", "1.2 "))).await.0, unwilling);
    assert_eq!(
        told(&store, modify(vec![change(ChangeKind::Delete, "attributeTypes", &[BERTH])])).await.0,
        unwilling
    );
    // So the name that a conversation was begun by stays what it is.
    let mut conversation = session(&store).await;
    let step = BindStep::simple("CN=Anna,o=quay,berth=NORTH", ADMIN_PASSWORD.into());
    let bound = conversation.bind(step, Deadline::after(Duration::from_secs(60))).await.unwrap();
    let BindReply::Done { actor, .. } = bound else { panic!("{bound:?}") };
    ok(&store, again(&BERTH.replace("'berth'", "( 'berth' 'mooring' )"))).await;
    let own = Search::new(dn("cn=anna,o=quay,mooring=north"), Scope::Base, Filter::any());
    assert_eq!(find(&*conversation, own, actor).await.0, ["cn=anna,o=Quay,berth=North"]);
    drop(conversation);
    // However they are spelt, before and after a restart.
    let mut store = store;
    for round in 0..2 {
        if round == 1 {
            drop(store);
            store = Store::open(options()).unwrap();
        }
        assert!(bind(&store, "mooring=MASTER,o=crew", ADMIN_PASSWORD).await.is_ok());
        assert!(bind(&store, "cn=Anna,o=quay,mooring=NORTH", ADMIN_PASSWORD).await.is_ok());
        assert!(read(&store, "cn=ANNA,o=quay,berth=north").await.is_some());
    }
}

/// A name in a value may have types in it that are not defined, and is compared by its spelling then. What would have it
/// compared otherwise is refused, wherever the value is, and nothing is found by one spelling only.
#[tokio::test]
async fn names_in_values_stay_what_they_are() {
    let config = IndexConfig::default().index("pwdAttribute", [IndexKind::Equality]);
    let store = Store::open(options().indexes(config)).unwrap();
    fill(&store).await;
    let deep = format!("{}berth=North Quay,o=Gull Rock", "ou=a rather deep unit,".repeat(12));
    let set = |name: &'static str, values: &[&str]| Modify {
        dn: dn(ANNA),
        changes: vec![change(ChangeKind::Replace, name, values)],
    };
    let crew = |first: &str| -> Vec<String> {
        (0..100).map(|number| format!("{first}={number},o=Gull Rock")).collect()
    };
    let (many, long) = (crew("cn=x+BERTH"), crew(&format!("berth={}", "long ".repeat(60))));
    let of = |values: &'_ [String]| values.iter().map(String::as_str).collect::<Vec<_>>().join("|");
    let (many, long) = (of(&many), of(&long));
    let renamed = BERTH.replace("'berth'", "'quay'");
    let called_first = BERTH.replace("'berth'", "( 'pier' 'berth' )");
    let classes = change(ChangeKind::Add, "objectClass", &["extensibleObject"]);
    ok(&store, Modify { dn: dn(ANNA), changes: vec![classes] }).await;
    let table = [
        ("pwdAttribute", "berth", &*called_first),
        ("manager", "BERTH=North Quay,o=Gull Rock", BERTH),
        ("manager", "cn=x+1.3.6.1.4.1.55555.1.1=North,o=Gull Rock", BERTH),
        ("manager", &deep, BERTH),
        ("manager", "cn=x,quay=a", &renamed),
        // Without an index, in rows of their own.
        ("secretary", &many, BERTH),
        ("secretary", &long, BERTH),
        // With one.
        ("seeAlso", &many, BERTH),
        ("seeAlso", &long, BERTH),
    ];
    for (name, values, definition) in table {
        let values: Vec<&str> = values.split('|').collect();
        ok(&store, set(name, &values)).await;
        let (code, text) = told(&store, add("attributeTypes", definition)).await;
        assert_eq!(code, ResultCode::UNWILLING_TO_PERFORM, "{name} {}", values[0]);
        assert_eq!(
            text,
            format!(
                "a value of `{name}` of `{ANNA}` names something by what would be defined otherwise; take it away, \
                 change the schema, and put it back"
            )
        );
        let found = subtree(&format!("({name}={})", values[0].to_uppercase()));
        assert_eq!(find(&store, found, Actor::Service).await.0, [ANNA], "{name}");
        clean(&store);
        ok(&store, set(name, &[])).await;
    }
    // Other names are in nobody's way, nor is what only looks like it.
    ok(&store, set("manager", &["cn=a\\,berth\\=b,o=berth"])).await;
    ok(&store, add("attributeTypes", BERTH)).await;
    for value in ["berth=North  Quay,o=Gull Rock", "1.3.6.1.4.1.55555.1.1=north quay,o=gull rock"] {
        ok(&store, set("manager", &[value])).await;
        for asked in ["BERTH=NORTH QUAY,o=Gull Rock", "1.3.6.1.4.1.55555.1.1=north quay,O=gull rock"] {
            let found = find(&store, subtree(&format!("(manager={asked})")), Actor::Service).await.0;
            assert_eq!(found, [ANNA], "{value} {asked}");
        }
    }
    // What names an entry by a type is in use, though no entry has it.
    let delete = |value: &str| modify(vec![change(ChangeKind::Delete, "attributeTypes", &[value])]);
    assert_eq!(told(&store, delete(BERTH)).await.0, ResultCode::UNWILLING_TO_PERFORM);
    ok(&store, set("manager", &[])).await;
    ok(&store, delete(BERTH)).await;
    clean(&store);
}
