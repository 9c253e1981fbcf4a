//! `flext-ldap bench`: load for a server, and how it bears it.
//!
//! Operations go through what programs use: a pool for each server, and a set over the pools. So what is measured is a
//! server together with this client; several servers show what a failover costs. Not here: a comparison of clients
//! (docs/performance.md).

mod ground;
mod histogram;
mod load;
mod numbers;
mod report;

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap_client::{Connector, Credentials, MemberHealth, Pool, Server, ServerSet};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, DirectoryExt as _, Error, ErrorKind, Request,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        secret::Secret,
    },
};

use self::{
    ground::{Ground, Left},
    load::{Pace, Tally, Work},
    numbers::{Numbers, Range, Template},
    report::Report,
};
use crate::{
    connect::{Connect, Way, dn},
    exit::{self, Usage},
    search::ScopeName,
};

// `{n}` is a line end to clap, unless something that nobody sees is in it.
const EXAMPLES: &str = "\
Examples:
  flext-ldap bench search -H ldap://localhost -D cn=admin,dc=example,dc=com -y FILE \\
    -b dc=example,dc=com --filter '(uid=user{\x1b[0mn})' --range 1-100000 -z 2 --tasks 64 --duration 30
  flext-ldap bench search -H ldap://one.example.com -H ldap://two.example.com --json
  flext-ldap bench bind -H ldaps://ldap.example.com -D 'uid=user{\x1b[0mn},ou=people,dc=example,dc=com' \\
    -y FILE --range 1-500
  flext-ldap bench add -H ldap://localhost -D cn=admin,dc=example,dc=com -y FILE \\
    -b ou=bench,dc=example,dc=com --rate 200

Several servers are a failover set, in order. {\x1b[0mn} stands for a number: 0, 1, 2, … or, with
--range, one of those, at random or --in-turn. The exit code is 0 if no operation failed,
otherwise that of the most frequent error.";

/// How long everything may take that is done before and after.
const AROUND: Duration = Duration::from_secs(30);

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    operation: Operation,
}

#[derive(Debug, clap::Subcommand)]
enum Operation {
    /// Search again and again
    Search(SearchArguments),
    /// Sign users in, over the connections a pool keeps for that
    ///
    /// -D is the name of the users, with a place for a number in it, and -w, -W or -y the password of them all. A wrong password ends it at
    /// once; by then as many may have been sent as there are tasks, so beware of accounts that lock.
    Bind(BindArguments),
    /// Add entries below a base of its own, and delete them afterwards
    Add(AddArguments),
    /// Add entries below a base of its own, modify them again and again, and delete them afterwards
    Modify(ModifyArguments),
}

/// What all of them take.
#[derive(Debug, clap::Args)]
struct Load {
    #[command(flatten)]
    connect: Connect,
    /// Connections to each server
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Tasks, each with one operation at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=8192))]
    tasks: u16,
    /// Seconds to measure; Ctrl-C ends it before
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::ping::seconds)]
    duration: Duration,
    /// Seconds of the same before, which do not count
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds_or_none)]
    warm_up: Duration,
    /// Begin so many operations a second, whatever became of those before, and count their time from when they were due;
    /// without it each task begins its next one when its last is answered
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: Option<u32>,
    /// Seconds an operation may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = crate::ping::seconds)]
    timeout: Duration,
    /// Threads of this program
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Where the numbers come from.
#[derive(Debug, clap::Args)]
struct NumberArguments {
    /// Draw the numbers from these; without it they count up from 0
    #[arg(long, value_name = "FIRST-LAST")]
    range: Option<Range>,
    /// Take those of the range in turn, over and over
    #[arg(long, requires = "range")]
    in_turn: bool,
}

