//! The breaker on the paused clock: what opens it, what it answers then, and how it closes.

use std::{error::Error as _, sync::Arc, time::Duration};

use flext_ldap_directory::{
    Actor, Applied, Directory, Error, ErrorKind, Event, Layered, Op, Outcome, Reply, Request,
    layers::{Breaker, BreakerOpen, BreakerOptions, BreakerState, OperationClass},
    proto::{
        control::{ChangeTypes, PersistentSearch},
        message::{Delete, Scope, Search},
        result::ResultCode,
    },
};

use crate::script::{Script, batch, done};

const READ: OperationClass = OperationClass::Read;
const WRITE: OperationClass = OperationClass::Write;

fn person(number: usize) -> Op {
    let filter = format!("(uid=person{number})").parse().unwrap();
    Search::new("ou=people,dc=harbourlane,dc=example".parse().unwrap(), Scope::Subtree, filter).into()
}

fn leave(number: usize) -> Op {
    Delete { dn: format!("uid=person{number},ou=people,dc=harbourlane,dc=example").parse().unwrap() }.into()
}

/// A breaker around a directory that answers so, one call after another.
struct Bench {
    script: Script,
    breaker: Breaker,
    directory: Layered<Script, Breaker>,
}

impl Bench {
    fn new() -> Self {
        let script = Script::new(Vec::new());
        let breaker = Breaker::new("ldap1.harbourlane.example:636", BreakerOptions::default());
        let directory = Layered::new(script.clone(), Arc::new(breaker.clone()));
        Self { script, breaker, directory }
    }

    fn call(&self, op: Op, answer: Vec<Result<Event, Error>>) -> Reply {
        self.script.then(answer);
        self.directory.call(Request::new(op, Actor::Service))
    }

    async fn ask(&self, op: Op, answer: Result<Event, Error>) -> Result<Outcome, Error> {
        self.call(op, vec![answer]).outcome().await
    }

    /// Asks so often, each time something else.
    async fn ask_many(
        &self,
        number: usize,
        op: impl Fn(usize) -> Op,
        answer: impl Fn() -> Result<Event, Error>,
    ) {
        for number in 0..number {
            drop(self.ask(op(number), answer()).await);
        }
    }

    fn states(&self) -> [&'static str; 2] {
        [READ, WRITE].map(|class| match self.breaker.state(class) {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half open",
            BreakerState::Open { .. } => "open",
        })
    }
}

fn fails(kind: ErrorKind) -> impl Fn() -> Result<Event, Error> {
    move || Err(Error::new(kind, "no way there"))
}

fn answers(code: ResultCode) -> impl Fn() -> Result<Event, Error> {
    move || done(code)
}

