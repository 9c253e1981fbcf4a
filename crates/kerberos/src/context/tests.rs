use proptest::prelude::*;

use super::*;
use crate::EncryptionType;

/// Both ends of a context, with the key of whoever accepted, or of whoever began.
fn pair(kind: EncryptionType, key_of: u8) -> (Context, Context) {
    let key = Key::new(kind, &[7; 32][..kind.key_length()]).unwrap();
    let end = |seal, sign, their_seal, their_sign, key_of, ours, theirs| Context {
        sealer: key.sealer(seal),
        signer: key.signer(seal),
        mic: key.signer(sign),
        opener: key.sealer(their_seal),
        verifier: key.signer(their_seal),
        their_mic: key.signer(their_sign),
        checksum: kind.checksum_length(),
        bits: 0,
        key_of,
        ours,
        theirs,
    };
    let initiator = end(INITIATOR_SEAL, INITIATOR_SIGN, ACCEPTOR_SEAL, ACCEPTOR_SIGN, key_of, 5, u64::MAX);
    let acceptor = end(ACCEPTOR_SEAL, ACCEPTOR_SIGN, INITIATOR_SEAL, INITIATOR_SIGN, key_of, u64::MAX, 5);
    (initiator, acceptor)
}

/// What the service sends. It is made by a context like ours, which does not say that it is the acceptor's.
fn from_acceptor(context: &mut Context, text: &[u8], seals: bool, rotated: u16) -> Vec<u8> {
    let by = context.key_of;
    context.key_of |= BY_ACCEPTOR;
    let mut token = if seals { context.seal(text).unwrap() } else { context.sign(text) };
    context.key_of = by;
    let body = token.len() - HEADER;
    token[6..8].copy_from_slice(&rotated.to_be_bytes());
    token[HEADER..].rotate_right(usize::from(rotated) % body);
    token
}

#[test]
fn what_is_repeated_left_out_or_our_own_is_found() {
    let (mut initiator, mut acceptor) = pair(EncryptionType::Aes256Sha1, ACCEPTORS_KEY);
    let tokens: Vec<_> = (0..3).map(|_| from_acceptor(&mut acceptor, b"tide", true, 28)).collect();
    assert_eq!(initiator.open(&tokens[0]).unwrap(), (b"tide".to_vec(), true));
    assert_eq!(initiator.open(&tokens[0]), Err(KerberosError::OutOfSequence));
    assert_eq!(initiator.open(&tokens[2]), Err(KerberosError::OutOfSequence));
    assert!(initiator.open(&tokens[1]).is_ok());

    let own = initiator.seal(b"tide").unwrap();
    assert!(matches!(initiator.open(&own), Err(KerberosError::Malformed(_))), "reflected");
    let (mut other_key, _) = pair(EncryptionType::Aes256Sha1, 0);
    assert!(matches!(other_key.open(&tokens[0]), Err(KerberosError::Malformed(_))), "by another key");
}

#[test]
fn signatures_of_what_is_sent_elsewhere() {
    let (mut initiator, mut acceptor) = pair(EncryptionType::Aes128Sha256, 0);
    let by = std::mem::replace(&mut acceptor.key_of, BY_ACCEPTOR);
    let (one, two) = (acceptor.mic(b"offered"), acceptor.mic(b"offered"));
    acceptor.key_of = by;
    assert_eq!(initiator.check_mic(b"other", &one), Err(KerberosError::WrongChecksum));
    assert_eq!(initiator.check_mic(b"offered", &one), Ok(()));
    assert_eq!(initiator.check_mic(b"offered", &one), Err(KerberosError::OutOfSequence));
    assert_eq!(initiator.check_mic(b"offered", &two), Ok(()));
}

#[test]
fn the_checksum_says_what_is_wanted_and_for_which_tls() {
    let table = [
        (ContextOptions::default(), 0x0e, true),
        (ContextOptions { signs: true, ..ContextOptions::default() }, 0x2e, true),
        (
            ContextOptions { signs: true, seals: true, binding: Some(b"tls-server-end-point:x".to_vec()) },
            0x3e,
            false,
        ),
    ];
    for (options, flags, is_unbound) in table {
        let octets = checksum(&options);
        assert_eq!((&octets[..4], &octets[20..]), (&[16, 0, 0, 0][..], &[flags, 0, 0, 0][..]), "{options:?}");
        assert_eq!(octets[4..20] == [0; 16], is_unbound, "{options:?}");
    }
}

#[test]
fn tokens_of_the_mechanism() {
    let made = token(AP_REPLY, b"reply");
    assert_eq!(&made[..], b"\x60\x12\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x02\x00reply");
    assert_eq!(read_token(&made).unwrap(), (AP_REPLY, Bytes::from_static(b"reply")));
    for length in 0..made.len() {
        assert!(read_token(&made[..length]).is_err(), "{length}");
    }
    let other = [&b"\x60\x12\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x03\x02\x00"[..], b"reply"].concat();
    assert!(read_token(&other).is_err());
}

proptest! {
    #[test]
    fn what_was_protected_opens_and_nothing_else(
        kind in prop::sample::select(EncryptionType::ALL.to_vec()),
        text in prop::collection::vec(any::<u8>(), 0..100),
        seals: bool,
        rotated in 0_u16..200,
        flip in any::<prop::sample::Index>(),
    ) {
        let (mut initiator, mut acceptor) = pair(kind, 0);
        let token = from_acceptor(&mut acceptor, &text, seals, rotated);
        let mut changed = token.clone();
        // What is not the number of places it is rotated by: turning it back and forth changes nothing.
        let place = flip.index(token.len() - 2);
        changed[if place >= 6 { place + 2 } else { place }] ^= 4;
        prop_assert!(initiator.open(&changed).is_err());
        for length in 0..token.len() {
            prop_assert!(initiator.open(&token[..length]).is_err());
        }
        prop_assert_eq!(initiator.open(&token).unwrap(), (text, seals));
    }

    #[test]
    fn no_octets_panic(octets in prop::collection::vec(any::<u8>(), 0..100)) {
        let (mut initiator, _) = pair(EncryptionType::Aes128Sha1, 0);
        let mut header = [5, 4, 3, 0xff, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255].to_vec();
        header.extend(&octets);
        prop_assert!(initiator.open(&header).is_err());
        prop_assert!(initiator.open(&octets).is_err());
        prop_assert!(read_token(&octets).is_err());
    }
}
