//! What layers add to an operation: subtract `bare` from the others.

use std::{
    hint::black_box,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use divan::{AllocProfiler, Bencher};
use flext_ldap_directory::{
    Actor, Directory, Event, Layer, Layered, Outcome, Reply, Request,
    layers::{AuditTrail, Breaker, BreakerOptions, HealthWatch, Metrics, Traces},
    proto::message::{Scope, Search},
};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Answers at once.
struct Done;

impl Directory for Done {
    fn call(&self, request: Request) -> Reply {
        drop(request);
        Reply::ready(Ok(Outcome::success()))
    }
}

/// Passes on what it is given.
struct Nothing;

impl Layer for Nothing {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        next.call(request)
    }
}

fn main() {
    divan::main();
}

/// The lookup of a person, asked of `directory`.
fn lookups(bencher: Bencher<'_, '_>, directory: &impl Directory) {
    let base = "ou=people,dc=harbourlane,dc=example".parse();
    let filter = "(&(objectClass=person)(uid=ana.brandt))".parse();
    let (Ok(base), Ok(filter)) = (base, filter) else { return };
    let request = Request::new(Search::new(base, Scope::Subtree, filter), Actor::Service).into_any();
    bencher.with_inputs(|| request.clone()).bench_local_values(|request| {
        let mut reply = pin!(directory.call(black_box(request)));
        let mut context = Context::from_waker(Waker::noop());
        matches!(reply.poll_next(&mut context), Poll::Ready(Ok(Event::Done(_))))
    });
}

/// No layer.
#[divan::bench]
fn bare(bencher: Bencher<'_, '_>) {
    lookups(bencher, &Done);
}

/// A layer that does nothing: what it costs to be one.
#[divan::bench]
fn passed_on(bencher: Bencher<'_, '_>) {
    lookups(bencher, &Layered::new(Done, Arc::new(Nothing)));
}

/// Expected: one allocation more.
#[divan::bench]
fn breaker(bencher: Bencher<'_, '_>) {
    lookups(bencher, &Layered::new(Done, Arc::new(Breaker::new("ldap1", BreakerOptions::default()))));
}

/// Expected: one allocation more.
#[divan::bench]
fn metrics(bencher: Bencher<'_, '_>) {
    let metrics = Metrics::new(["ou=people,dc=harbourlane,dc=example".parse()].into_iter().flatten());
    lookups(bencher, &Layered::new(Done, Arc::new(metrics.server("ldap1", 636))));
}

/// Expected: two allocations more, and less than a microsecond.
#[divan::bench]
fn breaker_and_metrics(bencher: Bencher<'_, '_>) {
    let inner = Layered::new(Done, Arc::new(Breaker::new("ldap1", BreakerOptions::default())));
    lookups(bencher, &Layered::new(inner, Arc::new(Metrics::new([]).server("ldap1", 636))));
}

/// Expected: one allocation more.
#[divan::bench]
fn health(bencher: Bencher<'_, '_>) {
    lookups(bencher, &Layered::new(Done, Arc::new(HealthWatch::new("ldap1", Default::default()))));
}

/// Records that find no room are dropped, so this is what an operation pays, not what writing costs.
#[divan::bench]
fn audit(bencher: Bencher<'_, '_>) {
    let Ok(trail) = AuditTrail::start(std::io::sink()) else { return };
    lookups(bencher, &Layered::new(Done, Arc::new(trail.of_all("ldap1"))));
}

/// Nobody listens. Expected: no allocation, and no more than a layer that does nothing and a look at one number.
#[divan::bench]
fn traces(bencher: Bencher<'_, '_>) {
    let traces = Traces::new(["ou=people,dc=harbourlane,dc=example".parse()].into_iter().flatten());
    lookups(bencher, &Layered::new(Done, Arc::new(traces.server("ldap1:636"))));
}

/// Somebody listens who keeps nothing of it but that it is there.
#[divan::bench]
fn traces_heard(bencher: Bencher<'_, '_>) {
    let traces = Traces::new(["ou=people,dc=harbourlane,dc=example".parse()].into_iter().flatten());
    let directory = Layered::new(Done, Arc::new(traces.server("ldap1:636")));
    tracing::subscriber::with_default(tracing_subscriber::registry(), || lookups(bencher, &directory));
}
