//! String preparation (RFC 4518): transcode, map, normalise, prohibit, and the handling of insignificant characters.
//!
//! The prepared form here is the shortest that keeps the meaning: no spaces at the ends, one space between words. RFC
//! 4518 §2.6.1 puts one at the ends and two between words, which tells the same values apart;
//! [`MatchingRule::has_substrings`](super::MatchingRule::has_substrings) knows the difference. Bidirectional characters are
//! not checked (§2.5 says so).
//!
//! Two steps differ from the letter of the RFC, whose tables are those of Unicode 3.2: code points that were
//! unassigned then are let pass, so that a name written in a newer script can be compared; and case is folded by
//! Unicode's upper and lower case of today, which gives what table B.2 of RFC 3454 gives for the characters in it.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// Whether case counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Case {
    /// It does not.
    Fold,
    /// It does.
    Keep,
}

/// Which characters count for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Insignificant {
    /// Spaces at the ends, and all but one between words (§2.6.1).
    Spaces,
    /// All spaces (§2.6.2, numeric strings).
    AllSpaces,
    /// All spaces and hyphens (§2.6.3, telephone numbers).
    SpacesAndHyphens,
}

/// Where a part of a substring assertion stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// At the start: a space at its end counts.
    Initial,
    /// Anywhere: a space at either end counts.
    Any,
    /// At the end: a space at its start counts.
    Final,
}

/// Prepares a value. `None` when it is not UTF-8 or has a prohibited character.
pub(super) fn value(value: &[u8], case: Case, insignificant: Insignificant) -> Option<Cow<'_, [u8]>> {
    if is_prepared(value, case, insignificant) {
        return Some(Cow::Borrowed(value));
    }
    let plain = value.iter().all(|octet| matches!(octet, b' '..=b'~'));
    if plain && insignificant == Insignificant::Spaces {
        return Some(Cow::Owned(plain_value(value, case)));
    }
    let mut prepared = strip(&mapped(value, case)?, insignificant, false, false);
    if prepared.is_empty() {
        // §2.6.1: nothing but spaces is not the same as nothing at all, but an empty value is.
        prepared.push(' ');
    }
    Some(Cow::Owned(prepared.into_bytes()))
}

/// As [`value`], for printable ASCII: what most values are.
fn plain_value(value: &[u8], case: Case) -> Vec<u8> {
    let mut prepared = Vec::with_capacity(value.len());
    for &octet in value.trim_ascii() {
        if octet != b' ' || prepared.last() != Some(&b' ') {
            prepared.push(if case == Case::Fold { octet.to_ascii_lowercase() } else { octet });
        }
    }
    if prepared.is_empty() {
        prepared.push(b' ');
    }
    prepared
}

/// Prepares a part of a substring assertion. A part of nothing but spaces becomes one space.
pub(super) fn part(part: &[u8], case: Case, insignificant: Insignificant, place: Place) -> Option<Vec<u8>> {
    let mut prepared =
        strip(&mapped(part, case)?, insignificant, place != Place::Initial, place != Place::Final);
    if prepared.is_empty() && insignificant == Insignificant::Spaces {
        prepared.push(' ');
    }
    Some(prepared.into_bytes())
}

/// Whether a value is in the prepared form already; it only looks at ASCII.
fn is_prepared(value: &[u8], case: Case, insignificant: Insignificant) -> bool {
    let mut previous = b' ';
    let fits = value.iter().all(|&octet| {
        let fits = match octet {
            b'A'..=b'Z' => case == Case::Keep,
            b' ' => previous != b' ' && insignificant == Insignificant::Spaces,
            b'-' => insignificant != Insignificant::SpacesAndHyphens,
            b'!'..=b'~' => true,
            _ => false,
        };
        previous = octet;
        fits
    });
    fits && previous != b' '
}

/// Steps 1 to 4: transcode, map, normalise, prohibit.
fn mapped(value: &[u8], case: Case) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let mapped = text.chars().filter_map(map);
    if text.is_ascii() {
        return Some(match case {
            Case::Fold => mapped.map(|c| c.to_ascii_lowercase()).collect(),
            Case::Keep => mapped.collect(),
        });
    }
    let mut normalized: String = match case {
        // Normalised before, because compatibility forms hide capitals; and after, because folding can take apart.
        Case::Fold => mapped.nfkc().flat_map(fold).nfkc().collect(),
        Case::Keep => mapped.nfkc().collect(),
    };
    if case == Case::Fold && normalized.chars().any(char::is_uppercase) {
        normalized = normalized.chars().flat_map(fold).nfkc().collect();
    }
    (!normalized.chars().any(is_prohibited)).then_some(normalized)
}

/// §2.2: to a space, to nothing, or to itself.
fn map(c: char) -> Option<char> {
    match c {
        '\u{9}'..='\u{d}'
        | '\u{85}'
        | '\u{a0}'
        | '\u{1680}'
        | '\u{2000}'..='\u{200a}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{202f}'
        | '\u{205f}'
        | '\u{3000}' => Some(' '),
        '\u{0}'..='\u{8}'
        | '\u{e}'..='\u{1f}'
        | '\u{7f}'..='\u{84}'
        | '\u{86}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{6dd}'
        | '\u{70f}'
        | '\u{1806}'
        | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2063}'
        | '\u{206a}'..='\u{206f}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffc}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0001}'
        | '\u{e0020}'..='\u{e007f}' => None,
        _ => Some(c),
    }
}

