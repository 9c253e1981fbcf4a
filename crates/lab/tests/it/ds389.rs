//! What 389-ds does not outlive, shown on one of its own each: the suite cannot ask it.

use std::{os::unix::process::ExitStatusExt as _, time::Duration};

use bytes::Bytes;
use flext_ldap_client::Connector;
use flext_ldap_directory::{
    BindReply, BindStep, Deadline, Directory as _, Op, Request, Session as _,
    proto::{
        control::{Control, Controls, ServerSideSort, SortKey, Target, VirtualListView},
        filter::Filter,
        message::{Change, ChangeKind, Modify, Scope, Search},
        oid::Oid,
    },
};
use flext_ldap_lab::{DEFAULT_SUFFIX, NsSlapd, Tool};

const LONG: Duration = Duration::from_secs(20);

fn entries() -> String {
    format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: cn=Ewa Pike,{DEFAULT_SUFFIX}\nobjectClass: person\ncn: Ewa Pike\nsn: Pike\n"
    )
}

async fn ask(server: &NsSlapd, op: Op, controls: Controls) -> String {
    let url = server.ldap_url().parse().unwrap();
    let mut connection = Connector::builder().clear().url(&url).build().unwrap().connect().await.unwrap();
    let step = BindStep::simple(server.root_dn(), server.root_password().into());
    let BindReply::Done { actor, .. } = connection.bind(step, Deadline::after(LONG)).await.unwrap() else {
        panic!("no administrator");
    };
    let mut request: Request<Op> = Request::new(op, actor);
    request.controls = controls;
    let done = tokio::time::timeout(LONG, connection.call(request).outcome()).await;
    format!("{done:?}")
}

/// `ViewEndsServer` and `MalformedControlEndsServer` in docs/compatibility.md.
#[tokio::test]
async fn requests_that_end_it() {
    let mut server: Option<NsSlapd> = None;
    let base: flext_ldap_directory::proto::dn::Dn = DEFAULT_SUFFIX.parse().unwrap();
    let search = || Op::from(Search::new(base.clone(), Scope::Subtree, Filter::any()));
    let view = Controls::none()
        .critical(&ServerSideSort(vec![SortKey::new("cn".parse().unwrap())]))
        .critical(&VirtualListView {
            before: 0,
            after: 1,
            target: Target::Offset { offset: 1, content_count: 0 },
            context: None,
        });
    let ordered = Controls::none()
        .critical(&ServerSideSort(vec![SortKey::new("cn".parse().unwrap()).by_rule("2.5.13.3")]))
        .critical(&VirtualListView {
            before: 0,
            after: 1,
            target: Target::GreaterThanOrEqual(Bytes::from_static(b"E")),
            context: None,
        });
    let mut cases = vec![("view".to_owned(), search(), view), ("view by rule".to_owned(), search(), ordered)];
    for oid in ["1.2.840.113556.1.4.319", "1.3.6.1.1.12", "1.3.6.1.1.13.1", "1.3.6.1.1.13.2"] {
        for value in [None, Some(&b"\x30\x05\x02\x01"[..]), Some(b"not BER at all")] {
            let op = if oid.contains(".13.") {
                let attribute = "description".parse().unwrap();
                let changes = vec![Change {
                    kind: ChangeKind::Replace,
                    attribute,
                    values: vec![Bytes::from_static(b"x")],
                }];
                Op::from(Modify { dn: base.clone(), changes })
            } else {
                search()
            };
            let mut controls = Controls::none();
            controls.push_raw(Control {
                oid: oid.parse::<Oid>().unwrap(),
                critical: true,
                value: value.map(Bytes::from_static),
            });
            cases.push((format!("{oid} {value:?}"), op, controls));
        }
    }
    for (what, op, controls) in cases {
        let mut one = server.take().unwrap_or_else(|| {
            let server = NsSlapd::start().unwrap();
            let (url, root) = (server.ldap_url(), server.root_dn());
            let add = Tool::new("ldapadd").unwrap().args([
                "-x",
                "-H",
                &url,
                "-D",
                &root,
                "-w",
                server.root_password(),
            ]);
            add.input(entries()).run().unwrap().success().unwrap();
            server
        });
        let done = ask(&one, op, controls).await;
        let ended = one.ending(Duration::from_secs(2)).unwrap();
        eprintln!("{what}: {ended:?} {:?}\n      {done:.300}", ended.and_then(|e| e.signal()));
        if ended.is_none() {
            server = Some(one);
        }
    }
}
