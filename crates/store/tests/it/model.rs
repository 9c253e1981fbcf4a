//! The store against a model that is a map: whatever is asked in whatever order, both answer the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use flext_ldap_directory::{Actor, Op};
use flext_ldap_proto::{
    dn::Dn,
    message::{Change, ChangeKind, Delete, Modify, Rename},
    result::ResultCode,
};
use flext_ldap_store::{ExportOptions, ImportOptions, Store};
use proptest::prelude::*;

use crate::support::*;

/// Entries are units that nest; each has descriptions.
#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u8>),
    Delete(Vec<u8>),
    Describe(Vec<u8>, u8),
    Undescribe(Vec<u8>, u8),
    Move(Vec<u8>, u8, Vec<u8>),
}

/// A path from the suffix down: few names, so that steps meet.
fn path() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..3_u8, 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => path().prop_map(Step::Add),
        1 => path().prop_map(Step::Delete),
        2 => (path(), 0..4_u8).prop_map(|(path, value)| Step::Describe(path, value)),
        1 => (path(), 0..4_u8).prop_map(|(path, value)| Step::Undescribe(path, value)),
        3 => (path(), 0..3_u8, prop::collection::vec(0..3_u8, 0..3)).prop_map(|(path, name, to)| Step::Move(path, name, to)),
    ]
}

fn name(path: &[u8]) -> Dn {
    let mut text = String::new();
    for part in path.iter().rev() {
        text.push_str(&format!("ou=u{part},"));
    }
    dn(&format!("{text}{SUFFIX}"))
}

/// What stands where, and its descriptions.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn has_parent(model: &Model, path: &[u8]) -> bool {
    path.len() == 1 || model.contains_key(&path[..path.len() - 1])
}

/// What the model answers, and becomes.
fn play(model: &mut Model, step: &Step) -> ResultCode {
    match step {
        Step::Add(path) if model.contains_key(path) => ResultCode::ENTRY_ALREADY_EXISTS,
        Step::Add(path) if !has_parent(model, path) => ResultCode::NO_SUCH_OBJECT,
        Step::Add(path) => {
            model.insert(path.clone(), Vec::new());
            ResultCode::SUCCESS
        }
        Step::Delete(path) | Step::Describe(path, _) | Step::Undescribe(path, _) | Step::Move(path, ..)
            if !model.contains_key(path) =>
        {
            ResultCode::NO_SUCH_OBJECT
        }
        Step::Delete(path) => {
            if model.keys().any(|one| one.len() > path.len() && one.starts_with(path)) {
                return ResultCode::NOT_ALLOWED_ON_NON_LEAF;
            }
            model.remove(path);
            ResultCode::SUCCESS
        }
        Step::Describe(path, value) => {
            let values = model.get_mut(path).unwrap();
            if values.contains(value) {
                return ResultCode::ATTRIBUTE_OR_VALUE_EXISTS;
            }
            values.push(*value);
            ResultCode::SUCCESS
        }
        Step::Undescribe(path, value) => {
            let values = model.get_mut(path).unwrap();
            let Some(place) = values.iter().position(|one| one == value) else {
                return ResultCode::NO_SUCH_ATTRIBUTE;
            };
            values.remove(place);
            ResultCode::SUCCESS
        }
        Step::Move(path, name, to) => {
            if !to.is_empty() && !model.contains_key(to) {
                return ResultCode::NO_SUCH_OBJECT;
            }
            if to.starts_with(path) {
                return ResultCode::UNWILLING_TO_PERFORM;
            }
            let target = [to.as_slice(), &[*name]].concat();
            if target != *path && model.contains_key(&target) {
                return ResultCode::ENTRY_ALREADY_EXISTS;
            }
            let moved: Vec<_> = model.keys().filter(|one| one.starts_with(path)).cloned().collect();
            for old in moved {
                let values = model.remove(&old).unwrap();
                model.insert([target.as_slice(), &old[path.len()..]].concat(), values);
            }
            ResultCode::SUCCESS
        }
    }
}

fn request(step: &Step) -> Op {
    let describe = |path: &[u8], kind, value: &u8| -> Op {
        let values = vec![Bytes::from(format!("d{value}"))];
        Modify { dn: name(path), changes: vec![Change { kind, attribute: attribute("description"), values }] }
            .into()
    };
    match step {
        Step::Add(path) => entry(&name(path).to_string(), &["objectClass: organizationalUnit"]).into(),
        Step::Delete(path) => Delete { dn: name(path) }.into(),
        Step::Describe(path, value) => describe(path, ChangeKind::Add, value),
        Step::Undescribe(path, value) => describe(path, ChangeKind::Delete, value),
        Step::Move(path, to, above) => Rename {
            dn: name(path),
            new_rdn: format!("ou=u{to}").parse().unwrap(),
            delete_old_rdn: true,
            new_superior: Some(name(above)),
        }
        .into(),
    }
}

async fn agrees(store: &Store, model: &Model) {
    let mut want: Vec<String> = model.keys().map(|path| name(path).to_string()).collect();
    want.sort();
    assert_eq!(find(store, subtree("(ou=*)"), Actor::Service).await.0, want, "by index");
    assert_eq!(find(store, subtree("(!(dc=*))"), Actor::Service).await.0, want, "by walking");
    for part in 0..3_u8 {
        let mut want: Vec<String> = model
            .keys()
            .filter(|path| path.last() == Some(&part))
            .map(|path| name(path).to_string())
            .collect();
        want.sort();
        assert_eq!(find(store, subtree(&format!("(ou=u{part})")), Actor::Service).await.0, want);
    }
    for (path, values) in model {
        let entry = read(store, &name(path).to_string()).await.unwrap();
        let mut found: Vec<String> = entry.attributes().get("description").map_or_else(Vec::new, |one| {
            one.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
        });
        let mut want: Vec<String> = values.iter().map(|value| format!("d{value}")).collect();
        found.sort();
        want.sort();
        assert_eq!(found, want);
        let children = model.keys().any(|one| one.len() == path.len() + 1 && one.starts_with(path));
        assert_eq!(entry.text("hasSubordinates"), Some(if children { "TRUE" } else { "FALSE" }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn store_and_model_agree(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(options()).unwrap();
            ok(&store, entry(SUFFIX, &["objectClass: organization", "objectClass: dcObject", "o: Harbour Lane", "dc: harbourlane"])).await;
            let mut model = Model::new();
            for step in &steps {
                let want = play(&mut model, step);
                assert_eq!(code(&store, request(step)).await, want, "{step:?}");
            }
            agrees(&store, &model).await;
            let mut text = Vec::new();
            let mut everything = ExportOptions::default();
            everything.operational = true;
            store.export(&mut text, &everything).unwrap();
            let again = Store::open(options()).unwrap();
            again.import(text.as_slice(), &ImportOptions::default(), &mut |_| {}).unwrap();
            agrees(&again, &model).await;
        });
    }
}
