//! Tree delete: all or nothing.

use std::sync::Arc;

use flext_ldap_directory::{
    AccessPolicy, AttributeRight, EntryRight, Error, Lookup, Requester, Rights, Target,
};
use flext_ldap_proto::{
    attribute::Selection,
    ber::Reader,
    control::{Controls, PersistentSearch, PreRead, ReadEntry, TreeDelete},
    filter::Filter,
    message::{Delete, Limits as WireLimits},
};
use flext_ldap_store::{Limits as StoreLimits, Store};

use super::*;

fn tree() -> Controls {
    Controls::none().critical(&TreeDelete)
}

fn delete(name: &str) -> Delete {
    Delete { dn: dn(name) }
}

async fn left(store: &Store) -> Vec<String> {
    find(store, subtree("(objectClass=*)"), Actor::Service).await.0
}

/// People with a unit of their own below one of them, and an entry below that.
async fn branches(store: &Store) -> String {
    let people = format!("ou=people,{SUFFIX}");
    let unit = format!("ou=keys,uid=anna,{people}");
    ok(store, entry(&unit, &["objectClass: organizationalUnit"])).await;
    ok(store, entry(&format!("cn=door,{unit}"), &["objectClass: device"])).await;
    people
}

#[tokio::test]
async fn a_tree_goes_with_all_that_is_in_it() {
    let store = small().await;
    let people = branches(&store).await;
    assert_eq!(code(&store, delete(&people)).await, ResultCode::NOT_ALLOWED_ON_NON_LEAF);
    assert_eq!(left(&store).await.len(), 8);
    let writes = store.counters().writes;
    let commits = store.counters().commits;
    let controls = tree().optional(&PreRead(Selection::from(["ou"])));
    let outcome = ask_with(&store, delete(&people), controls, Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    assert_eq!(left(&store).await, [SUFFIX, &format!("ou=groups,{SUFFIX}")].map(str::to_owned));
    // Each entry is a change of its own, all of them one commit.
    assert_eq!((store.counters().writes - writes, store.counters().commits - commits), (6, 1));
    // What is read is the entry that was named.
    let control = outcome.controls.iter().next().unwrap();
    let value = control.value.clone().unwrap();
    let ReadEntry(entry) = ReadEntry::decode(&mut Reader::new(&value), &WireLimits::DEFAULT).unwrap();
    assert_eq!((entry.dn_str(), entry.text("ou")), (people.as_str(), Some("people")));
    // The names are free again, and a leaf is a tree too.
    ok(&store, super::super::support::entry(&people, &["objectClass: organizationalUnit"])).await;
    assert_eq!(code_with(&store, delete(&people), tree(), Actor::Service).await, ResultCode::SUCCESS);
    let missing = code_with(&store, delete(&people), tree(), Actor::Service).await;
    assert_eq!(missing, ResultCode::NO_SUCH_OBJECT);
}

#[tokio::test]
async fn a_tree_that_is_too_large_stays_as_it_is() {
    let mut limits = StoreLimits::default();
    limits.tree_delete = 6;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    let people = branches(&store).await;
    ok(&store, person("dora")).await;
    let refused = code_with(&store, delete(&people), tree(), Actor::Service).await;
    assert_eq!((refused, left(&store).await.len()), (ResultCode::ADMIN_LIMIT_EXCEEDED, 9));
    let branch = format!("uid=anna,{people}");
    assert_eq!(code_with(&store, delete(&branch), tree(), Actor::Service).await, ResultCode::SUCCESS);
    assert_eq!(code_with(&store, delete(&people), tree(), Actor::Service).await, ResultCode::SUCCESS);
}

/// Lets everybody delete everything but what is named `door`.
struct Door;

impl AccessPolicy for Door {
    fn rights_of(&self, _: Requester<'_>, _: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(Self))
    }
}

impl Rights for Door {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, target: Target<'_>, _: EntryRight) -> bool {
        target.dn.rdns().len() < 6
    }

    fn attribute(&self, _: Target<'_>, _: &str, _: AttributeRight) -> bool {
        true
    }
}

#[tokio::test]
async fn the_right_to_each_entry_is_needed() {
    let store = Store::open(options().policy(Arc::new(Door))).unwrap();
    fill(&store).await;
    let people = branches(&store).await;
    let refused = code_with(&store, delete(&people), tree(), user("bert")).await;
    assert_eq!((refused, left(&store).await.len()), (ResultCode::INSUFFICIENT_ACCESS_RIGHTS, 8));
    ok(&store, delete(&format!("cn=door,ou=keys,uid=anna,{people}"))).await;
    assert_eq!(code_with(&store, delete(&people), tree(), user("bert")).await, ResultCode::SUCCESS);
}

/// Who follows a tree hears of each of its entries.
#[tokio::test]
async fn every_entry_is_told() {
    let store = small().await;
    let people = branches(&store).await;
    let asked = PersistentSearch {
        change_types: flext_ldap_proto::control::ChangeTypes::DELETE,
        changes_only: false,
        return_ecs: false,
    };
    let all = Search::new(dn(SUFFIX), flext_ldap_proto::message::Scope::Subtree, Filter::any());
    let mut reply = store.call(Request::new(all, Actor::Service).critical(&asked).into_any());
    let mut told = Vec::new();
    while told.len() < 8 {
        let flext_ldap_directory::Event::Batch(batch) = reply.next().await.unwrap() else {
            panic!("it ended")
        };
        told.extend(batch.entries().map(|entry| entry.dn_str().to_owned()));
    }
    assert_eq!(code_with(&store, delete(&people), tree(), Actor::Service).await, ResultCode::SUCCESS);
    while told.len() < 14 {
        let flext_ldap_directory::Event::Batch(batch) = reply.next().await.unwrap() else {
            panic!("it ended")
        };
        told.extend(batch.entries().map(|entry| entry.dn_str().to_owned()));
    }
    let mut gone = told.split_off(8);
    assert_eq!(gone.last(), Some(&people));
    gone.sort();
    told.retain(|name| name.ends_with(&people));
    told.sort();
    assert_eq!(gone, told);
}
