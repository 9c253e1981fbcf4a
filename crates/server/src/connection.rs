//! One connection from accept to close: handshake, conversation, StartTLS and another conversation, farewell.

use std::{future::poll_fn, sync::Arc, time::Duration};

use flext_ldap_directory::{Peer, Protection, Session};
use flext_ldap_proto::{
    ber::Writer,
    control::Controls,
    message::MessageId,
    result::{LdapResult, ResultCode},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use crate::{
    ServerTls,
    accept::{Shared, Stop},
    access_log::{Connected, Disconnected},
    answer,
    conversation::{Conversation, End},
    stream::{Socket, Stream},
};

/// How long, and for how many octets, a peer that was told to go is listened to, so that what it sends meanwhile does
/// not make its system throw away the notice.
const FAREWELL: (Duration, usize) = (Duration::from_secs(1), 1 << 20);

/// What is known of a connection as long as it lasts.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    operations: u64,
}

impl Connection {
    pub(crate) fn new(number: u64, peer: Peer) -> Self {
        Self { number, peer, operations: 0 }
    }

    /// The number of the next operation.
    pub(crate) fn count(&mut self) -> u64 {
        self.operations = self.operations.saturating_add(1);
        self.operations
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    socket: Socket,
    mut connection: Connection,
    tls_first: bool,
    mut stop: Stop,
) {
    let started = Instant::now();
    let number = connection.number;
    if let Some(log) = &shared.access_log {
        log.connected(&Connected { connection: number, peer: &connection.peer });
    }
    let reason = talk(&shared, socket, &mut connection, tls_first, &mut stop).await;
    if let Some(log) = &shared.access_log {
        log.disconnected(&Disconnected { connection: number, reason, elapsed: started.elapsed() });
    }
}

/// Returns why it ended.
async fn talk(
    shared: &Arc<Shared>,
    socket: Socket,
    connection: &mut Connection,
    tls_first: bool,
    stop: &mut Stop,
) -> &'static str {
    let mut stream = Stream::Clear(socket);
    let mut handshake = tls_first;
    loop {
        if handshake {
            stream = match shake_hands(shared, stream, stop).await {
                Ok(stream) => stream,
                Err(reason) => return reason,
            };
            if connection.peer.protection == Protection::Clear {
                connection.peer.protection = Protection::Tls;
            }
            if let (Some(tls), Stream::Tls(stream)) = (&shared.tls, &stream) {
                let agreed = stream.get_ref().1;
                if connection.peer.external.is_none() {
                    connection.peer.external = ServerTls::client(agreed);
                }
                connection.peer.bindings = Some(Arc::new(tls.bindings(agreed)));
                connection.peer.tls = ServerTls::agreed(agreed);
            }
        }
        let session = match open(shared, connection).await {
            Ok(session) => session,
            Err(code) => {
                say(&mut stream, code, "the directory cannot be reached", shared.limits.stall).await;
                farewell(stream).await;
                return "no-session";
            }
        };
        let mut conversation = Conversation::new(shared, connection, &mut stream, stop, session);
        let end = poll_fn(|cx| conversation.poll(cx)).await;
        // The session ends here: nothing that was said in clear is known after StartTLS.
        drop(conversation);
        match end {
            End::StartTls => handshake = true,
            End::Unbind => {
                // A polite end for those who wait for it (close_notify); nobody is owed more.
                let _ = timeout(FAREWELL.0, stream.shutdown()).await;
                return "unbind";
            }
            End::Closed => return "closed",
            End::Stalled => return "stalled",
            End::Stopped => {
                let _ = timeout(FAREWELL.0, stream.shutdown()).await;
                return "stopped";
            }
            End::Notice(code) => {
                farewell(stream).await;
                return if code == ResultCode::PROTOCOL_ERROR { "protocol-error" } else { "limit" };
            }
            End::BySession => {
                farewell(stream).await;
                return "ended-by-directory";
            }
        }
    }
}

/// Does the TLS handshake. Failing says why the connection ends.
async fn shake_hands(shared: &Shared, stream: Stream, stop: &mut Stop) -> Result<Stream, &'static str> {
    let (Some(tls), Stream::Clear(socket)) = (&shared.tls, stream) else {
        return Err("no-tls");
    };
    let shaken = tokio::select! {
        shaken = timeout(shared.limits.handshake, tls.acceptor().accept(socket)) => shaken,
        _ = stop => return Err("stopped"),
    };
    match shaken {
        Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake failed");
            Err("tls-failed")
        }
        Err(_) => Err("tls-timeout"),
    }
}

async fn open(shared: &Shared, connection: &Connection) -> Result<Box<dyn Session>, ResultCode> {
    match timeout(shared.limits.bind, shared.sessions.open(connection.peer.clone())).await {
        Ok(Ok(session)) => Ok(session),
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error);
            tracing::warn!(connection = connection.number, %error, cause, "no session could be opened");
            Err(error.answer().code)
        }
        Err(_) => {
            tracing::warn!(connection = connection.number, "no session could be opened in time");
            Err(ResultCode::UNAVAILABLE)
        }
    }
}

