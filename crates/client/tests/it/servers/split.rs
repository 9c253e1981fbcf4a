//! Reads one way, writes another.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use flext_ldap_client::{Server, SplitServers};
use flext_ldap_directory::{
    Actor, Deadline, DirectoryExt as _, Identity, Peer, Request, Sessions as _,
    proto::{
        control::{Controls, PagedResults},
        message::{Limits, Search},
    },
};

use super::played::{Mood, Played, QUICK, pass, who};
use crate::support::{dn, modify, search};

fn split() -> (SplitServers, Arc<Played>, Arc<Played>) {
    let (reads, writes) = (Played::new("reads", QUICK), Played::new("writes", QUICK));
    let split = SplitServers::new(
        "directory",
        Arc::clone(&reads) as Arc<dyn Server>,
        Arc::clone(&writes) as Arc<dyn Server>,
    );
    (split, reads, writes)
}

fn by(actor: &Actor) -> Request<Search> {
    Request { actor: actor.clone(), ..search("ou=people") }
}

#[tokio::test(start_paused = true)]
async fn who_has_written_reads_what_is_written() {
    let (split, _, writes) = split();
    let ada = Actor::User(Identity::from_successful_bind(dn("uid=ada,ou=people")));
    assert_eq!(who(&split).await.unwrap(), "cn=reads");
    let write = Request { actor: ada.clone(), ..modify("uid=ada", "x") };
    split.modify(write).await.unwrap();
    let of_ada = || async { split.search_all(by(&ada)).await.map(|entries| entries[0].dn_str().to_owned()) };
    assert_eq!(of_ada().await.unwrap(), "cn=writes");
    assert_eq!(who(&split).await.unwrap(), "cn=reads", "the others read as before");
    // Rather than what is old, nothing.
    writes.turns(Mood::Refuses);
    of_ada().await.unwrap_err();
    writes.turns(QUICK);
    pass(Duration::from_millis(4_900)).await;
    assert_eq!(of_ada().await.unwrap(), "cn=writes");
    pass(Duration::from_millis(200)).await;
    assert_eq!(of_ada().await.unwrap(), "cn=reads");
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_from_the_end_of_a_write_and_covers_all_of_it() {
    let (split, _, writes) = split();
    writes.turns(Mood::Answers(Duration::from_secs(4)));
    let write = split.modify(modify("uid=ada", "x"));
    writes.turns(QUICK);
    assert_eq!(who(&split).await.unwrap(), "cn=writes", "from before it is done");
    write.await.unwrap();
    pass(Duration::from_millis(4_900)).await;
    assert_eq!(who(&split).await.unwrap(), "cn=writes");
    pass(Duration::from_millis(200)).await;
    assert_eq!(who(&split).await.unwrap(), "cn=reads");
}

#[tokio::test(start_paused = true)]
async fn more_writers_than_can_be_remembered_all_read_what_is_written() {
    let (split, _, _) = split();
    let actor = |number: usize| {
        Actor::User(Identity::from_successful_bind(dn(&format!("uid=user{number},ou=people"))))
    };
    let last = 10_050;
    for number in 0..=last {
        drop(split.modify(Request { actor: actor(number), ..modify("uid=ada", "x") }));
    }
    for number in [0, 9_999, last, last + 1] {
        let entries = split.search_all(by(&actor(number))).await.unwrap();
        assert_eq!(entries[0].dn_str(), "cn=writes", "{number}");
    }
    pass(Duration::from_secs(6)).await;
    assert_eq!(who(&split).await.unwrap(), "cn=reads");
}

#[tokio::test(start_paused = true)]
async fn it_can_be_off() {
    let (split, reads, writes) = split();
    let split = split.read_own_writes(Duration::ZERO);
    split.modify(modify("uid=ada", "x")).await.unwrap();
    assert_eq!(who(&split).await.unwrap(), "cn=reads");
    split.who_am_i(Actor::Service).await.unwrap();
    split.open(Peer::in_process()).await.unwrap();
    assert_eq!((reads.asked(), writes.asked()), (1, 2), "extended operations may write");
    assert_eq!((reads.opened.load(Ordering::SeqCst), writes.opened.load(Ordering::SeqCst)), (0, 1));
    writes.turns(Mood::Refuses);
    split.check(Deadline::after(Duration::from_secs(1))).await.unwrap_err();
    split.shutdown(Deadline::after(Duration::from_secs(1))).await;
    assert!(reads.is_shut_down.load(Ordering::SeqCst) && writes.is_shut_down.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn pages_stay_where_they_began_whatever_is_written_meanwhile() {
    let (split, reads, writes) = split();
    for server in [&reads, &writes] {
        let page = PagedResults { size: 0, cookie: Bytes::from_static(b"same") };
        *server.controls.lock().unwrap() = Controls::none().optional(&page);
    }
    let mut cookie = Bytes::new();
    for number in 0..3 {
        let page = PagedResults { size: 10, cookie };
        let mut entries = split.search(search("ou=people").critical(&page));
        assert_eq!(entries.next().await.unwrap().unwrap().dn_str(), "cn=reads", "page {number}");
        assert!(entries.next().await.unwrap().is_none());
        let controls = &entries.outcome().unwrap().controls;
        cookie = controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap().cookie;
        split.modify(modify("uid=ada", "x")).await.unwrap();
    }
}
