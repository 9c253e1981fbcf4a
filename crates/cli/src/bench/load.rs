//! Operations one after another, from many tasks, and what became of each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap_directory::{Error, proto::result::ResultCode};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::histogram::Histogram;

/// Kinds of errors that are told apart; the rest is counted together. Result codes are the server's choice.
const KINDS: usize = 32;

/// How operations follow one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) tasks: u16,
    /// Before anything is counted.
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    /// Operations begun in a second, where that is not as soon as the one before has ended.
    pub(super) rate: Option<u32>,
}

/// What is done. An operation gives the number of entries it has brought.
pub(super) trait Work: Send + Sync + 'static {
    fn once(&self) -> impl Future<Output = Result<u64, Error>> + Send;
}

/// What became of all operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// How long those took that were done.
    pub(super) times: Histogram,
    pub(super) entries: u64,
    /// By kind, each with the first of them.
    pub(super) errors: BTreeMap<String, Failures>,
    /// From the first operation counted to the end of the last.
    pub(super) elapsed: Duration,
}

/// Errors of one kind.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    pub(super) count: u64,
    /// The exit code they stand for.
    pub(super) code: u8,
    pub(super) first: String,
}

impl Tally {
    pub(super) fn failed(&self) -> u64 {
        self.errors.values().map(|failures| failures.count).sum()
    }

    /// Operations, whatever became of them.
    pub(super) fn all(&self) -> u64 {
        self.times.count() + self.failed()
    }

    fn note(&mut self, result: Result<u64, Error>, took: Duration) {
        match result {
            Ok(entries) => {
                self.times.record(took);
                self.entries += entries;
            }
            Err(error) => {
                let kind = match error.result_code() {
                    Some(code) => code.to_string(),
                    None => error.kind().name().to_owned(),
                };
                match self.errors.get_mut(&kind) {
                    Some(failures) => failures.count += 1,
                    None => {
                        let code = crate::exit::of_directory(&error);
                        let first = format!("{:#}", anyhow::Error::new(error));
                        self.add_failures(kind, Failures { count: 1, code, first });
                    }
                }
            }
        }
    }

    fn add_failures(&mut self, kind: String, more: Failures) {
        let is_room = self.errors.len() < KINDS || self.errors.contains_key(&kind);
        let kind = if is_room { kind } else { "others".to_owned() };
        self.errors.entry(kind).and_modify(|failures| failures.count += more.count).or_insert(more);
    }

    fn add(&mut self, other: Self) {
        self.times.add(&other.times);
        self.entries += other.entries;
        for (kind, failures) in other.errors {
            self.add_failures(kind, failures);
        }
    }
}

/// What all tasks share.
struct Run<W> {
    work: W,
    began: Instant,
    /// From here on operations are counted.
    counted: Instant,
    ends: Instant,
    /// Between the beginnings of two operations, where there is a rate.
    every: Option<Duration>,
    turn: AtomicU64,
    is_over: AtomicBool,
}

/// Does the work from so many tasks until the time is over, or `stopped` is ready, or a password turns out to be wrong.
///
/// An operation that is under way at the end is waited for, which its own deadline bounds.
pub(super) async fn run<W: Work>(
    work: W,
    pace: Pace,
    stopped: impl Future<Output = ()>,
) -> anyhow::Result<(W, Tally)> {
    let began = Instant::now();
    let counted = began + pace.warm_up;
    let run = Arc::new(Run {
        work,
        began,
        counted,
        ends: counted + pace.duration,
        every: pace.rate.map(|rate| Duration::from_secs(1) / rate.max(1)),
        turn: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for _ in 0..pace.tasks {
        tasks.spawn(Arc::clone(&run).go_on());
    }
    let (mut tally, mut stopped) = (Tally::default(), std::pin::pin!(stopped));
    let mut is_stopped = false;
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(own) => tally.add(own.context("a task of the bench broke")?),
                None => break,
            },
            () = &mut stopped, if !is_stopped => {
                is_stopped = true;
                run.is_over.store(true, Ordering::Relaxed);
            }
        }
    }
    tally.elapsed = Instant::now().saturating_duration_since(counted);
    let run = Arc::into_inner(run).context("a task of the bench goes on")?;
    Ok((run.work, tally))
}

impl<W: Work> Run<W> {
    async fn go_on(self: Arc<Self>) -> Tally {
        let mut tally = Tally::default();
        while let Some(began) = self.next().await {
            let result = self.work.once().await;
            let is_wrong = result
                .as_ref()
                .is_err_and(|error| error.result_code() == Some(ResultCode::INVALID_CREDENTIALS));
            if is_wrong {
                // Each more would count towards a lockout.
                self.is_over.store(true, Ordering::Relaxed);
            }
            if began >= self.counted || is_wrong {
                tally.note(result, began.elapsed());
            }
        }
        tally
    }

