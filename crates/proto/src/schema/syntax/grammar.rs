//! The grammars of RFC 4517 §3.3 and others, one function each: whether these octets are such a value.
//!
//! Each reads its value once. None decodes: that is done where a decoded value is used.

use std::str::from_utf8;

use super::super::{
    parse,
    time::{GeneralizedTime, utc_time_from_str},
};
use crate::dn::Dn;

pub(in crate::schema) fn any(_: &[u8]) -> bool {
    true
}

pub(in crate::schema) fn utf8(value: &[u8]) -> bool {
    from_utf8(value).is_ok()
}

/// §3.3.6: at least one character.
pub(in crate::schema) fn directory_string(value: &[u8]) -> bool {
    !value.is_empty() && utf8(value)
}

/// §3.3.15.
pub(in crate::schema) fn ia5_string(value: &[u8]) -> bool {
    value.is_ascii()
}

/// §3.3.29, and §3.3.31 for telephone numbers.
pub(in crate::schema) fn printable_string(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&octet| is_printable(octet))
}

/// §3.2: `PrintableCharacter`.
fn is_printable(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"'()+,-.=/:? ".contains(&octet)
}

/// §3.3.23.
pub(in crate::schema) fn numeric_string(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&octet| octet.is_ascii_digit() || octet == b' ')
}

/// §3.3.4.
pub(in crate::schema) fn country_string(value: &[u8]) -> bool {
    value.len() == 2 && printable_string(value)
}

/// §3.3.3.
pub(in crate::schema) fn boolean(value: &[u8]) -> bool {
    matches!(value, b"TRUE" | b"FALSE")
}

/// §3.3.16: no leading zeros, no `-0`.
pub(in crate::schema) fn integer(value: &[u8]) -> bool {
    let digits = match value {
        [b'0'] => return true,
        [b'-', digits @ ..] => digits,
        digits => digits,
    };
    matches!(digits, [b'1'..=b'9', ..]) && digits.iter().all(u8::is_ascii_digit)
}

/// §3.3.2: `'0101'B`.
pub(in crate::schema) fn bit_string(value: &[u8]) -> bool {
    matches!(value, [b'\'', bits @ .., b'\'', b'B'] if bits.iter().all(|bit| matches!(bit, b'0' | b'1')))
}

/// §3.3.13.
pub(in crate::schema) fn generalized_time(value: &[u8]) -> bool {
    from_utf8(value).is_ok_and(|text| text.parse::<GeneralizedTime>().is_ok())
}

/// §3.3.34.
pub(in crate::schema) fn utc_time(value: &[u8]) -> bool {
    from_utf8(value).is_ok_and(|text| utc_time_from_str(text).is_some())
}

/// §3.3.9.
pub(in crate::schema) fn dn(value: &[u8]) -> bool {
    from_utf8(value).is_ok_and(|text| text.parse::<Dn>().is_ok())
}

/// §3.3.21.
pub(in crate::schema) fn name_and_uid(value: &[u8]) -> bool {
    dn(split_uid(value).0)
}

/// The name, and the bit string after the last `#` if there is one. A `#` that no bit string follows is the name's.
pub(in crate::schema) fn split_uid(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    match value.iter().rposition(|&octet| octet == b'#').and_then(|at| value.split_at_checked(at)) {
        Some((name, [_, uid @ ..])) if bit_string(uid) => (name, Some(uid)),
        _ => (value, None),
    }
}

/// §3.3.26: `descr` or `numericoid` (RFC 4512 §1.4). Underscores are let pass in names, as directories in the field do.
pub(in crate::schema) fn oid(value: &[u8]) -> bool {
    match value {
        [b'0'..=b'9', ..] => numeric_oid(value),
        [first, ..] => {
            first.is_ascii_alphabetic()
                && value.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
        }
        [] => false,
    }
}

/// `number 1*( DOT number )`, no number with a leading zero.
pub(in crate::schema) fn numeric_oid(value: &[u8]) -> bool {
    let number = |arc: &[u8]| matches!(arc, [b'0'] | [b'1'..=b'9', ..]) && arc.iter().all(u8::is_ascii_digit);
    value.contains(&b'.') && value.split(|&octet| octet == b'.').all(number)
}

/// §3.3.5.
pub(in crate::schema) fn delivery_method(value: &[u8]) -> bool {
    const METHODS: [&[u8]; 10] = [
        b"any",
        b"mhs",
        b"physical",
        b"telex",
        b"teletex",
        b"g3fax",
        b"g4fax",
        b"ia5",
        b"videotex",
        b"telephone",
    ];
    value.split(|&octet| octet == b'$').all(|method| METHODS.contains(&method.trim_ascii()))
}

/// §3.3.28: lines separated by `$`, in which `\24` and `\5C` stand for `$` and `\`. Empty lines are let pass, as OpenLDAP
/// does: addresses in the field have them.
pub(in crate::schema) fn postal_address(value: &[u8]) -> bool {
    utf8(value)
        && !value.is_empty()
        && value.split(|&octet| octet == b'$').all(|line| escapes(line, &[b"24", b"5c"]))
}

/// Whether each `\` is followed by one of these pairs of hexadecimal digits (lower case).
fn escapes(value: &[u8], allowed: &[&[u8; 2]]) -> bool {
    value.split(|&octet| octet == b'\\').skip(1).all(|after| {
        after
            .first_chunk::<2>()
            .is_some_and(|pair| allowed.contains(&&pair.map(|digit| digit.to_ascii_lowercase())))
    })
}

