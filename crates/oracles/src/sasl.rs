//! SASL: whatever a peer sends, nobody is believed who does not know the password, and what is read is what was written.

use std::num::NonZeroU32;

use flext_ldap_proto::{
    certificate::CertificateNames,
    channel_binding::{BindingKind, ChannelBindings},
};
use flext_ldap_sasl::{
    digest_md5::{DigestMd5, DigestMd5Client},
    plain::Plain,
    scram::{ClientBinding, FEWEST, ScramClient, ScramHash, ScramKeys, ScramServer},
    server_end_point,
};

/// One message, or two with a line end between them: the first octet says of what.
pub fn messages(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    let mut parts = rest.splitn(2, |octet| *octet == b'\n');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match kind {
        b'p' => plain(rest),
        b's' => scram_server(false, first, second),
        b'S' => scram_server(true, first, second),
        b'c' => scram_client(first, second),
        b'd' => digest_client(first, second),
        b'x' => certificate(rest),
        _ => false,
    }
}

fn plain(message: &[u8]) -> bool {
    let Ok(plain) = Plain::parse(message) else { return false };
    assert!(!plain.user.is_empty() && !plain.password.is_empty());
    assert_eq!(plain.to_message().expect("what was read can be written").expose(), message);
    true
}

fn scram_server(plus: bool, first: &[u8], proof: &[u8]) -> bool {
    let bindings = ChannelBindings { exporter: Some(vec![7; 32]), server_end_point: None };
    let bindings = if plus { bindings } else { ChannelBindings::none() };
    let Ok((mut server, asked)) = ScramServer::begin(plus, &bindings, first) else { return false };
    assert!(!asked.user.contains('\0'));
    let keys = ScramKeys::of_nobody(ScramHash::Sha256, b"secret", asked.user.as_bytes(), NonZeroU32::MIN);
    let challenge = server.challenge(keys, "more");
    assert!(challenge.starts_with(b"r=") && challenge.ends_with(b",i=1"));
    if let Ok(proof) = server.proof(proof) {
        assert_eq!(proof.verify(), None, "nobody's keys fit nothing");
    }
    true
}

fn scram_client(challenge: &[u8], last: &[u8]) -> bool {
    // More iterations than the fewest show nothing more, and take a second each.
    let text = String::from_utf8_lossy(challenge);
    let count = text.split(",i=").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).count());
    if count.is_some_and(|digits| digits > FEWEST.to_string().len()) {
        return false;
    }
    let bindings = ChannelBindings { exporter: Some(vec![7; 32]), server_end_point: None };
    let binding = ClientBinding::To(BindingKind::TlsExporter, bindings);
    let nonce = "nonce".to_owned();
    let mut client = ScramClient::new(ScramHash::Sha1, "ada", "pencil".into(), None, &binding, nonce)
        .expect("a name and a password");
    let answered = client.respond(challenge);
    assert!(client.accept(Some(last)).is_err(), "the server knows no password");
    let Ok(answer) = answered else { return false };
    let message = std::str::from_utf8(answer.expose()).expect("text");
    assert!(message.starts_with("c=") && message.contains(",r=nonce") && message.contains(",p="));
    true
}

fn digest_client(challenge: &[u8], last: &[u8]) -> bool {
    let who = DigestMd5 {
        user: "ada \"the\" \\ first".to_owned(),
        password: "pencil".into(),
        realm: None,
        authorization: None,
        uri: "ldap/localhost".to_owned(),
    };
    let mut client = DigestMd5Client::new(who, "nonce".to_owned()).expect("a name and a password");
    let answered = client.respond(challenge).is_ok();
    assert!(client.accept(Some(last)).is_err(), "the server knows no password");
    answered
}

fn certificate(der: &[u8]) -> bool {
    let end_point = server_end_point(der);
    assert!(end_point.is_none_or(|hash| [32, 48, 64].contains(&hash.len())));
    let Some(names) = CertificateNames::parse(der) else { return false };
    let texts = names.mail.iter().chain(&names.hosts).chain(&names.principals);
    assert!(texts.into_iter().all(|text| !text.contains('\0')));
    assert_eq!(names.subject.to_string().parse().as_ref(), Ok(&names.subject));
    true
}
