use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|one| !one.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

#[test]
fn folding_of_rfc_3961() {
    assert_eq!(n_fold(b"kerberos").to_vec(), hex("6b65726265726f737b9b5b2b93132b93"));
}

#[test]
fn passwords_of_rfc_3962_and_rfc_8009() {
    let salt = b"ATHENA.MIT.EDUraeburn".to_vec();
    let random = [&hex("10DF9DD783E5BC8ACEA1730E74355F61")[..], &salt].concat();
    let table = [
        (EncryptionType::Aes128Sha1, &salt, 1, "42263c6e89f4fc28b8df68ee09799f15"),
        (
            EncryptionType::Aes256Sha1,
            &salt,
            1,
            "fe697b52bc0d3ce14432ba036a92e65bbb52280990a2fa27883998d72af30161",
        ),
        (EncryptionType::Aes128Sha1, &salt, 1200, "4c01cd46d632d01e6dbe230a01ed642a"),
        (
            EncryptionType::Aes256Sha1,
            &salt,
            1200,
            "55a6ac740ad17b4846941051e1e8b0a7548d93b0ab30a8bc3ff16280382b8c2a",
        ),
        (EncryptionType::Aes128Sha256, &random, 32_768, "089BCA48B105EA6EA77CA5D2F39DC5E7"),
        (
            EncryptionType::Aes256Sha384,
            &random,
            32_768,
            "45BD806DBF6A833A9CFFC1C94589A222367A79BC21C413718906E9F578A78467",
        ),
    ];
    for (kind, salt, iterations, want) in table {
        let key = Key::of_password(kind, b"password", salt, Some(iterations)).unwrap();
        assert_eq!(key.expose(), hex(want), "{kind:?} {iterations}");
    }
    for iterations in [0, MOST_ITERATIONS + 1] {
        let got = Key::of_password(EncryptionType::Aes128Sha1, b"password", &salt, Some(iterations));
        assert_eq!(got.err(), Some(KerberosError::TooManyIterations(iterations)));
    }
}

#[test]
fn stealing_of_rfc_3962() {
    let cipher = Cipher::new(&hex("636869636b656e207465726979616b69"));
    let text = b"I would like the General Gau's Chicken, please, and wonton soup.";
    let table = [
        (17, "c6353568f2bf8cb4d8a580362da7ff7f 97"),
        (31, "fc00783e0efdb2c1d445d4c8eff7ed22 97687268d6ecccc0c07b25e25ecfe5"),
        (32, "39312523a78662d5be7fcbcc98ebf5a8 97687268d6ecccc0c07b25e25ecfe584"),
        (
            47,
            "97687268d6ecccc0c07b25e25ecfe584 b3fffd940c16a18c1b5549d2f838029e 39312523a78662d5be7fcbcc98ebf5",
        ),
        (
            64,
            "97687268d6ecccc0c07b25e25ecfe584 39312523a78662d5be7fcbcc98ebf5a8 4807efe836ee89a526730dbc2f7bc840 \
             9dad8bbb96c4cdc03bc103e1a194bbd8",
        ),
    ];
    for (length, want) in table {
        let mut octets = text[..length].to_vec();
        cts::encrypt(&cipher, &mut octets);
        assert_eq!(octets, hex(want), "{length}");
        cts::decrypt(&cipher, &mut octets);
        assert_eq!(octets, &text[..length], "{length}");
    }
}

#[test]
fn messages_of_rfc_8009() {
    let short = Key::new(EncryptionType::Aes128Sha256, &hex("3705D96080C17728A0E800EAB6E0D23C")).unwrap();
    let long = "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52";
    let long = Key::new(EncryptionType::Aes256Sha384, &hex(long)).unwrap();
    assert_eq!(short.derived(2, Purpose::Checksum).expose(), hex("B31A018A48F54776F403E9A396325DC3"));
    assert_eq!(short.derived(2, Purpose::Encryption).expose(), hex("9B197DD1E8C5609D6E67C3E37C62C72E"));
    assert_eq!(short.derived(2, Purpose::Integrity).expose(), hex("9FDA0E56AB2D85E1569A688696C26A6C"));
    assert_eq!(
        long.derived(2, Purpose::Integrity).expose(),
        hex("69B16514E3CD8E56B82010D5C73012B622C4D00FFC23ED1F")
    );

    let first = |text: &str| <[u8; BLOCK]>::try_from(hex(text).as_slice()).unwrap();
    let sealed = short.sealer(2).seal_after(first("7E5895EAF2672435BAD817F545A37148"), &[]);
    assert_eq!(sealed, hex("EF85FB890BB8472F4DAB20394DCA781DAD877EDA39D50C870C0D5A0A8E48C718"));
    let text = hex("000102030405");
    let sealed = short.sealer(2).seal_after(first("7BCA285E2FD4130FB55B1A5C83BC5B24"), &[&text]);
    let want = "84D7F30754ED987BAB0BF3506BEB09CFB55402CEF7E6877CE99E247E52D16ED4421DFDF8976C";
    assert_eq!(sealed, hex(want));
    assert_eq!(short.sealer(2).open(&sealed).unwrap().as_slice(), text);

    let text: Vec<u8> = (0..=0x14).collect();
    assert_eq!(short.signer(2).sign(&[&text]), hex("D78367186643D67B411CBA9139FC1DEE"));
    assert_eq!(long.signer(2).sign(&[&text]), hex("45EE791567EEFCA37F4AC1E0222DE80D43C3BFA06699672A"));
}

#[test]
fn a_key_is_not_printed() {
    let key = Key::new(EncryptionType::Aes128Sha1, &[0x5a; 16]).unwrap();
    assert_eq!(format!("{key:?}"), "Key { kind: Aes128Sha1, octets: Secret(..) }");
    assert!(Key::new(EncryptionType::Aes128Sha1, &[0x5a; 15]).is_err());
}

proptest! {
    #[test]
    fn what_was_sealed_opens_and_nothing_else(
        kind in prop::sample::select(EncryptionType::ALL.to_vec()),
        text in prop::collection::vec(any::<u8>(), 0..100),
        flip in any::<prop::sample::Index>(),
    ) {
        let key = Key::generate(kind).unwrap();
        let sealed = key.sealer(3).seal(&[&text]).unwrap();
        prop_assert_eq!(sealed.len(), BLOCK + text.len() + kind.checksum_length());
        let opened = key.sealer(3).open(&sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), &text[..]);
        prop_assert_eq!(key.sealer(4).open(&sealed).unwrap_err(), KerberosError::WrongKey);
        let mut changed = sealed.clone();
        changed[flip.index(sealed.len())] ^= 1;
        prop_assert_eq!(key.sealer(3).open(&changed).unwrap_err(), KerberosError::WrongKey);
        for length in 0..sealed.len() {
            prop_assert!(key.sealer(3).open(&sealed[..length]).is_err());
        }
    }
}
