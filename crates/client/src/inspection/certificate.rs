//! What an X.509 certificate (RFC 5280) says, for people to read. Nothing is decided by it: whether a certificate is to be
//! trusted is rustls's to say.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, Ipv6Addr},
};

use bytes::Bytes;
use flext_ldap_directory::proto::{
    ber::{DecodeError, DecodeErrorKind, Reader, Tag},
    schema::GeneralizedTime,
};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

const OID: Tag = Tag(0x06);
const UTC_TIME: Tag = Tag(0x17);
/// `subjectAltName`: 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
/// `basicConstraints`: 2.5.29.19.
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
/// `authorityInfoAccess`: 1.3.6.1.5.5.7.1.1.
const AUTHORITY_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];
/// `caIssuers`: 1.3.6.1.5.5.7.48.2.
const ISSUERS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02];
/// `domainComponent`: 0.9.2342.19200300.100.1.25.
const DOMAIN_COMPONENT: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19];

/// A certificate as people speak of it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Certificate {
    /// Whom it is for, as OpenSSL prints it: `O=Harbour Lane, CN=ldap1`. Attributes without a short name are left out.
    pub subject: String,
    /// Who signed it, likewise.
    pub issuer: String,
    /// From when on it is good.
    pub not_before: GeneralizedTime,
    /// Until when it is good.
    pub not_after: GeneralizedTime,
    /// The host names and addresses it is for.
    pub hosts: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// Where its issuer's certificate can be fetched, if it says so.
    pub issuer_url: Option<String>,
    /// Its SHA-256, in pairs of hexadecimal digits with colons between.
    pub fingerprint: String,
    subject_octets: Bytes,
    issuer_octets: Bytes,
}

impl Certificate {
    /// Reads one (DER).
    ///
    /// # Errors
    ///
    /// It is none, or one with parts that are malformed.
    pub fn decode(der: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let der = der.into();
        let mut whole = Reader::new(&der).sequence()?;
        let mut fields = whole.sequence()?;
        if fields.peek() == Some(Tag::context_constructed(0)) {
            fields.any()?; // version
        }
        fields.any()?; // serial number
        fields.any()?; // algorithm
        let (issuer_octets, issuer) = name(&mut fields)?;
        let mut validity = fields.sequence()?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let (subject_octets, subject) = name(&mut fields)?;
        fields.any()?; // key
        let mut certificate = Self {
            subject,
            issuer,
            not_before,
            not_after,
            hosts: Vec::new(),
            is_authority: false,
            issuer_url: None,
            fingerprint: fingerprint(&der),
            subject_octets,
            issuer_octets,
        };
        while !fields.is_empty() {
            let (tag, mut field) = fields.any()?;
            if tag == Tag::context_constructed(3) {
                let mut extensions = field.sequence()?;
                while !extensions.is_empty() {
                    certificate.extension(extensions.sequence()?)?;
                }
            }
        }
        Ok(certificate)
    }

