//! What an X.509 certificate (RFC 5280) says of who holds it. Nothing is verified here: that was done by the handshake
//! that showed the certificate.

use crate::dn::{Dn, Rdn};

/// Names and octets that are looked at; a certificate with more is not read.
const MOST: usize = 64;

const BOOLEAN: u8 = 0x01;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `subjectAltName`: 2.5.29.17.
const ALTERNATIVE: &[u8] = &[0x55, 0x1d, 0x11];
/// Microsoft's `userPrincipalName`: 1.3.6.1.4.1.311.20.2.3.
const PRINCIPAL: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x14, 0x02, 0x03];

/// The names in a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "whoever verifies a certificate makes it, directories read it")]
pub struct CertificateNames {
    /// The subject, as a directory writes it: the part next to the root last.
    pub subject: Dn,
    /// Mail addresses (`rfc822Name`).
    pub mail: Vec<String>,
    /// Host names (`dNSName`).
    pub hosts: Vec<String>,
    /// User principal names, as Active Directory issues them: `ada@harbourlane.example`.
    pub principals: Vec<String>,
}

impl CertificateNames {
    /// Reads a certificate (DER). `None` where it cannot be read, or has a name that is not text or holds a NUL: such a
    /// certificate is nobody's.
    #[must_use]
    pub fn parse(certificate: &[u8]) -> Option<Self> {
        let (whole, _) = element(certificate, SEQUENCE)?;
        let (mut rest, _) = element(whole, SEQUENCE)?;
        // version, then serial number, algorithm, issuer, validity.
        if let Some((_, after)) = element(rest, 0xa0) {
            rest = after;
        }
        for tag in [0x02, SEQUENCE, SEQUENCE, SEQUENCE] {
            (_, rest) = element(rest, tag)?;
        }
        let (subject, rest) = element(rest, SEQUENCE)?;
        let (_, mut rest) = element(rest, SEQUENCE)?;
        let mut names = Self {
            subject: distinguished_name(subject)?,
            mail: Vec::new(),
            hosts: Vec::new(),
            principals: Vec::new(),
        };
        // issuerUniqueID and subjectUniqueID, then the extensions.
        for tag in [0x81, 0x82] {
            if let Some((_, after)) = element(rest, tag) {
                rest = after;
            }
        }
        if let Some((extensions, _)) = element(rest, 0xa3) {
            let (mut extensions, _) = element(extensions, SEQUENCE)?;
            for _ in 0..MOST {
                let Some((extension, after)) = element(extensions, SEQUENCE) else { break };
                extensions = after;
                let (oid, mut value) = element(extension, OID)?;
                if let Some((_, after)) = element(value, BOOLEAN) {
                    value = after;
                }
                if oid == ALTERNATIVE {
                    let (value, _) = element(value, OCTETS)?;
                    names.alternatives(element(value, SEQUENCE)?.0)?;
                }
            }
        }
        Some(names)
    }

