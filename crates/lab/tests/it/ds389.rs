//! What 389-ds does not outlive or answer, shown on one of its own each: the suite cannot ask it (`ViewEndsServer` and
//! `MalformedControlIsNotAnswered` in docs/compatibility.md).

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use bytes::Bytes;
use flext_ldap_client::Connector;
use flext_ldap_directory::{
    BindReply, BindStep, Deadline, Directory as _, Error, ErrorKind, Op, Outcome, Request, Session as _,
    proto::{
        control::{
            Control, ControlValue as _, Controls, PreRead, ServerSideSort, SortKey, Target, VirtualListView,
        },
        dn::Dn,
        filter::Filter,
        message::{Change, ChangeKind, Modify, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_lab::{DEFAULT_SUFFIX, NsSlapd, Tool};

const LONG: Duration = Duration::from_secs(60);
/// What is not answered within this is taken not to be: an answer takes it a millisecond.
const ENOUGH: Duration = Duration::from_secs(5);

/// One with two entries.
fn server() -> NsSlapd {
    let server = NsSlapd::start().unwrap();
    let entries = format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: cn=Ewa Pike,{DEFAULT_SUFFIX}\nobjectClass: person\ncn: Ewa Pike\nsn: Pike\n"
    );
    let (url, root) = (server.ldap_url(), server.root_dn());
    let arguments = ["-x", "-H", &url, "-D", &root, "-w", server.root_password()];
    Tool::new("ldapadd").unwrap().args(arguments).input(entries).run().unwrap().success().unwrap();
    server
}

/// What its administrator is answered, on a connection of its own; `None` if nothing in time.
async fn ask(
    server: &NsSlapd,
    op: Op,
    controls: Controls,
    patience: Duration,
) -> Option<Result<Outcome, Error>> {
    let url = server.ldap_url().parse().unwrap();
    let mut connection = Connector::builder().clear().url(&url).build().unwrap().connect().await.unwrap();
    let step = BindStep::simple(server.root_dn(), server.root_password().into());
    let BindReply::Done { actor, .. } = connection.bind(step, Deadline::after(LONG)).await.unwrap() else {
        panic!("389-ds does not know its administrator");
    };
    let mut request = Request::new(op, actor);
    request.controls = controls;
    tokio::time::timeout(patience, connection.call(request).outcome()).await.ok()
}

fn suffix() -> Dn {
    DEFAULT_SUFFIX.parse().unwrap()
}

#[tokio::test]
async fn a_view_by_a_value_ends_the_server() {
    let mut server = server();
    let key = SortKey::new("cn".parse().unwrap()).by_rule("2.5.13.3");
    let target = Target::GreaterThanOrEqual(Bytes::from_static(b"E"));
    let controls = Controls::none().critical(&ServerSideSort(vec![key])).critical(&VirtualListView {
        before: 0,
        after: 1,
        target,
        context: None,
    });
    let search = Search::new(suffix(), Scope::Subtree, Filter::any());
    let answer = ask(&server, search.into(), controls, LONG).await.expect("an end");
    assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
    let ended = server.ending(LONG).unwrap().expect("it has ended");
    assert_eq!(ended.signal(), Some(11), "{ended}");
}

#[tokio::test]
async fn a_read_control_that_is_none_is_not_answered() {
    let server = server();
    let write = || {
        let values = vec![Bytes::from_static(b"x")];
        let changes =
            vec![Change { kind: ChangeKind::Replace, attribute: "description".parse().unwrap(), values }];
        Op::from(Modify { dn: suffix(), changes })
    };
    let answer = ask(&server, write(), Controls::none(), LONG).await.expect("an answer");
    assert_eq!(answer.unwrap().result.code, ResultCode::SUCCESS);
    let mut controls = Controls::none();
    let value = Some(Bytes::from_static(b"not BER at all"));
    controls.push_raw(Control { oid: PreRead::OID, critical: true, value });
    assert!(ask(&server, write(), controls, ENOUGH).await.is_none(), "it answers now");
}
