//! 64 clients of the proxy, with two ways to one directory behind it: what each client sees while the ways fail in turns. Each has
//! one connection to the proxy, signed in, and keeps it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flext_ldap_client::{Connection, Connector, Credentials, MemberHealth, Pool, Server as _, ServerSet};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, DirectoryExt as _, Request, Session as _,
    proto::{
        attribute::Attributes,
        filter::Filter,
        message::{Add, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_lab::{End, FaultProxy, Faults, Way};
use flext_ldap_proxy::Proxy;
use flext_ldap_server::Server;
use flext_ldap_testkit::{TestDirectory, company::SUFFIX};
use tokio::{task::JoinSet, time::sleep};

const TASKS: usize = 64;

struct Bench {
    directory: TestDirectory,
    ways: [FaultProxy; 2],
    set: Arc<ServerSet>,
    _listener: Server,
    /// To the proxy.
    connector: Connector,
}

impl Bench {
    async fn start() -> Self {
        let top = format!(
            "dn: {SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n"
        );
        let ldif = (0..TASKS).fold(top, |all, number| {
            let person = "objectClass: inetOrgPerson\ncn: Crew";
            all + &format!("dn: uid=crew{number},{SUFFIX}\n{person}\nuid: crew{number}\nsn: {number}\n\n")
        });
        let directory = TestDirectory::builder().suffix(SUFFIX).ldif(ldif).start().unwrap();
        let server: SocketAddr = directory.url().trim_start_matches("ldap://").parse().unwrap();
        let ways = [FaultProxy::start(server, 3).await.unwrap(), FaultProxy::start(server, 4).await.unwrap()];
        let mut set = ServerSet::builder("both ways").check_every(Duration::from_millis(200));
        for way in &ways {
            let credentials =
                Credentials::simple(directory.admin_dn().to_string(), directory.admin_password());
            let connector = Connector::builder()
                .clear()
                .address(way.address().ip().to_string(), way.address().port())
                .connect_timeout(Duration::from_secs(3))
                .credentials(credentials);
            let pool =
                Pool::builder(connector.build().unwrap()).conversations(1_000).binds(32).build().unwrap();
            pool.ready(Deadline::after(Duration::from_secs(60))).await.unwrap();
            set = set.server(Arc::new(pool));
        }
        let set = Arc::new(set.build().unwrap());
        let proxy = Proxy::builder(Arc::clone(&set)).build();
        let listener = Server::builder(Arc::new(proxy)).listen("ldap://127.0.0.1:0".parse().unwrap());
        let listener = listener.start().await.unwrap();
        let connector = Connector::builder().clear().url(&listener.urls()[0]).build().unwrap();
        Self { directory, ways, set, _listener: listener, connector }
    }

    /// A client that is signed in.
    async fn client(&self) -> (Connection, Actor) {
        let mut connection = self.connector.connect().await.unwrap();
        let step =
            BindStep::simple(self.directory.admin_dn().as_str(), self.directory.admin_password().into());
        let reply = connection.bind(step, Deadline::after(Duration::from_secs(30))).await.unwrap();
        let BindReply::Done { actor, .. } = reply else { panic!("not signed in") };
        (connection, actor)
    }

    fn both_are_well(&self) -> bool {
        self.set.statistics().members.iter().all(|member| member.health == MemberHealth::Well)
    }

    async fn end(self) {
        self.set.shutdown(Deadline::after(Duration::from_secs(5))).await;
    }
}

/// How many answers each client has had.
struct Asked(Vec<AtomicU64>);

impl Asked {
    fn each(&self) -> Vec<u64> {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }
}

fn lookup(number: usize, actor: &Actor) -> Request<Search> {
    let filter = Filter::equality("uid".parse().unwrap(), format!("crew{number}"));
    let search = Search::new(SUFFIX.parse().unwrap(), Scope::Subtree, filter).size_limit(2);
    Request::new(search, actor.clone()).within(Duration::from_secs(20))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_read_fails_and_no_client_loses_its_connection() {
    let bench = Bench::start().await;
    let over = Arc::new(AtomicBool::new(false));
    let asked = Arc::new(Asked((0..TASKS).map(|_| AtomicU64::new(0)).collect()));
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let (client, actor) = bench.client().await;
        let (over, asked) = (Arc::clone(&over), Arc::clone(&asked));
        tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let entry = client.search_one(lookup(number, &actor)).await.unwrap();
                assert_eq!(entry.text("sn"), Some(&*number.to_string()));
                asked.0[number].fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_millis(40)).await;
            }
            assert!(!client.is_closed());
        });
    }
    for (round, end) in [End::Reset, End::Reset, End::Close, End::Silence].into_iter().enumerate() {
        sleep(Duration::from_millis(200)).await;
        let way = &bench.ways[round % 2];
        way.set(Faults::end(end));
        // What says nothing is left after a second, and a probe of two.
        sleep(Duration::from_millis(if end == End::Silence { 6_000 } else { 300 })).await;
        way.set(Faults::default());
        // One way fails at a time: all clients are signed in again, and the way is known to be good, before the other fails.
        let began = asked.each();
        let until = Instant::now() + Duration::from_secs(90);
        while !bench.both_are_well() || asked.each().iter().zip(&began).any(|(now, then)| *now < then + 2) {
            assert!(Instant::now() < until, "round {round}: {:?}", bench.set.statistics());
            sleep(Duration::from_millis(20)).await;
        }
    }
    over.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert!(asked.each().iter().sum::<u64>() > 1_000, "{:?}", asked.each());
    assert!(bench.ways.iter().all(|way| way.tally().ended > 0), "{:?}", bench.ways);
    bench.end().await;
}

