//! A reply ends with an outcome or an error, once.

use flext_ldap_directory::{Blame, Error, ErrorKind, Event, Outcome, Reply, proto::result::ResultCode};

use crate::script::{Script, batch, done};

#[tokio::test]
async fn a_ready_reply_gives_its_outcome_once() {
    let mut reply = Reply::ready(Ok(Outcome::success()));
    assert!(matches!(reply.next().await, Ok(Event::Done(outcome)) if outcome == Outcome::success()));
    let error = reply.next().await.unwrap_err();
    assert_eq!((error.kind(), error.blame()), (ErrorKind::Misuse, Blame::Caller));
}

#[tokio::test]
async fn a_pending_reply_gives_its_outcome_once() {
    let mut reply = Reply::pending(async {
        tokio::task::yield_now().await;
        Ok(Outcome::success())
    });
    assert!(matches!(reply.next().await, Ok(Event::Done(_))));
    assert_eq!(reply.next().await.unwrap_err().kind(), ErrorKind::Misuse);
}

#[tokio::test]
async fn an_error_ends_a_reply() {
    let mut reply = Reply::ready(Err(Error::new(ErrorKind::Closed, "gone")));
    assert_eq!(reply.next().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(reply.next().await.unwrap_err().kind(), ErrorKind::Misuse);
}

#[tokio::test]
async fn outcome_passes_over_items() {
    use flext_ldap_directory::Directory;
    let script = Script::new(vec![vec![batch(&["o=a", "o=b"]), batch(&["o=c"]), done(ResultCode::BUSY)]]);
    let reply = script.call(crate::ladder::search().into_any());
    assert_eq!(reply.outcome().await.unwrap().result.code, ResultCode::BUSY);
}
