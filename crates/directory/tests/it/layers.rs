//! The layers, and that they wrap directories, sessions and openers alike.

use std::sync::{Arc, Mutex};

use flext_ldap_directory::{
    Actor, DirectoryExt, ErrorKind, Layered, OpKind, Request,
    layers::{Observation, Observe, Observer, ReadOnly},
    proto::{
        extended::{Cancel, ExtendedOperation},
        message::{Delete, MessageId},
        result::ResultCode,
    },
};

use crate::{
    ladder::search,
    script::{Script, batch, done},
};

#[tokio::test]
async fn read_only_lets_reads_through_and_refuses_writes() {
    let script = Script::new(vec![vec![batch(&["o=a"]), done(ResultCode::SUCCESS)]]);
    let directory = Layered::new(script.clone(), Arc::new(ReadOnly));
    assert_eq!(directory.search_all(search()).await.unwrap().len(), 1);
    let delete = Delete { dn: "o=a".parse().unwrap() };
    let error = directory.delete(Request::new(delete, Actor::Service)).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNWILLING_TO_PERFORM));
    let unknown = Request::new(Cancel(MessageId(1)).request(), Actor::Service);
    let error = directory.extended::<Cancel>(unknown).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNWILLING_TO_PERFORM));
    assert_eq!(script.requests().len(), 1, "the writes never arrived");
}

/// Which operation, its answer, why it had none, and how many items it delivered.
type Line = (OpKind, Option<ResultCode>, Option<ErrorKind>, u64);

#[derive(Default)]
struct Seen(Mutex<Vec<Line>>);

impl Observer for Seen {
    fn finished(&self, seen: &Observation<'_>) {
        let line = (seen.kind, seen.code, seen.error.map(|error| error.kind()), seen.items);
        self.0.lock().unwrap().push(line);
    }
}

#[tokio::test]
async fn an_observer_hears_of_every_operation_once() {
    let script = Script::new(vec![
        vec![batch(&["o=a", "o=b"]), done(ResultCode::SUCCESS)],
        vec![batch(&["o=a"])],
        vec![batch(&["o=a"]), done(ResultCode::SUCCESS)],
    ]);
    let seen = Arc::new(Seen::default());
    let directory = Layered::new(script, Arc::new(Observe::new(seen.clone())));
    directory.search_all(search()).await.unwrap();
    directory.search_all(search()).await.unwrap_err();
    let mut entries = directory.search(search());
    entries.next().await.unwrap();
    drop(entries);
    assert_eq!(
        *seen.0.lock().unwrap(),
        [
            (OpKind::Search, Some(ResultCode::SUCCESS), None, 2),
            (OpKind::Search, None, Some(ErrorKind::Closed), 1),
            (OpKind::Search, None, None, 1),
        ]
    );
}