    /// Whether it names itself as its issuer, as roots do, and those that nobody vouches for.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_octets == self.issuer_octets
    }

    /// Whether it names `other` as its issuer. Signatures are not looked at.
    #[must_use]
    pub fn names_as_issuer(&self, other: &Self) -> bool {
        self.issuer_octets == other.subject_octets
    }

    fn extension(&mut self, mut extension: Reader<'_>) -> Result<(), DecodeError> {
        let oid = extension.primitive_slice(OID)?;
        if extension.peek() == Some(Tag::BOOLEAN) {
            extension.any()?; // critical
        }
        let value = extension.octets()?;
        let mut value = Reader::new(&value);
        match oid {
            ALTERNATIVE_NAMES => {
                let mut names = value.sequence()?;
                while !names.is_empty() {
                    let (tag, name) = names.any()?;
                    let octets = octets(name);
                    if tag == Tag::context(2) {
                        self.hosts.push(String::from_utf8_lossy(&octets).into_owned());
                    } else if tag == Tag::context(7) {
                        self.hosts.extend(address(&octets));
                    }
                }
            }
            BASIC_CONSTRAINTS => {
                let mut constraints = value.sequence()?;
                self.is_authority = constraints.peek() == Some(Tag::BOOLEAN) && constraints.boolean()?;
            }
            AUTHORITY_ACCESS => {
                let mut ways = value.sequence()?;
                while !ways.is_empty() {
                    let mut way = ways.sequence()?;
                    let method = way.primitive_slice(OID)?;
                    let (tag, place) = way.any()?;
                    if method == ISSUERS && tag == Tag::context(6) && self.issuer_url.is_none() {
                        self.issuer_url = Some(String::from_utf8_lossy(&octets(place)).into_owned());
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn octets(mut reader: Reader<'_>) -> Bytes {
    reader.rest()
}

fn address(octets: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(octets).ok().map(|sixteen| Ipv6Addr::from(sixteen).to_string())
}

/// A name: as it stands, and as people write it.
fn name(fields: &mut Reader<'_>) -> Result<(Bytes, String), DecodeError> {
    let rdns = fields.sequence()?;
    let whole = octets(rdns.clone());
    let mut rdns = rdns;
    let mut text = String::new();
    while !rdns.is_empty() {
        let mut rdn = rdns.constructed(Tag::SET)?;
        while !rdn.is_empty() {
            let mut part = rdn.sequence()?;
            let label = match part.primitive_slice(OID)? {
                [0x55, 4, 3] => "CN",
                [0x55, 4, 6] => "C",
                [0x55, 4, 7] => "L",
                [0x55, 4, 8] => "ST",
                [0x55, 4, 10] => "O",
                [0x55, 4, 11] => "OU",
                DOMAIN_COMPONENT => "DC",
                _ => continue,
            };
            let (_, value) = part.any()?;
            let separator = if text.is_empty() { "" } else { ", " };
            let value = octets(value);
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{separator}{label}={}", String::from_utf8_lossy(&value));
        }
    }
    Ok((whole, text))
}

/// `UTCTime` or `GeneralizedTime`, both in the one form that RFC 5280 §4.1.2.5 allows.
fn time(fields: &mut Reader<'_>) -> Result<GeneralizedTime, DecodeError> {
    let (tag, value) = fields.any()?;
    let malformed = fields.error(DecodeErrorKind::InvalidUtf8);
    let value = octets(value);
    let mut text = String::from_utf8(value.to_vec()).map_err(|_| malformed)?;
    if tag == UTC_TIME {
        text.insert_str(0, if text.as_str() < "50" { "20" } else { "19" });
    }
    text.parse().map_err(|_| malformed)
}

fn fingerprint(der: &[u8]) -> String {
    let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13() else { return String::new() };
    let digest = suite.common.hash_provider.hash(der);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType,
        IsCa, KeyPair, date_time_ymd,
    };

    use super::*;

    fn two() -> [Vec<u8>; 2] {
        let mut root = CertificateParams::default();
        root.distinguished_name = DistinguishedName::new();
        root.distinguished_name.push(DnType::OrganizationName, "Harbour Lane");
        root.distinguished_name.push(DnType::CommonName, "Root Ö");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.not_after = date_time_ymd(2080, 1, 2);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let names = ["ldap1.harbourlane.example", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
        let mut server = CertificateParams::new(names).unwrap();
        server.distinguished_name = DistinguishedName::new();
        server.distinguished_name.push(DnType::CommonName, "ldap1");
        (server.not_before, server.not_after) = (date_time_ymd(1999, 12, 31), date_time_ymd(2027, 1, 2));
        let der = |tag: u8, parts: &[&[u8]]| {
            let content = parts.concat();
            [&[tag, u8::try_from(content.len()).unwrap()][..], &content].concat()
        };
        let way = [der(0x06, &[ISSUERS]), der(0x86, &[b"http://pki.example/ca.crt"])].concat();
        let access = der(0x30, &[&der(0x30, &[&way])]);
        let oid = [1, 3, 6, 1, 5, 5, 7, 1, 1];
        server.custom_extensions.push(CustomExtension::from_oid_content(&oid, access));
        let server = server.signed_by(&KeyPair::generate().unwrap(), &root).unwrap();
        [root.der().to_vec(), server.der().to_vec()]
    }

    #[test]
    fn it_says_what_people_ask_of_it() {
        let [root, server] = two().map(|der| Certificate::decode(der).unwrap());
        assert_eq!(root.subject, "O=Harbour Lane, CN=Root Ö");
        assert!(root.is_authority && root.is_self_issued() && root.hosts.is_empty());
        assert_eq!(root.not_after.to_string(), "20800102000000Z");
        assert_eq!((server.subject.as_str(), server.issuer.as_str()), ("CN=ldap1", root.subject.as_str()));
        assert!(server.names_as_issuer(&root) && !server.is_self_issued() && !server.is_authority);
        assert_eq!(server.hosts, ["ldap1.harbourlane.example", "192.0.2.7", "2001:db8::7"]);
        assert_eq!(server.not_before.to_string(), "19991231000000Z");
        assert_eq!(server.not_after.to_string(), "20270102000000Z");
        assert_eq!(server.issuer_url.as_deref(), Some("http://pki.example/ca.crt"));
        assert_eq!(server.fingerprint.len(), 95);
        assert_ne!(server.fingerprint, root.fingerprint);
    }

    #[test]
    fn a_certificate_that_is_cut_is_none() {
        let [_, server] = two();
        for length in 0..server.len() {
            assert!(Certificate::decode(server[..length].to_vec()).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(at in 0_usize..400, octet: u8) {
            let [_, mut server] = two();
            if let Some(place) = server.get_mut(at) {
                *place = octet;
            }
            let _ = Certificate::decode(server);
        }
    }
}