#[derive(Debug, clap::Args)]
struct SearchArguments {
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    numbers: NumberArguments,
    /// Entry to start from; that of the URL or of ldap.conf if left out
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
    base: Option<Dn>,
    /// How far to go from there
    #[arg(short = 's', long, value_enum, default_value_t = ScopeName::Sub)]
    scope: ScopeName,
    /// What to search for
    #[arg(long, value_name = "FILTER", default_value = "(objectClass=*)", value_parser = filter)]
    filter: Template<Filter>,
    /// At most this many entries each; 0 leaves it to the server. A search that says that it wants few shares a connection
    #[arg(short = 'z', long, value_name = "ENTRIES", default_value_t = 0)]
    size_limit: u32,
    /// Attributes to ask for; all if left out
    #[arg(value_name = "ATTRIBUTE")]
    attributes: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct BindArguments {
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    numbers: NumberArguments,
}

#[derive(Debug, clap::Args)]
struct AddArguments {
    #[command(flatten)]
    load: Load,
    /// Entry to add below; it must be there, and have nothing below it
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
    base: Dn,
}

#[derive(Debug, clap::Args)]
struct ModifyArguments {
    #[command(flatten)]
    load: Load,
    /// Entry to add below; it must be there, and have nothing below it
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
    base: Dn,
    /// Entries to add and modify
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    entries: u32,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let load = match &self.operation {
            Operation::Search(arguments) => &arguments.load,
            Operation::Bind(arguments) => &arguments.load,
            Operation::Add(arguments) => &arguments.load,
            Operation::Modify(arguments) => &arguments.load,
        };
        let threads = usize::from(load.threads);
        if threads == 1 {
            return crate::block_on(self.operation.run());
        }
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
        // On a thread of the runtime nothing has to cross from one to another.
        let result = runtime.block_on(async { tokio::spawn(self.operation.run()).await });
        runtime.shutdown_background();
        result.context("the bench broke")?
    }
}

impl Operation {
    async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Search(arguments) => arguments.run().await,
            Self::Bind(arguments) => arguments.run().await,
            Self::Add(AddArguments { load, base }) => {
                let (servers, ground) = load.ground(base).await?;
                let (work, tally) = load.measure(Adding(ground)).await?;
                load.end(servers, "add", &tally, work.0).await
            }
            Self::Modify(ModifyArguments { load, base, entries }) => {
                let (servers, ground) = load.ground(base).await?;
                let prepared = ground.prepare(entries, load.tasks).await;
                let tally = match prepared {
                    Ok(()) => load
                        .measure(Modifying(Arc::clone(&ground), AtomicU64::new(0)))
                        .await
                        .map(|(_, tally)| tally),
                    Err(error) => Err(error),
                };
                match tally {
                    Ok(tally) => load.end(servers, "modify", &tally, ground).await,
                    Err(error) => {
                        let left = ground.clear(load.tasks, interrupted()).await;
                        say_left(&left, &ground);
                        Err(error)
                    }
                }
            }
        }
    }
}

/// The pools and the set over them.
struct Servers {
    set: Arc<ServerSet>,
    pools: Vec<Pool>,
}

impl Servers {
    async fn start(
        connectors: Vec<Connector>,
        service: usize,
        prepare: impl Fn(flext_ldap_client::PoolBuilder) -> flext_ldap_client::PoolBuilder,
    ) -> anyhow::Result<Self> {
        let (mut set, mut pools) = (ServerSet::builder("the bench"), Vec::new());
        for connector in connectors {
            let pool = prepare(Pool::builder(connector).min(service).max(service.max(1))).build()?;
            set = set.server(Arc::new(pool.clone()));
            pools.push(pool);
        }
        let servers = Self { set: Arc::new(set.build()?), pools };
        for pool in &servers.pools {
            // One that is away is what the others are for.
            if let Err(error) = pool.ready(Deadline::after(AROUND)).await {
                crate::say(format_args!("flext-ldap: {}: {:#}", pool.name(), anyhow::Error::new(error)));
            }
        }
        Ok(servers)
    }
}

impl Load {
    const fn pace(&self) -> Pace {
        Pace { tasks: self.tasks, warm_up: self.warm_up, duration: self.duration, rate: self.rate }
    }

