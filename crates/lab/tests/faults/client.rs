//! One connection through the proxy.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flext_ldap_client::{Connection, Connector};
use flext_ldap_directory::{
    Actor, DirectoryExt as _, Error, ErrorKind, Request,
    proto::{
        filter::Filter,
        message::{Scope, Search},
    },
};
use flext_ldap_lab::{End, FaultProxy, Faults, Opening, Tally, Way};
use flext_ldap_testkit::{
    TestDirectory,
    company::{Company, SUFFIX, company},
};
use tokio::task::JoinSet;

const PEOPLE: u32 = 200;
/// For what must not take long, at four times what it may.
const SOON: Duration = Duration::from_secs(4);

struct Bench {
    _directory: TestDirectory,
    proxy: FaultProxy,
    connector: Connector,
    people: BTreeMap<String, String>,
}

impl Bench {
    async fn start() -> Self {
        let staff: Company = company(PEOPLE, 3);
        let mut ldif = Vec::new();
        staff.write_ldif(&mut ldif).unwrap();
        let directory = TestDirectory::builder()
            .suffix(SUFFIX)
            .ldif(String::from_utf8(ldif).unwrap())
            .anonymous_read()
            .start()
            .unwrap();
        let server: SocketAddr = directory.url().trim_start_matches("ldap://").parse().unwrap();
        let proxy = FaultProxy::start(server, 7).await.unwrap();
        let address = proxy.address();
        let connector = Connector::builder()
            .clear()
            .address(address.ip().to_string(), address.port())
            .connect_timeout(Duration::from_secs(1));
        let people = staff.people().map(|person| (person.uid, person.dn)).collect();
        Self { _directory: directory, proxy, connector: connector.build().unwrap(), people }
    }

    async fn connect(&self) -> Connection {
        self.connector.connect().await.unwrap()
    }

    fn uids(&self) -> Vec<String> {
        self.people.keys().cloned().collect()
    }

    /// Looks somebody up; what is found is that person.
    async fn look_up(&self, connection: &Connection, uid: &str) -> Result<(), Error> {
        let entry = connection.search_one(lookup(uid)).await?;
        assert_eq!(entry.text("uid"), Some(uid));
        assert_eq!(entry.dn_str(), self.people[uid]);
        Ok(())
    }
}

fn lookup(uid: &str) -> Request<Search> {
    let filter = Filter::equality("uid".parse().unwrap(), uid);
    let search = Search::new(SUFFIX.parse().unwrap(), Scope::Subtree, filter).size_limit(2);
    Request::new(search, Actor::Anonymous).within(Duration::from_secs(1))
}

fn everybody() -> Request<Search> {
    let search = Search::new(SUFFIX.parse().unwrap(), Scope::Subtree, "(uid=*)".parse().unwrap());
    Request::new(search, Actor::Anonymous).within(Duration::from_secs(1))
}

fn to_client(way: Way) -> Faults {
    Faults { to_client: way, ..Faults::default() }
}

#[tokio::test]
async fn nothing_is_spoiled_unless_asked() {
    let bench = Bench::start().await;
    let connection = bench.connect().await;
    let found = connection.search_all(everybody()).await.unwrap();
    assert_eq!(found.len(), bench.people.len());
    assert_eq!(bench.proxy.tally(), Tally { connections: 1, ended: 0, spoiled: 0 });
    assert!(bench.proxy.sent()[0].len() > 40, "what the client sends is kept");
}