/// Of each write the client hears that it was done, that it was not, or that nobody knows; the first two are true, and none
/// is done twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_of_a_write_is_true() {
    let bench = Bench::start().await;
    let mut clients = Vec::new();
    for number in 0..TASKS {
        clients.push((number, bench.client().await));
    }
    let cut = |end| Way { end: Some((500..=3_000, end)), ..Way::default() };
    bench.ways[0].set(Faults { to_server: cut(End::Reset), ..Faults::default() });
    bench.ways[1].set(Faults { to_client: cut(End::Close), ..Faults::default() });
    let mut tasks = JoinSet::new();
    for (client, (connection, actor)) in clients {
        tasks.spawn(async move {
            let mut told = Vec::new();
            for number in 0..6 {
                let uid = format!("hand{client}-{number}");
                let mut account = Attributes::builder();
                account.push("objectClass", ["account"]);
                account.push("uid", [&uid]);
                let add = Add::new(format!("uid={uid},{SUFFIX}").parse().unwrap(), account.build());
                let request = Request::new(add, actor.clone()).within(Duration::from_secs(30));
                let told_of_it = match connection.add(request).await {
                    Ok(_) => ResultCode::SUCCESS,
                    // A session that could not be signed in again is told to go, and what waits has no answer.
                    Err(error) => error.result_code().unwrap_or(ResultCode::OTHER),
                };
                told.push((uid, told_of_it));
            }
            told
        });
    }
    let mut all = Vec::new();
    while let Some(task) = tasks.join_next().await {
        all.extend(task.unwrap());
    }
    for way in &bench.ways {
        way.set(Faults::default());
    }
    let store = bench.directory.store();
    let (mut done, mut unknown, mut failed) = (0, 0, 0);
    for (uid, code) in all {
        let search = Search::new(format!("uid={uid},{SUFFIX}").parse().unwrap(), Scope::Base, Filter::any());
        let is_there = store.search_optional(Request::new(search, Actor::Service)).await.unwrap().is_some();
        match code {
            ResultCode::SUCCESS => {
                assert!(is_there, "{uid} was said to be there");
                done += 1;
            }
            ResultCode::OTHER => unknown += 1,
            // That it is there already would mean that it was sent twice.
            code => {
                assert_ne!(code, ResultCode::ENTRY_ALREADY_EXISTS, "{uid}");
                assert!(!is_there, "{uid} was said not to be there: {code}");
                failed += 1;
            }
        }
    }
    assert!(done > 64 && unknown > 0, "{done} done, {unknown} unknown, {failed} failed");
    bench.end().await;
}
