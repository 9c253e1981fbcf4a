//! A stub resolver for SRV records: asks the name servers of the system over UDP, and over TCP what does not fit.
//!
//! Addresses of hosts are not its business; those come from the operating system when a connection is opened.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use flext_ldap_directory::{BoxFuture, Deadline, Error, ErrorKind};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout_at,
};

use super::{
    SrvAnswer, SrvLookup,
    message::{self, Malformed, Said, UDP_SIZE},
    no_such_record,
};

const PORT: u16 = 53;
/// Name servers that are asked, at most, as resolv.conf(5) has it.
const MOST_SERVERS: usize = 3;
/// Rounds over all name servers.
const ROUNDS: u32 = 2;
/// Octets that may come and be no answer to our question, before that is taken for an attack.
const STRAY_ANSWERS: usize = 32;

/// Asks DNS servers for SRV records.
///
/// It has no cache, since a set asks when the records' time is over, and does not check DNSSEC. Names are asked as they
/// are given: search domains are not added.
#[derive(Debug)]
pub struct DnsResolver {
    /// Empty: those of the system, read anew for each question.
    servers: Vec<SocketAddr>,
    /// How long one server is waited for, before the next is asked.
    patience: Duration,
}

impl DnsResolver {
    /// Asks the name servers of the system: those in `/etc/resolv.conf`, read again for each question, so that a machine
    /// that changes its network is followed. Where there is no such file, as on Windows, use [`with`](Self::with).
    #[must_use]
    pub fn system() -> Self {
        Self::with([])
    }

    /// Asks these name servers, in this order.
    #[must_use]
    pub fn with(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let servers = servers.into_iter().collect();
        Self { servers, patience: Duration::from_millis(1_500) }
    }

    async fn resolve(&self, name: &str, by: Deadline) -> Result<SrvAnswer, Error> {
        let servers = match self.servers.as_slice() {
            [] => system_servers(Path::new("/etc/resolv.conf"))?,
            servers => servers.to_vec(),
        };
        let mut failures: Vec<String> = Vec::new();
        for _ in 0..ROUNDS {
            for server in &servers {
                if by.has_passed() {
                    break;
                }
                let patience = by.earlier(Deadline::after(self.patience));
                let asked = timeout_at(patience.instant(), self.ask(*server, name));
                let failure = match asked.await {
                    Ok(Ok(Said::Records(answer))) if answer.records.is_empty() => {
                        return Err(no_such_record(name));
                    }
                    Ok(Ok(Said::Records(answer))) => return Ok(answer),
                    Ok(Ok(Said::Truncated)) => "its answer over TCP is truncated".to_owned(),
                    Ok(Ok(Said::NotUnderstood)) => "it takes the question for malformed".to_owned(),
                    Ok(Ok(Said::Failed(code))) => failed(code),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "no answer in time".to_owned(),
                };
                failures.retain(|known| !known.starts_with(&server.to_string()));
                failures.push(format!("{server}: {failure}"));
            }
        }
        let message = format!("DNS did not tell the servers of {name} ({})", failures.join("; "));
        Err(Error::new(ErrorKind::Unreachable, message))
    }

    async fn ask(&self, server: SocketAddr, name: &str) -> io::Result<Said> {
        // 16 bits that nobody can foretell, and a port of the kernel's choice: what a forger has to guess (RFC 5452).
        let id = u16::try_from(RandomState::new().hash_one(name) >> 48).unwrap_or_default();
        let question = message::question(id, name).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "this is no name that DNS can have")
        })?;
        let mut said = by_udp(server, id, name, &question).await?;
        if said == Said::NotUnderstood {
            said = by_udp(server, id, name, &message::without_size(&question)).await?;
        }
        match said {
            Said::Truncated => by_tcp(server, id, name, &question).await,
            said => Ok(said),
        }
    }
}

impl SrvLookup for DnsResolver {
    fn lookup<'a>(&'a self, name: &'a str, by: Deadline) -> BoxFuture<'a, Result<SrvAnswer, Error>> {
        Box::pin(self.resolve(name, by))
    }
}

async fn by_udp(server: SocketAddr, id: u16, name: &str, question: &[u8]) -> io::Result<Said> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From then on the kernel passes over what comes from anybody else.
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut octets = [0; UDP_SIZE as usize];
    for _ in 0..STRAY_ANSWERS {
        let length = socket.recv(&mut octets).await?;
        match message::answer(id, name, octets.get(..length).unwrap_or_default()) {
            Ok(said) => return Ok(said),
            // Late, or forged: the true one may be on its way.
            Err(Malformed::OfAnother) => {}
            Err(Malformed::Broken) => return Err(broken()),
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "too many answers that are to no question of ours"))
}

async fn by_tcp(server: SocketAddr, id: u16, name: &str, question: &[u8]) -> io::Result<Said> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).unwrap_or_default();
    stream.write_all(&[&length.to_be_bytes(), question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut octets = vec![0; usize::from(length)];
    stream.read_exact(&mut octets).await?;
    message::answer(id, name, &octets).map_err(|_| broken())
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its answer is malformed")
}

/// What a code of RFC 1035 §4.1.1 means.
fn failed(code: u8) -> String {
    match code {
        2 => "it failed (SERVFAIL)".to_owned(),
        4 => "it does not answer such questions".to_owned(),
        5 => "it refuses to answer".to_owned(),
        code => format!("it answered with code {code}"),
    }
}

/// The name servers of the system.
fn system_servers(path: &Path) -> Result<Vec<SocketAddr>, Error> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!(
            "the name servers of this machine are not known, {} cannot be read: name them (DnsResolver::with)",
            path.display()
        );
        Error::new(ErrorKind::Unreachable, message).with_source(error)
    })?;
    let servers = name_servers(&text);
    match servers.is_empty() {
        // As resolv.conf(5) has it.
        true => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))]),
        false => Ok(servers),
    }
}

/// The `nameserver` lines of resolv.conf(5).
fn name_servers(text: &str) -> Vec<SocketAddr> {
    let addresses = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            return None;
        }
        // An address with an interface (`fe80::1%eth0`) would need the interface's number.
        words.next()?.parse::<IpAddr>().ok()
    });
    addresses.take(MOST_SERVERS).map(|address| SocketAddr::new(address, PORT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_resolv_conf_has_them() {
        let text = "# nameserver 192.0.2.9\nsearch harbourlane.example\nnameserver 192.0.2.1\n\
            nameserver\t2001:db8::1 # second\nnameserver fe80::1%eth0\nnameserver\noptions timeout:1\n\
            nameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let expected: Vec<SocketAddr> = ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(name_servers(text), expected);
    }

    #[test]
    fn a_machine_without_the_file_is_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("resolv.conf");
        let error = system_servers(&path).unwrap_err();
        assert!(error.to_string().ends_with("cannot be read: name them (DnsResolver::with)"), "{error}");
        fs::write(&path, "search harbourlane.example\n").unwrap();
        assert_eq!(system_servers(&path).unwrap(), ["127.0.0.1:53".parse().unwrap()]);
    }
}
