//! One task that uses a directory, and what it was told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Result, ensure};
use flext_ldap_directory::{
    Actor, Directory, DirectoryExt as _, Error, ErrorKind, Operation, Request,
    layers::BreakerOpen,
    proto::{
        dn::Dn,
        filter::Filter,
        message::{Change, ChangeKind, Modify, Scope, Search},
    },
};

use crate::faults::Dice;

pub(crate) const SUFFIX: &str = "dc=harbourlane,dc=example";
const PEOPLE: u64 = 500;

/// The people, each with their number.
pub(crate) fn people() -> String {
    let top = format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane Instruments\n\n"
    );
    (0..PEOPLE).fold(top, |all, number| {
        let person = "objectClass: inetOrgPerson\ncn: Crew";
        all + &format!("dn: uid=crew{number},{SUFFIX}\n{person}\nuid: crew{number}\nsn: {number}\n\n")
    })
}

/// What became of operations, by kind of operation and what callers were told.
#[derive(Debug, Default)]
pub(crate) struct Account {
    begun: u64,
    ended: BTreeMap<(&'static str, &'static str), u64>,
    timeouts: u64,
    /// Operations that the breaker took for hopeless, and sent nowhere.
    refused: u64,
}

impl Account {
    fn count(&mut self, operation: &'static str, told: &'static str) {
        *self.ended.entry((operation, told)).or_default() += 1;
    }

    fn hear<T>(&mut self, operation: &'static str, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.count(operation, "success");
                Some(value)
            }
            Err(error) => {
                self.timeouts += u64::from(error.kind() == ErrorKind::Timeout);
                let source = std::error::Error::source(&error);
                self.refused += u64::from(source.is_some_and(|source| source.is::<BreakerOpen>()));
                self.count(
                    operation,
                    if error.kind() == ErrorKind::Rejected { "error" } else { "exception" },
                );
                None
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.timeouts += other.timeouts;
        self.refused += other.refused;
        for (which, count) in &other.ended {
            *self.ended.entry(*which).or_default() += count;
        }
    }

    /// That everything begun has ended, and that the metrics say the same of it.
    pub(crate) fn reconcile(&self, metrics: &str) -> Result<()> {
        let ended: u64 = self.ended.values().sum();
        let told = |told| {
            self.ended
                .iter()
                .filter(|((_, as_told), _)| *as_told == told)
                .map(|(_, count)| count)
                .sum::<u64>()
        };
        println!(
            "operations: {} begun = {} done + {} answered with no + {} without an answer ({} of them for a deadline, {} sent nowhere by the breaker) + {} left",
            self.begun,
            told("success"),
            told("error"),
            told("exception"),
            self.timeouts,
            self.refused,
            told("abandoned"),
        );
        ensure!(self.begun == ended, "{} operations were begun and {ended} have ended", self.begun);
        // With both ways cut the breaker is quick to say no, and is asked the more often for it.
        ensure!(told("success") * 2 > self.begun - self.refused, "half of what was sent was not done");
        let mut seen = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("flext_ldap_operations_total{")) {
            let label = |name: &str| {
                line.split_once(&format!("{name}=\""))
                    .and_then(|(_, rest)| rest.split_once('"'))
                    .map(|(value, _)| value)
            };
            let (operation, status) =
                (label("operation_type").unwrap_or_default(), label("status").unwrap_or_default());
            let count: u64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
            if count > 0 {
                *seen.entry((operation, status)).or_insert(0) += count;
            }
        }
        let own: BTreeMap<_, _> = self.ended.iter().map(|(which, count)| (*which, *count)).collect();
        ensure!(own == seen, "callers were told {own:?}, and the metrics say {seen:?}");
        Ok(())
    }
}

/// One of many that use the directory.
pub(crate) struct Worker<D> {
    number: u64,
    directory: Arc<D>,
    dice: Dice,
    account: Account,
}

impl<D: Directory> Worker<D> {
    pub(crate) fn new(number: u64, directory: Arc<D>) -> Self {
        Self { number, directory, dice: Dice::new(number), account: Account::default() }
    }

    /// # Errors
    ///
    /// An answer was wrong.
    pub(crate) async fn go_on(mut self, is_over: Arc<AtomicBool>) -> Result<Account> {
        while !is_over.load(Ordering::Relaxed) {
            self.account.begun += 1;
            match self.dice.below(20) {
                0 => self.read_everything().await?,
                1 => self.leave().await?,
                2 | 3 => self.write().await?,
                _ => self.look_up().await?,
            }
            tokio::time::sleep(self.dice.millis(0, 40)).await;
        }
        Ok(self.account)
    }

    async fn look_up(&mut self) -> Result<()> {
        let number = self.dice.below(PEOPLE);
        let filter = Filter::equality("uid".parse()?, format!("crew{number}"));
        let search = Search::new(SUFFIX.parse()?, Scope::Subtree, filter).size_limit(2);
        let request = self.request(search);
        let found = self.directory.search_all(request).await;
        if let Some(found) = self.account.hear("search", found) {
            let names: Vec<_> = found.iter().map(|entry| entry.text("sn").unwrap_or_default()).collect();
            ensure!(names == [number.to_string()], "asked for {number}, answered with {names:?}");
        }
        Ok(())
    }

    async fn read_everything(&mut self) -> Result<()> {
        let request = self.request(everybody()?);
        let found = self.directory.search_all(request).await;
        if let Some(found) = self.account.hear("search", found) {
            ensure!(found.len() as u64 == PEOPLE, "{} of {PEOPLE} were a whole result", found.len());
        }
        Ok(())
    }

    /// Asks for much, and goes, at once or after the first of it.
    async fn leave(&mut self) -> Result<()> {
        let (request, goes_at_once) = (self.request(everybody()?), self.dice.below(2) == 0);
        let mut entries = self.directory.search(request);
        if goes_at_once {
            self.account.count("search", "abandoned");
            return Ok(());
        }
        match entries.next_batch().await {
            Ok(Some(_)) => self.account.count("search", "abandoned"),
            Ok(None) => anyhow::bail!("nobody was found"),
            Err(error) => drop(self.account.hear::<()>("search", Err(error))),
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<()> {
        let change = Change {
            kind: ChangeKind::Replace,
            attribute: "description".parse()?,
            values: vec![format!("Seen by {}", self.number).into()],
        };
        let dn: Dn = format!("uid=crew{},{SUFFIX}", self.number).parse()?;
        let request = self.request(Modify { dn, changes: vec![change] });
        let modified = self.directory.modify(request).await;
        drop(self.account.hear("modify", modified));
        Ok(())
    }

    /// A request with a deadline of its own: many have time for a failover, some for hardly anything.
    fn request<O: Operation>(&mut self, op: O) -> Request<O> {
        let time =
            if self.dice.below(10) == 0 { self.dice.millis(1, 50) } else { self.dice.millis(500, 5_000) };
        Request::new(op, Actor::Service).within(time)
    }
}

fn everybody() -> Result<Search> {
    Ok(Search::new(SUFFIX.parse()?, Scope::Subtree, "(uid=*)".parse()?))
}
