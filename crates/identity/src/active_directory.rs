//! What only Active Directory and Samba have: reasons in the text of an answer, binary identifiers, `unicodePwd`.
//!
//! RFC 4511 says of diagnostic messages that they are not to be parsed, and nothing else tells an expired password from
//! a wrong one there.

use std::fmt::Write as _;

use bytes::Bytes;
use flext_ldap_proto::secret::Secret;
use zeroize::Zeroizing;

use crate::Reason;

/// Why a bind was refused, by the text that came with `invalidCredentials`:
/// `80090308: LdapErr: DSID-0C09030B, comment: AcceptSecurityContext error, data 52e, v893`.
///
/// `None` where the text is not of that form. A number that is not known is a wrong password, as 52e is.
pub(crate) fn reason(diagnostic: &str) -> Option<Reason> {
    let (before, after) = diagnostic.split_once("data ")?;
    if !before.contains("AcceptSecurityContext error") {
        return None;
    }
    let digits = after.split(|one: char| !one.is_ascii_hexdigit()).next().unwrap_or_default();
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some(match number {
        0x525 => Reason::UnknownUser,
        0x52f | 0x534 => Reason::Restricted,
        0x530 => Reason::OutsideHours,
        0x531 => Reason::OtherWorkstation,
        0x532 => Reason::PasswordExpired,
        0x533 => Reason::Disabled,
        0x568 => Reason::TooManyGroups,
        0x701 => Reason::AccountExpired,
        0x773 => Reason::MustChange,
        0x775 => Reason::Locked,
        // SEC_E_BAD_BINDINGS: the way the bind came is not the way the server demands.
        0x8009_0346 => Reason::ChannelBinding,
        _ => Reason::WrongPassword,
    })
}

/// The Win32 error that answers to writes begin with: `0000052D: Constraint violation …`.
pub(crate) fn win32_error(diagnostic: &str) -> Option<u32> {
    let (digits, _) = diagnostic.split_once(':')?;
    (digits.len() == 8).then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// `objectGUID` as people see it: the first three fields are little-endian. `None` unless there are 16 octets.
pub(crate) fn guid(octets: &[u8]) -> Option<String> {
    let [a0, a1, a2, a3, b0, b1, c0, c1, rest @ ..]: [u8; 16] = octets.try_into().ok()?;
    let [a, b, c] = [
        u32::from_le_bytes([a0, a1, a2, a3]),
        u32::from(u16::from_le_bytes([b0, b1])),
        u32::from(u16::from_le_bytes([c0, c1])),
    ];
    let [d0, d1, node @ ..] = rest;
    let mut text = format!("{a:08x}-{b:04x}-{c:04x}-{d0:02x}{d1:02x}-");
    for octet in node {
        // Printing into a `String` cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    Some(text)
}

/// `objectSid` as people see it (MS-DTYP §2.4.2): `S-1-5-21-…`. `None` for what is no SID.
pub(crate) fn sid(octets: &[u8]) -> Option<String> {
    let (head, parts) = octets.split_first_chunk::<8>()?;
    let [1, count, authority @ ..] = *head else { return None };
    if parts.len() != usize::from(count) * 4 || count > 15 {
        return None;
    }
    let authority = authority.iter().fold(0_u64, |all, octet| all << 8 | u64::from(*octet));
    let mut text = format!("S-1-{authority}");
    for part in parts.chunks_exact(4) {
        let part: [u8; 4] = part.try_into().ok()?;
        // Printing into a `String` cannot fail.
        let _ = write!(text, "-{}", u32::from_le_bytes(part));
    }
    Some(text)
}

/// A password as `unicodePwd` has it (MS-ADTS §3.1.1.3.1.5): in quotes, as UTF-16, little-endian. Wiped when it is
/// dropped. `None` unless the password is UTF-8.
pub(crate) fn unicode_password(password: &Secret) -> Option<Bytes> {
    struct Wiped(Zeroizing<Vec<u8>>);
    impl AsRef<[u8]> for Wiped {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let text = std::str::from_utf8(password.expose()).ok()?;
    // Enough for all of it, so that no copy is left behind by growing.
    let mut octets = Zeroizing::new(Vec::with_capacity(2 * text.len() + 4));
    octets.extend_from_slice(&[b'"', 0]);
    text.encode_utf16().for_each(|unit| octets.extend_from_slice(&unit.to_le_bytes()));
    octets.extend_from_slice(&[b'"', 0]);
    Some(Bytes::from_owner(Wiped(octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        let octets =
            [0x86, 0xf1, 0xc9, 0xd7, 0xc5, 0xdb, 0xa9, 0x4d, 0xb0, 0x73, 0xd4, 0x43, 0x2a, 0x89, 0xca, 0x43];
        assert_eq!(guid(&octets).as_deref(), Some("d7c9f186-dbc5-4da9-b073-d4432a89ca43"));
        assert_eq!(guid(&octets[1..]), None);

        let users = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x21, 2, 0, 0];
        assert_eq!(sid(&users).as_deref(), Some("S-1-5-32-545"));
        assert_eq!(sid(&[1, 0, 0, 0, 0, 0, 0, 1]).as_deref(), Some("S-1-1"));
        for wrong in [&users[..15], &users[..7], &[], &[2, 0, 0, 0, 0, 0, 0, 1], &[1, 1, 0, 0, 0, 0, 0, 1]] {
            assert_eq!(sid(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_password_in_quotes() {
        let encoded = unicode_password(&Secret::from("né€w😀")).unwrap();
        let units: Vec<u16> =
            encoded.chunks_exact(2).map(|pair| u16::from_le_bytes(pair.try_into().unwrap())).collect();
        assert_eq!(String::from_utf16(&units).unwrap(), "\"né€w😀\"");
        assert!(unicode_password(&Secret::new([0xff])).is_none());
    }

    #[test]
    fn errors_of_writes() {
        for (text, want) in [
            ("0000052D: Constraint violation - check_password_restrictions", Some(0x52d)),
            ("00000056: AtrErr: DSID-03190F80, #1", Some(0x56)),
            ("", None),
            ("52D: short", None),
            ("password: too short", None),
        ] {
            assert_eq!(win32_error(text), want, "{text}");
        }
    }
}