    /// When the next operation began, at its time; `None` when there is to be none.
    ///
    /// With a rate an operation begins when it should have, also when no task was free then: a server that stands still for a
    /// second keeps all waiting that would have come in that second, and that is to be seen.
    async fn next(&self) -> Option<Instant> {
        let due = self.every.map(|every| {
            let turn = u32::try_from(self.turn.fetch_add(1, Ordering::Relaxed)).unwrap_or(u32::MAX);
            self.began + every * turn
        });
        if let Some(due) = due.filter(|due| *due > Instant::now()) {
            sleep_until(due.min(self.ends)).await;
            // Timers are late by up to a millisecond, which is nobody's waiting.
            return self.is_on(due).then(Instant::now);
        }
        let now = Instant::now();
        self.is_on(now).then_some(due.unwrap_or(now))
    }

    fn is_on(&self, at: Instant) -> bool {
        at < self.ends && Instant::now() < self.ends && !self.is_over.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::ErrorKind;
    use tokio::time::sleep;

    use super::*;

    /// Takes a millisecond, save for one operation of a second.
    struct Stalls {
        done: AtomicU64,
        stalls_at: u64,
    }

    impl Work for Stalls {
        async fn once(&self) -> Result<u64, Error> {
            let number = self.done.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(if number == self.stalls_at { 1_000 } else { 1 })).await;
            match number % 10 {
                3 => Err(Error::new(ErrorKind::Timeout, "late")),
                _ => Ok(2),
            }
        }
    }

    const PACE: Pace =
        Pace { tasks: 1, warm_up: Duration::from_secs(1), duration: Duration::from_secs(10), rate: None };

    #[tokio::test(start_paused = true)]
    async fn what_was_begun_is_done_or_failed_and_the_warm_up_does_not_count() {
        let work = Stalls { done: AtomicU64::new(0), stalls_at: 0 };
        let (work, tally) = run(work, Pace { tasks: 4, ..PACE }, std::future::pending()).await.unwrap();
        let done = work.done.into_inner();
        assert!(tally.all() < done && tally.all() > done * 8 / 10, "{} of {done}", tally.all());
        assert_eq!(tally.entries, tally.times.count() * 2);
        assert_eq!((tally.errors.len(), tally.failed()), (1, tally.errors["timeout"].count));
        assert!(tally.failed() >= tally.all() / 10 - 1 && tally.failed() <= tally.all() / 10 + 1);
        assert!(tally.elapsed >= PACE.duration && tally.elapsed <= PACE.duration + Duration::from_millis(2));
        assert!(tally.times.most() < Duration::from_millis(4), "{:?}", tally.times.most());
    }

    #[tokio::test(start_paused = true)]
    async fn at_a_rate_who_would_have_come_during_a_stall_has_waited() {
        let stalls = || Stalls { done: AtomicU64::new(0), stalls_at: 150 };
        let pace = Pace { rate: Some(100), ..PACE };
        let (_, tally) = run(stalls(), pace, std::future::pending()).await.unwrap();
        assert!((990..=1_000).contains(&tally.all()), "{}", tally.all());
        // A hundred were due in that second: the last tenth of all waited, half of them longer than half of it.
        assert!(tally.times.per_mille(950) > Duration::from_millis(400), "{:?}", tally.times.per_mille(950));
        assert!(tally.times.per_mille(500) < Duration::from_millis(4));
        // One after another, one operation has.
        let (_, tally) =
            run(stalls(), Pace { warm_up: Duration::ZERO, ..PACE }, std::future::pending()).await.unwrap();
        assert!(tally.times.per_mille(999) < Duration::from_millis(4), "{:?}", tally.times.per_mille(999));
        assert!(tally.times.most() >= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_it_is_told_to() {
        let work = Stalls { done: AtomicU64::new(0), stalls_at: 0 };
        let (_, tally) = run(work, PACE, sleep(Duration::from_secs(3))).await.unwrap();
        assert!(tally.elapsed <= Duration::from_millis(2_010), "{:?}", tally.elapsed);
    }

    struct Wrong;

    impl Work for Wrong {
        async fn once(&self) -> Result<u64, Error> {
            use flext_ldap_directory::{Outcome, proto::result::LdapResult};
            sleep(Duration::from_millis(1)).await;
            Err(Error::rejected(Outcome::new(LdapResult::new(ResultCode::INVALID_CREDENTIALS))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_password_ends_it() {
        let (_, tally) = run(Wrong, Pace { tasks: 3, ..PACE }, std::future::pending()).await.unwrap();
        assert_eq!((tally.failed(), tally.errors["invalidCredentials (49)"].code), (3, 49));
    }
}
