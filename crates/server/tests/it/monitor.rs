//! `cn=Monitor`: what it shows, to whom, and that it cannot be changed.

use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    attribute::Selection,
    batch::{BatchBuilder, Item},
    message::{Compare, Envelope, Limits, Request, Response, Scope, Search},
    result::ResultCode,
};
use flext_ldap_server::Monitor;

use crate::peer::{Lab, PeerSide, delete, search_for};

async fn lab() -> Lab {
    let monitor = Monitor::new(
        |actor, _| matches!(actor, Actor::User(identity) if identity.authorization() == "dn:cn=ada"),
    )
    .source("Store", || vec![("Commits", "7".to_owned())]);
    Lab::with(|builder| builder.monitor(monitor)).await
}

/// The entries found: their names, and the values of one attribute.
async fn found(
    peer: &mut PeerSide<tokio::net::TcpStream>,
    search: Search,
    attribute: &str,
) -> (Vec<(String, String)>, ResultCode) {
    peer.send(100, &Request::Search(search)).await;
    let mut entries = Vec::new();
    loop {
        let frame = peer.frame().await.unwrap();
        let envelope = Envelope::decode(frame.clone(), &Limits::DEFAULT).unwrap();
        match envelope.response(&Limits::DEFAULT).unwrap() {
            Response::SearchDone(result) => return (entries, result.code),
            _ => {
                let mut batch = BatchBuilder::over(frame.clone());
                batch.add(envelope.op_range(), envelope.controls_range(), &Limits::DEFAULT).unwrap();
                for item in batch.build().iter() {
                    let Item::Entry(entry) = item.get() else { panic!("no entry") };
                    let value = entry.text(attribute).unwrap_or_default().to_owned();
                    entries.push((entry.dn_str().to_owned(), value));
                }
            }
        }
    }
}

fn search(base: &str, scope: Scope, filter: &str) -> Search {
    let Request::Search(mut search) = search_for(base, filter.parse().unwrap()) else { panic!() };
    search.scope = scope;
    search
}

#[tokio::test]
async fn it_counts_for_those_who_may_read_it() {
    let lab = lab().await;
    let mut peer = lab.peer().await;
    let all = || search("cn=monitor", Scope::Subtree, "(objectClass=*)");
    assert_eq!(
        found(&mut peer, all(), "cn").await,
        (Vec::new(), ResultCode::SUCCESS),
        "the toy knows no such name"
    );
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    let (entries, code) = found(&mut peer, all(), "cn").await;
    assert_eq!(code, ResultCode::SUCCESS);
    let names: Vec<_> = entries.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "cn=Monitor",
        "cn=Current,cn=Connections,cn=Monitor",
        "cn=Modrdn,cn=Operations,cn=Monitor",
        "cn=Bytes,cn=Statistics,cn=Monitor",
        "cn=Binds,cn=Rate Limits,cn=Monitor",
        "cn=Uptime,cn=Time,cn=Monitor",
        "cn=Version,cn=Monitor",
        "cn=Commits,cn=Store,cn=Monitor",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    // A bind is complete, the two searches before are, and this one is under way.
    let operation = search("cn=operations,cn=monitor", Scope::One, "(|(cn=bind)(cn=search))");
    let (entries, _) = found(&mut peer, operation.clone(), "monitorOpInitiated").await;
    let want = [("cn=Bind,cn=Operations,cn=Monitor", "1"), ("cn=Search,cn=Operations,cn=Monitor", "3")];
    assert_eq!(entries, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let (entries, _) = found(&mut peer, operation, "monitorOpCompleted").await;
    assert_eq!(entries[1].1, "3");
    let mut few = search("cn=Time,cn=Monitor", Scope::Base, "(objectClass=monitorContainer)");
    few.attributes = Selection::none();
    assert_eq!(
        found(&mut peer, few, "cn").await,
        (vec![("cn=Time,cn=Monitor".to_owned(), String::new())], ResultCode::SUCCESS)
    );
    let mut few = all();
    few.size_limit = 2;
    let (entries, code) = found(&mut peer, few, "cn").await;
    assert_eq!((entries.len(), code), (2, ResultCode::SIZE_LIMIT_EXCEEDED));
    let missing = search("cn=no,cn=monitor", Scope::Base, "(objectClass=*)");
    assert_eq!(found(&mut peer, missing, "cn").await.1, ResultCode::NO_SUCH_OBJECT);
}

#[tokio::test]
async fn it_is_compared_and_not_changed() {
    let lab = lab().await;
    let mut peer = lab.peer().await;
    let commits = |value: &'static str| {
        Request::Compare(Compare {
            dn: "cn=Commits,cn=Store,cn=Monitor".parse().unwrap(),
            attribute: "monitorCounter".parse().unwrap(),
            value: bytes::Bytes::from_static(value.as_bytes()),
        })
    };
    assert_eq!(peer.bind(1, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    for (id, value, want) in [(2, "7", ResultCode::COMPARE_TRUE), (3, "8", ResultCode::COMPARE_FALSE)] {
        let Response::Compare(result) = peer.ask(id, &commits(value)).await else { panic!() };
        assert_eq!(result.code, want);
    }
    let Response::Delete(result) = peer.ask(4, &delete("cn=Version,cn=Monitor")).await else { panic!() };
    assert_eq!(result.code, ResultCode::UNWILLING_TO_PERFORM);
}
