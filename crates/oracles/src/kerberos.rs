//! Kerberos: whatever a realm or a service sends, neither is believed that does not have the key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flext_ldap_kerberos::{
    AsExchange, Ccache, ContextOptions, Credential, EncryptionType, Initiator, Key, Keytab, Krb5Conf,
    LongTerm, Principal, Step, TgsExchange,
    spnego::{Negotiated, Negotiation},
};

/// A message or a file: the first octet says which.
pub fn messages(data: &[u8]) -> bool {
    let Some((kind, rest)) = data.split_first() else { return false };
    let message = || Bytes::copy_from_slice(rest);
    match kind {
        b'a' => {
            let keys = vec![key()];
            let mut exchange = AsExchange::new(ada(), LongTerm::Keys(keys)).expect("there is a key");
            match exchange.answer(&message(), now()) {
                // Only that the password is to be proved can be said without the key.
                Ok(Step::Send(_)) => exchange.has_proved(),
                Ok(Step::Done(ticket)) => panic!("a ticket of nobody's: {ticket:?}"),
                Err(error) => error.code().is_some(),
            }
        }
        b't' => {
            let mut exchange = TgsExchange::new(ticket(), service()).expect("there is randomness");
            match exchange.answer(&message(), now()) {
                Ok(step) => panic!("a ticket of nobody's: {step:?}"),
                Err(error) => error.code().is_some(),
            }
        }
        b'g' => {
            let (initiator, _) =
                Initiator::new(&ticket(), &ContextOptions::default(), now()).expect("there is randomness");
            initiator.complete(rest, now()).expect_err("nobody has the key").code().is_some()
        }
        b'n' => {
            let (mut negotiation, _) =
                Negotiation::new(&ticket(), &ContextOptions::default(), now()).expect("there is randomness");
            match negotiation.answer(rest, now()) {
                Ok(Negotiated::Send(_) | Negotiated::Done(_)) => panic!("nobody has the key"),
                Err(error) => error.code().is_some(),
            }
        }
        b'c' => Ccache::parse(rest).is_ok(),
        b'k' => Keytab::parse(rest)
            .is_ok_and(|keytab| keytab.first().is_some_and(|who| !keytab.keys(who).is_empty())),
        b'f' => {
            let mut conf = Krb5Conf::default();
            conf.add(&String::from_utf8_lossy(rest));
            let realm = conf.default_realm().map(str::to_owned);
            realm.is_some_and(|realm| !conf.centres(&realm).is_empty())
        }
        _ => false,
    }
}

fn ada() -> Principal {
    Principal::parse("ada@HARBOURLANE.EXAMPLE", None).expect("a name")
}

fn service() -> Principal {
    Principal::of_host("ldap", "localhost", "HARBOURLANE.EXAMPLE")
}

fn key() -> Key {
    Key::new(EncryptionType::Aes128Sha1, b"nobody has it...").expect("a key")
}

/// A ticket as a cache would have it: there is no other way to make one.
fn ticket() -> Credential {
    let counted =
        |octets: &[u8]| [&u32::try_from(octets.len()).expect("short").to_be_bytes()[..], octets].concat();
    let name = |parts: &[&str]| {
        let realm = counted(b"HARBOURLANE.EXAMPLE");
        let count = u32::try_from(parts.len()).expect("short").to_be_bytes();
        let parts = parts.iter().map(|part| counted(part.as_bytes())).collect::<Vec<_>>().concat();
        [&1_u32.to_be_bytes()[..], &count, &realm, &parts].concat()
    };
    let (client, service) = (name(&["ada"]), name(&["krbtgt", "HARBOURLANE.EXAMPLE"]));
    let times = [0, 0, u32::MAX, 0].map(u32::to_be_bytes).concat();
    let parts = [
        &[5, 4, 0, 0][..],
        &client,
        &client,
        &service,
        &17_u16.to_be_bytes(),
        &counted(b"nobody has it..."),
        &times,
        &[0; 5],
        &[0; 8],
        &counted(b"ticket"),
        &counted(b""),
    ];
    Ccache::parse(&parts.concat()).expect("a cache").credentials.remove(0)
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_363_200)
}
