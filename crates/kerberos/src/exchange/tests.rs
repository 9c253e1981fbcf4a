use std::time::UNIX_EPOCH;

use flext_ldap_proto::ber::{Reader, Tag, Writer};

use super::*;
use crate::{
    Initiator,
    context::ContextOptions,
    der::{ReadFields as _, WriteFields as _},
};

const REALM: &str = "HARBOURLANE.EXAMPLE";
const UNTIL: u64 = 1_900_000_000;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_363_200)
}

fn ada() -> Principal {
    Principal::parse("ada", Some(REALM)).unwrap()
}

fn key(octet: u8) -> Key {
    Key::new(EncryptionType::Aes128Sha1, &[octet; 16]).unwrap()
}

/// The nonce of a request.
fn nonce_of(request: &Bytes) -> u32 {
    let mut reader = Reader::new(request);
    let (_, mut content) = reader.any().unwrap();
    let mut request = content.sequence().unwrap();
    request.field(1).unwrap();
    request.field(2).unwrap();
    request.optional(3).unwrap();
    let mut body = request.field(4).unwrap().sequence().unwrap();
    while body.peek() != Some(Tag::context_constructed(7)) {
        body.any().unwrap();
    }
    body.field(7).unwrap().unsigned_32().unwrap()
}

/// A reply as a key distribution centre makes it.
fn reply(tag: u8, client: &Principal, service: &Principal, nonce: u32, by: (&Key, u32)) -> Bytes {
    let mut part = Writer::new();
    part.constructed(Tag::application_constructed(26), |part| {
        part.sequence(|part| {
            part.field(0, |field| {
                field.sequence(|session| {
                    session.field(0, |field| field.integer(17));
                    session.field(1, |field| field.octets(&[9; 16]));
                });
            });
            part.field(1, |field| field.sequence(|_| ()));
            part.field(2, |field| field.integer(nonce.into()));
            part.field(4, |field| field.flags(0));
            part.field(5, |field| field.time(1));
            part.field(7, |field| field.time(UNTIL));
            part.field(9, |field| field.string(service.realm()));
            part.field(10, |field| field.name(service.kind(), service.parts()));
        });
    });
    let cipher = by.0.sealer(by.1).seal(&[part.as_slice()]).unwrap();
    let mut writer = Writer::new();
    writer.constructed(Tag::application_constructed(tag), |writer| {
        writer.sequence(|reply| {
            reply.field(0, |field| field.integer(5));
            reply.field(1, |field| field.integer(tag.into()));
            reply.field(3, |field| field.string(client.realm()));
            reply.field(4, |field| field.name(client.kind(), client.parts()));
            reply.field(5, |field| {
                field.constructed(Tag::application_constructed(1), |ticket| ticket.sequence(|_| ()))
            });
            reply.field(6, |field| field.encrypted(by.0.kind(), &cipher));
        });
    });
    writer.take()
}

/// A message of error; with it, where a proof is wanted, how the password is salted.
fn refusal(code: i64, salt: Option<&str>) -> Bytes {
    let mut info = Writer::new();
    info.sequence(|list| {
        list.sequence(|entry| {
            entry.field(1, |field| field.integer(19));
            entry.field(2, |field| {
                let mut value = Writer::new();
                value.sequence(|kinds| {
                    for number in [23, 17] {
                        kinds.sequence(|kind| {
                            kind.field(0, |field| field.integer(number));
                            kind.field(1, |field| field.string(salt.unwrap_or_default()));
                            kind.field(2, |field| field.octets(&[0, 0, 16, 0]));
                        });
                    }
                });
                field.octets(value.as_slice());
            });
        });
    });
    let mut writer = Writer::new();
    writer.constructed(Tag::application_constructed(30), |writer| {
        writer.sequence(|error| {
            error.field(0, |field| field.integer(5));
            error.field(1, |field| field.integer(30));
            error.field(4, |field| field.time(1_795_366_800));
            error.field(5, |field| field.integer(0));
            error.field(6, |field| field.integer(code));
            error.field(9, |field| field.string(REALM));
            error.field(10, |field| field.name(2, &["krbtgt".to_owned(), REALM.to_owned()]));
            error.field(11, |field| field.string("NEEDED\n"));
            if salt.is_some() {
                error.field(12, |field| field.octets(info.as_slice()));
            }
        });
    });
    writer.take()
}

fn granting(realm: &str, within: &str) -> Principal {
    Principal::ticket_granting(realm, within)
}

fn ticket(service: Principal) -> Credential {
    Credential { client: ada(), service, key: key(1), ticket: Bytes::from_static(&[0x61, 0]), until: UNTIL }
}

