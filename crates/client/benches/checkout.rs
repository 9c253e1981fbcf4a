//! What a pool adds to an operation: a place on a connection, taken and given back, beside an async lock that nobody
//! contends; and a lookup through a pool beside one on a connection, both from a server that does nothing else.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that cannot run panics"
)]

use std::{
    hint::black_box,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::BytesMut;
use divan::{AllocProfiler, Bencher};
use flext_ldap_client::{Connector, Pool};
use flext_ldap_directory::{
    Actor, Deadline, DirectoryExt, Request,
    proto::{
        ber::{Writer, frame_length},
        control::Controls,
        message::{Envelope, Limits, Response, Scope, Search},
        result::LdapResult,
    },
};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// An async lock. What the next one is measured by.
#[divan::bench]
fn uncontended_async_mutex(bencher: Bencher<'_, '_>) {
    let mutex = tokio::sync::Mutex::new(0_u64);
    bencher.bench_local(|| *at_once(mutex.lock()) += 1);
}

/// A place on one of so many connections, taken and given back. Expected: at most twice the lock, and no allocation.
#[divan::bench(args = [1, 8], sample_size = 1_000)]
fn checkout(bencher: Bencher<'_, '_>, connections: usize) {
    let runtime = runtime();
    let pool = pool(&runtime, connections);
    let by = Deadline::after(Duration::from_secs(3_600));
    bencher.bench_local(|| drop(at_once(pool.pin(by)).unwrap()));
}

/// The same where each connection has just been used, so that whether its server has said something since is not known yet.
#[divan::bench(args = [1, 8], sample_size = 1_000)]
fn checkout_after_use(bencher: Bencher<'_, '_>, connections: usize) {
    let runtime = runtime();
    let pool = pool(&runtime, connections);
    let by = Deadline::after(Duration::from_secs(3_600));
    runtime.block_on(async {
        let pinned: Vec<_> = (0..connections - 1).map(|_| at_once(pool.pin(by)).unwrap()).collect();
        for connection in &pinned {
            connection.search_all(lookup()).await.unwrap();
        }
        pool.search_all(lookup()).await.unwrap();
    });
    bencher.bench_local(|| drop(at_once(pool.pin(by)).unwrap()));
}

/// A lookup on a connection.
#[divan::bench]
fn lookup_on_a_connection(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let connection = runtime.block_on(connector().connect()).unwrap();
    bencher
        .with_inputs(lookup)
        .bench_local_values(|request| runtime.block_on(connection.search_all(black_box(request))).unwrap());
}

/// A lookup through a pool. Expected: as many allocations as on a connection.
#[divan::bench]
fn lookup_through_a_pool(bencher: Bencher<'_, '_>) {
    let runtime = runtime();
    let pool = pool(&runtime, 1);
    bencher
        .with_inputs(lookup)
        .bench_local_values(|request| runtime.block_on(pool.search_all(black_box(request))).unwrap());
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn connector() -> Connector {
    let address = serve();
    Connector::builder().clear().address(address.ip().to_string(), address.port()).build().unwrap()
}

fn pool(runtime: &Runtime, connections: usize) -> Pool {
    runtime.block_on(async {
        let pool = Pool::builder(connector()).min(connections).build().unwrap();
        pool.ready(Deadline::after(Duration::from_secs(10))).await.unwrap();
        pool
    })
}

fn lookup() -> Request<Search> {
    let base = "uid=ana.brandt,ou=people,dc=harbourlane,dc=example".parse().unwrap();
    Request::new(Search::new(base, Scope::Base, "(objectClass=person)".parse().unwrap()), Actor::Service)
}

/// What a future that need not wait gives.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it had to wait"),
    }
}

/// Answers every search with nothing.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let (limits, mut inbox, mut buffer) = (Limits::DEFAULT, BytesMut::new(), [0; 4_096]);
    loop {
        let octets = stream.read(&mut buffer).unwrap_or(0);
        if octets == 0 {
            return;
        }
        inbox.extend_from_slice(&buffer[..octets]);
        while let Some(length) = frame_length(&inbox, limits.message).unwrap()
            && length <= inbox.len()
        {
            let id = Envelope::decode(inbox.split_to(length).freeze(), &limits).unwrap().id;
            let mut writer = Writer::new();
            Response::SearchDone(LdapResult::success()).encode(id, &Controls::none(), &mut writer);
            if stream.write_all(&writer.take()).is_err() {
                return;
            }
        }
    }
}