    fn alternatives(&mut self, mut rest: &[u8]) -> Option<()> {
        for _ in 0..MOST {
            let Some(tag) = rest.first() else { return Some(()) };
            let (name, after) = element(rest, *tag)?;
            rest = after;
            match tag {
                0x81 => self.mail.push(ascii(name)?),
                0x82 => self.hosts.push(ascii(name)?),
                0xa0 => {
                    let (kind, value) = element(name, OID)?;
                    if kind == PRINCIPAL {
                        let (value, _) = element(value, 0xa0)?;
                        self.principals.push(text(value)?);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// The OID of the algorithm that a certificate (DER) is signed by, as the octets of its encoding.
#[must_use]
pub fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (_, after) = element(whole, SEQUENCE)?;
    let (algorithm, _) = element(after, SEQUENCE)?;
    Some(element(algorithm, OID)?.0)
}

/// `RDNSequence`: the part next to the root comes first.
fn distinguished_name(mut rest: &[u8]) -> Option<Dn> {
    let mut dn = Dn::root();
    for _ in 0..MOST {
        if rest.is_empty() {
            return Some(dn);
        }
        let (mut set, after) = element(rest, SET)?;
        rest = after;
        let mut rdn: Option<Rdn> = None;
        while !set.is_empty() {
            let (one, after) = element(set, SEQUENCE)?;
            set = after;
            let (kind, value) = element(one, OID)?;
            let (kind, value) = (attribute(kind)?.parse().ok()?, text(value)?);
            rdn = Some(match rdn {
                None => Rdn::new(&kind, value.as_bytes()),
                Some(rdn) => rdn.and(&kind, value.as_bytes()),
            });
        }
        dn = dn.child(&rdn?);
    }
    None
}

/// The name of an attribute where RFC 4514 §3 and RFC 4519 have a short one, or its numbers.
fn attribute(oid: &[u8]) -> Option<String> {
    let name = match oid {
        [0x55, 4, 3] => "cn",
        [0x55, 4, 4] => "sn",
        [0x55, 4, 5] => "serialNumber",
        [0x55, 4, 6] => "c",
        [0x55, 4, 7] => "l",
        [0x55, 4, 8] => "st",
        [0x55, 4, 9] => "street",
        [0x55, 4, 10] => "o",
        [0x55, 4, 11] => "ou",
        [0x55, 4, 12] => "title",
        [0x55, 4, 42] => "givenName",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "uid",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "dc",
        other => return dotted(other),
    };
    Some(name.to_owned())
}

fn dotted(oid: &[u8]) -> Option<String> {
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc: u64 = 0;
    for octet in oid {
        arc = arc.checked_mul(128)?.checked_add(u64::from(octet & 0x7f))?;
        if octet & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc = arc.checked_sub(first.checked_mul(40)?)?;
            }
            arcs.push(arc);
            arc = 0;
        }
    }
    (oid.last()? & 0x80 == 0).then(|| arcs.iter().map(u64::to_string).collect::<Vec<_>>().join("."))
}

/// A string of any of the kinds that names are written in.
fn text(octets: &[u8]) -> Option<String> {
    let (value, _) = element(octets, *octets.first()?)?;
    let text = match octets.first()? {
        // UTF8String, PrintableString, IA5String.
        0x0c | 0x13 | 0x16 => std::str::from_utf8(value).ok()?.to_owned(),
        // TeletexString, which everybody takes for Latin-1.
        0x14 => value.iter().map(|octet| char::from(*octet)).collect(),
        // BMPString.
        0x1e if value.len().is_multiple_of(2) => {
            let (pairs, _) = value.as_chunks::<2>();
            char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair)))
                .collect::<Result<_, _>>()
                .ok()?
        }
        _ => return None,
    };
    (!text.contains('\0')).then_some(text)
}

fn ascii(octets: &[u8]) -> Option<String> {
    let is_name = octets.iter().all(|octet| octet.is_ascii_graphic());
    is_name.then(|| octets.iter().map(|octet| char::from(*octet)).collect())
}

