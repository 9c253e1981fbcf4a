//! Every public asynchronous function, dropped after each possible number of polls.

use std::{sync::Arc, time::Duration};

use flext_ldap_client::{Connection, Credentials};
use flext_ldap_directory::{
    Actor, BindStep, Deadline, Directory, DirectoryExt, Session,
    proto::{
        message::{Request as Message, Response},
        result::LdapResult,
    },
};
use tokio::task::JoinHandle;

use crate::support::*;

/// As many polls as the longest of these futures needs; each test sees itself that it got that far.
const POLLS: usize = 64;

/// A server that answers everything with success, and gives back what it was asked once the client has gone.
fn answering(server: Server) -> JoinHandle<Vec<Message>> {
    tokio::spawn(async move { answer_all(server.accept().await).await })
}

async fn answer_all(mut peer: Peer<tokio::net::TcpStream>) -> Vec<Message> {
    let mut requests = Vec::new();
    while let Some((id, request, _)) = peer.next().await {
        let octets = match &request {
            Message::Bind(_) => encoded(id, &bound()),
            Message::Search(_) => {
                [&entry(id, "cn=1", 1)[..], &entry(id, "cn=2", 1), &encoded(id, &done())].concat().into()
            }
            Message::Delete(_) => encoded(id, &Response::Delete(LdapResult::success())),
            _ => bytes::Bytes::new(),
        };
        requests.push(request);
        // The client may have gone meanwhile.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut peer.stream, &octets).await;
    }
    requests
}

async fn tasks_are_gone(before: usize) {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    while tasks() > before {
        tokio::task::yield_now().await;
    }
}

async fn good(connection: &Connection) {
    assert_eq!(connection.search_all(search("cn=a")).await.unwrap().len(), 2);
}

#[tokio::test]
async fn connect_leaves_nothing_behind() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut finished = 0;
    for polls in 0..POLLS {
        let server = Server::start().await;
        let connector =
            server.clear().credentials(Credentials::simple("cn=reader", "a password")).build().unwrap();
        let peers = answering(server);
        match Cancellable::after(polls, connector.connect()).await {
            Ok(connection) => {
                good(&connection.unwrap()).await;
                finished += 1;
            }
            Err(Cancelled) => peers.abort(),
        }
        drop(peers);
        tasks_are_gone(before).await;
    }
    assert!(finished > 0);
}

#[tokio::test]
async fn a_dropped_bind_never_leaves_a_doubtful_identity() {
    let mut finished = 0;
    for polls in 0..POLLS {
        let server = Server::start().await;
        let connector = server.clear().build().unwrap();
        let _peers = answering(server);
        let mut connection = connector.connect().await.unwrap();
        let by = Deadline::after(Duration::from_secs(20));
        let bind = connection.bind(BindStep::simple("cn=maja", "a password".into()), by);
        match Cancellable::after(polls, bind).await {
            Ok(bound) => {
                bound.unwrap();
                assert!(matches!(connection.actor(), Some(Actor::User(_))));
                good(&connection).await;
                finished += 1;
            }
            Err(Cancelled) if polls == 0 => assert_eq!(connection.actor(), Some(Actor::Anonymous)),
            Err(Cancelled) => assert_eq!(connection.actor(), None),
        }
    }
    assert!(finished > 0);
}

#[tokio::test]
async fn reading_a_reply_loses_nothing() {
    for polls in 0..8 {
        let server = Server::start().await;
        let connector = server.clear().build().unwrap();
        let _peers = answering(server);
        let connection = connector.connect().await.unwrap();
        let mut entries = connection.search(search("cn=a"));
        let mut names = Vec::new();
        loop {
            // Each time the future of one entry is dropped after some polls, and asked for again.
            match Cancellable::after(polls, entries.next()).await {
                Ok(next) => match next.unwrap() {
                    Some(entry) => names.push(entry.dn_str().to_owned()),
                    None => break,
                },
                Err(Cancelled) if polls == 0 => match entries.next().await.unwrap() {
                    Some(entry) => names.push(entry.dn_str().to_owned()),
                    None => break,
                },
                Err(Cancelled) => tokio::task::yield_now().await,
            }
        }
        assert_eq!(names, ["cn=1", "cn=2"]);
    }
}

#[tokio::test]
async fn dropped_operations_leave_the_connection_good() {
    let server = Server::start().await;
    let connector = server.clear().in_flight(1).build().unwrap();
    let peers = answering(server);
    let connection = connector.connect().await.unwrap();
    let mut deletes = 0;
    for polls in 0..8 {
        let _ = Cancellable::after(polls, connection.search_all(search("cn=a"))).await;
        let _ = Cancellable::after(polls, connection.delete(delete("cn=a"))).await;
        // A write is sent even if its reply is dropped at once, as long as it found room.
        drop(connection.call(delete("cn=b").into_any()));
        good(&connection).await;
        deletes += 1;
    }
    connection.close().await;
    let requests = peers.await.unwrap();
    assert!(requests.iter().filter(|request| matches!(request, Message::Delete(_))).count() >= deletes);
    assert_eq!(requests.last(), Some(&Message::Unbind));
}

#[tokio::test]
async fn close_and_closed_can_be_dropped_and_called_again() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for polls in 0..POLLS {
        let server = Server::start().await;
        let connector = server.clear().build().unwrap();
        let peers = answering(server);
        let connection = Arc::new(connector.connect().await.unwrap());
        assert!(matches!(Cancellable::after(polls.min(1), connection.closed()).await, Err(Cancelled)));
        let _ = Cancellable::after(polls, connection.close()).await;
        if polls > 0 {
            assert!(connection.closed().await.to_string().ends_with("was closed"));
        }
        connection.close().await;
        assert_eq!(peers.await.unwrap(), [Message::Unbind]);
        tasks_are_gone(before).await;
    }
}
