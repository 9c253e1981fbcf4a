//! Asking key distribution centres, by TCP (RFC 4120 §7.2.2): one question on one connection, of bounded length and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flext_ldap_directory::{Deadline, Error, ErrorKind};
use flext_ldap_kerberos::{Krb5Conf, LONGEST_MESSAGE};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{timeout, timeout_at},
};

use crate::{DnsResolver, SrvLookup as _, dial};

/// How long DNS may take to say where the centres of a realm are.
const DNS: Duration = Duration::from_secs(5);

/// The key distribution centres of a realm, the one that answered last first.
pub(super) struct Centres {
    realm: String,
    places: Vec<(String, u16)>,
}

impl Centres {
    /// Those of a realm: by krb5.conf, or by DNS where that is allowed and krb5.conf has none.
    pub(super) async fn of(conf: &Krb5Conf, realm: &str, by: Deadline) -> Result<Self, Error> {
        let mut places = conf.centres(realm);
        let mut why = String::new();
        if places.is_empty() && conf.asks_dns() {
            let name = format!("_kerberos._tcp.{realm}");
            match timeout(DNS, DnsResolver::system().lookup(&name, by)).await {
                Ok(Ok(mut answer)) => {
                    answer.records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
                    let records = answer.records.into_iter().filter(|record| !record.target.is_empty());
                    places.extend(records.map(|record| (record.target, record.port)));
                }
                Ok(Err(error)) => why = format!(" (DNS: {error})"),
                Err(_) => " (DNS did not answer)".clone_into(&mut why),
            }
        }
        if places.is_empty() {
            let message = format!(
                "no key distribution centre of {realm} is known{why}: name one in krb5.conf, `[realms] {realm} = {{ kdc = HOST }}`"
            );
            return Err(Error::new(ErrorKind::Unreachable, message));
        }
        Ok(Self { realm: realm.to_owned(), places })
    }

    /// Asks one after another until one answers. What may be sent `once` only is not sent to the next when it may have
    /// reached one.
    pub(super) async fn ask(&mut self, message: &Bytes, once: bool, by: Deadline) -> Result<Bytes, Error> {
        let mut failures = Vec::new();
        for index in 0..self.places.len() {
            let Some((host, port)) = self.places.get(index) else { break };
            let left = u32::try_from(self.places.len().saturating_sub(index)).unwrap_or(u32::MAX);
            let by = Deadline::after(by.remaining() / left.max(1));
            let name = format!("{host}:{port}");
            let connected = match timeout_at(by.instant(), connect(host, *port, &name)).await {
                Ok(connected) => connected,
                Err(_) => Err(Error::new(ErrorKind::Timeout, format!("{name} did not answer"))),
            };
            let error = match connected {
                Ok(stream) => {
                    let answer = timeout_at(by.instant(), exchange(stream, message, &name)).await;
                    match answer {
                        Ok(Ok(answer)) => {
                            self.places.swap(0, index);
                            return Ok(answer);
                        }
                        Ok(Err(error)) => error,
                        Err(_) => Error::new(ErrorKind::Timeout, format!("{name} did not answer")),
                    }
                }
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            failures.push(error);
            if once {
                break;
            }
        }
        let said = failures.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let kind = failures.last().map_or(ErrorKind::Unreachable, Error::kind);
        let message = format!("no key distribution centre of {} answered: {said}", self.realm);
        Err(match failures.pop() {
            Some(last) => Error::new(kind, message).with_source(last),
            None => Error::new(kind, message),
        })
    }
}

async fn connect(host: &str, port: u16, name: &str) -> Result<TcpStream, Error> {
    dial::race(dial::resolve(host, port).await?, name).await
}

async fn exchange(mut stream: TcpStream, message: &Bytes, name: &str) -> Result<Bytes, Error> {
    let lost = |error: std::io::Error| {
        let message = format!("the connection to the key distribution centre {name} was lost");
        Error::new(ErrorKind::Closed, message).with_source(error)
    };
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    stream.write_all(&[&length[..], message].concat()).await.map_err(lost)?;
    let length = usize::try_from(stream.read_u32().await.map_err(lost)?).unwrap_or(usize::MAX);
    if length > LONGEST_MESSAGE {
        let message = format!("{name} announces {length} octets: it is no key distribution centre");
        return Err(Error::new(ErrorKind::Protocol, message));
    }
    // Memory grows with what has arrived, not with what is announced.
    let mut answer = BytesMut::new();
    let mut rest = stream.take(u64::try_from(length).unwrap_or(0));
    while answer.len() < length {
        if rest.read_buf(&mut answer).await.map_err(lost)? == 0 {
            return Err(lost(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(answer.freeze())
}
