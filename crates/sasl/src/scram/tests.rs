use flext_ldap_proto::{
    channel_binding::{BindingKind, ChannelBindings},
    secret::Secret,
};
use proptest::prelude::*;

use super::*;

const PENCIL: &[u8] = b"pencil";

fn count(iterations: u32) -> NonZeroU32 {
    NonZeroU32::new(iterations).unwrap()
}

fn client(hash: ScramHash, user: &str, password: &str, binding: &ClientBinding, nonce: &str) -> ScramClient {
    ScramClient::new(hash, user, Secret::from(password), None, binding, nonce.to_owned()).unwrap()
}

/// The exchanges that stand in the RFCs: nonces, salt, proof, signature.
const VECTORS: [(ScramHash, &str, &str, &str, &str, &str); 2] = [
    (
        ScramHash::Sha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        "3rfcNHYJY1ZVvWVs7j",
        "QSXCR+Q6sek8bf92",
        "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        ScramHash::Sha256,
        "rOprNGfwEbeRWgbNEkqO",
        "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        "W22ZaJ0SNY7soEsUEjb6gQ==",
        "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
];

#[test]
fn both_ends_say_what_the_rfcs_say() {
    for (hash, nonce, more, salt, proof, signature) in VECTORS {
        let mut client = client(hash, "user", "pencil", &ClientBinding::Unable, nonce);
        let first = client.first();
        assert_eq!(first.expose(), format!("n,,n=user,r={nonce}").as_bytes());

        let (mut server, asked) =
            ScramServer::begin(false, &ChannelBindings::none(), first.expose()).unwrap();
        assert_eq!(asked, Asked { user: "user".to_owned(), authorization: None });
        let keys = ScramKeys::derive(hash, PENCIL, &STANDARD.decode(salt).unwrap(), count(4096));
        let challenge = server.challenge(keys, more);
        assert_eq!(challenge, format!("r={nonce}{more},s={salt},i=4096").as_bytes());

        let answer = client.respond(&challenge).unwrap();
        assert_eq!(answer.expose(), format!("c=biws,r={nonce}{more},p={proof}").as_bytes());
        let last = server.proof(answer.expose()).unwrap().verify().unwrap();
        assert_eq!(last, format!("v={signature}").as_bytes());
        client.accept(Some(&last)).unwrap();
    }
}

/// A whole exchange; who refused it, if anybody did.
fn exchange(
    mut client: ScramClient,
    plus: bool,
    seen: &ChannelBindings,
    keys: ScramKeys,
) -> Result<Asked, (&'static str, Option<SaslError>)> {
    let server = |error| ("server", Some(error));
    let (mut end, asked) = ScramServer::begin(plus, seen, client.first().expose()).map_err(server)?;
    let challenge = end.challenge(keys, "more");
    let answer = client.respond(&challenge).map_err(|error| ("client", Some(error)))?;
    let last = end.proof(answer.expose()).map_err(server)?.verify().ok_or(("server", None))?;
    client.accept(Some(&last)).map_err(|error| ("client", Some(error)))?;
    Ok(asked)
}

fn bindings(exporter: &[u8], end_point: &[u8]) -> ChannelBindings {
    let some = |octets: &[u8]| (!octets.is_empty()).then(|| octets.to_vec());
    ChannelBindings { exporter: some(exporter), server_end_point: some(end_point) }
}

#[test]
fn who_is_between_the_two_is_found_out() {
    use BindingKind::{TlsExporter, TlsServerEndPoint};
    use ClientBinding::{NotOffered, To, Unable};
    let (ours, other) = (bindings(b"one", b"certificate"), bindings(b"two", b"certificate"));
    let none = ChannelBindings::none();
    let table = [
        (Unable, false, &ours, Ok(())),
        (NotOffered, false, &none, Ok(())),
        (To(TlsExporter, ours.clone()), true, &ours, Ok(())),
        (To(TlsServerEndPoint, ours.clone()), true, &other, Ok(())),
        // The client sees another TLS connection than the server.
        (To(TlsExporter, ours.clone()), true, &other, Err(SaslError::WrongBinding)),
        // The list was cut on the way to the client.
        (NotOffered, false, &ours, Err(SaslError::Downgraded)),
        // A kind that this end does not have.
        (To(TlsExporter, ours.clone()), true, &bindings(b"", b"certificate"), Err(SaslError::NothingToBind)),
        (To(TlsExporter, ours.clone()), true, &none, Err(SaslError::NothingToBind)),
    ];
    let contradiction = Err(SaslError::Malformed("channel binding and mechanism contradict each other"));
    let contradictions = [
        (Unable, true, &ours, contradiction.clone()),
        (NotOffered, true, &ours, contradiction.clone()),
        (To(TlsExporter, ours.clone()), false, &ours, contradiction),
    ];
    for (binding, plus, seen, want) in table.into_iter().chain(contradictions) {
        let keys = ScramKeys::derive(ScramHash::Sha256, PENCIL, b"salt", count(4096));
        let client = client(ScramHash::Sha256, "ada", "pencil", &binding, "nonce");
        let got = exchange(client, plus, seen, keys).map(|_| ()).map_err(|(_, error)| error.unwrap());
        assert_eq!(got, want, "{binding:?} {plus} {seen:?}");
    }
    let nothing = ScramClient::new(
        ScramHash::Sha256,
        "ada",
        "pencil".into(),
        None,
        &To(TlsExporter, bindings(b"", b"certificate")),
        "nonce".to_owned(),
    );
    assert_eq!(nothing.unwrap_err(), SaslError::NothingToBind);
}

#[test]
fn a_client_believes_no_server_that_does_not_know_the_password() {
    let begun = || client(ScramHash::Sha256, "ada", "pencil", &ClientBinding::Unable, "nonce");
    let respond = |challenge: &str| begun().respond(challenge.as_bytes()).map(|_| ());
    let table = [
        ("r=nonce1,s=c2FsdA==,i=4096", Ok(())),
        ("r=nonce1,s=c2FsdA==,i=4096,x=extension", Ok(())),
        ("r=nonce,s=c2FsdA==,i=4096", Err(SaslError::WrongNonce)),
        ("r=other1,s=c2FsdA==,i=4096", Err(SaslError::WrongNonce)),
        ("r=nonce1,s=c2FsdA==,i=4095", Err(SaslError::TooFewIterations(4095))),
        ("r=nonce1,s=c2FsdA==,i=0", Err(SaslError::TooFewIterations(0))),
        ("r=nonce1,s=c2FsdA==,i=1000001", Err(SaslError::TooManyIterations(1_000_001))),
        ("r=nonce1,s=c2FsdA==,i=99999999999", Err(SaslError::TooManyIterations(u32::MAX))),
        ("r=nonce1,s=c2FsdA==,i=+4096", Err(SaslError::Malformed("an iteration count that is not a number"))),
        ("r=nonce1,s=,i=4096", Err(SaslError::Malformed("an empty salt"))),
        ("r=nonce1,s=*,i=4096", Err(SaslError::Malformed("a salt that is not base64"))),
        ("m=must,r=nonce1,s=c2FsdA==,i=4096", Err(SaslError::Malformed("no nonce"))),
        ("r=nonce1,s=c2FsdA==", Err(SaslError::Malformed("no iteration count"))),
        ("", Err(SaslError::Malformed("no nonce"))),
    ];
    for (challenge, want) in table {
        assert_eq!(respond(challenge), want, "{challenge}");
    }

    // Success at once, success without a signature, with another's, twice.
    assert_eq!(begun().accept(None), Err(SaslError::ServerNotProven));
    let proven = || {
        let mut client = begun();
        client.respond(b"r=nonce1,s=c2FsdA==,i=4096").unwrap();
        client
    };
    let wrong = STANDARD.encode([0; 32]);
    let table: [(Option<&[u8]>, SaslError); 4] = [
        (None, SaslError::ServerNotProven),
        (Some(b""), SaslError::Malformed("neither signature nor error")),
        (Some(&format!("v={wrong}").into_bytes()), SaslError::ServerNotProven),
        (Some(b"e=invalid-proof\n"), SaslError::Refused("invalid-proof".to_owned())),
    ];
    for (last, want) in table {
        let mut client = proven();
        assert_eq!(client.accept(last), Err(want.clone()), "{last:?}");
        assert_eq!(client.accept(last), Err(SaslError::ServerNotProven), "once is enough");
    }

    // A server may send its proof before its success (RFC 4422 §3.6).
    let keys = ScramKeys::derive(ScramHash::Sha256, PENCIL, b"salt", count(4096));
    let mut client = begun();
    let (mut server, _) =
        ScramServer::begin(false, &ChannelBindings::none(), client.first().expose()).unwrap();
    let answer = client.respond(&server.challenge(keys, "more")).unwrap();
    let last = server.proof(answer.expose()).unwrap().verify().unwrap();
    assert!(client.respond(&last).unwrap().is_empty());
    client.accept(None).unwrap();
    assert_eq!(
        client.respond(&last).map(|_| ()),
        Err(SaslError::OutOfTurn("more than the mechanism has messages"))
    );
}

#[test]
fn a_server_takes_no_malformed_message() {
    let begin = |message: &str| {
        ScramServer::begin(false, &ChannelBindings::none(), message.as_bytes()).map(|(_, asked)| asked.user)
    };
    let user = |name: &str| Ok(name.to_owned());
    let bad = |what| Err(SaslError::Malformed(what));
    let table = [
        ("n,,n=ada,r=x", user("ada")),
        ("n,a=tomas,n=ada,r=x", user("ada")),
        ("n,,n=a=2Cb=3Dc,r=x", user("a,b=c")),
        ("n,,n=a=2cb,r=x", bad("a name with an `=` that escapes nothing")),
        ("n,,n=ada=,r=x", bad("a name with an `=` that escapes nothing")),
        ("n,,n=,r=x", bad("an empty name, or one with a NUL")),
        ("n,,n=ada,r=", bad("no nonce")),
        ("n,,n=ada", bad("no nonce")),
        ("n,,m=must,n=ada,r=x", bad("no name")),
        ("n,,n=ada,r=x,m=must", bad("an extension that is not one")),
        ("n,b=tomas,n=ada,r=x", bad("no header")),
        ("q,,n=ada,r=x", bad("no header")),
        ("p=,,n=ada,r=x", bad("no header")),
        ("n", bad("no header")),
        ("", bad("no header")),
    ];
    for (message, want) in table {
        assert_eq!(begin(message), want, "{message}");
    }
    assert_eq!(begin(&"n".repeat(5000)), bad("longer than 4,096 octets"));

    let proof = |message: &str| {
        let none = ChannelBindings::none();
        let (mut server, _) = ScramServer::begin(false, &none, b"n,,n=ada,r=x").unwrap();
        server.challenge(ScramKeys::derive(ScramHash::Sha1, PENCIL, b"salt", count(4096)), "y");
        server.proof(message.as_bytes()).map(|proof| proof.verify().is_some())
    };
    let table = [
        ("c=biws,r=xy,p=AAAA", Ok(false)),
        ("c=biws,r=xz,p=AAAA", Err(SaslError::WrongNonce)),
        ("c=eSws,r=xy,p=AAAA", Err(SaslError::WrongBinding)),
        ("c=biws,r=xy", Err(SaslError::Malformed("no proof"))),
        ("c=biws,p=AAAA", Err(SaslError::Malformed("no nonce"))),
        ("c=biws,r=xy,p=*", Err(SaslError::Malformed("a proof that is not base64"))),
    ];
    for (message, want) in table {
        assert_eq!(proof(message), want, "{message}");
    }
}

#[test]
fn keys_of_nobody_are_steady_and_fit_nothing() {
    let of = |secret: &[u8], name: &str| {
        ScramKeys::of_nobody(ScramHash::Sha256, secret, name.as_bytes(), count(4096))
    };
    let keys = of(b"secret", "ada");
    assert!(keys.is_same(&of(b"secret", "ada")));
    assert_eq!(keys.salt.len(), 16);
    assert!(keys.salt != of(b"secret", "tomas").salt && keys.salt != of(b"other", "ada").salt);
    let refused = exchange(
        client(ScramHash::Sha256, "ada", "pencil", &ClientBinding::Unable, "nonce"),
        false,
        &ChannelBindings::none(),
        keys,
    );
    assert_eq!(refused, Err(("server", None)));
}

#[test]
fn keys_are_written_as_rfc_5803_has_them_and_never_printed() {
    let keys = ScramKeys::derive(
        ScramHash::Sha256,
        PENCIL,
        &STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(),
        count(4096),
    );
    let text = keys.to_text();
    // What PostgreSQL stores for the same.
    assert_eq!(
        text.as_str(),
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
    assert!(ScramKeys::parse(&text).unwrap().is_same(&keys));
    assert_eq!(format!("{keys:?}"), "ScramKeys { hash: Sha256, iterations: 4096, .. }");
    for text in [
        "",
        "SCRAM-SHA-256",
        "SCRAM-SHA-256$0:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-MD5$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
    ] {
        assert!(ScramKeys::parse(text).is_none(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever name and password: both ends understand each other, and only with the same password.
    #[test]
    fn ends_agree(
        user in "[^\\x00]{1,20}",
        authorization in prop::option::of("[^\\x00]{1,20}"),
        password in "[^\\x00]{1,20}",
        other in "[^\\x00]{1,20}",
        hash in prop::sample::select(ScramHash::ALL.to_vec()),
    ) {
        let client = |password: &str| {
            let nonce = "nonce".to_owned();
            let to = authorization.as_deref();
            ScramClient::new(hash, &user, password.into(), to, &ClientBinding::Unable, nonce)
        };
        let keys = ScramKeys::derive(hash, password.as_bytes(), b"salt", count(4096));
        let Ok(right) = client(&password) else {
            // Nothing is left of the name once it is prepared.
            prop_assert!(saslprep(&user).is_some_and(|user| user.is_empty()));
            return Ok(());
        };
        let asked = exchange(right, false, &ChannelBindings::none(), keys.clone()).unwrap();
        prop_assert_eq!(asked.user.as_str(), &*saslprep(&user).unwrap_or_else(|| (&*user).into()));
        prop_assert_eq!(&asked.authorization, &authorization);
        if prepared(other.as_bytes()) != prepared(password.as_bytes()) {
            let refused = exchange(client(&other).unwrap(), false, &ChannelBindings::none(), keys);
            prop_assert_eq!(refused, Err(("server", None)));
        }
    }

    /// No octets make either end panic.
    #[test]
    fn nothing_panics(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ScramServer::begin(false, &ChannelBindings::none(), &octets);
        let mut one = client(ScramHash::Sha1, "ada", "pencil", &ClientBinding::Unable, "nonce");
        let _ = one.respond(&octets);
        let _ = one.accept(Some(&octets));
    }
}
