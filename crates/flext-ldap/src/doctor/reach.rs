//! Whether a server answers: its addresses, a connection to each, TLS, and the first question, whose answer proves that a
//! program would get one.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use flext_ldap_client::{Capabilities, Connector, ConnectorBuilder, inspection};
use flext_ldap_directory::{
    Actor, Deadline, Error, ErrorKind,
    proto::{message::Limits, result::ResultCode},
};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
};

use super::{Finding, LARGEST_MESSAGE, What, tls, told};
use crate::config::{Address, Protection, Server};

/// Addresses of a host that are looked at.
const MOST_ADDRESSES: usize = 16;

/// What is needed to look.
pub(super) struct Looking {
    pub(super) patience: Duration,
    /// Whether somebody named the server. What DNS names needs TLS, wherever it leads to.
    pub(super) is_named: bool,
}

/// A way that was looked at.
pub(super) struct Looked {
    /// As it can be used.
    pub(super) way: Server,
    pub(super) findings: Vec<Finding>,
    pub(super) is_usable: bool,
    /// What the server says of itself to anybody.
    pub(super) capabilities: Option<Capabilities>,
    /// The first address that takes connections.
    pub(super) address: Option<SocketAddr>,
}

/// What reaches a server this way, as nobody so far.
pub(super) fn connector(way: &Server, patience: Duration) -> ConnectorBuilder {
    let builder = Connector::builder();
    let builder = match way.protection {
        Protection::Ldaps => builder.ldaps(way.tls.clone()),
        Protection::StartTls => builder.start_tls(way.tls.clone()),
        Protection::None => builder.clear(),
    };
    let builder = match &way.address {
        Address::Tcp { host, port } => builder.address(host.as_str(), *port),
        Address::Socket(path) => builder.socket(path),
    };
    builder.connect_timeout(patience).limits(Limits::DEFAULT.with_message(LARGEST_MESSAGE))
}

impl Looking {
    pub(super) async fn at(self, way: Server) -> Looked {
        let mut looked =
            Looked { way, findings: Vec::new(), is_usable: false, capabilities: None, address: None };
        if let Address::Tcp { host, port } = looked.way.address.clone() {
            let Some(address) = self.address(&host, port, &mut looked).await else { return looked };
            looked.address = Some(address);
            let is_guarded = match looked.way.protection {
                Protection::Ldaps => self.ldaps(&host, address, &mut looked).await,
                Protection::StartTls => self.start_tls(&host, address, &mut looked).await,
                Protection::None => {
                    looked.findings.push(unguarded(&looked.way, &host, address));
                    true
                }
            };
            if !is_guarded {
                return looked;
            }
        } else {
            let cause = "a Unix socket, which does not leave this machine";
            looked.findings.push(Finding::good(What::NoTlsNeeded, about(&looked.way), cause));
        }
        self.ask(&mut looked).await;
        looked
    }

