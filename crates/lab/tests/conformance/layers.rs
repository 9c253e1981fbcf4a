//! Layers that do not let everything through, on both ends of a socket: what each refuses, and what it hears.

use std::sync::{Arc, Mutex};

use flext_ldap_client::{Connection, Connector};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory as _, DirectoryExt as _, Layer, Layered, Op, OpKind,
    Request, Session as _, Sessions,
    layers::{Observation, Observe, Observer, ReadOnly},
    proto::{
        attribute::Attributes,
        dn::Dn,
        extended::{ExtendedOperation as _, PasswordModify},
        filter::Filter,
        message::{Add, ChangeKind, Compare, Delete, Modify, Rename, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_server::Server;
use flext_ldap_testkit::TestDirectory;

fn on_a_runtime<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// A listener over a layer over a test directory's store, and an administrator's connection to it.
async fn behind<L: Layer>(directory: &TestDirectory, layer: L) -> (Server, Connection, Actor) {
    let layered: Arc<dyn Sessions> = Arc::new(Layered::new(directory.store().clone(), Arc::new(layer)));
    let server =
        Server::builder(layered).listen("ldap://127.0.0.1:0".parse().unwrap()).start().await.unwrap();
    let connector = Connector::builder().clear().url(&server.urls()[0]).build().unwrap();
    let mut connection = connector.connect().await.unwrap();
    let step = BindStep::simple(directory.admin_dn().as_str(), directory.admin_password().into());
    let by = Deadline::after(std::time::Duration::from_secs(30));
    let BindReply::Done { actor, .. } = connection.bind(step, by).await.unwrap() else { panic!("not bound") };
    (server, connection, actor)
}

/// One of each operation that may write.
fn writes(base: &Dn) -> Vec<Op> {
    let mut person = Attributes::builder();
    person.push("objectClass", ["person"]);
    person.push("sn", ["x"]);
    let below: Dn = format!("cn=x,{base}").parse().unwrap();
    let rdn = "cn=y".parse().unwrap();
    vec![
        Add::new(below.clone(), person.build()).into(),
        Modify::new(base.clone()).change(ChangeKind::Replace, "description".parse().unwrap(), ["x"]).into(),
        Rename { dn: below.clone(), new_rdn: rdn, delete_old_rdn: true, new_superior: None }.into(),
        Delete { dn: below }.into(),
        PasswordModify::default().request().into(),
    ]
}

#[test]
fn read_only_refuses_every_write_and_lets_reads_through() {
    on_a_runtime(async {
        let directory = TestDirectory::start().unwrap();
        let base = directory.base_dn().clone();
        let (_server, connection, actor) = behind(&directory, ReadOnly).await;
        for op in writes(&base) {
            let kind = op.kind();
            let outcome = connection.call(Request::new(op, actor.clone())).outcome().await.unwrap();
            assert_eq!(outcome.result.code, ResultCode::UNWILLING_TO_PERFORM, "{kind:?}");
        }
        let search = Search::new(base.clone(), Scope::Subtree, Filter::any());
        let found = connection.search_all(Request::new(search, actor.clone())).await.unwrap();
        assert_eq!(found.len(), 1, "nothing was added");
        assert_eq!(found[0].text("description"), None, "nothing was changed");
        let compare =
            Compare { dn: base, attribute: "dc".parse().unwrap(), value: b"HarbourLane"[..].into() };
        assert!(connection.compare(Request::new(compare, actor.clone())).await.unwrap());
        assert_eq!(connection.who_am_i(actor).await.unwrap(), format!("dn:{}", directory.admin_dn()));
    });
}

/// Operation, answer, items, and on whose behalf.
type Line = (OpKind, Option<ResultCode>, u64, String);

/// Remembers what it hears.
#[derive(Default)]
struct Heard(Mutex<Vec<Line>>);

impl Observer for Heard {
    fn finished(&self, observation: &Observation<'_>) {
        let actor = match observation.actor {
            Actor::User(identity) => identity.authorization().to_owned(),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push((observation.kind, observation.code, observation.items, actor));
    }
}

#[test]
fn observe_hears_of_every_operation_once() {
    on_a_runtime(async {
        let directory = TestDirectory::start().unwrap();
        let base = directory.base_dn().clone();
        let heard = Arc::new(Heard::default());
        let (_server, connection, actor) = behind(&directory, Observe::new(heard.clone())).await;
        for op in writes(&base).into_iter().take(4) {
            connection.call(Request::new(op, actor.clone())).outcome().await.unwrap();
        }
        let search = Search::new(base, Scope::Subtree, Filter::any());
        assert_eq!(connection.search_all(Request::new(search, actor.clone())).await.unwrap().len(), 2);
        let admin = format!("dn:{}", directory.admin_dn());
        let wanted = [
            (OpKind::Add, ResultCode::SUCCESS, 0),
            (OpKind::Modify, ResultCode::SUCCESS, 0),
            (OpKind::Rename, ResultCode::SUCCESS, 0),
            (OpKind::Delete, ResultCode::NO_SUCH_OBJECT, 0),
            (OpKind::Search, ResultCode::SUCCESS, 2),
        ];
        let wanted: Vec<_> =
            wanted.into_iter().map(|(kind, code, items)| (kind, Some(code), items, admin.clone())).collect();
        assert_eq!(*heard.0.lock().unwrap(), wanted);
    });
}