#[test]
fn a_password_is_proved_once_and_salted_as_the_realm_says() {
    let password = LongTerm::Password("low water 7".into());
    let mut exchange = AsExchange::new(ada(), password).unwrap();
    assert!(!exchange.has_proved());
    let Step::Send(proof) = exchange.answer(&refusal(25, Some("salt")), now()).unwrap() else { panic!() };
    assert!(exchange.has_proved());
    assert!(!format!("{exchange:?}").contains("low water"));
    let right = Key::of_password(EncryptionType::Aes128Sha1, b"low water 7", b"salt", Some(4_096)).unwrap();
    let service = granting(REALM, REALM);
    let answer = reply(11, &ada(), &service, nonce_of(&proof), (&right, 3));
    let Step::Done(got) = exchange.answer(&answer, now()).unwrap() else { panic!() };
    assert_eq!((got.client, got.service, got.until), (ada(), service, UNTIL));
    assert_eq!(&got.ticket[..], [0x61, 2, 0x30, 0]);
}

#[test]
fn what_belongs_to_something_else_is_refused() {
    let service = granting(REALM, REALM);
    let begin = || {
        let exchange = AsExchange::new(ada(), LongTerm::Keys(vec![key(3)])).unwrap();
        let nonce = nonce_of(&exchange.first());
        (exchange, nonce)
    };
    let ben = Principal::parse("ben", Some(REALM)).unwrap();
    let elsewhere = granting("ELSEWHERE", REALM);
    let table = [
        ("all is right", ada(), &service, 0, key(3), None),
        ("somebody else's", ben, &service, 0, key(3), Some("somebody else's")),
        ("another service", ada(), &elsewhere, 0, key(3), Some("another request")),
        ("another request", ada(), &service, 1, key(3), Some("another request")),
        (
            "another key",
            ada(),
            &service,
            0,
            key(4),
            Some("the password, or key, of ada@HARBOURLANE.EXAMPLE is wrong"),
        ),
    ];
    for (name, client, service, more, by, want) in table {
        let (mut exchange, nonce) = begin();
        let got = exchange.answer(&reply(11, &client, service, nonce + more, (&by, 3)), now());
        match want {
            None => assert!(matches!(got, Ok(Step::Done(_))), "{name}: {got:?}"),
            Some(want) => assert!(got.unwrap_err().to_string().contains(want), "{name}"),
        }
    }
    let (mut exchange, nonce) = begin();
    let whole = reply(11, &ada(), &service, nonce, (&key(3), 3));
    for length in 0..whole.len() {
        assert!(exchange.answer(&whole.slice(..length), now()).is_err(), "{length}");
    }
    let keys = AsExchange::new(ada(), LongTerm::Keys(Vec::new()));
    assert_eq!(keys.err(), Some(KerberosError::NoCommonEncryption(ada().to_string())));
}

#[test]
fn refusals_say_what_to_do() {
    let table = [
        (6, "the realm knows no ada@HARBOURLANE.EXAMPLE (NEEDED): check the name and its realm"),
        (18, "ada@HARBOURLANE.EXAMPLE is locked, disabled or expired (NEEDED)"),
        (24, "the password, or key, of ada@HARBOURLANE.EXAMPLE is wrong (NEEDED)"),
        (
            37,
            "the clocks differ too much: it is 2026-11-22 17:00:00 UTC there and 2026-11-22 16:00:00 UTC here: set the one that is \
             wrong",
        ),
        (60, "Kerberos error 60 about ada@HARBOURLANE.EXAMPLE (NEEDED)"),
    ];
    for (code, want) in table {
        let mut exchange = AsExchange::new(ada(), LongTerm::Password("x".into())).unwrap();
        let error = exchange.answer(&refusal(code, None), now()).unwrap_err();
        assert_eq!((error.code(), error.to_string().as_str()), (i32::try_from(code).ok(), want));
    }
    // A proof that is wanted once more, and one that nothing is known for.
    let mut exchange = AsExchange::new(ada(), LongTerm::Password("x".into())).unwrap();
    let none = exchange.answer(&refusal(25, None), now()).unwrap_err();
    assert_eq!(none, KerberosError::NoCommonEncryption(ada().to_string()));
    exchange.answer(&refusal(25, Some("salt")), now()).unwrap();
    assert_eq!(exchange.answer(&refusal(25, Some("salt")), now()).unwrap_err().code(), Some(25));
}