/// The content of the element at the start, if it has this tag, and what follows it.
fn element(octets: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = octets.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        short @ 0..=0x7f => (usize::from(*short), rest),
        long @ 0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    (*first == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], &content].concat()
    }

    fn pair(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        der(SEQUENCE, &[&der(OID, &[oid]), &der(tag, &[value])])
    }

    fn certificate(rdns: &[Vec<u8>], alternatives: &[Vec<u8>]) -> Vec<u8> {
        let parts = |parts: &[Vec<u8>]| parts.concat();
        let names = der(SEQUENCE, &[&parts(alternatives)]);
        let extension =
            der(SEQUENCE, &[&der(OID, &[ALTERNATIVE]), &der(BOOLEAN, &[&[0xff]]), &der(OCTETS, &[&names])]);
        let signed = der(
            SEQUENCE,
            &[
                &der(0xa0, &[&der(0x02, &[&[2]])]),
                &der(0x02, &[&[1]]),
                &der(SEQUENCE, &[]),
                &der(SEQUENCE, &[]),
                &der(SEQUENCE, &[]),
                &der(SEQUENCE, &[&parts(rdns)]),
                &der(SEQUENCE, &[]),
                &der(0xa3, &[&der(SEQUENCE, &[&extension])]),
            ],
        );
        der(SEQUENCE, &[&signed, &der(SEQUENCE, &[&der(OID, &[&[0x2a, 3]])]), &der(0x03, &[b"signature"])])
    }

    #[test]
    fn names_are_read_as_a_directory_writes_them() {
        let one = |oid: &[u8], tag, value: &[u8]| der(SET, &[&pair(oid, tag, value)]);
        let uid = [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1];
        let dc = [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];
        let rdns = [
            one(&dc, 0x16, b"example"),
            one(&dc, 0x16, b"harbourlane"),
            one(&[0x55, 4, 11], 0x13, b"people"),
            der(
                SET,
                &[
                    &pair(&uid, 0x0c, b"ada"),
                    &pair(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], 0x16, b"a,b"),
                ],
            ),
        ];
        let principal =
            der(0xa0, &[&der(OID, &[PRINCIPAL]), &der(0xa0, &[&der(0x0c, &[b"ada@harbourlane.example"])])]);
        let alternatives = [
            der(0x81, &[b"ada@harbourlane.example"]),
            der(0x82, &[b"desk.harbourlane.example"]),
            principal,
            der(0x87, &[&[192, 0, 2, 7]]),
        ];
        let whole = certificate(&rdns, &alternatives);
        let names = CertificateNames::parse(&whole).unwrap();
        let wanted = "uid=ada+1.2.840.113549.1.9.1=a\\,b,ou=people,dc=harbourlane,dc=example";
        assert_eq!(names.subject, wanted.parse::<Dn>().unwrap());
        assert_eq!(names.mail, ["ada@harbourlane.example"]);
        assert_eq!(names.hosts, ["desk.harbourlane.example"]);
        assert_eq!(names.principals, ["ada@harbourlane.example"]);
        assert_eq!(signature_algorithm(&whole), Some([0x2a, 3].as_slice()));
        for length in 0..whole.len() {
            assert_eq!(CertificateNames::parse(&whole[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn a_name_that_is_not_text_is_nobodys() {
        let table: [(u8, &[u8], Option<&str>); 7] = [
            (0x0c, b"ada", Some("ada")),
            (0x14, b"\xe9", Some("\u{e9}")),
            (0x1e, b"\0a\0d", Some("ad")),
            (0x1e, b"\0a\0", None),
            (0x0c, b"ada\0.example", None),
            (0x0c, b"\xff", None),
            (0x03, b"ada", None),
        ];
        for (tag, value, want) in table {
            let whole = certificate(&[der(SET, &[&pair(&[0x55, 4, 3], tag, value)])], &[]);
            let subject = CertificateNames::parse(&whole).map(|names| names.subject);
            assert_eq!(subject, want.map(|cn| format!("cn={cn}").parse().unwrap()), "{tag:x} {value:?}");
        }
        let whole = certificate(&[], &[der(0x82, &[b"host\0.example"])]);
        assert_eq!(CertificateNames::parse(&whole), None);
    }

    #[test]
    fn numbers_of_attributes() {
        let table: [(&[u8], Option<&str>); 5] = [
            (&[0x55, 4, 3], Some("2.5.4.3")),
            (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d], Some("1.2.840.113549")),
            (&[0x88, 0x37, 3], Some("2.999.3")),
            (&[0x2a, 0x86], None),
            (&[], None),
        ];
        for (oid, want) in table {
            assert_eq!(dotted(oid).as_deref(), want, "{oid:x?}");
        }
    }
}
