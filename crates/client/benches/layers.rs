//! What metrics, a breaker and a set that tries again add to an operation, all of them together: subtract the first row from
//! the others.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run panics")]

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use divan::{AllocProfiler, Bencher};
use flext_ldap_client::{PinnedConnection, Server, ServerSet};
use flext_ldap_directory::{
    Actor, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Layered, Outcome, Peer, Reply, Request,
    Session, Sessions,
    layers::{Breaker, BreakerOptions, Metrics},
    proto::message::{Scope, Search},
};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// A server that answers at once.
struct Done(&'static str);

impl Directory for Done {
    fn call(&self, request: Request) -> Reply {
        drop(request);
        Reply::ready(Ok(Outcome::success()))
    }
}

impl Sessions for Done {
    fn open(&self, _: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        Box::pin(async { Err(Error::new(ErrorKind::Overloaded, "it has no conversations")) })
    }
}

impl Server for Done {
    fn name(&self) -> &str {
        self.0
    }

    fn load(&self) -> usize {
        0
    }

    fn check(&self, _: Deadline) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { Ok(()) })
    }

    fn pin(&self, _: Deadline) -> BoxFuture<'_, Result<PinnedConnection, Error>> {
        Box::pin(async { Err(Error::new(ErrorKind::Overloaded, "it has no connections")) })
    }

    fn shutdown(&self, _: Deadline) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A set of these servers.
fn set(runtime: &Runtime, servers: [Arc<dyn Server>; 2]) -> ServerSet {
    let _runtime = runtime.enter();
    ServerSet::builder("all").servers(servers).build().unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The lookup of a person, asked of `directory`.
fn lookups(bencher: Bencher<'_, '_>, directory: &impl Directory) {
    let base = "ou=people,dc=harbourlane,dc=example".parse().unwrap();
    let filter = "(&(objectClass=person)(uid=ana.brandt))".parse().unwrap();
    let search = Search::new(base, Scope::Subtree, filter).attributes(["cn", "mail"]).size_limit(2);
    let request = Request::new(search, Actor::Service).into_any();
    bencher.with_inputs(|| request.clone()).bench_local_values(|request| {
        let mut reply = pin!(directory.call(black_box(request)));
        let mut context = Context::from_waker(Waker::noop());
        matches!(reply.poll_next(&mut context), Poll::Ready(Ok(Event::Done(_))))
    });
}

/// A server alone.
#[divan::bench]
fn bare(bencher: Bencher<'_, '_>) {
    lookups(bencher, &Done("one"));
}

/// A set of two, which keeps the request to send it again. Expected: one allocation.
#[divan::bench]
fn retries(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    lookups(bencher, &set(&runtime, [Arc::new(Done("one")), Arc::new(Done("two"))]));
}

/// The same with a breaker and metrics around each server. Expected: three allocations, and less than a microsecond.
#[divan::bench]
fn retries_breaker_and_metrics(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let metrics = Metrics::new([]);
    let guarded = |name: &'static str| -> Arc<dyn Server> {
        let breaker = Breaker::new(name, BreakerOptions::default());
        let server = Layered::new(Done(name), Arc::new(breaker));
        Arc::new(Layered::new(server, Arc::new(metrics.server(name, 636))))
    };
    lookups(bencher, &set(&runtime, [guarded("one"), guarded("two")]));
}
