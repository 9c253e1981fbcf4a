//! The entries a bench of writes makes and takes away again, below a base of its own.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use flext_ldap_client::ServerSet;
use flext_ldap_directory::{
    Actor, DirectoryExt as _, Error, ErrorKind, Request,
    proto::{
        attribute::{AttributeDescription, Attributes},
        dn::{Dn, Rdn},
        filter::Filter,
        message::{Add, Change, ChangeKind, Delete, Modify, Scope, Search},
        result::ResultCode,
    },
};
use tokio::task::JoinSet;

use crate::exit::Usage;

/// How often a deletion of which nobody knows what became of it is sent.
const ATTEMPTS: usize = 3;

/// Below what entries are made, and what they are called.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) set: Arc<ServerSet>,
    base: Dn,
    /// What no other run has in its names.
    run: String,
    /// How long an operation may take.
    timeout: Duration,
    naming: AttributeDescription,
    description: AttributeDescription,
    /// Entries that were begun to be made: those of the numbers below.
    begun: AtomicU64,
}

/// What could not be taken away.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) count: u64,
    /// Why, of the first.
    pub(super) why: Option<Error>,
}

impl Ground {
    /// Looks whether there is a base, and nothing below it: what a bench of writes does to a directory in use nobody wants to find out.
    pub(super) async fn new(set: Arc<ServerSet>, base: Dn, timeout: Duration) -> anyhow::Result<Self> {
        let search = Search::new(base.clone(), Scope::One, Filter::any()).attributes(["1.1"]).size_limit(1);
        let found = set.search_all(Request::new(search, Actor::Service).within(timeout)).await;
        let is_empty = match found {
            Ok(found) => found.is_empty(),
            Err(error) if error.result_code() == Some(ResultCode::SIZE_LIMIT_EXCEEDED) => false,
            Err(error) => {
                let hint = match error.result_code() {
                    Some(ResultCode::NO_SUCH_OBJECT) => ": add it first, for the bench alone",
                    _ => "",
                };
                return Err(anyhow::Error::new(error).context(format!("failed to look below `{base}`{hint}")));
            }
        };
        if !is_empty {
            let text = format!(
                "`{base}` has entries below it: a bench of writes wants a base of its own, with nothing in it (what an \
                 interrupted one has left is deleted by `flext-ldap delete -r`)"
            );
            return Err(Usage(text).into());
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        Ok(Self {
            set,
            base,
            run: format!("bench-{:x}", now.as_millis()),
            timeout,
            naming: "cn".parse()?,
            description: "description".parse()?,
            begun: AtomicU64::new(0),
        })
    }

    fn name(&self, number: u64) -> Dn {
        self.base.child(&Rdn::new(&self.naming, format!("{}-{number}", self.run).as_bytes()))
    }

    /// Adds one more entry, of the size of a person's.
    pub(super) async fn add(&self) -> Result<(), Error> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let cn = format!("{}-{number}", self.run);
        let mut attributes = Attributes::builder();
        attributes.push("objectClass", ["top", "person", "organizationalPerson", "inetOrgPerson"]);
        attributes.push("cn", [cn.as_str()]);
        attributes.push("sn", ["Bench"]);
        attributes.push("givenName", ["Ada"]);
        attributes.push("mail", [format!("{cn}@bench.example")]);
        attributes.push("telephoneNumber", ["+1 555 0100"]);
        attributes.push("description", ["Made by flext-ldap bench, which takes it away again"]);
        let add = Add::new(self.name(number), attributes.build());
        self.set.add(Request::new(add, Actor::Service).within(self.timeout)).await.map(drop)
    }

    /// Adds so many entries, to be modified.
    pub(super) async fn prepare(self: &Arc<Self>, entries: u32, tasks: u16) -> anyhow::Result<()> {
        let mut adding = JoinSet::new();
        for _ in 0..entries {
            if adding.len() >= usize::from(tasks) {
                joined(&mut adding).await?;
            }
            let ground = Arc::clone(self);
            adding.spawn(async move { ground.add().await });
        }
        while !adding.is_empty() {
            joined(&mut adding).await?;
        }
        Ok(())
    }

    /// Replaces the description of one of the entries.
    pub(super) async fn modify(&self, turn: u64) -> Result<(), Error> {
        let entries = self.begun.load(Ordering::Relaxed).max(1);
        let change = Change {
            kind: ChangeKind::Replace,
            attribute: self.description.clone(),
            values: vec![format!("Changed for the {turn}th time by flext-ldap bench").into()],
        };
        let modify = Modify { dn: self.name(turn % entries), changes: vec![change] };
        self.set.modify(Request::new(modify, Actor::Service).within(self.timeout)).await.map(drop)
    }

    /// Deletes all that was made, until `stopped` is ready, and says what is left.
    pub(super) async fn clear(self: &Arc<Self>, tasks: u16, stopped: impl Future<Output = ()>) -> Left {
        let (next, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut clearing = JoinSet::new();
        for _ in 0..tasks {
            let (ground, next, is_over) = (Arc::clone(self), Arc::clone(&next), Arc::clone(&is_over));
            clearing.spawn(async move {
                let mut left = Left::default();
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= ground.begun.load(Ordering::Relaxed) {
                        break;
                    }
                    if let Err(error) = ground.delete(number).await {
                        left.count += 1;
                        left.why.get_or_insert(error);
                    }
                }
                left
            });
        }
        let (mut left, mut stopped, mut is_stopped) = (Left::default(), std::pin::pin!(stopped), false);
        loop {
            tokio::select! {
                ended = clearing.join_next() => match ended {
                    Some(Ok(own)) => {
                        left.count += own.count;
                        left.why = left.why.or(own.why);
                    }
                    Some(Err(error)) => {
                        left.count += 1;
                        let why = Error::new(ErrorKind::Bug, "a task that deletes broke").with_source(error);
                        left.why.get_or_insert(why);
                    }
                    None => break,
                },
                () = &mut stopped, if !is_stopped => {
                    is_stopped = true;
                    is_over.store(true, Ordering::Relaxed);
                }
            }
        }
        let begun = self.begun.load(Ordering::Relaxed);
        left.count += begun.saturating_sub(next.load(Ordering::Relaxed));
        left
    }

    /// That an entry is not there is what is wanted.
    async fn delete(&self, number: u64) -> Result<(), Error> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let delete = Request::new(Delete { dn: self.name(number) }, Actor::Service).within(self.timeout);
            match self.set.delete(delete).await {
                Err(error) if error.result_code() == Some(ResultCode::NO_SUCH_OBJECT) => return Ok(()),
                // It deletes what is there, however often it is sent.
                Err(error) if error.kind() != ErrorKind::Rejected && attempt < ATTEMPTS => {}
                ended => return ended.map(drop),
            }
        }
    }

    /// What finds all that was made, for people.
    pub(super) fn pattern(&self) -> String {
        format!("cn={}-*,{}", self.run, self.base)
    }
}

/// Waits for one of the additions.
async fn joined(adding: &mut JoinSet<Result<(), Error>>) -> anyhow::Result<()> {
    match adding.join_next().await {
        Some(added) => added.context("a task that adds broke")?.context("failed to add an entry to modify"),
        None => Ok(()),
    }
}
