//! Sessions: a listener over the store answers as a plain map does.
//!
//! The octets choose operations, controls and who asks; each answer is compared with that of the model, and in the end
//! all that is stored, which `check` must find whole. Between them, connections that send any octets must change
//! nothing. The listener is on a Unix socket, since a peer is an administrator there without a password that takes long
//! to hash.

mod lists;
mod model;
mod wire;

use std::{collections::BTreeSet, os::unix::fs::MetadataExt as _, sync::Arc, time::Duration};

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::Attributes,
    control::{Assertion, Control, Controls, ManageDsaIt, PermissiveModify, PostRead, TreeDelete},
    message::{
        Add, Authentication, BindRequest, Change, ChangeKind, Compare, Delete, ExtendedRequest, Modify,
        Rename, Request, Response, Scope, Search,
    },
    oid::Oid,
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_server::Server;
use flext_ldap_store::{CheckEvent, Store, StoreOptions};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

use self::{
    model::{Change as Step, Kind, Model, SUFFIX, Test, name},
    wire::Peer,
};
use crate::Draw;

const MOST_STEPS: usize = 40;
/// Verifying a password takes as long as it is meant to.
const MOST_PASSWORDS: usize = 2;
const ADMINISTRATOR: &str = "cn=admin,dc=harbourlane,dc=example";
const PASSWORD: &str = "tide tables";
const HASH: &str = "{SHA}+TfcxIfDsZlcnkenTNMiDsuEV9M=";
/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Who the peer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Who {
    Anonymous,
    User,
    Administrator,
}

/// One case.
pub fn case(data: &[u8]) -> bool {
    let mut draw = Draw::new(data);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut session = Session::start().await;
        for _ in 0..MOST_STEPS {
            if draw.is_done() {
                break;
            }
            session.step(&mut draw).await;
        }
        session.end().await;
    });
    true
}

struct Session {
    store: Store,
    server: Server,
    folder: tempfile::TempDir,
    peer: Peer<UnixStream>,
    who: Who,
    /// Whose password was the last that was right.
    user: Vec<u8>,
    model: Model,
    passwords: usize,
}