/// Wherever the answers are cut off, what was not received whole is an error: never a shorter result.
#[tokio::test]
async fn a_result_that_is_cut_off_is_no_result() {
    let bench = Bench::start().await;
    let whole = bench.people.len();
    for end in [End::Reset, End::Close] {
        bench.proxy.set(to_client(Way { end: Some((0..=120_000, end)), ..Way::default() }));
        let (mut complete, mut failed) = (0, 0);
        for _ in 0..60 {
            let Ok(connection) = bench.connector.connect().await else { continue };
            match connection.search_all(everybody()).await {
                Ok(found) => {
                    assert_eq!(found.len(), whole, "{end:?}");
                    complete += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Closed, "{end:?}: {error}");
                    failed += 1;
                }
            }
        }
        assert!(failed >= 20, "{end:?}: {failed} of {} failed", complete + failed);
    }
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_is_over_when_it_is_over() {
    let bench = Bench::start().await;
    let connection = bench.connect().await;
    bench.look_up(&connection, &bench.uids()[0]).await.unwrap();
    bench.proxy.set(Faults::end(End::Silence));
    let began = Instant::now();
    let error = bench.look_up(&connection, &bench.uids()[1]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < SOON, "{:?}", began.elapsed());
    let error = bench.connector.connect().await.map(|connection| connection.is_closed());
    // Without a bind there is nothing to wait for: a connection is one as soon as it is taken.
    assert!(matches!(error, Ok(false)), "{error:?}");
    bench.proxy.set(Faults::default());
    bench.look_up(&connection, &bench.uids()[2]).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_reset_is_told_at_once() {
    let bench = Bench::start().await;
    let connection = bench.connect().await;
    bench.proxy.set(Faults::end(End::Reset));
    let began = Instant::now();
    let error = bench.look_up(&connection, &bench.uids()[0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    bench.proxy.set(Faults { opening: Opening::Reset, ..Faults::default() });
    if let Ok(connection) = bench.connector.connect().await {
        let error = bench.look_up(&connection, &bench.uids()[0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

#[tokio::test]
async fn slow_and_in_pieces_is_still_right() {
    let bench = Bench::start().await;
    let millis = Duration::from_millis;
    let drip = Way { drip: Some((3, Duration::from_micros(50))), ..Way::default() };
    let faults = Faults { to_server: drip.clone(), to_client: drip, ..Faults::default() };
    for faults in [faults, Faults::latency(millis(1)..=millis(20))] {
        bench.proxy.set(faults);
        let connection = bench.connect().await;
        for uid in bench.uids().iter().take(5) {
            bench.look_up(&connection, uid).await.unwrap();
        }
    }
}

/// Answers that come twice, late and in another order, with a bit wrong: each caller gets their own answer or an error.
#[tokio::test]
async fn no_answer_reaches_another_caller() {
    let bench = Arc::new(Bench::start().await);
    let spoiled = [
        Way { doubled: 0.3, swapped: 0.3, ..Way::default() },
        Way { swapped: 0.7, ..Way::default() },
        Way { flipped: 0.05, ..Way::default() },
    ];
    for (number, way) in spoiled.into_iter().enumerate() {
        let has_flips = way.flipped > 0.0;
        bench.proxy.set(to_client(way));
        let (mut right, mut failed) = (0, 0);
        let began = Instant::now();
        for _ in 0..4 {
            let connection = Arc::new(bench.connect().await);
            let mut callers = JoinSet::new();
            for uid in bench.uids().into_iter().take(64) {
                let (bench, connection) = (Arc::clone(&bench), Arc::clone(&connection));
                callers.spawn(async move {
                    if !has_flips {
                        return bench.look_up(&connection, &uid).await;
                    }
                    // A flipped bit may change a value, which nothing short of TLS finds; that it is an answer at all
                    // or an error is all that can be asked.
                    connection.search_optional(lookup(&uid)).await.map(drop)
                });
            }
            while let Some(outcome) = callers.join_next().await {
                match outcome.unwrap() {
                    Ok(()) => right += 1,
                    Err(_) => failed += 1,
                }
            }
        }
        assert!(began.elapsed() < 4 * SOON, "{number}: {:?}", began.elapsed());
        assert!(right + failed == 256 && right > 0, "{number}: {right} right, {failed} failed");
    }
    assert!(bench.proxy.tally().spoiled > 50, "{:?}", bench.proxy.tally());
}

/// What is not LDAP costs the connection, and nothing that was asked over it is answered with it.
#[tokio::test]
async fn what_is_put_before_the_answers_ends_the_connection() {
    let bench = Bench::start().await;
    // An answer to a request that was never made, with a message id that will be.
    let forged = Bytes::from_static(&[0x30, 0x0c, 2, 1, 1, 0x65, 7, 10, 1, 0, 4, 0, 4, 0]);
    bench.proxy.set(to_client(Way { inject: forged, ..Way::default() }));
    let connection = bench.connect().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let error = bench.look_up(&connection, &bench.uids()[0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    assert!(error.to_string().contains("an answer to a request that was never made"), "{error}");
}
