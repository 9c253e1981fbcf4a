//! `tls-server-end-point` (RFC 5929 §4): what a server's certificate is told by.

use flext_ldap_proto::certificate::signature_algorithm;
use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The hash of a certificate (DER), by the hash its signature is made with, or SHA-256 where that is MD5 or SHA-1.
/// `None` where the signature is made with none, or one that is not known here (Ed25519, RSASSA-PSS): RFC 5929 does not
/// say what holds there.
#[must_use]
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(digest(hash_of(certificate)?, certificate).as_ref().to_vec())
}

fn hash_of(certificate: &[u8]) -> Option<&'static Algorithm> {
    match signature_algorithm(certificate)? {
        // PKCS #1 (RFC 8017 appendix C): MD5, SHA-1, SHA-256, SHA-384, SHA-512.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11] => Some(&SHA256),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12] => Some(&SHA384),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13] => Some(&SHA512),
        // ECDSA (RFC 5758): SHA-1, then the others.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 1] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 2] => Some(&SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 3] => Some(&SHA384),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 3, 4] => Some(&SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(oid: &[u8]) -> Vec<u8> {
        let element = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            [&[tag, 0x81, length][..], content].concat()
        };
        let algorithm = element(0x30, &element(0x06, oid));
        element(0x30, &[element(0x30, b"to be signed"), algorithm, element(0x03, b"signature")].concat())
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let rsa = |last: u8| [&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1][..], &[last]].concat();
        let ecdsa = |last: &[u8]| [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4][..], last].concat();
        let table = [
            (rsa(4), Some(32)),
            (rsa(5), Some(32)),
            (rsa(11), Some(32)),
            (rsa(12), Some(48)),
            (rsa(13), Some(64)),
            (rsa(10), None),
            (ecdsa(&[1]), Some(32)),
            (ecdsa(&[3, 2]), Some(32)),
            (ecdsa(&[3, 3]), Some(48)),
            (ecdsa(&[3, 4]), Some(64)),
            (vec![0x2b, 0x65, 0x70], None),
        ];
        for (oid, want) in table {
            let whole = certificate(&oid);
            assert_eq!(server_end_point(&whole).map(|hash| hash.len()), want, "{oid:x?}");
            for length in 0..whole.len() {
                assert_eq!(server_end_point(&whole[..length]), None, "{oid:x?} cut at {length}");
            }
        }
    }
}