/// The octets of a Notice of Disconnection.
pub(crate) fn notice(code: ResultCode, why: &'static str) -> bytes::Bytes {
    let mut writer = Writer::new();
    answer::notice(LdapResult::with_diagnostic(code, why)).encode(
        MessageId::UNSOLICITED,
        &Controls::none(),
        &mut writer,
    );
    writer.take()
}

async fn say(stream: &mut Stream, code: ResultCode, why: &'static str, within: Duration) {
    // Whether the peer hears it is the peer's matter.
    let _ = timeout(within, async {
        stream.write_all(&notice(code, why)).await?;
        stream.flush().await
    })
    .await;
}

/// Closes our side, then discards what the peer still sends, for a while.
async fn farewell(mut stream: Stream) {
    let (time, octets) = FAREWELL;
    let _ = timeout(time, async {
        stream.shutdown().await?;
        let mut discarded = 0;
        // Not on the stack: every connection's task would carry it.
        let mut buffer = vec![0; 4096];
        while discarded < octets {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => discarded += read,
            }
        }
        std::io::Result::Ok(())
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use flext_ldap_directory::{
        BindReply, BindStep, BoxFuture, Deadline, Directory, Error, Outcome, PeerAddress, Reply, Request,
        Sessions,
    };
    use flext_ldap_proto::{
        message::{Authentication, BindRequest, Envelope, Limits, Request as Message, Response},
        secret::Secret,
    };
    use tokio::{net::UnixStream, sync::watch};

    use super::*;
    use crate::ServerLimits;

    /// Remembers the binds it sees.
    #[derive(Clone, Default)]
    struct Binds(Arc<Mutex<Vec<BindStep>>>);

    impl Sessions for Binds {
        fn open(&self, _: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
            Box::pin(async { Ok(Box::new(self.clone()) as Box<dyn Session>) })
        }
    }

    impl Session for Binds {
        fn bind(&mut self, step: BindStep, _: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
            self.0.lock().unwrap().push(step);
            Box::pin(async { Ok(BindReply::Refused(Outcome::success())) })
        }
    }

    impl Directory for Binds {
        fn call(&self, _: Request) -> Reply {
            Reply::ready(Ok(Outcome::success()))
        }
    }

    /// The answer to a bind that comes from `address`, and how many binds the directory has seen.
    async fn bind(address: &str, authentication: Authentication) -> (ResultCode, usize) {
        let binds = Binds::default();
        let shared = Shared::new(Arc::new(binds.clone()), ServerLimits::default(), None, None);
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let address = PeerAddress::Tcp(address.parse().unwrap());
        let peer = Peer { address, protection: Protection::Clear, external: None, bindings: None, tls: None };
        let (_stop, stopped) = watch::channel(None);
        let stop = Stop::new(stopped);
        tokio::spawn(serve(Arc::new(shared), Socket::Unix(ours), Connection::new(1, peer), false, stop));
        let request = Message::Bind(BindRequest { version: 3, name: "cn=ada".to_owned(), authentication });
        let mut writer = Writer::new();
        request.encode(MessageId(1), &Controls::none(), &mut writer);
        Message::Unbind.encode(MessageId(2), &Controls::none(), &mut writer);
        theirs.write_all(&writer.take()).await.unwrap();
        let mut octets = Vec::new();
        theirs.read_to_end(&mut octets).await.unwrap();
        let envelope = Envelope::decode(octets.into(), &Limits::DEFAULT).unwrap();
        let Response::Bind(response) = envelope.response(&Limits::DEFAULT).unwrap() else {
            panic!("no bind")
        };
        let seen = binds.0.lock().unwrap().len();
        (response.result.code, seen)
    }

    #[tokio::test]
    async fn passwords_in_clear_from_elsewhere_are_refused_before_they_are_looked_at() {
        let simple = || Authentication::Simple(Secret::from("korrekt"));
        let sasl = |mechanism: &str| Authentication::Sasl {
            mechanism: mechanism.to_owned(),
            credentials: Some(Secret::from("\0ada\0korrekt")),
        };
        let refused = (ResultCode::CONFIDENTIALITY_REQUIRED, 0);
        let asked = (ResultCode::SUCCESS, 1);
        let table = [
            ("192.0.2.7:4000", simple(), refused),
            ("[2001:db8::7]:4000", simple(), refused),
            ("0.0.0.0:4000", simple(), refused),
            ("192.0.2.7:4000", sasl("PLAIN"), refused),
            ("192.0.2.7:4000", sasl("login"), refused),
            ("192.0.2.7:4000", sasl("SCRAM-SHA-256"), asked),
            ("127.0.0.1:4000", simple(), asked),
            ("127.8.9.10:4000", simple(), asked),
            ("[::1]:4000", simple(), asked),
        ];
        for (address, authentication, want) in table {
            assert_eq!(bind(address, authentication).await, want, "{address}");
        }
    }
}
