//! Servers found in DNS: by a resolver that plays a script on the paused clock, and by ours against a name server on the
//! loopback interface.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flext_ldap_client::{
    Discovery, DnsResolver, MemberHealth, Server, ServerSet, SrvAnswer, SrvLookup, SrvRecord, SrvService,
    SrvTarget, WhenDown,
};
use flext_ldap_directory::{BoxFuture, Deadline, Error, ErrorKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
    task::JoinHandle,
    time::Instant,
};

use super::played::{Mood, Played, QUICK, pass, who, who_within};

fn record(priority: u16, weight: u16, port: u16, target: &str) -> SrvRecord {
    SrvRecord { priority, weight, port, target: target.to_owned() }
}

/// DNS as a test wants it: records by name, or no answer.
#[derive(Default)]
struct Zone {
    records: Mutex<HashMap<String, Vec<SrvRecord>>>,
    ttl: AtomicUsize,
    is_out: std::sync::atomic::AtomicBool,
    /// The one name that is not answered.
    out_for: Mutex<String>,
    lookups: AtomicUsize,
}

impl Zone {
    fn with(name: &str, records: Vec<SrvRecord>) -> Arc<Self> {
        let zone = Self { ttl: AtomicUsize::new(60), ..Self::default() };
        zone.says(name, records);
        Arc::new(zone)
    }

    fn says(&self, name: &str, records: Vec<SrvRecord>) {
        self.records.lock().unwrap().insert(name.to_owned(), records);
    }

    fn is_out_for(&self, name: &str) {
        name.clone_into(&mut self.out_for.lock().unwrap());
    }

    fn is_out(&self, out: bool) {
        self.is_out.store(out, Ordering::SeqCst);
    }
}

impl SrvLookup for Zone {
    fn lookup<'a>(&'a self, name: &'a str, _by: Deadline) -> BoxFuture<'a, Result<SrvAnswer, Error>> {
        Box::pin(async move {
            self.lookups.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            if self.is_out.load(Ordering::SeqCst) || *self.out_for.lock().unwrap() == name {
                return Err(Error::new(ErrorKind::Unreachable, "DNS is out"));
            }
            match self.records.lock().unwrap().get(name) {
                Some(records) => Ok(SrvAnswer {
                    records: records.clone(),
                    ttl: Duration::from_secs(self.ttl.load(Ordering::SeqCst) as u64),
                }),
                None => Err(Error::new(ErrorKind::NoEntry, format!("{name} is not in DNS"))),
            }
        })
    }
}

/// Played servers, made as their records come.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<HashMap<String, Arc<Played>>>>);

