//! Paging cookies stay with the server that gave them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flext_ldap_client::{Choice, ServerSet};
use flext_ldap_directory::{
    DirectoryExt as _, Entries, Error, ErrorKind, Op,
    proto::{
        control::{ControlValue as _, Controls, PagedResults},
        message::Limits,
    },
};

use super::played::{Mood, Played, QUICK, pass, set};
use crate::support::search;

/// Both give the same octets, as servers of one product do.
fn servers() -> [Arc<Played>; 2] {
    ["one", "two"].map(|name| {
        let server = Played::new(name, QUICK);
        let page = PagedResults { size: 0, cookie: Bytes::from_static(&[1, 0, 0, 0]) };
        *server.controls.lock().unwrap() = Controls::none().optional(&page);
        server
    })
}

fn page(cookie: Bytes) -> PagedResults {
    PagedResults { size: 10, cookie }
}

/// Asks for a page; gives who answered and the cookie.
async fn ask(set: &ServerSet, cookie: Bytes) -> Result<(String, Bytes), Error> {
    let mut entries: Entries<'_> =
        set.search(search("ou=people").within(Duration::from_secs(5)).critical(&page(cookie)));
    let who = entries.next().await?.unwrap().dn_str().to_owned();
    assert!(entries.next().await?.is_none());
    let outcome = entries.outcome().unwrap();
    Ok((who, outcome.controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap().cookie))
}

#[tokio::test(start_paused = true)]
async fn each_page_is_asked_of_the_server_of_the_one_before() {
    let servers = servers();
    let set = set(&servers, |builder| builder.choice(Choice::RoundRobin));
    let (one, of_one) = ask(&set, Bytes::new()).await.unwrap();
    let (two, of_two) = ask(&set, Bytes::new()).await.unwrap();
    assert_ne!(one, two);
    assert_ne!(of_one, of_two, "the same octets of two servers are told apart");
    let (mut of_one, mut of_two) = (of_one, of_two);
    for _ in 0..5 {
        for (expected, cookie) in [(&one, &mut of_one), (&two, &mut of_two)] {
            let (who, next) = ask(&set, cookie.clone()).await.unwrap();
            assert_eq!(who, *expected);
            *cookie = next;
        }
    }
    // The servers see their own cookies and nothing else.
    for server in &servers {
        for request in &server.asked.lock().unwrap()[1..] {
            assert!(matches!(request.op, Op::Search(_)));
            assert_eq!(request.controls, Controls::none().critical(&page(Bytes::from_static(&[1, 0, 0, 0]))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_server_is_lost_says_so() {
    let servers = servers();
    let set = set(&servers, |builder| builder);
    let (_, cookie) = ask(&set, Bytes::new()).await.unwrap();
    servers[0].turns(Mood::Resets);
    let error = ask(&set, cookie.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(
        error.to_string(),
        "the search goes on with a cookie of one, which is good there only: start the search again"
    );
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(servers[1].asked(), 0);
    // It is asked even while it is down, since nobody else can be.
    pass(Duration::from_secs(5)).await;
    servers[0].turns(QUICK);
    assert_eq!(ask(&set, cookie).await.unwrap().0, "cn=one");
}

#[tokio::test(start_paused = true)]
async fn a_cookie_from_elsewhere_is_sent_to_nobody() {
    let servers = servers();
    let (one, other) = (set(&servers, |builder| builder), set(&servers, |builder| builder));
    let (_, foreign) = ask(&other, Bytes::new()).await.unwrap();
    let asked = servers[0].asked();
    for cookie in [foreign, Bytes::from_static(&[1, 0, 0, 0])] {
        let error = ask(&one, cookie).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().contains("a cookie that the set `directory` has not given"), "{error}");
    }
    assert_eq!(servers[0].asked(), asked);
}

#[tokio::test(start_paused = true)]
async fn pages_pass_through_sets_in_sets() {
    let servers = servers();
    let inner = set(&servers, |builder| builder.choice(Choice::RoundRobin));
    let outer = ServerSet::builder("outer")
        .server(Arc::new(inner))
        .server(Played::new("far", QUICK))
        .build()
        .unwrap();
    let (who, mut cookie) = ask(&outer, Bytes::new()).await.unwrap();
    for _ in 0..6 {
        let (next, given) = ask(&outer, cookie).await.unwrap();
        assert_eq!(next, who);
        cookie = given;
    }
    let last = servers.iter().flat_map(|server| server.asked.lock().unwrap().clone()).next_back().unwrap();
    let seen = last.controls.iter().find(|control| control.oid == PagedResults::OID).unwrap();
    assert_eq!(seen.value.as_ref().unwrap().len(), 11, "the marks are off");
}