#[tokio::test(start_paused = true)]
async fn it_opens_says_why_and_closes_again() {
    let bench = Bench::new();
    bench.ask_many(10, person, answers(ResultCode::NO_SUCH_OBJECT)).await;
    bench.ask_many(9, person, fails(ErrorKind::Unreachable)).await;
    assert_eq!(bench.states(), ["closed", "closed"], "nineteen calls are not enough");
    bench.ask_many(1, person, fails(ErrorKind::Unreachable)).await;
    assert_eq!(bench.states(), ["open", "closed"]);

    let asked = bench.script.requests().len();
    let error = bench.directory.call(Request::new(person(1), Actor::Service)).outcome().await.unwrap_err();
    assert_eq!(bench.script.requests().len(), asked, "it was not sent");
    assert_eq!((error.kind(), error.applied()), (ErrorKind::Unreachable, Applied::No));
    assert!(error.is_retryable());
    let text = error.to_string();
    let start = "ldap1.harbourlane.example:636 is given time to recover, so this read was not sent: 10 of the last 20 calls \
                 within 10s failed, the last one because: no way there; ask another server, or try again in ";
    assert!(text.starts_with(start), "{text}");
    let open = error.source().unwrap().downcast_ref::<BreakerOpen>().unwrap();
    assert_eq!(bench.breaker.state(READ), BreakerState::Open { until: open.until });
    let wait = open.until - tokio::time::Instant::now();
    assert!((Duration::from_millis(500)..=Duration::from_secs(1)).contains(&wait), "{wait:?}");
    // Writes are another circuit.
    assert!(bench.ask(leave(1), done(ResultCode::SUCCESS)).await.is_ok());

    tokio::time::sleep(wait).await;
    let mut probes: Vec<_> =
        (0..3).map(|number| bench.call(person(number), vec![done(ResultCode::SUCCESS)])).collect();
    assert_eq!(bench.states(), ["half open", "closed"]);
    let error = bench.directory.call(Request::new(person(3), Actor::Service)).outcome().await.unwrap_err();
    assert!(error.source().unwrap().is::<BreakerOpen>(), "no more than three probes at once");
    for probe in &mut probes {
        assert!(matches!(probe.next().await, Ok(Event::Done(_))));
    }
    assert_eq!(bench.states(), ["closed", "closed"]);
    assert_eq!((bench.breaker.statistics(READ).opened, bench.breaker.statistics(READ).refused), (1, 2));
    assert_eq!((bench.breaker.statistics(WRITE).opened, bench.breaker.statistics(WRITE).refused), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn only_failures_of_the_server_open_it() {
    type Answer = Box<dyn Fn() -> Result<Event, Error>>;
    let no = |code| -> Answer { Box::new(answers(code)) };
    let error = |kind| -> Answer { Box::new(fails(kind)) };
    let table: Vec<(&str, Answer, bool)> = vec![
        ("no such object", no(ResultCode::NO_SUCH_OBJECT), false),
        ("not allowed", no(ResultCode::INSUFFICIENT_ACCESS_RIGHTS), false),
        ("a filter the server refuses", no(ResultCode::INAPPROPRIATE_MATCHING), false),
        ("the server's time limit", no(ResultCode::TIME_LIMIT_EXCEEDED), false),
        ("operations error, as for who is not bound", no(ResultCode::OPERATIONS_ERROR), false),
        ("busy", no(ResultCode::BUSY), true),
        ("unavailable", no(ResultCode::UNAVAILABLE), true),
        ("other", no(ResultCode::OTHER), true),
        ("unreachable", error(ErrorKind::Unreachable), true),
        ("no TLS", error(ErrorKind::Tls), true),
        ("hung up", error(ErrorKind::Closed), true),
        ("not LDAP", error(ErrorKind::Protocol), true),
        ("too late", error(ErrorKind::Timeout), true),
        ("storage", error(ErrorKind::Storage), true),
        ("our own limit", error(ErrorKind::Overloaded), false),
        ("another actor", error(ErrorKind::NotCarried), false),
        ("misuse", error(ErrorKind::Misuse), false),
    ];
    for (name, answer, opens) in table {
        for op in [person as fn(usize) -> Op, leave] {
            let bench = Bench::new();
            bench.ask_many(20, op, &answer).await;
            let open = bench.states().contains(&"open");
            assert_eq!(open, opens, "{name}");
        }
    }
}

/// One question that the server chokes on, and callers in a hurry, may fail as often as they like.
#[tokio::test(start_paused = true)]
async fn one_bad_question_or_a_caller_in_a_hurry_does_not_open_it() {
    for kind in [ErrorKind::Closed, ErrorKind::Protocol, ErrorKind::Timeout] {
        let bench = Bench::new();
        bench.ask_many(200, |_| person(7), fails(kind)).await;
        assert_eq!(bench.states(), ["closed", "closed"], "{kind:?}");
    }
    let bench = Bench::new();
    bench.ask_many(200, |_| person(7), answers(ResultCode::OTHER)).await;
    for number in 0..200 {
        bench.script.then(vec![Err(Error::new(ErrorKind::Timeout, "too late"))]);
        let hurried = Request::new(person(number), Actor::Service).within(Duration::from_millis(999));
        bench.directory.call(hurried).outcome().await.unwrap_err();
    }
    // Given up by the caller.
    for number in 0..200 {
        let mut reply = bench.call(person(number), vec![batch(&["o=a"])]);
        assert!(!poll_once(&mut reply).await, "nothing has come yet");
    }
    assert_eq!(bench.states(), ["closed", "closed"]);
    assert_eq!(bench.breaker.statistics(READ).opened, 0);
}

/// Polls a reply once and gives it up.
async fn poll_once(reply: &mut Reply) -> bool {
    std::future::poll_fn(|cx| std::task::Poll::Ready(reply.poll_next(cx).is_ready())).await
}

/// Slow searches among others that are answered are not the server's fault; where nobody is answered they are.
#[tokio::test(start_paused = true)]
async fn late_answers_count_where_nobody_is_answered() {
    for (answered, want) in [(true, "closed"), (false, "open")] {
        let bench = Bench::new();
        let slow: Vec<_> = (0..20).map(|number| bench.call(person(number), fails_late())).collect();
        tokio::time::sleep(Duration::from_millis(10)).await;
        if answered {
            bench.ask(person(99), done(ResultCode::SUCCESS)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        for reply in slow {
            reply.outcome().await.unwrap_err();
        }
        assert_eq!(bench.states(), [want, "closed"]);
    }
}

fn fails_late() -> Vec<Result<Event, Error>> {
    vec![Err(Error::new(ErrorKind::Timeout, "too late"))]
}

/// A probe whose caller walked away without polling on does not keep the circuit half open for ever.
#[tokio::test(start_paused = true)]
async fn a_probe_that_never_ends_is_given_up() {
    let bench = Bench::new();
    bench.ask_many(20, person, fails(ErrorKind::Unreachable)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let held: Vec<_> = (0..3).map(|number| bench.call(person(number), Vec::new())).collect();
    assert!(bench.directory.call(Request::new(person(5), Actor::Service)).outcome().await.is_err());
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        bench.ask(person(6), done(ResultCode::SUCCESS)).await.unwrap();
    }
    assert_eq!(bench.states(), ["closed", "closed"]);
    drop(held);
    assert_eq!(bench.states(), ["closed", "closed"]);
}

/// A search that has delivered has shown that the server is there, however long it goes on.
#[tokio::test(start_paused = true)]
async fn the_first_delivery_counts() {
    let bench = Bench::new();
    bench.ask_many(20, person, fails(ErrorKind::Unreachable)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut replies = Vec::new();
    for number in 0..3 {
        let mut reply = bench.call(person(number), vec![batch(&["o=a"])]);
        assert!(matches!(reply.next().await, Ok(Event::Batch(_))));
        replies.push(reply);
    }
    assert_eq!(bench.states(), ["closed", "closed"]);
}

/// Never answers.
struct Silent;

impl Directory for Silent {
    fn call(&self, request: Request) -> Reply {
        drop(request);
        Reply::pending(std::future::pending())
    }
}

/// Callers who have a timeout of their own drop what they have waited for.
#[tokio::test(start_paused = true)]
async fn callers_who_stop_waiting_count_if_they_have_waited() {
    let changes = PersistentSearch { change_types: ChangeTypes::ANY, changes_only: true, return_ecs: false };
    let table = [
        ("long enough", 1_000, true, false, "open"),
        ("not long enough", 999, true, false, "closed"),
        ("never looked", 1_000, false, false, "closed"),
        ("for changes", 1_000, true, true, "closed"),
    ];
    for (name, time, looks, for_changes, want) in table {
        let breaker = Breaker::new("ldap1", BreakerOptions::default());
        let directory = Layered::new(Silent, Arc::new(breaker.clone()));
        let mut replies = Vec::new();
        for number in 0..20 {
            let mut request = Request::new(person(number), Actor::Service);
            if for_changes {
                request = request.critical(&changes);
            }
            let mut reply = directory.call(request);
            assert!(!looks || !poll_once(&mut reply).await);
            replies.push(reply);
        }
        tokio::time::sleep(Duration::from_millis(time)).await;
        drop(replies);
        let open = matches!(breaker.state(READ), BreakerState::Open { .. });
        assert_eq!(open, want == "open", "{name}");
    }
}
