//! The bounds themselves, each a test.

use std::sync::{Arc, Mutex, PoisonError};

use flext_ldap_client::{Connection, Connector};
use flext_ldap_directory::{
    Actor, Directory as _, DirectoryExt as _, Entries, Event, Request,
    proto::{
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_server::Server;

use crate::{memory::Growth, synthetic::Synthetic};

pub(crate) const MIB: usize = 1 << 20;

/// What both ends together may hold beyond what they hold at rest, whatever the size of the result: 256 KiB of answers
/// that the listener keeps for one peer, 1 MiB of answers that the client keeps for one caller, what one batch and one
/// read bring on top of each, and what the allocator wastes on them.
const AT_MOST: usize = 12 * MIB;

/// The tests measure the memory of the process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Runs a test alone, on a runtime of two threads, so that both ends really work at the same time.
pub(crate) fn alone<F: Future<Output = ()>>(test: F) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

pub(crate) async fn serve(directory: &Arc<Synthetic>) -> (Server, Connector) {
    let server = Server::builder(directory.clone());
    let server = server.listen("ldap://127.0.0.1:0".parse().unwrap()).start().await.unwrap();
    let connector = Connector::builder().clear().url(&server.urls()[0]).build().unwrap();
    (server, connector)
}

/// Asks the synthetic directory for `count` entries, each with a value of `octets`.
fn entries(connection: &Connection, count: u64, octets: usize) -> Entries<'static> {
    connection.search(request(count, octets))
}

pub(crate) fn request(count: u64, octets: usize) -> Request<Search> {
    let base = format!("cn={octets},cn={count},dc=harbourlane,dc=example").parse().unwrap();
    Request::new(Search::new(base, Scope::Subtree, Filter::any()), Actor::Anonymous)
}

#[test]
fn a_million_entries_stream_in_constant_memory() {
    alone(async {
        let directory = Arc::new(Synthetic::default());
        let (_server, connector) = serve(&directory).await;
        let connection = connector.connect().await.unwrap();
        // Once around first: buffers that are kept have their size from here on.
        assert_eq!(count(entries(&connection, 10_000, 100)).await, (10_000, 10_000 * 100));
        let growth = Growth::start();
        assert_eq!(count(entries(&connection, 1_000_000, 100)).await, (1_000_000, 1_000_000 * 100));
        growth.at_most(AT_MOST, "a million entries");
        assert_eq!(directory.made(), 1_010_000);
    });
}

/// Entries that came, and octets of their values.
async fn count(mut entries: Entries<'_>) -> (u64, usize) {
    let (mut number, mut octets) = (0, 0);
    while let Some(batch) = entries.next_batch().await.unwrap() {
        for entry in batch.entries() {
            number += 1;
            octets += entry.attributes().get("description").unwrap().first().unwrap().len();
        }
    }
    (number, octets)
}

#[test]
fn an_entry_of_five_megabytes_costs_a_few_times_its_size() {
    const LARGE: usize = 5 * MIB;
    alone(async {
        let (_server, connector) = serve(&Arc::new(Synthetic::default())).await;
        let connection = connector.connect().await.unwrap();
        assert_eq!(count(entries(&connection, 10, 100)).await, (10, 1_000));
        let growth = Growth::start();
        assert_eq!(count(entries(&connection, 1, LARGE)).await, (1, LARGE));
        // As it is made, as it waits to be sent, as it is received, and as buffers double on the way there.
        growth.at_most(4 * LARGE + AT_MOST, "an entry of 5 MiB");
        assert_eq!(count(entries(&connection, 20, LARGE)).await, (20, 20 * LARGE));
        // One after the other, each end lets go of one while it takes the next, and the allocator keeps some of that.
        growth.at_most(12 * LARGE + AT_MOST, "twenty more of them");
    });
}

#[test]
fn an_unread_search_holds_back_its_own_connection_and_nothing_else() {
    const ENTRIES: u64 = 400_000;
    alone(async {
        let directory = Arc::new(Synthetic::default());
        let (_server, connector) = serve(&directory).await;
        let (slow, quick) = (connector.connect().await.unwrap(), connector.connect().await.unwrap());
        assert_eq!(count(entries(&quick, 1_000, 100)).await, (1_000, 100_000));
        let growth = Growth::start();
        let mut unread = entries(&slow, ENTRIES, 100);
        let first = unread.next_batch().await.unwrap().unwrap().len() as u64;

        // Others go on, until the unread search has come to a stand. The listener lets it stand for 30 seconds.
        let mut before = 0;
        while directory.made() != before {
            before = directory.made();
            for _ in 0..200 {
                assert_eq!(count(entries(&quick, 1, 10)).await, (1, 10));
            }
            before += 200;
        }
        assert!(directory.made() < ENTRIES / 2, "{} entries were made for nobody", directory.made());
        growth.at_most(AT_MOST, "an unread search");
        assert!(slow.unread() <= 2 * MIB, "the client keeps {} octets", slow.unread());

        // And nothing is lost once it is read.
        let (rest, _) = count(unread).await;
        assert_eq!(first + rest, ENTRIES);
        growth.at_most(AT_MOST, "an unread search that was read after all");
    });
}

#[test]
fn answers_reversed_and_interleaved_reach_their_callers() {
    const SEARCHES: usize = 64;
    alone(async {
        let (_server, connector) = serve(&Arc::new(Synthetic::reversing(SEARCHES))).await;
        let connection = connector.connect().await.unwrap();
        let replies: Vec<_> =
            (0..SEARCHES).map(|number| connection.call(request(3, number + 1).into_any())).collect();
        for (number, mut reply) in replies.into_iter().enumerate() {
            let mut sizes = Vec::new();
            let code =
                loop {
                    match reply.next().await.unwrap() {
                        Event::Batch(batch) => sizes.extend(batch.entries().map(|entry| {
                            entry.attributes().get("description").unwrap().first().unwrap().len()
                        })),
                        Event::Done(outcome) => break outcome.result.code,
                    }
                };
            assert_eq!((sizes, code), (vec![number + 1; 3], ResultCode::SUCCESS), "search {number}");
        }
    });
}