/// Folds case: down after up, so that `ß` is `ss` and both sigmas are one. Dotless `ı` stays itself.
fn fold(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'ı' => ('ı', None),
        'ẞ' => ('s', Some('s')),
        _ => ('\0', None),
    };
    let special = (first != '\0').then_some(first).into_iter().chain(second);
    let plain = (first == '\0').then(|| c.to_uppercase().flat_map(char::to_lowercase)).into_iter().flatten();
    special.chain(plain)
}

/// §2.4: private use, non-characters, the replacement character. Surrogates cannot be in UTF-8.
fn is_prohibited(c: char) -> bool {
    let code = u32::from(c);
    matches!(code, 0xe000..=0xf8ff | 0xf0000.. | 0xfdd0..=0xfdef | 0xfffd) || code & 0xfffe == 0xfffe
}

/// Step 6: leaves out what is insignificant. A space under a combining mark is no space (§2.6.1).
fn strip(text: &str, insignificant: Insignificant, keep_leading: bool, keep_trailing: bool) -> String {
    let mut stripped = String::with_capacity(text.len());
    let mut pending = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if c == ' ' && !characters.peek().copied().is_some_and(is_combining_mark) {
            pending = true;
            continue;
        }
        if insignificant == Insignificant::SpacesAndHyphens && is_hyphen(c) {
            continue;
        }
        if pending && insignificant == Insignificant::Spaces && (keep_leading || !stripped.is_empty()) {
            stripped.push(' ');
        }
        pending = false;
        stripped.push(c);
    }
    if pending && keep_trailing && insignificant == Insignificant::Spaces && !stripped.is_empty() {
        stripped.push(' ');
    }
    stripped
}

/// §2.6.3.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{58a}' | '\u{2010}' | '\u{2011}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(text: &str, insignificant: Insignificant) -> String {
        String::from_utf8(value(text.as_bytes(), Case::Keep, insignificant).unwrap().into_owned()).unwrap()
    }

    /// The examples of RFC 4518 §2.6.1, in the shorter form.
    #[test]
    fn spaces_that_count_for_nothing() {
        for (text, expected) in [
            ("foo bar  ", "foo bar"),
            ("  foo   bar", "foo bar"),
            ("foo", "foo"),
            ("", " "),
            (" ", " "),
            ("    ", " "),
            ("a\tb\r\nc\u{a0}d\u{3000}e\u{2028}f", "a b c d e f"),
            ("a\u{200b}b\u{ad}c\u{feff}\u{0}\u{7f}", "abc"),
            ("a \u{301}b", "a \u{301}b"),
            ("a  \u{301}b", "a  \u{301}b"),
        ] {
            assert_eq!(prepared(text, Insignificant::Spaces), expected, "{text:?}");
        }
    }

    /// The examples of RFC 4518 §2.6.2 and §2.6.3.
    #[test]
    fn numbers_and_telephone_numbers() {
        for (text, insignificant, expected) in [
            ("123 456", Insignificant::AllSpaces, "123456"),
            (" 1-2 ", Insignificant::AllSpaces, "1-2"),
            ("   ", Insignificant::AllSpaces, " "),
            ("+1 555-0100", Insignificant::SpacesAndHyphens, "+15550100"),
            (
                "1\u{2010}2\u{2011}3\u{2212}4\u{ff0d}5\u{fe63}6\u{58a}7",
                Insignificant::SpacesAndHyphens,
                "1234567",
            ),
            (" - ", Insignificant::SpacesAndHyphens, " "),
        ] {
            assert_eq!(prepared(text, insignificant), expected, "{text:?}");
        }
    }

    #[test]
    fn parts_keep_a_space_where_they_were_cut() {
        for (text, place, expected) in [
            ("  a  b  ", Place::Initial, "a b "),
            ("  a  b  ", Place::Any, " a b "),
            ("  a  b  ", Place::Final, " a b"),
            ("   ", Place::Any, " "),
            ("\u{ad}", Place::Any, " "),
        ] {
            let part = part(text.as_bytes(), Case::Fold, Insignificant::Spaces, place).unwrap();
            assert_eq!(String::from_utf8(part).unwrap(), expected, "{text:?} {place:?}");
        }
    }

    #[test]
    fn case_is_folded_whatever_the_form() {
        for (text, expected) in [
            ("Straße STRAẞE", "strasse strasse"),
            ("ΣΑΣ σας", "σασ σασ"),
            ("ﬁ Ａ ℌ ǅ", "fi a h dž"),
            ("K Å", "k å"),
            ("ı I", "ı i"),
            ("ŉ ǰ", "ʼn ǰ"),
        ] {
            let folded = value(text.as_bytes(), Case::Fold, Insignificant::Spaces).unwrap();
            assert_eq!(String::from_utf8(folded.into_owned()).unwrap(), expected, "{text:?}");
        }
    }

    /// The class of 389-ds #7547: text that is not UTF-8, at every place.
    #[test]
    fn utf8_edge_what_is_not_utf8_is_refused() {
        for octets in [
            &b"\x80"[..],
            b"a\xc3",
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf0\x9f\x98",
            b"\xff\xfe",
        ] {
            assert_eq!(value(octets, Case::Fold, Insignificant::Spaces), None, "{}", octets.escape_ascii());
            assert_eq!(part(octets, Case::Fold, Insignificant::Spaces, Place::Any), None);
        }
        for text in ["\u{e000}", "\u{f8ff}", "\u{fdd0}", "\u{fffe}", "\u{1ffff}", "\u{fffd}", "\u{10fffd}"] {
            assert_eq!(
                value(text.as_bytes(), Case::Fold, Insignificant::Spaces),
                None,
                "{}",
                text.escape_unicode()
            );
        }
    }
}