impl Session {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let uid = std::fs::metadata(folder.path()).unwrap().uid();
        let options = StoreOptions::memory()
            .suffix(SUFFIX.parse().unwrap())
            .administrator(ADMINISTRATOR.parse().unwrap(), PASSWORD.into())
            .peer_administrator(uid)
            .without_slow_log();
        let store = Store::open(options).unwrap();
        let path = folder.path().join("s").display().to_string().replace('/', "%2F");
        let url = format!("ldapi://{path}").parse().unwrap();
        let server = Server::builder(Arc::new(store.clone())).listen(url).start().await.unwrap();
        let peer = Peer::new(UnixStream::connect(folder.path().join("s")).await.unwrap());
        let mut session = Self {
            store,
            server,
            folder,
            peer,
            who: Who::Anonymous,
            user: Vec::new(),
            model: Model::default(),
            passwords: 0,
        };
        session.become_administrator().await;
        let mut attributes = Attributes::builder();
        attributes.push("objectClass", ["organization", "dcObject"]);
        attributes.push("o", ["Harbour Lane"]);
        attributes.push("dc", ["harbourlane"]);
        let suffix = Request::Add(Add::new(SUFFIX.parse().unwrap(), attributes.build()));
        assert_eq!(session.peer.ask(&suffix, &Controls::none()).await.code(), ResultCode::SUCCESS);
        session
    }

    async fn become_administrator(&mut self) {
        let bind = Request::Bind(BindRequest {
            version: 3,
            name: String::new(),
            authentication: Authentication::Sasl { mechanism: "EXTERNAL".to_owned(), credentials: None },
        });
        assert_eq!(self.peer.ask(&bind, &Controls::none()).await.code(), ResultCode::SUCCESS);
        self.who = Who::Administrator;
    }

    async fn step(&mut self, draw: &mut Draw<'_>) {
        self.peer.fragments = draw.rarely(8).then(|| draw.below(64));
        match draw.below(22) {
            0..=4 => self.add(draw).await,
            5..=8 => self.modify(draw).await,
            9 => self.delete(draw).await,
            10..=12 => self.rename(draw).await,
            13..=14 => self.search(draw).await,
            15 => self.compare(draw).await,
            16 => self.bind(draw).await,
            17 => self.garbage(draw).await,
            18 => self.malformed(draw).await,
            19..=20 => self.listed(draw).await,
            _ => self.pipelined(draw).await,
        }
    }

    /// Sends a write. The model, which plays it on a copy, says what the administrator is answered.
    async fn write(
        &mut self,
        request: Request,
        mut controls: Controls,
        draw: &mut Draw<'_>,
        play: impl FnOnce(&mut Model) -> ResultCode,
    ) -> Option<wire::Answer> {
        let mut model = self.model.clone();
        let mut want = play(&mut model);
        if draw.rarely(12) {
            let critical = draw.rarely(2);
            controls.push_raw(Control { oid: Oid::from_static("1.2.3.4.5"), critical, value: None });
            if critical {
                want = ResultCode::UNAVAILABLE_CRITICAL_EXTENSION;
            }
        }
        if draw.rarely(16) {
            controls = controls.critical(&ManageDsaIt);
        }
        let answer = self.peer.ask(&request, &controls).await;
        if self.who != Who::Administrator {
            // Nobody else may write: what they are told depends on what they may know.
            let allowed = [want, ResultCode::INSUFFICIENT_ACCESS_RIGHTS, ResultCode::NO_SUCH_OBJECT]
                .contains(&answer.code());
            assert!(
                allowed && answer.code() != ResultCode::SUCCESS,
                "{:?}: {request:?} {answer:?}",
                self.who
            );
            return None;
        }
        assert_eq!(answer.code(), want, "{request:?} {controls:?} {answer:?}\n{:?}", self.model);
        if want == ResultCode::SUCCESS {
            self.model = model;
        }
        Some(answer)
    }

    async fn add(&mut self, draw: &mut Draw<'_>) {
        let path = path(draw);
        let kind = draw.pick(&[
            Kind::Right,
            Kind::Right,
            Kind::Right,
            Kind::Right,
            Kind::Right,
            Kind::WithPassword,
            Kind::WithoutClass,
            Kind::UnknownAttribute,
            Kind::NotAllowed,
        ]);
        let mut attributes = Attributes::builder();
        if kind != Kind::WithoutClass {
            attributes.push("objectClass", ["organizationalUnit"]);
        }
        match kind {
            Kind::WithPassword => attributes.push("userPassword", [HASH]),
            Kind::UnknownAttribute => attributes.push("nonesuch", ["x"]),
            Kind::NotAllowed => attributes.push("uidNumber", ["5"]),
            _ => {}
        }
        let request = Request::Add(Add::new(name(&path), attributes.build()));
        self.write(request, Controls::none(), draw, |model| model.add(&path, kind)).await;
    }

    async fn delete(&mut self, draw: &mut Draw<'_>) {
        let path = path(draw);
        let (tree, assertion) = (draw.rarely(3), assertion(draw));
        let mut controls = asserted(assertion);
        if tree {
            controls = controls.critical(&TreeDelete);
        }
        let request = Request::Delete(Delete { dn: name(&path) });
        self.write(request, controls, draw, |model| model.delete(&path, tree, assertion)).await;
    }

    async fn modify(&mut self, draw: &mut Draw<'_>) {
        let path = path(draw);
        let (permissive, assertion) = (draw.rarely(3), assertion(draw));
        let steps: Vec<Step> = (0..=draw.below(3))
            .map(|_| {
                let kind =
                    draw.pick(&[ChangeKind::Add, ChangeKind::Add, ChangeKind::Delete, ChangeKind::Replace]);
                let values = (0..draw.below(3)).map(|_| described(draw)).collect();
                Step { kind, values }
            })
            .collect();
        let changes = steps
            .iter()
            .map(|step| Change {
                kind: step.kind,
                attribute: "description".parse().unwrap(),
                values: step.values.iter().map(|value| Bytes::from(value.clone())).collect(),
            })
            .collect();
        let mut controls = asserted(assertion);
        if permissive {
            controls = controls.critical(&PermissiveModify);
        }
        let read = draw.rarely(3);
        if read {
            controls = controls.critical(&PostRead(["description"].into()));
        }
        let request = Request::Modify(Modify { dn: name(&path), changes });
        let play = |model: &mut Model| model.modify(&path, &steps, permissive, assertion);
        let answer = self.write(request, controls, draw, play).await;
        if let Some(answer) = answer.filter(|answer| read && answer.code() == ResultCode::SUCCESS) {
            let entry = answer.read_entry().expect("a post-read");
            assert_eq!(wire::values(&entry, "description"), self.model.descriptions(&path));
        }
    }

    async fn rename(&mut self, draw: &mut Draw<'_>) {
        let (path, to) = (path(draw), draw.below(4) as u8);
        let above = draw.rarely(2).then(|| some_path(draw, 0));
        let delete_old_rdn = !draw.rarely(3);
        let request = Request::Rename(Rename {
            dn: name(&path),
            new_rdn: format!("ou=u{to}").parse().unwrap(),
            delete_old_rdn,
            new_superior: above.as_deref().map(name),
        });
        let play = |model: &mut Model| model.rename(&path, to, above.as_deref(), delete_old_rdn);
        self.write(request, Controls::none(), draw, play).await;
    }

    async fn search(&mut self, draw: &mut Draw<'_>) {
        let (request, base, scope, test) = search(draw);
        let answer = self.peer.ask(&request, &Controls::none()).await;
        self.found(&answer, &base, scope, test);
    }

    fn found(&self, answer: &wire::Answer, base: &[u8], scope: Scope, test: Test) {
        let found: BTreeSet<String> = answer.entries.iter().map(|entry| entry.dn_str().to_owned()).collect();
        assert_eq!(found.len(), answer.entries.len(), "an entry twice");
        if self.who == Who::Anonymous {
            assert_eq!(found, BTreeSet::new());
            return;
        }
        let (code, want) = self.model.search(base, scope, test);
        assert_eq!((answer.code(), found), (code, want), "{base:?} {scope:?} {test:?}\n{:?}", self.model);
    }

    async fn compare(&mut self, draw: &mut Draw<'_>) {
        let (request, path, value) = compare(draw);
        let answer = self.peer.ask(&request, &Controls::none()).await;
        self.compared(&answer, &path, &value);
    }

    fn compared(&self, answer: &wire::Answer, path: &[u8], value: &str) {
        let want = self.model.compare(path, value);
        if self.who == Who::Anonymous {
            assert!(![ResultCode::COMPARE_TRUE, ResultCode::COMPARE_FALSE].contains(&answer.code()));
        } else {
            assert_eq!(answer.code(), want, "{path:?} {value}");
        }
    }

    /// Several questions at once: each is answered, in whatever order.
    async fn pipelined(&mut self, draw: &mut Draw<'_>) {
        let mut asked = Vec::new();
        for _ in 0..=draw.below(8) {
            asked.push(search(draw));
        }
        let requests: Vec<_> = asked.iter().map(|(request, ..)| request.clone()).collect();
        let answers = self.peer.ask_all(&requests).await;
        for ((_, base, scope, test), answer) in asked.iter().zip(answers) {
            self.found(&answer, base, *scope, *test);
        }
    }

    async fn bind(&mut self, draw: &mut Draw<'_>) {
        let simple = |name: String, password: &str| {
            Request::Bind(BindRequest {
                version: 3,
                name,
                authentication: Authentication::Simple(Secret::from(password)),
            })
        };
        let kind = draw.below(6);
        let path = path(draw);
        let (request, want, who) = match kind {
            0 => (simple(String::new(), ""), ResultCode::SUCCESS, Who::Anonymous),
            // RFC 4513 §5.1.2: a name without a password proves nothing.
            1 => (simple(name(&path).to_string(), ""), ResultCode::UNWILLING_TO_PERFORM, Who::Anonymous),
            2 | 3 if self.passwords < MOST_PASSWORDS => {
                self.passwords += 1;
                let right = kind == 2;
                let fits = right && self.model.has_password(&path);
                let password = if right { PASSWORD } else { "low water" };
                let (code, who) = match fits {
                    true => (ResultCode::SUCCESS, Who::User),
                    false => (ResultCode::INVALID_CREDENTIALS, Who::Anonymous),
                };
                (simple(name(&path).to_string(), password), code, who)
            }
            _ => return self.become_administrator().await,
        };
        let answer = self.peer.ask(&request, &Controls::none()).await;
        assert_eq!(answer.code(), want, "{request:?}");
        self.who = who;
        if who == Who::User {
            self.user = path;
        }
    }

    /// Another connection sends any octets and closes: it is let go of, and has changed nothing.
    async fn garbage(&mut self, draw: &mut Draw<'_>) {
        let octets = draw.octets(48);
        let mut other = UnixStream::connect(self.folder.path().join("s")).await.unwrap();
        // The listener may have had enough before it has all.
        let _ = other.write_all(octets).await;
        let _ = other.shutdown().await;
        let mut said = Vec::new();
        let _ = timeout(LONG, other.read_to_end(&mut said)).await.expect("it is let go of");
    }

    /// What is wrong with one request is answered, and the connection goes on.
    async fn malformed(&mut self, draw: &mut Draw<'_>) {
        let unknown = Request::Extended(ExtendedRequest { oid: Oid::from_static("1.2.3.4.6"), value: None });
        let text = ["u", "ou=", "=x", "ou=a,,", "ou=a\\", "ou=a+", "ou=#zz", "ou=a;b=\"c"];
        if draw.rarely(3) {
            assert_eq!(self.peer.ask(&unknown, &Controls::none()).await.code(), ResultCode::PROTOCOL_ERROR);
        } else {
            let answer = self.peer.ask_delete(draw.pick(&text)).await;
            assert_eq!(answer.code(), ResultCode::INVALID_DN_SYNTAX);
        }
    }

    async fn end(mut self) {
        self.peer.fragments = None;
        self.become_administrator().await;
        let search =
            Search::new(SUFFIX.parse().unwrap(), Scope::Children, "(objectClass=*)".parse().unwrap());
        let answer = self.peer.ask(&Request::Search(search), &Controls::none()).await;
        let found: Vec<_> = answer
            .entries
            .iter()
            .map(|entry| {
                (entry.dn_str().to_owned(), wire::values(entry, "ou"), wire::values(entry, "description"))
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        assert_eq!(found, self.model.contents());
        let mut faults = Vec::new();
        let report = self.store.check(&mut |event| {
            if let CheckEvent::Fault(fault) = event {
                faults.push(fault.to_string());
            }
        });
        assert_eq!((faults, report.unwrap().faults), (Vec::new(), 0));
        self.server.shutdown(Duration::ZERO).await;
    }
}

/// A name below the suffix.
fn path(draw: &mut Draw<'_>) -> Vec<u8> {
    some_path(draw, 1)
}

fn some_path(draw: &mut Draw<'_>, least: usize) -> Vec<u8> {
    (0..least + draw.below(4 - least)).map(|_| draw.below(4) as u8).collect()
}

/// Values that are equal in two spellings (caseIgnoreMatch).
fn described(draw: &mut Draw<'_>) -> String {
    draw.pick(&["d0", "d1", "d2", "D0", "D1", "d0 x", "d0  X"]).to_owned()
}

/// A value that the entry must have.
fn assertion(draw: &mut Draw<'_>) -> Option<&'static str> {
    draw.rarely(5).then(|| draw.pick(&["d0", "d1", "d2"]))
}

fn asserted(value: Option<&str>) -> Controls {
    match value {
        Some(value) => {
            Controls::none().critical(&Assertion(format!("(description={value})").parse().unwrap()))
        }
        None => Controls::none(),
    }
}

fn search(draw: &mut Draw<'_>) -> (Request, Vec<u8>, Scope, Test) {
    let base = some_path(draw, 0);
    let scope = draw.pick(&[Scope::Subtree, Scope::Base, Scope::One, Scope::Children]);
    let test = draw.pick(&[
        Test::Any,
        Test::Described("d0"),
        Test::Described("D1"),
        Test::NotDescribed("d0"),
        Test::HasDescription,
        Test::Named("u1"),
        Test::Named("U2"),
    ]);
    let search = Search::new(name(&base), scope, test.filter()).attributes(["1.1"]);
    (Request::Search(search), base, scope, test)
}

fn compare(draw: &mut Draw<'_>) -> (Request, Vec<u8>, String) {
    let (path, value) = (path(draw), described(draw));
    let attribute = "description".parse().unwrap();
    let request = Request::Compare(Compare { dn: name(&path), attribute, value: Bytes::from(value.clone()) });
    (request, path, value)
}

/// The result of an answer of any kind.
fn code(response: &Response) -> ResultCode {
    match response {
        Response::Bind(response) => response.result.code,
        Response::Extended(response) => response.result.code,
        Response::SearchDone(result)
        | Response::Modify(result)
        | Response::Add(result)
        | Response::Delete(result)
        | Response::Rename(result)
        | Response::Compare(result) => result.code,
        other => panic!("not an answer: {other:?}"),
    }
}
