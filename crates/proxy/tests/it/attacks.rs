//! Clients that do what they should not, behind a listener: what reaches the servers of it, and what others notice of it.
//!
//! What the listener itself makes of octets that are no LDAP, of peers that are too many or too slow is shown in its own tests.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use flext_ldap_proto::{
    ber::{Writer, frame_length},
    control::{Controls, PagedResults},
    extended::{ExtendedOperation as _, StartTls, WhoAmI},
    message::{Authentication, BindRequest, Envelope, Limits, MessageId, Request, Response},
    result::{LdapResult, ResultCode},
    secret::Secret,
};
use flext_ldap_proxy::ProxyBuilder;
use flext_ldap_server::{Server, ServerTls};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

use crate::toy::{Fate, MAJA, Toy, search};

const NILS: &str = "uid=nils,dc=harbourlane,dc=example";

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// A proxy over a toy.
struct World {
    toy: Toy,
    server: Server,
    certificate: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl World {
    async fn start() -> Self {
        Self::with(|proxy| proxy).await
    }

    async fn with(change: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> Self {
        let toy = Toy::default();
        let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (certificate.cert.pem(), certificate.signing_key.serialize_pem());
        let server = Server::builder(Arc::new(change(toy.proxy()).build()))
            .listen("ldap://127.0.0.1:0".parse().unwrap())
            .tls(ServerTls::from_pem(chain.as_bytes(), key.as_bytes()).unwrap());
        Self { toy, server: server.start().await.unwrap(), certificate }
    }

    async fn client(&self) -> Client<TcpStream> {
        let port = self.server.urls()[0].port();
        Client::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap())
    }

    async fn signed_in(&self, name: &str) -> Client<TcpStream> {
        let mut client = self.client().await;
        client.send(&[(1, bind(name))]).await;
        assert_eq!(client.codes(1).await, [(1, ResultCode::SUCCESS)]);
        client
    }

    /// What the servers heard, without what looks whether they answer.
    fn heard(&self) -> Vec<String> {
        let heard = self.toy.heard().into_iter();
        heard
            .filter(|(number, what)| *number > 0 && what != "probe")
            .map(|(number, what)| format!("{number} {what}"))
            .collect()
    }

    /// Waits until the servers have heard this, and nothing besides.
    async fn until_heard(&self, want: &[&str]) {
        let mut heard = Vec::new();
        for _ in 0..6_000 {
            heard.extend(self.heard());
            if heard == want {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("{heard:?} instead of {want:?}");
    }

    /// Waits until these conversations are given back.
    async fn until_ended(&self, want: &[usize]) {
        let is_so = async {
            while self.toy.0.lock().unwrap().ended != want {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LONG, is_so).await.unwrap();
    }
}

/// A client that sends what it is told.
struct Client<S> {
    stream: S,
    received: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    fn new(stream: S) -> Self {
        Self { stream, received: BytesMut::new() }
    }

    /// All in one segment.
    async fn send(&mut self, requests: &[(u32, Request)]) {
        let with_controls: Vec<_> =
            requests.iter().map(|(id, request)| (*id, request.clone(), Controls::none())).collect();
        self.stream.write_all(&encoded(&with_controls)).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn answer(&mut self) -> (u32, Response, Controls) {
        let frame = timeout(LONG, async {
            loop {
                if let Some(length) = frame_length(&self.received, 64 << 20).unwrap()
                    && length <= self.received.len()
                {
                    return self.received.split_to(length).freeze();
                }
                assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "the proxy hung up");
            }
        });
        let envelope = Envelope::decode(frame.await.unwrap(), &Limits::DEFAULT).unwrap();
        let controls = envelope.controls(&Limits::DEFAULT).unwrap();
        (envelope.id.0, envelope.response(&Limits::DEFAULT).unwrap(), controls)
    }

    /// The next so many answers: of which message, and how they are.
    async fn codes(&mut self, count: usize) -> Vec<(u32, ResultCode)> {
        let mut codes = Vec::new();
        while codes.len() < count {
            let (id, response, _) = self.answer().await;
            codes.push((id, result(response).code));
        }
        codes
    }

    /// A page of a search, and the cookie of the next.
    async fn page(&mut self, id: u32, cookie: &Bytes) -> (LdapResult, Bytes) {
        let page = PagedResults { size: 2, cookie: cookie.clone() };
        let controls = Controls::none().critical(&page);
        self.stream.write_all(&encoded(&[(id, Request::Search(search()), controls)])).await.unwrap();
        let (answered, response, controls) = self.answer().await;
        assert_eq!(answered, id);
        let next = controls.get::<PagedResults>(&Limits::DEFAULT).unwrap();
        (result(response), next.map(|next| next.cookie).unwrap_or_default())
    }
}

fn encoded(requests: &[(u32, Request, Controls)]) -> Bytes {
    let mut writer = Writer::new();
    for (id, request, controls) in requests {
        request.encode(MessageId(*id), controls, &mut writer);
    }
    writer.take()
}

fn result(response: Response) -> LdapResult {
    match response {
        Response::Bind(bind) => bind.result,
        Response::Extended(extended) => extended.result,
        Response::SearchDone(result) => result,
        other => panic!("not the end of an operation: {other:?}"),
    }
}

fn bind(name: &str) -> Request {
    let password = if name.is_empty() { "" } else { "a password" };
    Request::Bind(BindRequest {
        version: 3,
        name: name.to_owned(),
        authentication: Authentication::Simple(Secret::from(password)),
    })
}

fn find() -> Request {
    Request::Search(search())
}

fn who_am_i() -> Request {
    Request::Extended(WhoAmI.request())
}

fn start_tls() -> Request {
    Request::Extended(StartTls.request())
}

const fn abandon(id: u32) -> Request {
    Request::Abandon(MessageId(id))
}

fn all_good(ids: impl IntoIterator<Item = u32>) -> Vec<(u32, ResultCode)> {
    ids.into_iter().map(|id| (id, ResultCode::SUCCESS)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_never_sign_in_keep_nobody_out_who_does() {
    let world = World::with(|proxy| proxy.anonymous(4)).await;
    world.toy.0.lock().unwrap().most = Some(16);
    let mut strangers = Vec::new();
    for _ in 0..100 {
        let mut stranger = world.client().await;
        stranger.send(&[(1, find())]).await;
        assert_eq!(stranger.codes(1).await, all_good([1]));
        strangers.push(stranger);
    }
    assert_eq!(world.toy.0.lock().unwrap().peak, 4);
    let mut signed_in = Vec::new();
    for _ in 0..12 {
        signed_in.push(world.signed_in(MAJA).await);
    }
    // Each stranger is still answered, and takes nothing from who has signed in.
    world.heard();
    for stranger in &mut strangers {
        stranger.send(&[(2, find()), (3, bind("")), (4, find())]).await;
        assert_eq!(stranger.codes(3).await, all_good(2..=4));
    }
    for client in &mut signed_in {
        client.send(&[(2, find())]).await;
        assert_eq!(client.codes(1).await, all_good([2]));
    }
    let heard = world.heard();
    let maja = format!("bind {MAJA}");
    assert!(heard.iter().all(|what| !what.ends_with(&maja)), "{heard:?}");
    assert_eq!(world.toy.0.lock().unwrap().peak, 16);
}

/// The toy answers nobody who is not whom it has bound, so an operation that overtook a bind would be found.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_before_a_bind_is_answered_is_asked_by_who_is_bound() {
    let world = World::start().await;
    world.toy.0.lock().unwrap().bind_takes = Duration::from_millis(100);
    let mut client = world.client().await;
    client.send(&[(1, find()), (2, bind(MAJA)), (3, find()), (4, who_am_i())]).await;
    assert_eq!(client.codes(4).await, all_good(1..=4));
    let maja = format!("1 bind {MAJA}");
    assert_eq!(world.heard(), ["1 search", &maja, "1 search", "1 extended"]);
    // Who is refused is nobody, and on a conversation that was nobody's.
    world.toy.then_binds([Fate::Answered(ResultCode::INVALID_CREDENTIALS)]);
    client.send(&[(5, bind(NILS)), (6, find())]).await;
    assert_eq!(client.codes(2).await, [(5, ResultCode::INVALID_CREDENTIALS), (6, ResultCode::SUCCESS)]);
    assert_eq!(world.heard(), [format!("1 bind {NILS}"), "2 search".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_binds_at_once_each_is_sent_once_and_the_last_counts() {
    let world = World::start().await;
    world.toy.0.lock().unwrap().bind_takes = Duration::from_millis(100);
    let mut client = world.client().await;
    client.send(&[(1, bind(MAJA)), (2, bind(NILS)), (3, find()), (4, bind("")), (5, find())]).await;
    assert_eq!(client.codes(5).await, all_good(1..=5));
    let [maja, nils] = [MAJA, NILS].map(|name| format!("1 bind {name}"));
    assert_eq!(world.heard(), [&maja, &nils, "1 search", "1 bind ", "1 search"]);
    // Never two at a time.
    assert_eq!(world.toy.0.lock().unwrap().binding, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_leaves_nothing_behind() {
    let world = World::start().await;
    let maja = format!("1 bind {MAJA}");
    let mut client = world.signed_in(MAJA).await;
    world.toy.then([Fate::Silent; 2]);
    client.send(&[(2, find()), (3, find())]).await;
    world.until_heard(&[&maja, "1 search", "1 search"]).await;
    client.send(&[(4, Request::Unbind)]).await;
    world.until_heard(&["1 search abandoned", "1 search abandoned"]).await;
    world.until_ended(&[1]).await;
    // As who goes without a word.
    let mut client = world.signed_in(NILS).await;
    world.toy.then([Fate::Silent]);
    client.send(&[(2, find())]).await;
    world.until_heard(&[&format!("2 bind {NILS}"), "2 search"]).await;
    drop(client);
    world.until_heard(&["2 search abandoned"]).await;
    world.until_ended(&[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_abandons_what_another_one_asked() {
    let world = World::start().await;
    let mut maja = world.signed_in(MAJA).await;
    let mut nils = world.signed_in(NILS).await;
    world.heard();
    world.toy.then([Fate::Silent]);
    maja.send(&[(7, find())]).await;
    world.until_heard(&["1 search"]).await;
    let foreign: Vec<_> = (0..1_000).map(|id| (1_000 + id, abandon(id))).collect();
    nils.send(&foreign).await;
    nils.send(&[(2, find())]).await;
    assert_eq!(nils.codes(1).await, all_good([2]));
    assert_eq!(world.heard(), ["2 search"]);
    maja.send(&[(8, abandon(7)), (9, find())]).await;
    assert_eq!(maja.codes(1).await, all_good([9]));
    assert_eq!(world.heard(), ["1 search abandoned", "1 search"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_of_no_use_to_another_client() {
    let world = World::start().await;
    let mut maja = world.signed_in(MAJA).await;
    let (first, cookie) = maja.page(2, &Bytes::new()).await;
    assert!(first.code == ResultCode::SUCCESS && !cookie.is_empty(), "{first:?}");
    // Neither to somebody else nor to the same person on another connection; a part of it, or more, is no better.
    let mut nils = world.signed_in(NILS).await;
    let mut as_well = world.signed_in(MAJA).await;
    let longer = [&cookie[..], b"more"].concat();
    world.heard();
    for client in [&mut nils, &mut as_well] {
        let (refused, next) = client.page(2, &cookie).await;
        assert_eq!((refused.code, next), (ResultCode::UNWILLING_TO_PERFORM, Bytes::new()));
        assert!(refused.diagnostic.contains("start the search again"), "{}", refused.diagnostic);
    }
    for cut in [cookie.slice(..4), cookie.slice(1..), Bytes::from_static(b"no mark at all")] {
        assert_eq!(maja.page(3, &cut).await.0.code, ResultCode::UNWILLING_TO_PERFORM);
    }
    assert_eq!(world.heard(), [] as [String; 0]);
    // What stands behind the mark is the server's, who gets it as it came.
    assert_eq!(maja.page(4, &longer.into()).await.0.code, ResultCode::SUCCESS);
    assert_eq!(maja.page(5, &cookie).await.0.code, ResultCode::SUCCESS);
    // Nor to who was bound anew since.
    world.toy.then_binds([Fate::Answered(ResultCode::INVALID_CREDENTIALS)]);
    maja.send(&[(6, bind(NILS))]).await;
    assert_eq!(maja.codes(1).await, [(6, ResultCode::INVALID_CREDENTIALS)]);
    assert_eq!(maja.page(7, &cookie).await.0.code, ResultCode::UNWILLING_TO_PERFORM);
}

#[tokio::test(flavor = "multi_thread")]
async fn start_tls_waits_for_operations_and_forgets_who_was_bound() {
    let world = World::start().await;
    let mut client = world.signed_in(MAJA).await;
    world.toy.then([Fate::Silent]);
    client.send(&[(2, find())]).await;
    world.until_heard(&[&format!("1 bind {MAJA}"), "1 search"]).await;
    client.send(&[(3, start_tls())]).await;
    assert_eq!(client.codes(1).await, [(3, ResultCode::OPERATIONS_ERROR)]);
    assert_eq!(world.heard(), [] as [String; 0]);
    client.send(&[(4, abandon(2)), (5, start_tls())]).await;
    assert_eq!(client.codes(1).await, all_good([5]));
    let mut roots = RootCertStore::empty();
    roots.add(world.certificate.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, client.stream).await.unwrap();
    let mut client = Client::new(stream);
    client.send(&[(1, find())]).await;
    assert_eq!(client.codes(1).await, all_good([1]));
    // Asked as nobody, or the toy had not answered, on a conversation of its own.
    world.until_heard(&["1 search abandoned", "2 search"]).await;
    world.until_ended(&[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_ten_thousand_times_and_reads_nothing_is_asked_for_to_wait() {
    const REQUESTS: u32 = 10_000;
    let world = World::start().await;
    world.toy.0.lock().unwrap().padding = 4 << 10;
    let mut greedy = world.signed_in(MAJA).await;
    let mut neighbour = world.signed_in(NILS).await;
    world.heard();
    let requests: Vec<_> = (2..REQUESTS + 2).map(|id| (id, find(), Controls::none())).collect();
    let (mut reading, mut writing) = greedy.stream.split();
    let write = async { writing.write_all(&encoded(&requests)).await.unwrap() };
    // Until nothing more is asked of the server.
    let look = async {
        let mut asked = 0;
        loop {
            sleep(Duration::from_millis(500)).await;
            let more = world.heard().iter().filter(|what| *what == "1 search").count();
            asked += more;
            if more == 0 && asked > 0 {
                break;
            }
        }
        assert!(asked < REQUESTS as usize, "the answers to {asked} requests are kept for who reads none");
        neighbour.send(&[(2, find())]).await;
        assert_eq!(neighbour.codes(1).await, all_good([2]));
        // Each is answered once when they are read at last.
        let mut received = BytesMut::new();
        let mut ids = Vec::new();
        while ids.len() < REQUESTS as usize {
            while let Some(length) = frame_length(&received, 64 << 20).unwrap()
                && length <= received.len()
            {
                let envelope =
                    Envelope::decode(received.split_to(length).freeze(), &Limits::DEFAULT).unwrap();
                ids.push(envelope.id.0);
            }
            if ids.len() < REQUESTS as usize {
                assert_ne!(reading.read_buf(&mut received).await.unwrap(), 0, "the proxy hung up");
            }
        }
        ids.sort_unstable();
        assert_eq!(ids, (2..REQUESTS + 2).collect::<Vec<_>>());
    };
    timeout(2 * LONG, async { tokio::join!(write, look) }).await.unwrap();
}
