//! Controls, asked of the store without a wire.

mod lists;
mod persistent;
mod proxied;
mod relaxed;
mod sorting;
mod tree;

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, Identity, Op, Outcome, Request};
use flext_ldap_proto::{
    control::{ControlValue, Controls},
    message::{Change, ChangeKind, Limits, Modify, Search},
    result::ResultCode,
};

use crate::support::*;

fn user(uid: &str) -> Actor {
    Actor::User(Identity::from_successful_bind(dn(&format!("uid={uid},ou=people,{SUFFIX}"))))
}

fn replace(name: &str, attribute_name: &str, values: &[&str]) -> Modify {
    change(name, ChangeKind::Replace, attribute_name, values)
}

fn change(name: &str, kind: ChangeKind, attribute_name: &str, values: &[&str]) -> Modify {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Modify { dn: dn(name), changes: vec![Change { kind, attribute: attribute(attribute_name), values }] }
}

async fn ask_with(store: &dyn Directory, op: impl Into<Op>, controls: Controls, actor: Actor) -> Outcome {
    let mut request = Request::new(op.into(), actor);
    request.controls = controls;
    store.call(request).outcome().await.unwrap()
}

pub(crate) async fn code_with(
    store: &dyn Directory,
    op: impl Into<Op>,
    controls: Controls,
    actor: Actor,
) -> ResultCode {
    ask_with(store, op, controls, actor).await.result.code
}

/// The entries in the order they came, and the outcome.
async fn found_with(
    store: &dyn Directory,
    search: Search,
    controls: Controls,
    actor: Actor,
) -> (Vec<flext_ldap_proto::entry::Entry>, Outcome) {
    let mut request = Request::new(Op::from(search), actor);
    request.controls = controls;
    let mut reply = store.call(request);
    let mut entries = Vec::new();
    loop {
        match reply.next().await.unwrap() {
            flext_ldap_directory::Event::Batch(batch) => {
                entries.extend(batch.entries().map(|entry| entry.to_entry()));
            }
            flext_ldap_directory::Event::Done(outcome) => return (entries, outcome),
        }
    }
}

/// The values of the names of entries, in order: `anna` of `uid=anna,ou=people`.
fn names(entries: &[flext_ldap_proto::entry::Entry]) -> Vec<String> {
    let first = |name: &str| name.split(',').next().unwrap().split_once('=').unwrap().1.to_owned();
    entries.iter().map(|entry| first(entry.dn_str())).collect()
}

fn answered<C: ControlValue>(outcome: &Outcome) -> C {
    outcome.controls.get::<C>(&Limits::DEFAULT).unwrap().unwrap()
}