#[test]
fn a_service_is_found_through_realms_and_not_for_ever() {
    let service = Principal::of_host("ldap", "ldap.lisbon.example", REALM);
    let mut exchange = TgsExchange::new(ticket(granting(REALM, REALM)), service.clone()).unwrap();
    assert_eq!(exchange.realm(), REALM);
    let first = exchange.message(now()).unwrap();
    let way = reply(13, &ada(), &granting("LISBON", REALM), nonce_of(&first), (&key(1), 8));
    let Step::Send(second) = exchange.answer(&way, now()).unwrap() else { panic!() };
    assert_eq!(exchange.realm(), "LISBON");
    let there = Principal::of_host("ldap", "ldap.lisbon.example", "LISBON");
    let answer = reply(13, &ada(), &there, nonce_of(&second), (&key(9), 8));
    let Step::Done(got) = exchange.answer(&answer, now()).unwrap() else { panic!() };
    assert_eq!(got.service, there);

    let mut exchange = TgsExchange::new(ticket(granting(REALM, REALM)), service.clone()).unwrap();
    let mut message = exchange.message(now()).unwrap();
    let mut by = key(1);
    let ended = (0..20).find_map(|number| {
        let way = granting(&format!("REALM{number}"), exchange.realm());
        let answer = reply(13, &ada(), &way, nonce_of(&message), (&by, 8));
        by = key(9);
        match exchange.answer(&answer, now()) {
            Ok(Step::Send(next)) => message = next,
            Ok(Step::Done(_)) => panic!(),
            Err(error) => return Some((number, error)),
        }
        None
    });
    let (number, error) = ended.unwrap();
    assert!(matches!(error, KerberosError::TooManyRealms(_)), "{error}");
    assert_eq!(number, 7);

    // Another service than was asked for is no answer, whatever realm it is in.
    let mut exchange = TgsExchange::new(ticket(granting(REALM, REALM)), service).unwrap();
    let message = exchange.message(now()).unwrap();
    let other = Principal::of_host("ldap", "other.example", REALM);
    let answer = reply(13, &ada(), &other, nonce_of(&message), (&key(1), 8));
    assert!(exchange.answer(&answer, now()).is_err());
}

#[test]
fn a_service_must_prove_itself() {
    let service = Principal::of_host("ldap", "localhost", REALM);
    let make = |seconds: u64, micros: i64, by: &Key| {
        let mut part = Writer::new();
        part.constructed(Tag::application_constructed(27), |part| {
            part.sequence(|part| {
                part.field(0, |field| field.time(seconds));
                part.field(1, |field| field.integer(micros));
                part.field(3, |field| field.integer(77));
            });
        });
        let cipher = by.sealer(12).seal(&[part.as_slice()]).unwrap();
        let mut writer = Writer::new();
        writer.constructed(Tag::application_constructed(0), |token| {
            token.primitive(Tag(6), crate::context::MECHANISM);
            token.raw(&[2, 0]);
            token.constructed(Tag::application_constructed(15), |reply| {
                reply.sequence(|reply| {
                    reply.field(0, |field| field.integer(5));
                    reply.field(1, |field| field.integer(15));
                    reply.field(2, |field| field.encrypted(by.kind(), &cipher));
                });
            });
        });
        writer.take()
    };
    let now = now() + Duration::from_nanos(123_456_789);
    let begin = || Initiator::new(&ticket(service.clone()), &ContextOptions::default(), now).unwrap().0;
    assert!(begin().complete(&make(1_795_363_200, 123_456, &key(1)), now).is_ok());
    assert!(begin().complete(&make(1_795_363_200, 123_455, &key(1)), now).is_err(), "another time");
    assert_eq!(
        begin().complete(&make(1_795_363_200, 123_456, &key(2)), now).unwrap_err(),
        KerberosError::WrongKey
    );
    let mut error = Writer::new();
    error.constructed(Tag::application_constructed(0), |token| {
        token.primitive(Tag(6), crate::context::MECHANISM);
        token.raw(&[3, 0]);
        token.raw(&refusal(31, None));
    });
    let refused = begin().complete(&error.take(), now).unwrap_err();
    assert!(refused.to_string().contains("its keytab is older or newer"), "{refused}");
}

#[test]
fn a_password_is_not_proved_by_a_key_that_is_cheap_to_guess() {
    let exchange = AsExchange::new(ada(), LongTerm::Password("open water".into())).unwrap();
    let key = |iterations| {
        let info = EncryptionInfo { kind: EncryptionType::Aes128Sha1, salt: None, iterations };
        exchange.key(&[info]).map(|_| ())
    };
    assert_eq!(key(Some(1)), Err(KerberosError::TooFewIterations(1)));
    assert_eq!(key(Some(4_095)), Err(KerberosError::TooFewIterations(4_095)));
    assert_eq!(key(Some(0)), Err(KerberosError::TooManyIterations(0)));
    assert_eq!((key(Some(4_096)), key(None)), (Ok(()), Ok(())));
}
