//! The ladder: what each rung makes of the same answers.

use flext_ldap_directory::{
    Actor, Applied, Blame, DirectoryExt, Error, ErrorKind, Event, Outcome, Request,
    proto::{
        batch::BatchWriter,
        control::Controls,
        dn::Dn,
        extended::{ExtendedOperation, WhoAmI},
        filter::Filter,
        message::{Add, Compare, Scope, Search},
        result::{LdapResult, ResultCode},
    },
};

use crate::script::{Script, batch, done, no_attributes};

pub(crate) fn search() -> Request<Search> {
    Request::new(Search::new(Dn::root(), Scope::Subtree, Filter::any()), Actor::Service)
}

fn base_search() -> Request<Search> {
    Request::new(Search::new(Dn::root(), Scope::Base, Filter::any()), Actor::Service)
}

#[tokio::test]
async fn a_stream_crosses_batches_and_then_says_that_it_is_done() {
    let script = Script::new(vec![vec![
        batch(&["o=a", "o=b"]),
        batch(&[]),
        batch(&["o=c"]),
        done(ResultCode::SUCCESS),
    ]]);
    let mut entries = script.search(search());
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await.unwrap() {
        names.push(entry.dn_str().to_owned());
    }
    assert_eq!(names, ["o=a", "o=b", "o=c"]);
    assert_eq!(entries.outcome().unwrap().result.code, ResultCode::SUCCESS);
    assert!(entries.next().await.unwrap().is_none(), "asked again, it still is done");
    assert_eq!(script.dropped_early(), 0);
}

#[tokio::test]
async fn a_lost_connection_is_an_error_after_what_came_before() {
    let lost = || Err(Error::new(ErrorKind::Closed, "the connection was lost"));
    let script =
        Script::new(vec![vec![batch(&["o=a"]), lost()], vec![batch(&["o=a"]), lost()], vec![lost()]]);
    let mut entries = script.search(search());
    assert_eq!(entries.next().await.unwrap().unwrap().dn_str(), "o=a");
    assert_eq!(entries.next().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(script.search_all(search()).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(script.search_optional(base_search()).await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_limit_that_was_met_is_an_error_with_the_answer_in_it() {
    let script = Script::new(vec![vec![batch(&["o=a"]), done(ResultCode::SIZE_LIMIT_EXCEEDED)]]);
    let error = script.search_all(search()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(error.result_code(), Some(ResultCode::SIZE_LIMIT_EXCEEDED));
    assert_eq!(error.to_string(), "the directory answered sizeLimitExceeded (4)");
}

#[tokio::test]
async fn optional_and_exactly_one() {
    let success = || done(ResultCode::SUCCESS);
    let none = || vec![success()];
    let one = || vec![batch(&["o=a"]), success()];
    let two = || vec![batch(&["o=a", "o=b"]), success()];
    let limited = || vec![batch(&["o=a", "o=b"]), done(ResultCode::SIZE_LIMIT_EXCEEDED)];

    let script = Script::new(vec![none(), one(), two(), limited()]);
    assert_eq!(script.search_optional(search()).await.unwrap(), None);
    assert_eq!(script.search_optional(search()).await.unwrap().unwrap().dn_str(), "o=a");
    assert_eq!(script.search_optional(search()).await.unwrap_err().kind(), ErrorKind::MoreThanOne);
    assert_eq!(script.search_optional(search()).await.unwrap_err().kind(), ErrorKind::MoreThanOne);
    assert!(script.requests().iter().all(|request| matches!(
        &request.op,
        flext_ldap_directory::Op::Search(search) if search.size_limit == 2
    )));

    let script = Script::new(vec![none(), one(), two()]);
    assert_eq!(script.search_one(search()).await.unwrap_err().kind(), ErrorKind::NoEntry);
    assert_eq!(script.search_one(search()).await.unwrap().dn_str(), "o=a");
    assert_eq!(script.search_one(search()).await.unwrap_err().kind(), ErrorKind::MoreThanOne);
}

#[tokio::test]
async fn a_missing_base_is_no_entry_only_where_the_base_was_asked_for() {
    let missing = || vec![done(ResultCode::NO_SUCH_OBJECT)];
    let script = Script::new(vec![missing(), missing()]);
    assert_eq!(script.search_optional(base_search()).await.unwrap(), None);
    let error = script.search_optional(search()).await.unwrap_err();
    assert_eq!((error.result_code(), error.blame()), (Some(ResultCode::NO_SUCH_OBJECT), Blame::Caller));
}

/// security: memory. A server chooses how many references it sends and how long they are.
#[tokio::test]
async fn references_are_remembered_within_bounds() {
    let references = |count: usize, octets: usize| {
        let mut writer = BatchWriter::new();
        let urls: Vec<String> = (0..count).map(|_| "x".repeat(octets)).collect();
        writer.reference(&urls, &Controls::none());
        Ok(Event::Batch(writer.take()))
    };
    for (count, octets, remembered) in [(1_001, 9, 1_000), (3, 400_000, 2), (2, 2 << 20, 0)] {
        let script = Script::new(vec![vec![references(count, octets), done(ResultCode::SUCCESS)]]);
        let mut entries = script.search(search());
        assert_eq!(entries.next().await.unwrap(), None);
        assert_eq!(entries.references().count(), remembered);
        assert_eq!(entries.passed_over(), (count - remembered) as u64);
    }
}

#[tokio::test]
async fn dropping_a_stream_drops_the_reply() {
    let script = Script::new(vec![vec![batch(&["o=a"]), batch(&["o=b"]), done(ResultCode::SUCCESS)]]);
    let mut entries = script.search(search());
    entries.next().await.unwrap();
    drop(entries);
    assert_eq!(script.dropped_early(), 1);
}

#[tokio::test]
async fn compare_is_true_false_or_an_error() {
    let script = Script::new(vec![
        vec![done(ResultCode::COMPARE_TRUE)],
        vec![done(ResultCode::COMPARE_FALSE)],
        vec![done(ResultCode::SUCCESS)],
    ]);
    let compare = || {
        let compare = Compare { dn: Dn::root(), attribute: "cn".parse().unwrap(), value: "x".into() };
        script.compare(Request::new(compare, Actor::Service))
    };
    assert!(compare().await.unwrap());
    assert!(!compare().await.unwrap());
    assert_eq!(compare().await.unwrap_err().result_code(), Some(ResultCode::SUCCESS));
}

#[tokio::test]
async fn a_refused_write_carries_the_answer_and_is_not_applied() {
    let refused = LdapResult::with_diagnostic(ResultCode::ENTRY_ALREADY_EXISTS, "o=a is there");
    let script = Script::new(vec![vec![Ok(Event::Done(Outcome::new(refused)))]]);
    let add = Add::new("o=a".parse().unwrap(), no_attributes());
    let error = script.add(Request::new(add, Actor::Service)).await.unwrap_err();
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Rejected, Applied::No));
    assert_eq!(error.to_string(), "the directory answered entryAlreadyExists (68): o=a is there");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn extended_answers_are_decoded() {
    let mut outcome = Outcome::success();
    outcome.value = Some("dn:cn=admin,dc=example".into());
    let script = Script::new(vec![vec![Ok(Event::Done(outcome))]]);
    assert_eq!(script.who_am_i(Actor::Anonymous).await.unwrap(), "dn:cn=admin,dc=example");
    let request = script.requests().remove(0);
    assert_eq!(request.actor, Actor::Anonymous);
    assert!(
        matches!(request.op, flext_ldap_directory::Op::Extended(extended) if extended.oid == WhoAmI::OID)
    );
}