    /// The first address that takes a connection.
    async fn address(&self, host: &str, port: u16, looked: &mut Looked) -> Option<SocketAddr> {
        let about = about(&looked.way);
        let addresses: Vec<_> = match timeout(self.patience, lookup_host((host, port))).await {
            Ok(Ok(found)) => found.take(MOST_ADDRESSES).collect(),
            failed => {
                let evidence = match failed {
                    Ok(Err(error)) => told(&error),
                    _ => "no answer in time".to_owned(),
                };
                let cause = format!("the host `{host}` has no address");
                let mend =
                    "check its spelling, the record that names it, and the name servers of this machine";
                let finding = Finding::failure(What::HostUnknown, about, ErrorKind::Unreachable, cause);
                looked.findings.push(finding.evidence(evidence).mend(mend));
                return None;
            }
        };
        let mut tasks = JoinSet::new();
        for (place, address) in addresses.into_iter().enumerate() {
            let patience = self.patience;
            tasks
                .spawn(async move { (place, address, timeout(patience, TcpStream::connect(address)).await) });
        }
        let mut tried = tasks.join_all().await;
        tried.sort_by_key(|(place, ..)| *place);
        let is_open = tried.iter().any(|(.., result)| matches!(result, Ok(Ok(_))));
        let mut first = None;
        for (_, address, result) in tried {
            let finding = match result {
                Ok(Ok(_)) => {
                    first = first.or(Some(address));
                    continue;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Finding::failure(
                    What::PortRefused,
                    &about,
                    ErrorKind::Unreachable,
                    "nobody listens there",
                )
                .evidence(format!("{address} refused the connection"))
                .mend("see that the server runs, that this is its port, and that no firewall rejects it"),
                Ok(Err(error)) => {
                    let cause = "there is no way to the address";
                    Finding::failure(What::AddressUnreachable, &about, ErrorKind::Unreachable, cause)
                        .evidence(format!("{address}: {error}"))
                        .mend("see the network of this machine, or take an address out of DNS that is not in use")
                }
                Err(_) => {
                    let cause = "nothing comes back from the address";
                    Finding::failure(What::PortSilent, &about, ErrorKind::Timeout, cause)
                        .evidence(format!("no connection to {address} within {:?}", self.patience))
                        .mend(
                            "have a firewall on the way let this port through, and see that the machine runs",
                        )
                }
            };
            let mut finding = finding;
            if is_open {
                finding.severity = super::Severity::Warning;
            }
            looked.findings.push(finding);
        }
        first
    }

    /// Looks at TLS from the first octet on. Whether the way can be used.
    async fn ldaps(&self, host: &str, address: SocketAddr, looked: &mut Looked) -> bool {
        let about = about(&looked.way);
        let shown = async {
            let stream = connect(address).await?;
            inspection::handshake(stream, &looked.way.tls, host, &looked.way.to_string()).await
        };
        let failure = match timeout(self.patience, shown).await {
            Ok(Ok(shown)) => return tls::judge(&about, host, address, false, &shown, &mut looked.findings),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        let finding = if self.speaks_clear(address).await {
            Finding::failure(What::ClearPort, about, ErrorKind::Tls, "the port speaks LDAP without TLS")
                .evidence(format!("{address} answers a question in clear, and no handshake"))
                .mend(format!(
                    "use StartTLS, `url: ldap://{}`, or the server's port for ldaps, mostly 636",
                    host_and_port(host, address.port())
                ))
        } else {
            match failure {
                Some(error) if error.kind() == ErrorKind::Misuse => unusable(about, &error),
                Some(error) => Finding::failure(What::NoTls, about, ErrorKind::Tls, "there is no TLS with it")
                    .evidence(told(&error))
                    .mend("see that this is its port for ldaps, that it has a certificate and TLS 1.2 or newer, and its log"),
                None => no_answer(about, address, "the handshake", self.patience),
            }
        };
        looked.findings.push(finding);
        false
    }

    /// Looks at TLS by StartTLS. Whether the way can be used.
    async fn start_tls(&self, host: &str, address: SocketAddr, looked: &mut Looked) -> bool {
        let about = about(&looked.way);
        let name = looked.way.to_string();
        let shown = async {
            let mut stream = connect(address).await.map_err(|error| (false, error))?;
            inspection::start_tls(&mut stream, &name).await.map_err(|error| (false, error))?;
            inspection::handshake(stream, &looked.way.tls, host, &name).await.map_err(|error| (true, error))
        };
        let finding = match timeout(self.patience, shown).await {
            Ok(Ok(shown)) => return tls::judge(&about, host, address, true, &shown, &mut looked.findings),
            Ok(Err((_, error))) if error.kind() == ErrorKind::Misuse => unusable(about, &error),
            Ok(Err((true, error))) => Finding::failure(
                What::NoTls,
                about,
                ErrorKind::Tls,
                "StartTLS is taken, and then there is no TLS",
            )
            .evidence(told(&error))
            .mend("see that the server has a certificate and TLS 1.2 or newer, and its log"),
            Ok(Err((false, error))) => match self.without_start_tls(host, address, looked, &error).await {
                Some(finding) => finding,
                None => return true,
            },
            Err(_) => no_answer(about, address, "StartTLS", self.patience),
        };
        looked.findings.push(finding);
        false
    }

    /// Why StartTLS did not come about; `None` where it needs not to.
    async fn without_start_tls(
        &self,
        host: &str,
        address: SocketAddr,
        looked: &mut Looked,
        error: &Error,
    ) -> Option<Finding> {
        let about = about(&looked.way);
        if self.speaks_clear(address).await {
            if self.is_named && is_local(host, address.ip()) {
                looked.way.protection = Protection::None;
                let cause = "StartTLS is refused, and the loopback interface does without";
                let mend = "programs on other machines need TLS: have the server set up for it";
                let finding = Finding::warning(What::NoTlsNeeded, about, cause);
                looked.findings.push(finding.evidence(told(error)).mend(mend));
                return None;
            }
            let other = SocketAddr::new(address.ip(), 636);
            let has_ldaps =
                timeout(self.patience, TcpStream::connect(other)).await.is_ok_and(|one| one.is_ok());
            let mend = match has_ldaps {
                true => format!("port 636 is open: `url: ldaps://{}`", host_and_port(host, 636)),
                false => "have TLS set up on the server: `TLSCertificateFile` of slapd.conf, `nsslapd-security: on` of \
                          389-ds, a certificate for the machine of Active Directory"
                    .to_owned(),
            };
            let cause = "the server refuses StartTLS, and without TLS no password goes there";
            let finding = Finding::failure(What::StartTlsRefused, about, ErrorKind::Tls, cause);
            return Some(finding.evidence(told(error)).mend(mend));
        }
        let name = looked.way.to_string();
        let shown =
            async { inspection::handshake(connect(address).await?, &looked.way.tls, host, &name).await };
        if let Ok(Ok(shown)) = timeout(self.patience, shown).await {
            let cause = "the port speaks TLS from the first octet on";
            let finding = Finding::failure(What::TlsPort, about, ErrorKind::Tls, cause);
            let evidence = format!("{address} answers a handshake ({}), and no StartTLS", shown.version);
            let mend = format!("use ldaps: `url: ldaps://{}`", host_and_port(host, address.port()));
            return Some(finding.evidence(evidence).mend(mend));
        }
        let cause = "what answers does not speak LDAP, or hangs up";
        let finding = Finding::failure(What::NotLdap, about, error.kind(), cause);
        let mend = "see that this is the port of the directory";
        Some(finding.evidence(told(error)).mend(mend))
    }

    /// Whether a port answers a question without TLS.
    async fn speaks_clear(&self, address: SocketAddr) -> bool {
        let way = Server::tcp(address.ip().to_string(), address.port(), Protection::None);
        let Ok(connector) = connector(&way, self.patience).build() else { return false };
        let Ok(connection) = connector.connect().await else { return false };
        let read = Capabilities::read(&connection, Actor::Anonymous, Deadline::after(self.patience)).await;
        connection.close().await;
        // One that hides it has answered too.
        read.map_or_else(|error| matches!(error.kind(), ErrorKind::Rejected | ErrorKind::NoEntry), |_| true)
    }

    /// Asks what anybody is told, over a way as programs use it.
    async fn ask(&self, looked: &mut Looked) {
        let about = about(&looked.way);
        let connected = match connector(&looked.way, self.patience).build() {
            Ok(connector) => connector.connect().await,
            Err(error) => Err(error),
        };
        let connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                let what = if looked.way.host().is_some() { What::NoTls } else { What::PortRefused };
                let finding = Finding::failure(what, about, error.kind(), "it cannot be connected to");
                let mend = "see that the server runs, and its log";
                looked.findings.push(finding.evidence(told(&error)).mend(mend));
                return;
            }
        };
        match Capabilities::read(&connection, Actor::Anonymous, Deadline::after(self.patience)).await {
            Ok(capabilities) => (looked.capabilities, looked.is_usable) = (Some(capabilities), true),
            // It speaks LDAP: who signs in may hear more.
            Err(error) if matches!(error.kind(), ErrorKind::Rejected | ErrorKind::NoEntry) => {
                // `strongerAuthRequired` may just mean that somebody must be signed in: the bind will tell.
                let demands = error.result_code() == Some(ResultCode::CONFIDENTIALITY_REQUIRED);
                looked.is_usable = !(demands && looked.way.protection == Protection::None);
                if !looked.is_usable {
                    looked.findings.push(demanded(about, &error));
                }
            }
            Err(error) if error.kind() == ErrorKind::Timeout => {
                let cause = "it does not answer";
                let finding = Finding::failure(What::NoAnswer, about, ErrorKind::Timeout, cause);
                let mend = "see that the server is well, and its log";
                looked.findings.push(finding.evidence(told(&error)).mend(mend));
            }
            Err(error) => {
                let cause = "what answers does not speak LDAP, or hangs up";
                let finding = Finding::failure(What::NotLdap, about, error.kind(), cause);
                let mend = "see that this is the port of the directory, and the log of the server";
                looked.findings.push(finding.evidence(told(&error)).mend(mend));
            }
        }
        connection.close().await;
    }
}

