//! Permissive modify, and relaxed rules.

use flext_ldap_proto::{
    control::{Controls, PermissiveModify, RelaxRules},
    message::ChangeKind::{Add, Delete, Replace},
};

use super::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";

#[tokio::test]
async fn permissive_modify() {
    let store = small().await;
    ok(&store, replace(ANNA, "description", &["one", "two"])).await;
    let (there, missing) = (ResultCode::ATTRIBUTE_OR_VALUE_EXISTS, ResultCode::NO_SUCH_ATTRIBUTE);
    let table: &[(_, &str, &[&str], ResultCode, &[&str])] = &[
        (Add, "description", &["ONE"], there, &["one", "two"]),
        (Add, "description", &["two", "three", "THREE"], there, &["one", "three", "two"]),
        (Delete, "description", &["four"], missing, &["one", "three", "two"]),
        (Delete, "description", &["four", "Three", "three"], missing, &["one", "two"]),
        (Delete, "title", &[], missing, &["one", "two"]),
        (Delete, "title", &["x"], missing, &["one", "two"]),
        (Replace, "description", &["five"], ResultCode::SUCCESS, &["five"]),
        (Replace, "description", &["six", "SIX", "five"], there, &["five", "six"]),
        (Delete, "description", &[], ResultCode::SUCCESS, &[]),
    ];
    for (kind, name, values, without, want) in table {
        let op = || change(ANNA, *kind, name, values);
        if *without != ResultCode::SUCCESS {
            assert_eq!(code(&store, op()).await, *without, "{kind:?} {values:?}");
        }
        let controls = Controls::none().critical(&PermissiveModify);
        let got = code_with(&store, op(), controls, Actor::Service).await;
        assert_eq!(got, ResultCode::SUCCESS, "{kind:?} {values:?}");
        let entry = read(&store, ANNA).await.unwrap();
        let mut left: Vec<_> = entry
            .attributes()
            .get("description")
            .map(|one| one.values().map(|value| std::str::from_utf8(value).unwrap().to_owned()).collect())
            .unwrap_or_default();
        left.sort();
        assert_eq!(left, *want, "{kind:?} {values:?}");
    }
    // What is wrong otherwise stays wrong.
    let controls = || Controls::none().critical(&PermissiveModify);
    for (op, want) in [
        (change(ANNA, Add, "description", &[]), ResultCode::PROTOCOL_ERROR),
        (change(ANNA, Delete, "uid", &["anna"]), ResultCode::NOT_ALLOWED_ON_RDN),
        (change(ANNA, Add, "noSuch", &["x"]), ResultCode::UNDEFINED_ATTRIBUTE_TYPE),
    ] {
        assert_eq!(code_with(&store, op, controls(), Actor::Service).await, want);
    }
}

#[tokio::test]
async fn relaxed_rules() {
    let store = small().await;
    let admin = bind(&store, ADMIN, ADMIN_PASSWORD).await.unwrap();
    let relax = || Controls::none().critical(&RelaxRules);
    let own = [
        ("entryUUID", "2b6a2c5e-0df1-4f5c-9c2c-62c04b6c7c55"),
        ("createTimestamp", "20010203040506Z"),
        ("creatorsName", "cn=somebody,dc=harbourlane,dc=example"),
        ("modifyTimestamp", "20020304050607Z"),
        ("modifiersName", "cn=nobody,dc=harbourlane,dc=example"),
    ];
    let eve = format!("uid=eve,ou=people,{SUFFIX}");
    let lines: Vec<String> = ["objectClass: inetOrgPerson", "sn: Quay", "cn: Eve"]
        .into_iter()
        .map(str::to_owned)
        .chain(own.iter().map(|(name, value)| format!("{name}: {value}")))
        .collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let add = || entry(&eve, &lines);
    assert_eq!(code(&store, add()).await, ResultCode::CONSTRAINT_VIOLATION);
    assert_eq!(code_with(&store, add(), relax(), admin.clone()).await, ResultCode::SUCCESS);
    let entry = read(&store, &eve).await.unwrap();
    for (name, value) in own {
        assert_eq!(entry.text(name), Some(value));
    }
    // Two entries are told apart by it, in one commit too.
    assert_eq!(
        code_with(&store, replace(ANNA, "entryUUID", &[own[0].1]), relax(), admin.clone()).await,
        ResultCode::CONSTRAINT_VIOLATION
    );
    let twin = |uid: &str| {
        let uuid = "entryUUID: 7D0E6A5C-3F4B-4B7B-9C25-6A1D6C0B7F10";
        let lines = ["objectClass: account", &format!("uid: {uid}"), uuid];
        code_with(
            &store,
            crate::support::entry(&format!("uid={uid},{SUFFIX}"), &lines),
            relax(),
            admin.clone(),
        )
    };
    let (one, other) = tokio::join!(twin("one"), twin("other"));
    assert_eq!((one, other), (ResultCode::SUCCESS, ResultCode::CONSTRAINT_VIOLATION));
    ok(&store, flext_ldap_proto::message::Delete { dn: dn(&eve) }).await;
    for (name, value) in own {
        let set = || replace(ANNA, name, &[value]);
        assert_eq!(code(&store, set()).await, ResultCode::CONSTRAINT_VIOLATION, "{name}");
        assert_eq!(code_with(&store, set(), relax(), admin.clone()).await, ResultCode::SUCCESS, "{name}");
        assert_eq!(read(&store, ANNA).await.unwrap().text(name), Some(value));
    }
    // Other stamps are set as ever.
    let other = replace(ANNA, "title", &["x"]);
    assert_eq!(code_with(&store, other, relax(), admin.clone()).await, ResultCode::SUCCESS);
    assert_eq!(read(&store, ANNA).await.unwrap().text("modifiersName"), Some(ADMIN));
    for (name, value) in [
        ("structuralObjectClass", "person"),
        ("entryCSN", "20010203040506.000000Z#000000#000#000000"),
        ("hasSubordinates", "TRUE"),
        ("entryDN", "cn=x"),
    ] {
        let set = replace(ANNA, name, &[value]);
        let got = code_with(&store, set, relax(), admin.clone()).await;
        assert_eq!(got, ResultCode::CONSTRAINT_VIOLATION, "{name}");
    }
    // A value must be one of the attribute's all the same.
    let wrong = replace(ANNA, "createTimestamp", &["yesterday"]);
    let got = code_with(&store, wrong, relax(), admin).await;
    assert_eq!(got, ResultCode::INVALID_ATTRIBUTE_SYNTAX);
    // Nobody else relaxes anything, not even where they may write.
    let own_password = replace(ANNA, "userPassword", &["spring tide"]);
    let got = code_with(&store, own_password, relax(), user("anna")).await;
    assert_eq!(got, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
}