impl Made {
    fn discovery(&self, zone: &Arc<Zone>, service: SrvService) -> Discovery {
        let made = self.clone();
        let lookup = Arc::clone(zone) as Arc<dyn SrvLookup>;
        let discovery =
            Discovery::new("harbourlane.example", service, lookup, move |target| made.make(target));
        ["dc1", "dc2", "dc3", "dc9"].into_iter().fold(discovery, Discovery::hosts_within)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as a discovery wants it")]
    fn make(&self, target: &SrvTarget) -> Result<Arc<dyn Server>, Error> {
        let name = format!("{}:{}", target.host, target.port);
        let server = Played::new(&name, QUICK);
        let known = self.0.lock().unwrap().insert(name, Arc::clone(&server));
        assert!(known.is_none(), "{target:?} is made once");
        Ok(server)
    }

    fn get(&self, name: &str) -> Arc<Played> {
        Arc::clone(&self.0.lock().unwrap()[name])
    }
}

const LDAP: &str = "_ldap._tcp.harbourlane.example";
const LDAPS: &str = "_ldaps._tcp.harbourlane.example";

fn names(set: &ServerSet) -> Vec<String> {
    set.statistics().members.into_iter().map(|member| member.name).collect()
}

#[tokio::test(start_paused = true)]
async fn priorities_and_weights_are_followed() {
    let zone = Zone::with(
        LDAP,
        vec![
            record(10, 1, 389, "spare.harbourlane.example"),
            record(0, 25, 389, "dc1.harbourlane.example"),
            record(0, 75, 3389, "dc2.harbourlane.example"),
        ],
    );
    let made = Made::default();
    let set =
        ServerSet::builder("directory").discover(made.discovery(&zone, SrvService::Ldap)).build().unwrap();
    // The first operation waits for DNS.
    for _ in 0..1_000 {
        assert_ne!(who(&set).await.unwrap(), "cn=spare.harbourlane.example:389");
    }
    let [one, two] =
        ["dc1.harbourlane.example:389", "dc2.harbourlane.example:3389"].map(|name| made.get(name));
    assert!(one.asked().abs_diff(250) < 60, "{} and {}", one.asked(), two.asked());
    one.turns(Mood::Refuses);
    two.turns(Mood::Refuses);
    assert_eq!(who(&set).await.unwrap(), "cn=spare.harbourlane.example:389");
}

#[tokio::test(start_paused = true)]
async fn what_comes_and_goes_in_dns_comes_and_goes_in_the_set() {
    let zone = Zone::with(LDAP, vec![record(0, 1, 389, "dc1"), record(0, 1, 389, "dc2")]);
    let made = Made::default();
    let set =
        ServerSet::builder("directory").discover(made.discovery(&zone, SrvService::Ldap)).build().unwrap();
    who(&set).await.unwrap();
    assert_eq!(names(&set), ["dc1:389", "dc2:389"]);
    zone.says(LDAP, vec![record(0, 1, 389, "DC2"), record(5, 1, 389, "dc3")]);
    pass(Duration::from_secs(59)).await;
    assert_eq!(names(&set), ["dc1:389", "dc2:389"], "not before its time is over");
    pass(Duration::from_secs(9)).await;
    assert_eq!(names(&set), ["dc2:389", "dc3:389"]);
    assert!(made.get("dc1:389").is_shut_down.load(Ordering::SeqCst));
    assert!(!made.get("dc2:389").is_shut_down.load(Ordering::SeqCst), "who stays, stays as it is");
    for _ in 0..20 {
        assert_eq!(who(&set).await.unwrap(), "cn=dc2:389");
    }
    // A time of nothing would mean to ask without end.
    zone.ttl.store(0, Ordering::SeqCst);
    pass(Duration::from_secs(70)).await;
    let before = zone.lookups.load(Ordering::SeqCst);
    pass(Duration::from_secs(60)).await;
    let lookups = zone.lookups.load(Ordering::SeqCst) - before;
    assert!((10..=12).contains(&lookups), "{lookups} lookups a minute");
}

#[tokio::test(start_paused = true)]
async fn servers_outlive_an_outage_of_dns() {
    let zone = Zone::with(LDAP, vec![record(0, 1, 389, "dc1")]);
    let made = Made::default();
    let set =
        ServerSet::builder("directory").discover(made.discovery(&zone, SrvService::Ldap)).build().unwrap();
    who(&set).await.unwrap();
    zone.is_out(true);
    pass(Duration::from_secs(3_600)).await;
    assert_eq!(who(&set).await.unwrap(), "cn=dc1:389");
    assert_eq!(set.statistics().lookup_error.as_deref(), Some("DNS is out"));
    let lookups = zone.lookups.load(Ordering::SeqCst);
    assert!((60..140).contains(&lookups), "{lookups} lookups in an hour");
    // Nor does an answer that there is nothing end what works.
    zone.is_out(false);
    zone.says(LDAP, vec![]);
    pass(Duration::from_secs(120)).await;
    assert_eq!(who(&set).await.unwrap(), "cn=dc1:389");
    zone.says(LDAP, vec![record(0, 1, 389, "dc9")]);
    pass(Duration::from_secs(120)).await;
    assert_eq!(names(&set), ["dc9:389"]);
    assert_eq!(set.statistics().lookup_error, None);
}

#[tokio::test(start_paused = true)]
async fn who_asks_before_dns_does_waits_for_it() {
    let zone = Zone::with(LDAP, vec![record(0, 1, 389, "dc1")]);
    zone.is_out(true);
    let made = Made::default();
    let set =
        ServerSet::builder("directory").discover(made.discovery(&zone, SrvService::Ldap)).build().unwrap();
    let error = who_within(&set, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(error.to_string(), "no server of the set `directory` is known: DNS is out");
    zone.is_out(false);
    pass(Duration::from_secs(3)).await;
    assert_eq!(who(&set).await.unwrap(), "cn=dc1:389");
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_wait_waits_for_dns_too() {
    let zone = Zone::with(LDAP, vec![record(0, 1, 389, "dc1")]);
    zone.is_out(true);
    let made = Made::default();
    let discovery = made.discovery(&zone, SrvService::Ldap);
    let set = ServerSet::builder("directory").discover(discovery).when_down(WhenDown::Wait).build().unwrap();
    let set = Arc::new(set);
    let waiting = tokio::spawn({
        let set = Arc::clone(&set);
        async move { who_within(&*set, Duration::from_secs(60)).await }
    });
    pass(Duration::from_secs(20)).await;
    zone.is_out(false);
    assert_eq!(waiting.await.unwrap().unwrap(), "cn=dc1:389");
    zone.is_out(true);
    let started = Instant::now();
    let never = ServerSet::builder("never").discover(made.discovery(&zone, SrvService::Ldaps));
    let never = never.when_down(WhenDown::Wait).build().unwrap();
    let error = who_within(&never, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.to_string(), "no server of the set `never` is known: DNS is out");
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_service_named_first_goes_first() {
    let zone = Zone::with(LDAPS, vec![record(7, 1, 636, "dc1"), record(9, 1, 636, "dc2")]);
    zone.says(LDAP, vec![record(0, 1, 389, "dc1")]);
    let made = Made::default();
    let discovery = made.discovery(&zone, SrvService::Ldaps).and("harbourlane.example.", SrvService::Ldap);
    let set = ServerSet::builder("directory").discover(discovery).build().unwrap();
    assert_eq!(who(&set).await.unwrap(), "cn=dc1:636");
    let places: Vec<_> =
        set.statistics().members.iter().map(|member| (member.name.clone(), member.place.priority)).collect();
    assert_eq!(places, [("dc1:636".to_owned(), 7), ("dc2:636".to_owned(), 9), ("dc1:389".to_owned(), 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_domain_that_says_it_has_none_is_believed_and_a_server_that_cannot_be_made_is_told() {
    let zone = Zone::with(LDAP, vec![record(0, 0, 0, "")]);
    let made = Made::default();
    let set =
        ServerSet::builder("directory").discover(made.discovery(&zone, SrvService::Ldap)).build().unwrap();
    let error = who(&set).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no server of the set `directory` is known: {LDAP} has no servers in DNS (SRV): check the domain's name, or name \
             the servers"
        )
    );
    let zone = Zone::with(LDAP, vec![record(0, 1, 389, "dc1.harbourlane.example")]);
    let lookup = Arc::clone(&zone) as Arc<dyn SrvLookup>;
    let discovery = Discovery::new("harbourlane.example", SrvService::Ldap, lookup, |_| {
        Err(Error::new(ErrorKind::Misuse, "an `ldap:` URL does not go with TLS"))
    });
    let set = ServerSet::builder("directory").discover(discovery).build().unwrap();
    let error = who(&set).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("dc1.harbourlane.example:389 cannot be used: an `ldap:` URL does not go with TLS"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_of_other_domains_are_not_taken_unless_they_are_named() {
    let zone = Zone::with(
        LDAP,
        vec![
            record(0, 1, 389, "ldap.evil.example"),
            record(0, 1, 389, "notharbourlane.example"),
            record(0, 1, 389, "dc1.Harbourlane.Example"),
            record(0, 1, 389, "dc.lisbon.example"),
        ],
    );
    let made = Made::default();
    let discovery = made.discovery(&zone, SrvService::Ldap).hosts_within("lisbon.example");
    let set = ServerSet::builder("directory").discover(discovery).build().unwrap();
    who(&set).await.unwrap();
    assert_eq!(names(&set), ["dc1.harbourlane.example:389", "dc.lisbon.example:389"]);
    assert_eq!(
        set.statistics().lookup_error.as_deref(),
        Some(
            "notharbourlane.example is outside of the domain that was asked: if it is meant, name its domain \
             (Discovery::hosts_within)"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_for_one_service_keeps_its_servers_and_follows_the_other() {
    let zone = Zone::with(LDAPS, vec![record(0, 1, 636, "dc1")]);
    zone.says(LDAP, vec![record(0, 1, 389, "dc1")]);
    let made = Made::default();
    let discovery = made.discovery(&zone, SrvService::Ldaps).and("harbourlane.example", SrvService::Ldap);
    let set = ServerSet::builder("directory").discover(discovery).build().unwrap();
    who(&set).await.unwrap();
    zone.is_out_for(LDAPS);
    zone.says(LDAP, vec![record(0, 1, 389, "dc2")]);
    pass(Duration::from_secs(120)).await;
    assert_eq!(names(&set), ["dc1:636", "dc2:389"]);
    // That a name has no records is an answer; what the other one has is enough.
    zone.is_out_for("");
    zone.says(LDAPS, vec![]);
    pass(Duration::from_secs(120)).await;
    assert_eq!(names(&set), ["dc2:389"]);
}

/// A name server on the loopback interface, UDP and TCP on one port, that answers any question by `answer`: of its octets
/// and whether it came by TCP it makes none, or some.
struct NameServer {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    tasks: [JoinHandle<()>; 2],
}

impl NameServer {
    async fn start(answer: impl Fn(&[u8], bool) -> Vec<Vec<u8>> + Clone + Send + 'static) -> Self {
        // A port that is free for both.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let (count, by_udp) = (Arc::clone(&questions), answer.clone());
        let over_udp = tokio::spawn(async move {
            let mut octets = [0; 1_500];
            loop {
                let (length, from) = udp.recv_from(&mut octets).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                for answer in by_udp(&octets[..length], false) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let over_tcp = tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                for answer in answer(&question, true) {
                    stream.write_u16(u16::try_from(answer.len()).unwrap()).await.unwrap();
                    stream.write_all(&answer).await.unwrap();
                }
            }
        });
        Self { address, questions, tasks: [over_udp, over_tcp] }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The answer to `question` with these flags and records.
fn answer(question: &[u8], flags: u16, records: &[SrvRecord]) -> Vec<u8> {
    // The header, and the question without what may follow it (OPT, 11 octets).
    let mut answer = question[..question.len() - usize::from(question[11]) * 11].to_vec();
    answer[2..4].copy_from_slice(&flags.to_be_bytes());
    answer[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    answer[10..12].copy_from_slice(&[0, 0]);
    for record in records {
        let mut target = Vec::new();
        for label in record.target.split('.').filter(|label| !label.is_empty()) {
            target.push(u8::try_from(label.len()).unwrap());
            target.extend_from_slice(label.as_bytes());
        }
        target.push(0);
        answer.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 1, 44]);
        answer.extend_from_slice(&u16::try_from(6 + target.len()).unwrap().to_be_bytes());
        for word in [record.priority, record.weight, record.port] {
            answer.extend_from_slice(&word.to_be_bytes());
        }
        answer.extend_from_slice(&target);
    }
    answer
}

fn in_time() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

#[tokio::test]
async fn our_resolver_asks_a_name_server() {
    let records =
        vec![record(0, 10, 389, "dc1.harbourlane.example"), record(1, 0, 389, "dc2.harbourlane.example")];
    let served = records.clone();
    let server = NameServer::start(move |question, _| vec![answer(question, 0x8180, &served)]).await;
    let found = DnsResolver::with([server.address]).lookup(LDAP, in_time()).await.unwrap();
    assert_eq!(found, SrvAnswer { records, ttl: Duration::from_secs(300) });
}

#[tokio::test]
async fn what_does_not_fit_comes_by_tcp() {
    let many: Vec<_> = (0..200).map(|number| record(0, number, 389, "dc.harbourlane.example")).collect();
    let served = many.clone();
    let server = NameServer::start(move |question, by_tcp| match by_tcp {
        true => vec![answer(question, 0x8180, &served)],
        false => vec![answer(question, 0x8380, &[])],
    })
    .await;
    let found = DnsResolver::with([server.address]).lookup(LDAP, in_time()).await.unwrap();
    assert_eq!(found.records, many);
}

#[tokio::test]
async fn a_server_that_does_not_know_of_sizes_is_asked_without() {
    let records = vec![record(0, 0, 389, "dc1.harbourlane.example")];
    let served = records.clone();
    let server = NameServer::start(move |question, _| match question[11] {
        // FORMERR, and no more than the header.
        1 => vec![[&question[..2], &[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]].concat()],
        _ => vec![answer(question, 0x8180, &served)],
    })
    .await;
    let found = DnsResolver::with([server.address]).lookup(LDAP, in_time()).await.unwrap();
    assert_eq!(found.records, records);
}

#[tokio::test]
async fn the_next_name_server_is_asked_when_one_fails() {
    let good = vec![record(0, 0, 636, "dc1.harbourlane.example")];
    let served = good.clone();
    let failing = NameServer::start(|question, _| vec![answer(question, 0x8182, &[])]).await;
    let silent = NameServer::start(|_, _| vec![]).await;
    let working = NameServer::start(move |question, _| vec![answer(question, 0x8180, &served)]).await;
    let resolver = DnsResolver::with([failing.address, silent.address, working.address]);
    let started = Instant::now();
    assert_eq!(resolver.lookup(LDAPS, in_time()).await.unwrap().records, good);
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    let resolver = DnsResolver::with([failing.address]);
    let error = resolver.lookup(LDAPS, in_time()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("DNS did not tell the servers of {LDAPS} ({}: it failed (SERVFAIL))", failing.address)
    );
    assert_eq!(failing.questions.load(Ordering::SeqCst), 3, "one question before, then one a round");
}

#[tokio::test]
async fn forged_answers_are_passed_over() {
    let served = vec![record(0, 0, 636, "dc1.harbourlane.example")];
    let expected = served.clone();
    let server = NameServer::start(move |question, _| {
        let mut forged = answer(question, 0x8180, &[record(0, 0, 636, "evil.example")]);
        forged[0] ^= 0x55;
        let mut other_name = answer(question, 0x8180, &[record(0, 0, 636, "evil.example")]);
        other_name[14] ^= 1;
        vec![forged, other_name, answer(question, 0x8180, &served)]
    })
    .await;
    let found = DnsResolver::with([server.address]).lookup(LDAPS, in_time()).await.unwrap();
    assert_eq!(found.records, expected);
    let flood = NameServer::start(|question, _| {
        let mut forged = answer(question, 0x8180, &[]);
        forged[1] ^= 1;
        vec![forged; 40]
    })
    .await;
    let error = DnsResolver::with([flood.address]).lookup(LDAPS, in_time()).await.unwrap_err();
    assert!(error.to_string().contains("too many answers that are to no question of ours"), "{error}");
}

#[tokio::test]
async fn a_name_without_records_is_said_to_have_none() {
    let server = NameServer::start(|question, _| vec![answer(question, 0x8183, &[])]).await;
    let resolver = DnsResolver::with([server.address]);
    let error = resolver.lookup(LDAP, in_time()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoEntry);
    assert_eq!(server.questions.load(Ordering::SeqCst), 1, "that is an answer");
    let error = resolver.lookup("no name", Deadline::after(Duration::ZERO)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    let error = resolver.lookup("a..b", in_time()).await.unwrap_err();
    assert!(error.to_string().contains("this is no name that DNS can have"), "{error}");
}

#[tokio::test]
async fn a_set_finds_its_servers_by_dns() {
    let server = NameServer::start(|question, _| {
        vec![answer(question, 0x8180, &[record(0, 0, 389, "dc1.harbourlane.example")])]
    })
    .await;
    let made = Made::default();
    let making = made.clone();
    let lookup = Arc::new(DnsResolver::with([server.address]));
    let discovery =
        Discovery::new("harbourlane.example", SrvService::Ldap, lookup, move |target| making.make(target));
    let set = ServerSet::builder("directory").discover(discovery).build().unwrap();
    assert_eq!(who(&set).await.unwrap(), "cn=dc1.harbourlane.example:389");
    assert_eq!(set.statistics().members[0].health, MemberHealth::Well);
}
