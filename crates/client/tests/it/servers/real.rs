//! Sets over real connections to listeners on the loopback interface.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_client::{Connector, MemberHealth, Pool, Server, ServerSet, WhenDown};
use flext_ldap_directory::{
    Applied, Deadline, DirectoryExt as _,
    proto::message::{Request as Message, Response},
    proto::result::LdapResult,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};

use super::played::who_within;
use crate::support::{Peer, done, encoded, entry, modify, search};

/// A pool of connections to a listener.
fn pool(address: SocketAddr) -> Arc<dyn Server> {
    let connector = Connector::builder().clear().address(address.ip().to_string(), address.port());
    let connector = connector.connect_timeout(Duration::from_secs(1)).build().unwrap();
    Arc::new(Pool::builder(connector).max(4).build().unwrap())
}

/// A listener that answers, as long as it lives.
struct Living {
    address: SocketAddr,
    tasks: JoinSet<()>,
    writes: Arc<AtomicUsize>,
    /// Reads on, and answers nothing.
    is_silent: Arc<AtomicBool>,
}

impl Living {
    async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (writes, is_silent) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut tasks = JoinSet::new();
        let (counter, silent) = (Arc::clone(&writes), Arc::clone(&is_silent));
        tasks.spawn(async move {
            let mut conversations = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Killed, it resets what it has open.
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                conversations.spawn(converse(stream, Arc::clone(&counter), Arc::clone(&silent)));
            }
        });
        Self { address, tasks, writes, is_silent }
    }

    async fn kill(mut self) -> String {
        self.tasks.shutdown().await;
        self.address.to_string()
    }
}

async fn converse(stream: TcpStream, writes: Arc<AtomicUsize>, is_silent: Arc<AtomicBool>) {
    let name = stream.local_addr().unwrap().port();
    let mut peer = Peer::new(stream);
    while let Some((id, request, _)) = peer.next().await {
        if is_silent.load(Ordering::Relaxed) {
            continue;
        }
        match request {
            Message::Search(_) => {
                // In one piece: a search that is cut off after an entry is not begun anew.
                let entry = entry(id, &format!("cn={name}"), 1);
                peer.raw(&[entry, encoded(id, &done())].concat()).await;
            }
            Message::Modify(_) => {
                writes.fetch_add(1, Ordering::Relaxed);
                peer.answer(id, Response::Modify(LdapResult::success())).await;
            }
            Message::Unbind => return,
            _ => {}
        }
    }
}

fn over(servers: &[&Living]) -> ServerSet {
    let servers = servers.iter().map(|living| pool(living.address));
    ServerSet::builder("directory").servers(servers).when_down(WhenDown::Wait).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_costs_no_read_and_comes_back() {
    let (first, second) = (Living::at("127.0.0.1:0").await, Living::at("127.0.0.1:0").await);
    let set = Arc::new(over(&[&first, &second]));
    let name = format!("cn={}", first.address.port());
    assert_eq!(who_within(&*set, Duration::from_secs(5)).await.unwrap(), name);
    let is_over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let (set, is_over) = (Arc::clone(&set), Arc::clone(&is_over));
        tasks.spawn(async move {
            let (mut reads, mut longest) = (0_u64, Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                let started = Instant::now();
                who_within(&*set, Duration::from_secs(10)).await.unwrap();
                longest = longest.max(started.elapsed());
                reads += 1;
            }
            (reads, longest)
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let address = first.kill().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let again = Living::at(&address).await;
    let back = Instant::now();
    while set.statistics().members[0].health != MemberHealth::Well {
        assert!(back.elapsed() < Duration::from_secs(8), "{:?}", set.statistics());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    is_over.store(true, Ordering::Relaxed);
    let (mut reads, mut longest) = (0, Duration::ZERO);
    while let Some(task) = tasks.join_next().await {
        let (some, time) = task.unwrap();
        (reads, longest) = (reads + some, longest.max(time));
    }
    println!("{reads} reads, the longest took {longest:?}; back after {:?}", back.elapsed());
    // Four times the figure, for machines that are busy with other tests.
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // It may be slow for a moment where all had waited for it.
    while who_within(&*set, Duration::from_secs(5)).await.unwrap() != name {
        assert!(back.elapsed() < Duration::from_secs(8), "{:?}", set.statistics());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    set.shutdown(Deadline::after(Duration::from_secs(1))).await;
    drop(again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_falls_silent_costs_no_read_that_has_time() {
    let (first, second) = (Living::at("127.0.0.1:0").await, Living::at("127.0.0.1:0").await);
    let set = over(&[&first, &second]);
    who_within(&set, Duration::from_secs(5)).await.unwrap();
    first.is_silent.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let name = format!("cn={}", second.address.port());
    assert_eq!(who_within(&set, Duration::from_secs(60)).await.unwrap(), name);
    println!("a read went on after {:?} of silence", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(16), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_are_counted_where_they_are_done() {
    let (first, second) = (Living::at("127.0.0.1:0").await, Living::at("127.0.0.1:0").await);
    let set = over(&[&first, &second]);
    let counters = [Arc::clone(&first.writes), Arc::clone(&second.writes)];
    let (mut done, mut unknown) = (0, 0);
    let mut first = Some(first);
    for number in 0..400 {
        if number == 200 {
            first.take().unwrap().kill().await;
        }
        match set.modify(modify("uid=ada", "x").within(Duration::from_secs(5))).await {
            Ok(_) => done += 1,
            Err(error) => {
                assert_eq!(error.applied(), Applied::Unknown, "{error}");
                unknown += 1;
            }
        }
    }
    let counted: usize = counters.iter().map(|counter| counter.load(Ordering::Relaxed)).sum();
    assert!((done..=done + unknown).contains(&counted), "{done} done, {unknown} unknown, {counted} counted");
    assert!(unknown <= 1, "{unknown}");
    assert!(set.search_all(search("ou=people")).await.is_ok());
}
