//! StartTLS (RFC 4511 §4.14): one question and one answer in clear, before anything else.

use bytes::BytesMut;
use flext_ldap_directory::{
    Error, ErrorKind,
    proto::{
        ber::{Writer, frame_length},
        control::Controls,
        extended::{ExtendedOperation, StartTls},
        line::OneLine,
        message::{Envelope, Limits, MessageId, Request, Response},
        result::{LdapResult, ResultCode},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::ending::Ending;

/// Octets the answer may have. It is a result code and a sentence.
const ANSWER: usize = 64 << 10;

/// Asks for TLS. On success not one octet of what follows has been read, so nobody on the way can have put an answer
/// in front of the handshake ("response injection").
pub(crate) async fn ask(stream: &mut TcpStream, server: &str) -> Result<(), Error> {
    let id = MessageId(1);
    let mut writer = Writer::new();
    Request::Extended(StartTls.request()).encode(id, &Controls::none(), &mut writer);
    let lost = |error| Ending::lost(server, error).error(flext_ldap_directory::Applied::No);
    stream.write_all(writer.as_slice()).await.map_err(lost)?;

    let limits = Limits::DEFAULT.with_message(ANSWER);
    let malformed = |error| Ending::malformed(server, error).error(flext_ldap_directory::Applied::No);
    let mut buffer = BytesMut::with_capacity(1 << 10);
    let length = loop {
        if stream.read_buf(&mut buffer).await.map_err(lost)? == 0 {
            return Err(Error::new(
                ErrorKind::Tls,
                format!("{server} closed the connection when asked for StartTLS; try ldaps"),
            ));
        }
        match frame_length(&buffer, limits.message).map_err(malformed)? {
            Some(length) if length <= buffer.len() => break length,
            _ => {}
        }
    };
    if length < buffer.len() {
        return Err(Error::new(
            ErrorKind::Protocol,
            format!(
                "octets in clear followed {server}'s answer to StartTLS: somebody on the way may have put them there"
            ),
        ));
    }
    let envelope = Envelope::decode(buffer.freeze(), &limits).map_err(malformed)?;
    match envelope.response(&limits).map_err(malformed)? {
        Response::Extended(response) if envelope.id == id => accepted(&response.result, server),
        Response::Extended(notice) if envelope.id == MessageId::UNSOLICITED => {
            Err(Ending::notice(server, &notice).error(flext_ldap_directory::Applied::No))
        }
        _ => Err(Error::new(ErrorKind::Protocol, format!("{server} answered something else than StartTLS"))),
    }
}

fn accepted(result: &LdapResult, server: &str) -> Result<(), Error> {
    let (code, diagnostic) = (result.code, OneLine(&result.diagnostic));
    if code == ResultCode::SUCCESS {
        return Ok(());
    }
    let colon = if result.diagnostic.is_empty() { "" } else { ": " };
    Err(Error::new(
        ErrorKind::Tls,
        format!(
            "{server} refused StartTLS with {code}{colon}{diagnostic}; nothing was sent in clear: try ldaps, or have TLS set up on the server"
        ),
    ))
}
