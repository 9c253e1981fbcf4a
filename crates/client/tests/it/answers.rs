//! Answers reach those they are for, and nobody else.

use std::sync::Arc;

use flext_ldap_directory::{
    DirectoryExt, Session, SessionExt,
    proto::{
        message::{MessageId, Request as Message, Response},
        result::{LdapResult, ResultCode},
    },
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::support::*;

#[tokio::test]
async fn one_search_from_end_to_end() {
    let (connection, mut peer) = pair().await;
    let server = async {
        let (id, request) = peer.request().await;
        assert!(matches!(request, Message::Search(search) if search.base == dn("ou=people")));
        peer.entry(id, "uid=maja,ou=people,dc=harbourlane,dc=example").await;
        peer.entry(id, "uid=tomas,ou=people,dc=harbourlane,dc=example").await;
        peer.answer(id, done()).await;
    };
    let (found, ()) = tokio::join!(connection.search_all(search("ou=people")), server);
    let names: Vec<_> = found.unwrap().iter().map(|entry| entry.dn_str().to_owned()).collect();
    assert_eq!(
        names,
        ["uid=maja,ou=people,dc=harbourlane,dc=example", "uid=tomas,ou=people,dc=harbourlane,dc=example"]
    );
    assert_eq!((connection.unread(), connection.late_answers()), (0, 0));
    let ((), rest) = tokio::join!(connection.close(), peer.rest());
    assert_eq!(rest, [Message::Unbind]);
    assert!(connection.is_closed());
}

#[tokio::test]
async fn sixty_four_answers_reversed_and_interleaved_reach_their_callers() {
    const N: usize = 64;
    let (connection, mut peer) = pair().await;
    let connection = Arc::new(connection);
    let callers: Vec<_> = (0..N)
        .map(|n| {
            let connection = Arc::clone(&connection);
            tokio::spawn(async move { connection.search_all(search(&format!("cn={n}"))).await.unwrap() })
        })
        .collect();
    let mut asked = Vec::new();
    for _ in 0..N {
        let (id, Message::Search(search)) = peer.request().await else { panic!("not a search") };
        asked.push((id, search.base.to_string()));
    }
    asked.reverse();
    let mut octets = Vec::new();
    for round in 0..3 {
        for (id, base) in &asked {
            octets.extend_from_slice(&entry(*id, &format!("o={round},{base}"), 1));
        }
    }
    for (id, _) in &asked {
        octets.extend_from_slice(&encoded(*id, &done()));
    }
    peer.raw(&octets).await;
    for (n, caller) in callers.into_iter().enumerate() {
        let names: Vec<_> = caller.await.unwrap().iter().map(|entry| entry.dn_str().to_owned()).collect();
        let want: Vec<_> = (0..3).map(|round| format!("o={round},cn={n},{SUFFIX}")).collect();
        assert_eq!(names, want);
    }
}

/// As Samba answers a critical control that it does not know.
#[tokio::test]
async fn a_refusal_may_be_told_as_of_an_extended_operation() {
    let (connection, mut peer) = pair().await;
    let server = async {
        for text in ["a search", "a delete"] {
            let (id, _) = peer.request().await;
            peer.answer(id, notice(ResultCode::UNAVAILABLE_CRITICAL_EXTENSION, text)).await;
        }
    };
    let asking = async {
        let found = connection.search_all(search("cn=a")).await.unwrap_err();
        let deleted = connection.delete(delete("cn=a")).await.unwrap_err();
        [found, deleted].map(|error| error.outcome().unwrap().result.clone())
    };
    let (refusals, ()) = tokio::join!(asking, server);
    for (refusal, text) in refusals.iter().zip(["a search", "a delete"]) {
        assert_eq!(
            (refusal.code, refusal.diagnostic.as_str()),
            (ResultCode::UNAVAILABLE_CRITICAL_EXTENSION, text)
        );
    }
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn every_operation_gets_its_own_kind_of_answer() {
    let (connection, mut peer) = pair().await;
    let server = async {
        for _ in 0..6 {
            let (id, request) = peer.request().await;
            let response = match request {
                Message::Compare(_) => Response::Compare(LdapResult::new(ResultCode::COMPARE_TRUE)),
                Message::Add(_) => Response::Add(LdapResult::new(ResultCode::ENTRY_ALREADY_EXISTS)),
                Message::Modify(_) => Response::Modify(LdapResult::success()),
                Message::Delete(_) => Response::Delete(LdapResult::success()),
                Message::Search(_) => done(),
                Message::Extended(_) => {
                    Response::Extended(flext_ldap_directory::proto::message::ExtendedResponse {
                        result: LdapResult::success(),
                        oid: None,
                        value: Some(bytes::Bytes::from_static(b"dn:cn=reader")),
                    })
                }
                other => panic!("{other:?}"),
            };
            peer.answer(id, response).await;
        }
    };
    let client = async {
        assert!(connection.compare(compare("cn=a")).await.unwrap());
        let error = connection.add(add("cn=a")).await.unwrap_err();
        assert_eq!(error.result_code(), Some(ResultCode::ENTRY_ALREADY_EXISTS));
        connection.modify(modify("cn=a", "text")).await.unwrap();
        connection.delete(delete("cn=a")).await.unwrap();
        assert!(connection.search_optional(search("cn=a")).await.unwrap().is_none());
        assert_eq!(connection.who_am_i(flext_ldap_directory::Actor::Service).await.unwrap(), "dn:cn=reader");
    };
    tokio::join!(client, server);
}

#[tokio::test]
async fn pages_are_asked_for_one_after_another() {
    use flext_ldap_directory::proto::{
        ber::Writer,
        control::{Controls, PagedResults},
        message::Limits,
    };
    let (connection, mut peer) = pair().await;
    let server = async {
        for page in 0..3_u8 {
            let (id, _, controls) = peer.next().await.unwrap();
            let asked = controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap();
            assert_eq!(
                (asked.size, asked.cookie.to_vec()),
                (10, if page == 0 { vec![] } else { vec![page] })
            );
            peer.entry(id, &format!("cn={page}")).await;
            let cookie = if page == 2 { vec![] } else { vec![page + 1] };
            let controls = Controls::none().optional(&PagedResults { size: 0, cookie: cookie.into() });
            let mut writer = Writer::new();
            done().encode(id, &controls, &mut writer);
            peer.raw(writer.as_slice()).await;
        }
    };
    let (entries, ()) = tokio::join!(connection.search_pages(search("ou=people"), 10).all(), server);
    assert_eq!(entries.unwrap().len(), 3);
}

/// Message-id confusion: answers that are late, doubled or out of order are never delivered to somebody else.
#[test]
fn shuffled_doubled_and_abandoned_answers_reach_nobody_else() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // For each of some operations: whether it is given up, how often it is answered, and a key to shuffle by.
    let plan = proptest::collection::vec((any::<bool>(), 0..3_usize, any::<u32>()), 1..24);
    TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })
        .run(&plan, |plan| {
            runtime.block_on(async {
                let (connection, mut peer) = pair().await;
                let mut replies = Vec::new();
                let mut ids = Vec::new();
                for n in 0..plan.len() {
                    replies.push(Some(Box::pin(connection.search_all(search(&format!("cn={n}"))))));
                    let (id, _) = peer.request().await;
                    ids.push(id);
                }
                let mut given_up = 0;
                for (reply, (gives_up, ..)) in replies.iter_mut().zip(&plan) {
                    if *gives_up {
                        *reply = None;
                        given_up += 1;
                    }
                }
                for _ in 0..given_up {
                    let (_, request) = peer.request().await;
                    assert!(matches!(request, Message::Abandon(id) if ids.contains(&id)));
                }
                // New operations take the places of those given up.
                let after: Vec<_> = (0..given_up)
                    .map(|n| Box::pin(connection.search_all(search(&format!("cn=after{n}")))))
                    .collect();
                let mut answers = Vec::new();
                for (n, (_, times, key)) in plan.iter().enumerate() {
                    for _ in 0..times + usize::from(!plan[n].0 && *times == 0) {
                        answers.push((*key, ids[n], format!("cn={n}")));
                    }
                }
                for n in 0..given_up {
                    let (id, _) = peer.request().await;
                    assert!(!ids.contains(&id), "{id:?} given out twice");
                    answers.push((n as u32, id, format!("cn=after{n}")));
                }
                answers.sort();
                let mut octets = Vec::new();
                for (_, id, name) in &answers {
                    octets.extend_from_slice(&entry(*id, name, 1));
                    octets.extend_from_slice(&encoded(*id, &done()));
                }
                peer.raw(&octets).await;
                for (n, reply) in replies.into_iter().enumerate() {
                    if let Some(reply) = reply {
                        let found = reply.await.unwrap();
                        assert_eq!(found.len(), 1, "each answer once");
                        assert_eq!(found[0].dn_str(), format!("cn={n}"));
                    }
                }
                for (n, reply) in after.into_iter().enumerate() {
                    let found = reply.await.unwrap();
                    assert_eq!((found.len(), found[0].dn_str()), (1, format!("cn=after{n}").as_str()));
                }
                assert!(!connection.is_closed());
                Ok(())
            })
        })
        .unwrap();
}