    /// The servers, bound as who is asked for. What keeps from that is said as every command says it.
    async fn servers(&self) -> anyhow::Result<Servers> {
        self.connect.open().await?.close().await;
        let Way { servers, credentials, timeout, .. } = self.connect.way(None)?;
        let connectors = servers.into_iter().map(|(_, connector)| {
            connector.connect_timeout(timeout).credentials(credentials.clone()).build()
        });
        let connectors = connectors.collect::<Result<_, _>>()?;
        Servers::start(connectors, usize::from(self.connections), |pool| pool).await
    }

    /// The servers, and a base of its own on them.
    async fn ground(&self, base: Dn) -> anyhow::Result<(Servers, Arc<Ground>)> {
        let servers = self.servers().await?;
        let ground = Ground::new(Arc::clone(&servers.set), base, self.timeout).await?;
        Ok((servers, Arc::new(ground)))
    }

    async fn measure<W: Work>(&self, work: W) -> anyhow::Result<(W, Tally)> {
        load::run(work, self.pace(), interrupted()).await
    }

    /// Takes away what was made, and tells.
    async fn end(
        &self,
        servers: Servers,
        operation: &'static str,
        tally: &Tally,
        ground: Arc<Ground>,
    ) -> anyhow::Result<ExitCode> {
        let left = ground.clear(self.tasks, interrupted()).await;
        say_left(&left, &ground);
        let code = self.tell(&servers, operation, tally, Some(left.count))?;
        servers.set.shutdown(Deadline::after(AROUND)).await;
        let failed = left.why.as_ref().map_or(exit::INTERNAL, exit::of_directory);
        Ok(if left.count > 0 && code == 0 { ExitCode::from(failed) } else { ExitCode::from(code) })
    }

    /// Prints what was found. The exit code is that of the most frequent error.
    fn tell(
        &self,
        servers: &Servers,
        operation: &'static str,
        tally: &Tally,
        left: Option<u64>,
    ) -> anyhow::Result<u8> {
        let report = Report {
            operation,
            pace: self.pace(),
            connections: self.connections.into(),
            tally,
            set: &servers.set,
            pools: &servers.pools,
            left,
        };
        let mut output = io::stdout().lock();
        if self.json {
            writeln!(output, "{}", report.to_json())?;
        } else {
            report.print(&mut output)?;
        }
        Ok(tally.errors.values().max_by_key(|failures| failures.count).map_or(0, |failures| failures.code))
    }
}

impl NumberArguments {
    fn numbers(&self) -> Numbers {
        match self.range {
            Some(range) if self.in_turn => Numbers::in_turn(range),
            Some(range) => Numbers::random(range),
            None => Numbers::counting(),
        }
    }
}

impl SearchArguments {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let base = match self.base {
            Some(base) => base,
            None => self.load.connect.default_base()?,
        };
        if self.numbers.range.is_some() && self.filter.is_fixed() {
            return Err(Usage("--range is for a filter with {n} in it".to_owned()).into());
        }
        let servers = self.load.servers().await?;
        let searching = Searching {
            set: Arc::clone(&servers.set),
            base,
            scope: self.scope.into(),
            filter: self.filter,
            size_limit: self.size_limit,
            attributes: self.attributes,
            numbers: self.numbers.numbers(),
            timeout: self.load.timeout,
        };
        let (_, tally) = self.load.measure(searching).await?;
        let code = self.load.tell(&servers, "search", &tally, None)?;
        servers.set.shutdown(Deadline::after(AROUND)).await;
        Ok(ExitCode::from(code))
    }
}

impl BindArguments {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let Way { servers, credentials, timeout, .. } = self.load.connect.way(None)?;
        let Credentials::Simple { name, password } = credentials else {
            let text = "bench bind wants the name of the users by -D, and their password by -w, -W or -y";
            return Err(Usage(text.to_owned()).into());
        };
        let Ok(name) = Template::new(&name);
        if self.numbers.range.is_some() && name.is_fixed() {
            return Err(Usage("--range is for a name with {n} in it".to_owned()).into());
        }
        let connectors = servers.into_iter().map(|(_, connector)| connector.connect_timeout(timeout).build());
        let connectors = connectors.collect::<Result<_, _>>()?;
        let binds = usize::from(self.load.connections);
        let servers = Servers::start(connectors, 0, |pool| pool.binds(binds).waiting(10_000)).await?;
        let binding = Binding {
            set: Arc::clone(&servers.set),
            pools: servers.pools.clone(),
            name,
            password,
            numbers: self.numbers.numbers(),
            timeout: self.load.timeout,
        };
        // A password that is wrong is sent once, not by every task.
        binding.once().await.context("failed to sign in")?;
        let (_, tally) = self.load.measure(binding).await?;
        let code = self.load.tell(&servers, "bind", &tally, None)?;
        servers.set.shutdown(Deadline::after(AROUND)).await;
        Ok(ExitCode::from(code))
    }
}

