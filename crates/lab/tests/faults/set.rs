//! A set of two pools, each behind a proxy of its own, before one directory: what callers see while the ways fail in turns.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use flext_ldap_client::{Connector, Credentials, Pool, Server as _, ServerSet};
use flext_ldap_directory::{
    Actor, Applied, Deadline, DirectoryExt as _, Request,
    proto::{
        attribute::Attributes,
        filter::Filter,
        message::{Add, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_lab::{End, FaultProxy, Faults, Way};
use flext_ldap_testkit::{TestDirectory, company::SUFFIX};
use tokio::{task::JoinSet, time::sleep};

const TASKS: usize = 64;

struct Bench {
    directory: TestDirectory,
    /// To the directory itself, by no way that fails.
    direct: Connector,
    ways: [FaultProxy; 2],
    set: Arc<ServerSet>,
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
        let ways = [FaultProxy::start(server, 1).await.unwrap(), FaultProxy::start(server, 2).await.unwrap()];
        let to = |address: SocketAddr| {
            let credentials =
                Credentials::simple(directory.admin_dn().to_string(), directory.admin_password());
            let connector = Connector::builder().clear().address(address.ip().to_string(), address.port());
            connector.connect_timeout(Duration::from_secs(1)).credentials(credentials).build().unwrap()
        };
        let mut set = ServerSet::builder("both ways").check_every(Duration::from_millis(200));
        for way in &ways {
            let pool = Pool::builder(to(way.address())).build().unwrap();
            pool.ready(Deadline::after(Duration::from_secs(20))).await.unwrap();
            set = set.server(Arc::new(pool));
        }
        let direct = to(server);
        Self { directory, direct, ways, set: Arc::new(set.build().unwrap()) }
    }
}

fn lookup(number: usize) -> Request<Search> {
    let filter = Filter::equality("uid".parse().unwrap(), format!("crew{number}"));
    let search = Search::new(SUFFIX.parse().unwrap(), Scope::Subtree, filter).size_limit(2);
    Request::new(search, Actor::Service).within(Duration::from_secs(10))
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap()
}

/// No read fails, each has its own answer, and those of a way that was cut are answered by the other within a quarter of
/// a second, asserted at four times that and what a machine with other work takes for reads that nothing happens to.
#[tokio::test]
async fn no_read_fails_while_one_way_is_there() {
    let bench = Bench::start().await;
    let over = Arc::new(AtomicBool::new(false));
    let (asked, slowest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    let (undisturbed, connection) = (Arc::new(AtomicU64::new(0)), bench.direct.connect().await.unwrap());
    let (slowest_of_all, is_over) = (Arc::clone(&undisturbed), Arc::clone(&over));
    tasks.spawn(async move {
        while !is_over.load(Ordering::Relaxed) {
            let began = Instant::now();
            connection.search_one(lookup(0)).await.unwrap();
            slowest_of_all.fetch_max(millis(began), Ordering::Relaxed);
            sleep(Duration::from_millis(5)).await;
        }
    });
    for number in 0..TASKS {
        let (set, over) = (Arc::clone(&bench.set), Arc::clone(&over));
        let (asked, slowest) = (Arc::clone(&asked), Arc::clone(&slowest));
        tasks.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let entry = set.search_one(lookup(number)).await.unwrap();
                assert_eq!(entry.text("sn"), Some(&*number.to_string()));
                asked.fetch_add(1, Ordering::Relaxed);
                slowest.fetch_max(millis(began), Ordering::Relaxed);
                // Not so many that the machine is busy with them alone, since times are looked at.
                sleep(Duration::from_millis(40)).await;
            }
        });
    }
    for (round, end) in [End::Reset, End::Reset, End::Close, End::Close].into_iter().enumerate() {
        sleep(Duration::from_millis(200)).await;
        let way = &bench.ways[round % 2];
        way.set(Faults::end(end));
        sleep(Duration::from_millis(300)).await;
        way.set(Faults::default());
        // It is known to be good again before the other one fails.
        sleep(Duration::from_secs(3)).await;
    }
    over.store(true, Ordering::Relaxed);
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 1_000, "{asked:?}");
    let bound = 1_000 + 4 * undisturbed.load(Ordering::Relaxed);
    assert!(slowest.load(Ordering::Relaxed) < bound, "{slowest:?} ms, undisturbed {undisturbed:?} ms");
    assert!(bench.ways.iter().all(|way| way.tally().ended > 0), "{:?}", bench.ways);
    bench.set.shutdown(Deadline::after(Duration::from_secs(5))).await;
}

/// A way on which nothing comes back any more: reads go on by the other, within their own deadline.
#[tokio::test]
async fn silence_costs_no_read_that_had_time() {
    let bench = Bench::start().await;
    bench.set.search_one(lookup(0)).await.unwrap();
    bench.ways[0].set(Faults::end(End::Silence));
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let set = Arc::clone(&bench.set);
        tasks.spawn(async move {
            let entry = set.search_one(lookup(number)).await.unwrap();
            assert_eq!(entry.text("sn"), Some(&*number.to_string()));
        });
        sleep(Duration::from_millis(20)).await;
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    bench.set.shutdown(Deadline::after(Duration::from_secs(5))).await;
}

/// Of each write it is said that it was done, that it was not, or that nobody knows; the first two are true.
#[tokio::test]
async fn what_is_said_of_a_write_is_true() {
    let bench = Bench::start().await;
    let cut = |end| Way { end: Some((500..=3_000, end)), ..Way::default() };
    bench.ways[0].set(Faults { to_server: cut(End::Reset), ..Faults::default() });
    bench.ways[1].set(Faults { to_client: cut(End::Close), ..Faults::default() });
    let (mut done, mut failed, mut unknown) = (Vec::new(), Vec::new(), 0);
    for number in 0..200 {
        let uid = format!("hand{number}");
        let attributes = Attributes::builder()
            .attribute(&"objectClass".parse().unwrap(), ["account"])
            .attribute(&"uid".parse().unwrap(), [uid.as_str()])
            .build();
        let add = Add::new(format!("uid={uid},{SUFFIX}").parse().unwrap(), attributes);
        match bench.set.add(Request::new(add, Actor::Service).within(Duration::from_secs(10))).await {
            Ok(_) => done.push(uid),
            Err(error) => match error.applied() {
                Applied::No => {
                    failed.push((uid, error));
                    // Until a connection can be opened again.
                    sleep(Duration::from_millis(10)).await;
                }
                Applied::Unknown => unknown += 1,
                Applied::Yes => panic!("an error says that it was done: {error}"),
            },
        }
    }
    let store = bench.directory.store();
    let is_there = async |uid: &str| {
        let search = Search::new(format!("uid={uid},{SUFFIX}").parse().unwrap(), Scope::Base, Filter::any());
        store.search_optional(Request::new(search, Actor::Service)).await.unwrap().is_some()
    };
    for uid in &done {
        assert!(is_there(uid).await, "{uid} was said to be there");
    }
    for (uid, error) in &failed {
        // That it is there already would mean that it was sent twice.
        assert_ne!(error.result_code(), Some(ResultCode::ENTRY_ALREADY_EXISTS), "{uid}: {error}");
        assert!(!is_there(uid).await, "{uid} was said not to be there: {error}");
    }
    let (done, failed) = (done.len(), failed.len());
    assert!(done > 20 && unknown > 0, "{done} done, {failed} failed, {unknown} unknown");
    bench.set.shutdown(Deadline::after(Duration::from_secs(5))).await;
}