#[tokio::test]
async fn operations_beyond_the_bound_wait_for_their_turn() {
    let (connection, mut peer) = pair_with(|builder| builder.in_flight(2)).await;
    let connection = Arc::new(connection);
    let callers: Vec<_> = (0..5)
        .map(|n| {
            let connection = Arc::clone(&connection);
            tokio::spawn(async move { connection.delete(delete(&format!("cn={n}"))).await })
        })
        .collect();
    let mut waiting: Vec<MessageId> = Vec::new();
    for _ in 0..5 {
        if waiting.len() == 2 {
            settle().await;
            let mut octet = [0];
            let more = Cancellable::after(1, peer.stream.peek(&mut octet)).await;
            assert_eq!(
                more.map(|peeked| peeked.unwrap()),
                Err(Cancelled),
                "a third request while two are in flight"
            );
            let id = waiting.remove(0);
            peer.answer(id, Response::Delete(LdapResult::success())).await;
        }
        let (id, _) = peer.request().await;
        waiting.push(id);
    }
    for id in waiting {
        peer.answer(id, Response::Delete(LdapResult::success())).await;
    }
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn intermediate_responses_are_delivered_and_other_notices_ignored() {
    use flext_ldap_directory::{
        Directory, Event,
        proto::{
            batch::Item,
            message::{ExtendedResponse, IntermediateResponse},
        },
    };
    let (mut connection, mut peer) = pair().await;
    let mut reply = connection.call(search("cn=a").into_any());
    let (id, _) = peer.request().await;
    let unknown = Response::Extended(ExtendedResponse {
        result: LdapResult::success(),
        oid: Some("1.3.6.1.4.1.99999.1".parse().unwrap()),
        value: None,
    });
    peer.answer(MessageId::UNSOLICITED, unknown).await;
    let value = Some(bytes::Bytes::from_static(b"state"));
    peer.answer(id, Response::Intermediate(IntermediateResponse { oid: None, value: value.clone() })).await;
    peer.answer(id, done()).await;
    let Event::Batch(batch) = reply.next().await.unwrap() else { panic!("no batch") };
    let Item::Intermediate(found) = batch.item(0).unwrap().get() else { panic!("no intermediate response") };
    assert_eq!(found.value, value);
    assert!(matches!(reply.next().await.unwrap(), Event::Done(_)));
    // After the end, reading on is the caller's mistake.
    assert_eq!(reply.next().await.unwrap_err().kind(), flext_ldap_directory::ErrorKind::Misuse);
    let server = async {
        let (id, _) = peer.request().await;
        peer.answer(id, bound()).await;
    };
    let bind = connection.bind(
        flext_ldap_directory::BindStep::anonymous(),
        flext_ldap_directory::Deadline::after(std::time::Duration::from_secs(5)),
    );
    let (bind, ()) = tokio::join!(bind, server);
    bind.unwrap();
}
