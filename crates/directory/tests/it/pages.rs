//! Paging: the caller sees one stream; the server sees page after page on one conversation.

use flext_ldap_directory::{
    Error, ErrorKind, Event, Op, Outcome, SessionExt,
    proto::{control::PagedResults, message::Limits, result::ResultCode},
};

use crate::{
    ladder::search,
    script::{Answer, Script, batch, done},
};

fn page(names: &[&str], cookie: &'static str) -> Answer {
    let mut outcome = Outcome::success();
    outcome.controls = outcome.controls.optional(&PagedResults { size: 0, cookie: cookie.into() });
    let end: Result<Event, Error> = Ok(Event::Done(outcome));
    if names.is_empty() { vec![end] } else { vec![batch(names), end] }
}

fn cookies(script: &Script) -> Vec<(u32, Vec<u8>)> {
    let sent = |request: &flext_ldap_directory::Request| {
        assert!(matches!(request.op, Op::Search(_)));
        let control = request.controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap();
        (control.size, control.cookie.to_vec())
    };
    script.requests().iter().map(sent).collect()
}

#[tokio::test]
async fn pages_follow_each_other_with_the_cookie_of_the_last() {
    let script = Script::new(vec![page(&["o=a", "o=b"], "x"), page(&[], "y"), page(&["o=c"], "")]);
    let entries = script.search_pages(search(), 2).all().await.unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.dn_str()).collect();
    assert_eq!(names, ["o=a", "o=b", "o=c"]);
    assert_eq!(cookies(&script), [(2, b"".to_vec()), (2, b"x".to_vec()), (2, b"y".to_vec())]);
}

#[tokio::test]
async fn a_server_that_ignores_paging_has_sent_everything() {
    let script = Script::new(vec![vec![batch(&["o=a"]), done(ResultCode::SUCCESS)]]);
    assert_eq!(script.search_pages(search(), 2).all().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_page_that_fails_fails_the_search() {
    let script = Script::new(vec![page(&["o=a"], "x"), vec![done(ResultCode::UNWILLING_TO_PERFORM)]]);
    let error = script.search_pages(search(), 1).all().await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNWILLING_TO_PERFORM));

    let script = Script::new(vec![page(&["o=a"], "x")]);
    let error = script.search_pages(search(), 1).all().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "a conversation lost between pages is no end");
}

#[tokio::test]
async fn a_limit_in_the_middle_is_told_after_what_came_before() {
    let limited = vec![batch(&["o=b"]), done(ResultCode::SIZE_LIMIT_EXCEEDED)];
    let script = Script::new(vec![page(&["o=a"], "x"), limited]);
    let mut entries = script.search_pages(search(), 1);
    let mut names = Vec::new();
    let error = loop {
        match entries.next().await {
            Ok(Some(entry)) => names.push(entry.dn_str().to_owned()),
            Ok(None) => panic!("a part looked like the whole"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        (names, error.result_code()),
        (vec!["o=a".into(), "o=b".into()], Some(ResultCode::SIZE_LIMIT_EXCEEDED))
    );
}

/// security: paging-cookie DoS. Cookies may be alike or change, the page is the same one.
#[tokio::test]
async fn a_page_that_comes_again_ends_the_search() {
    for cookies in [["again", "again", "again"], ["x", "y", "z"]] {
        let script = Script::new(cookies.map(|cookie| page(&["o=a", "o=b"], cookie)).into());
        let error = script.search_pages(search(), 2).all().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        assert_eq!(script.requests().len(), 2);
    }
}

/// security: paging-cookie DoS, never-ending cookie.
#[tokio::test]
async fn a_cookie_without_end_ends() {
    let script = Script::new((0..2_000).map(|_| page(&[], "again")).collect());
    let error = script.search_pages(search(), 1).all().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert_eq!(script.requests().len(), 1_001);
}