/// What findings about a way are about.
pub(super) fn about(way: &Server) -> String {
    format!("server {way}")
}

/// That the server does nothing without TLS, as its answer says.
pub(super) fn demanded(about: impl Into<String>, error: &Error) -> Finding {
    Finding::failure(
        What::TlsDemanded,
        about,
        error.kind(),
        "the server demands TLS, and there is none on this way",
    )
    .code(error.result_code())
    .evidence(told(error))
    .mend("use its port for ldaps, `url: ldaps://HOST`, or have StartTLS set up on it")
}

pub(super) fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Error> {
    TcpStream::connect(address).await.map_err(|error| {
        Error::new(ErrorKind::Unreachable, format!("{address} cannot be reached")).with_source(error)
    })
}

/// Whether a way ends on this machine, wherever else the name may lead.
fn is_local(host: &str, address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
        && (host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()))
}

/// That somebody wants no TLS on this way.
fn unguarded(way: &Server, host: &str, address: SocketAddr) -> Finding {
    if is_local(host, address.ip()) {
        let cause = "the configuration wants no TLS, and the loopback interface does without";
        return Finding::good(What::NoTlsNeeded, about(way), cause);
    }
    let cause = "the configuration wants no TLS: whoever is in between can read and change everything";
    Finding::warning(What::NoTls, about(way), cause).mend("say `start_tls: true`, or `url: ldaps://HOST`")
}

fn unusable(about: String, error: &Error) -> Finding {
    Finding::failure(What::NoTls, about, ErrorKind::Misuse, "what was said of TLS cannot be used")
        .evidence(told(error))
        .mend("name a readable PEM file by --ca-file")
}

fn no_answer(about: String, address: SocketAddr, step: &str, patience: Duration) -> Finding {
    Finding::failure(What::NoAnswer, about, ErrorKind::Timeout, "it takes connections and answers nothing")
        .evidence(format!("{address} did not answer {step} within {patience:?}"))
        .mend("see that the server is well and that this is its port; a load balancer in between may have no server behind it")
}
