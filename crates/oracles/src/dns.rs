//! DNS: whatever a name server answers, nothing but names that hosts can have comes of it.

use std::{cell::RefCell, net::Ipv4Addr};

use flext_ldap_client::{DnsResolver, SrvAnswer, SrvLookup as _};
use flext_ldap_directory::{Deadline, Error};
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Runtime},
    time::Duration,
};

const NAME: &str = "_ldap._tcp.harbourlane.example";
/// Octets of the question for it behind the header: the name, its type and its class.
const QUESTION: usize = NAME.len() + 2 + 4;

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime"));
}

/// An answer of a name server. The first octet says how much of it is given: all but the id (`w`), or flags, the number
/// of records, and what follows the question (`a`). Whether records were taken from it.
pub fn answer(data: &[u8]) -> bool {
    let answered = RUNTIME.with_borrow(|runtime| runtime.block_on(ask(data)));
    let Ok(SrvAnswer { records, .. }) = answered else { return false };
    assert!(!records.is_empty(), "no records are an error");
    for record in records {
        let name = record.target;
        assert!(name.len() <= 253 && !name.starts_with('-'), "{name:?}");
        assert!(name.split('.').all(|label| label.len() <= 63), "{name:?}");
        assert!(name.chars().all(|one| one.is_ascii_alphanumeric() || "-_.".contains(one)), "{name:?}");
    }
    true
}

async fn ask(data: &[u8]) -> Result<SrvAnswer, Error> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let resolver = DnsResolver::with([socket.local_addr().expect("it has an address")]);
    let serving = async {
        let mut octets = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut octets).await.expect("a question");
            let question = &octets[..length];
            // Behind what is no answer to the question comes one, so that it is not waited for.
            for message in [message(question, data), failure(question)] {
                // Whoever has heard enough has closed its port.
                let _gone = socket.send_to(&message, from).await;
            }
        }
    };
    tokio::select! {
        biased;
        answer = resolver.lookup(NAME, Deadline::after(Duration::from_secs(30))) => answer,
        () = serving => unreachable!("it serves for ever"),
    }
}

fn message(question: &[u8], data: &[u8]) -> Vec<u8> {
    let (id, asked) = (&question[..2], &question[12..12 + QUESTION]);
    let parts = match data.split_first() {
        Some((b'a', rest)) => rest.split_at_checked(4),
        _ => None,
    };
    match parts {
        Some((head, rest)) => [id, &head[..2], &[0, 1], &head[2..], &[0; 4], asked, rest].concat(),
        None => [id, data.get(1..).unwrap_or_default()].concat(),
    }
}

/// That the server failed.
fn failure(question: &[u8]) -> Vec<u8> {
    [&question[..2], &[0x81, 0x82, 0, 1, 0, 0, 0, 0, 0, 0], &question[12..12 + QUESTION]].concat()
}