/// §3.3.11.
pub(in crate::schema) fn facsimile_number(value: &[u8]) -> bool {
    const PARAMETERS: [&[u8]; 7] = [
        b"twoDimensional",
        b"fineResolution",
        b"unlimitedLength",
        b"b4Length",
        b"a3Width",
        b"b4Width",
        b"uncompressed",
    ];
    let mut fields = value.split(|&octet| octet == b'$');
    fields.next().is_some_and(printable_string)
        && fields.all(|parameter| PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(parameter)))
}

/// §3.3.32.
pub(in crate::schema) fn teletex_identifier(value: &[u8]) -> bool {
    const KEYS: [&[u8]; 5] = [b"graphic", b"control", b"misc", b"page", b"private"];
    let mut fields = value.split(|&octet| octet == b'$');
    fields.next().is_some_and(printable_string)
        && fields.all(|parameter| {
            parameter.split(|&octet| octet == b':').next().is_some_and(|key| KEYS.contains(&key))
                && parameter.contains(&b':')
        })
}

/// §3.3.33.
pub(in crate::schema) fn telex_number(value: &[u8]) -> bool {
    let mut fields = 0_usize;
    value.split(|&octet| octet == b'$').all(|field| {
        fields += 1;
        printable_string(field)
    }) && fields == 3
}

/// §3.3.10, without a look into the criteria.
pub(in crate::schema) fn enhanced_guide(value: &[u8]) -> bool {
    const SUBSETS: [&[u8]; 3] = [b"baseobject", b"oneLevel", b"wholeSubtree"];
    let mut fields = value.split(|&octet| octet == b'#').map(<[u8]>::trim_ascii);
    let (Some(class), Some(criteria), Some(subset), None) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    oid(class) && utf8(criteria) && SUBSETS.iter().any(|known| known.eq_ignore_ascii_case(subset))
}

/// §3.3.27.
pub(in crate::schema) fn other_mailbox(value: &[u8]) -> bool {
    let mut halves = value.splitn(2, |&octet| octet == b'$');
    halves.next().is_some_and(printable_string) && halves.next().is_some_and(ia5_string)
}

/// §3.3.30: parts around at least one `*`, in which `\2A` and `\5C` stand for `*` and `\`.
pub(in crate::schema) fn substring_assertion(value: &[u8]) -> bool {
    utf8(value)
        && value.contains(&b'*')
        && !value.windows(2).any(|pair| pair == b"**")
        && escapes(value, &[b"2a", b"5c"])
}

/// The outline of every description of RFC 4512 §4.1: an identifier and fields in balanced parentheses.
pub(in crate::schema) fn definition(value: &[u8]) -> bool {
    from_utf8(value).is_ok_and(parse::is_outline)
}

/// RFC 4530 §2.1.
pub(in crate::schema) fn uuid(value: &[u8]) -> bool {
    value.len() == 36
        && value.iter().enumerate().all(|(at, octet)| match at {
            8 | 13 | 18 | 23 => *octet == b'-',
            _ => octet.is_ascii_hexdigit(),
        })
}

/// RFC 2307 §2.4: `(host,user,domain)`, each a key string, empty, or `-`.
pub(in crate::schema) fn netgroup_triple(value: &[u8]) -> bool {
    let [b'(', fields @ .., b')'] = value else { return false };
    let is_key = |field: &[u8]| {
        field.trim_ascii().iter().all(|octet| octet.is_ascii_alphanumeric() || b"-_.;".contains(octet))
    };
    fields.split(|&octet| octet == b',').count() == 3 && fields.split(|&octet| octet == b',').all(is_key)
}

/// RFC 2307 §2.4: `key=server:path`.
pub(in crate::schema) fn boot_parameter(value: &[u8]) -> bool {
    let mut halves = value.splitn(2, |&octet| octet == b'=');
    let key = halves.next().unwrap_or_default();
    let mut place = halves.next().unwrap_or_default().splitn(2, |&octet| octet == b':');
    value.is_ascii()
        && !key.is_empty()
        && place.next().is_some_and(|server| !server.is_empty())
        && place.next().is_some()
}

/// OpenLDAP's change sequence number: `20260131120000.123456Z#000000#001#000000`. The form of OpenLDAP 2.3, without
/// the fraction and with a replica number of two digits, is let pass.
pub(in crate::schema) fn csn(value: &[u8]) -> bool {
    let mut fields = value.split(|&octet| octet == b'#');
    let (Some(time), Some(count), Some(replica), Some(modification), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let is_hex =
        |field: &[u8], length: usize| field.len() == length && field.iter().all(u8::is_ascii_hexdigit);
    let (time_length, replica_length) = if time.len() == 15 { (15, 2) } else { (22, 3) };
    time.len() == time_length
        && matches!(time, [.., b'Z'])
        && generalized_time(time)
        && is_hex(count, 6)
        && (is_hex(replica, replica_length) || is_hex(replica, 3))
        && is_hex(modification, 6)
}

/// The replica number of a change sequence number: three hexadecimal digits.
pub(in crate::schema) fn csn_sid(value: &[u8]) -> bool {
    value.len() == 3 && value.iter().all(u8::is_ascii_hexdigit)
}