struct Searching {
    set: Arc<ServerSet>,
    base: Dn,
    scope: Scope,
    filter: Template<Filter>,
    size_limit: u32,
    attributes: Vec<String>,
    numbers: Numbers,
    timeout: Duration,
}

impl Work for Searching {
    async fn once(&self) -> Result<u64, Error> {
        let filter = self.filter.with(self.numbers.next()).map_err(|error| {
            Error::new(ErrorKind::Misuse, "the filter is none with this number in it").with_source(error)
        })?;
        let search = Search::new(self.base.clone(), self.scope, filter)
            .attributes(self.attributes.iter().collect::<Selection>())
            .size_limit(self.size_limit);
        let mut found = self.set.search(Request::new(search, Actor::Service).within(self.timeout));
        let mut entries = 0;
        while let Some(batch) = found.next_batch().await? {
            entries += batch.entries().count() as u64;
        }
        Ok(entries)
    }
}

struct Binding {
    set: Arc<ServerSet>,
    pools: Vec<Pool>,
    name: Template<String>,
    password: Secret,
    numbers: Numbers,
    timeout: Duration,
}

impl Work for Binding {
    /// At the first server that is not known to be down. A bind goes to one server only.
    async fn once(&self) -> Result<u64, Error> {
        let Ok(name) = self.name.with(self.numbers.next());
        let members = self.set.statistics().members;
        let well = members.iter().zip(&self.pools).find(|(member, _)| member.health != MemberHealth::Down);
        let pool = well.map(|(_, pool)| pool).or_else(|| self.pools.first());
        let pool = pool.ok_or_else(|| Error::new(ErrorKind::Misuse, "there is no server"))?;
        let step = BindStep::simple(name, self.password.clone());
        match pool.bind(step, Deadline::after(self.timeout)).await? {
            BindReply::Done { .. } => Ok(0),
            BindReply::Refused(outcome) => Err(Error::rejected(outcome)),
            _ => Err(Error::new(ErrorKind::Protocol, "the server answered a simple bind with a challenge")),
        }
    }
}

struct Adding(Arc<Ground>);

impl Work for Adding {
    async fn once(&self) -> Result<u64, Error> {
        self.0.add().await.map(|()| 0)
    }
}

struct Modifying(Arc<Ground>, AtomicU64);

impl Work for Modifying {
    async fn once(&self) -> Result<u64, Error> {
        self.0.modify(self.1.fetch_add(1, Ordering::Relaxed)).await.map(|()| 0)
    }
}

/// Says what an administrator has to take away.
fn say_left(left: &Left, ground: &Ground) {
    if left.count > 0 {
        let why = left.why.as_ref().map_or_else(|| "interrupted".to_owned(), ToString::to_string);
        crate::say(format_args!("flext-ldap: {} entries `{}` are left: {why}", left.count, ground.pattern()));
    }
}

/// Ready at Ctrl-C.
async fn interrupted() {
    if let Err(error) = tokio::signal::ctrl_c().await {
        crate::say(format_args!("flext-ldap: Ctrl-C is not heard: {error}"));
        std::future::pending().await
    }
}

fn filter(text: &str) -> Result<Template<Filter>, String> {
    Template::new(text).map_err(|error: flext_ldap_directory::proto::filter::FilterError| error.to_string())
}

/// Seconds with a fraction, or none at all.
fn seconds_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { crate::ping::seconds(text) }
}
