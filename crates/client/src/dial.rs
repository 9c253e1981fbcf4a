//! From a host name to an open TCP connection: resolution, and racing the addresses found (RFC 8305).

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};

use flext_ldap_directory::{BoxFuture, Error, ErrorKind};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, sleep_until},
};

/// How long an address is tried alone before the next one joins (RFC 8305 §5, "Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);
/// Addresses of one host that are tried; the resolver's order is kept.
const ADDRESSES: usize = 32;

/// The addresses of a host, in the order they are to be tried.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let unresolved = || {
        Error::new(
            ErrorKind::Unreachable,
            format!("the host name `{host}` was not found: check its spelling and the resolver"),
        )
    };
    let found = lookup_host((host, port)).await.map_err(|error| unresolved().with_source(error))?;
    let addresses = interleave(found.take(ADDRESSES));
    if addresses.is_empty() { Err(unresolved()) } else { Ok(addresses) }
}

/// Alternates between the families, beginning with the resolver's first (RFC 8305 §4).
fn interleave(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut first, mut second): (VecDeque<_>, VecDeque<_>) = (VecDeque::new(), VecDeque::new());
    for address in found {
        match first.front() {
            Some(one) if SocketAddr::is_ipv6(one) != address.is_ipv6() => second.push_back(address),
            _ => first.push_back(address),
        }
    }
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    while !(first.is_empty() && second.is_empty()) {
        mixed.extend(first.pop_front());
        mixed.extend(second.pop_front());
    }
    mixed
}

/// Races the addresses: one more joins every 250 ms, or at once when the last one failed; the first to connect wins.
pub(crate) async fn race(addresses: Vec<SocketAddr>, server: &str) -> Result<TcpStream, Error> {
    let mut waiting = addresses.into_iter();
    let mut running: Vec<(SocketAddr, BoxFuture<'static, io::Result<TcpStream>>)> = Vec::new();
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut next_joins = pin!(sleep_until(Instant::now()));
    poll_fn(move |cx| {
        loop {
            let mut index = 0;
            while let Some((address, attempt)) = running.get_mut(index) {
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => return Poll::Ready(Ok(stream)),
                    Poll::Ready(Err(error)) => {
                        failures.push((*address, error));
                        drop(running.swap_remove(index));
                        next_joins.as_mut().reset(Instant::now());
                    }
                    Poll::Pending => index += 1,
                }
            }
            if waiting.len() == 0 {
                return match running.is_empty() {
                    true => Poll::Ready(Err(unreachable(server, &mut failures))),
                    false => Poll::Pending,
                };
            }
            std::task::ready!(next_joins.as_mut().poll(cx));
            if let Some(address) = waiting.next() {
                running.push((address, Box::pin(connect(address))));
                next_joins.as_mut().reset(Instant::now() + STAGGER);
            }
        }
    })
    .await
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    // A dead peer is noticed after 60 s of silence and three unanswered probes, or 90 s after unacknowledged octets.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    #[cfg(not(target_os = "openbsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_secs(90)))?;
    Ok(stream)
}

fn unreachable(server: &str, failures: &mut Vec<(SocketAddr, io::Error)>) -> Error {
    let addresses: Vec<_> = failures.iter().map(|(address, _)| address.to_string()).collect();
    let refused = failures.iter().all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused);
    let (what, mend) = match refused {
        true => ("refused the connection", "is the server running, and is this its port?"),
        false => ("cannot be reached", "check the network and firewalls on the way"),
    };
    let error =
        Error::new(ErrorKind::Unreachable, format!("{server} {what} ({}): {mend}", addresses.join(", ")));
    match failures.pop() {
        Some((_, source)) => error.with_source(source),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate_beginning_with_the_resolvers_first() {
        let all = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let table: &[(&[&str], &[&str])] = &[
            (&[], &[]),
            (&["10.0.0.1:1", "10.0.0.2:1"], &["10.0.0.1:1", "10.0.0.2:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"],
                &["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"],
            ),
            (&["10.0.0.1:1", "[::1]:1", "10.0.0.2:1"], &["10.0.0.1:1", "[::1]:1", "10.0.0.2:1"]),
        ];
        for (found, want) in table {
            assert_eq!(interleave(all(found).into_iter()), all(want), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_address_makes_room_for_the_next_at_once() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let refusing = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let stream = race(vec![refusing, open], "test").await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        let error = race(vec![refusing], "ldap.example.com:389").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(
            error.to_string(),
            format!(
                "ldap.example.com:389 refused the connection ({refusing}): is the server running, and is this its port?"
            )
        );
    }
}
