//! SASLprep (RFC 4013): one form for all ways to type a name or a password.
//!
//! Code points that Unicode 3.2 did not know are let pass, as in queries (§2.5): a password in a newer script is better
//! than none.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// The prepared form; `None` where the text holds what is prohibited (§2.3, §2.4).
///
/// ```
/// use flext_ldap_sasl::saslprep;
///
/// assert_eq!(saslprep("I\u{ad}X").as_deref(), Some("IX"));
/// assert_eq!(saslprep("\u{7}"), None);
/// ```
#[must_use]
pub fn saslprep(text: &str) -> Option<Cow<'_, str>> {
    if text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Some(Cow::Borrowed(text));
    }
    let mapped = text.chars().filter(|c| !is_nothing(*c)).map(|c| if is_space(c) { ' ' } else { c });
    let prepared: String = mapped.nfkc().collect();
    let good = !prepared.chars().any(is_prohibited) && has_one_direction(&prepared);
    good.then_some(Cow::Owned(prepared))
}

/// RFC 3454 table B.1.
fn is_nothing(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200b}'..='\u{200d}' | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Table C.1.2. What is in B.1 too is mapped to nothing.
fn is_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// Tables C.1.2 to C.9.
fn is_prohibited(c: char) -> bool {
    let code = u32::from(c);
    is_space(c)
        || c.is_control()
        || code & 0xfffe == 0xfffe
        || matches!(c,
            '\u{340}' | '\u{341}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200c}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2063}' | '\u{206a}'..='\u{206f}' | '\u{2ff0}'..='\u{2ffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}' | '\u{f0000}'..='\u{ffffd}'
            | '\u{100000}'..='\u{10fffd}')
}

/// RFC 3454 §6: text with a letter that runs to the left has none that runs to the right, and begins and ends with one
/// of the former. Those that run to the left are the blocks of their scripts; those that run to the right, the letters
/// of all others.
fn has_one_direction(text: &str) -> bool {
    if !text.chars().any(runs_left) {
        return true;
    }
    !text.chars().any(|c| c.is_alphabetic() && !runs_left(c))
        && text.chars().next().is_some_and(runs_left)
        && text.chars().next_back().is_some_and(runs_left)
}

fn runs_left(c: char) -> bool {
    let in_block = matches!(c,
        '\u{5be}' | '\u{5c0}' | '\u{5c3}' | '\u{5d0}'..='\u{5f4}' | '\u{61b}'..='\u{64a}' | '\u{66d}'..='\u{66f}'
        | '\u{671}'..='\u{6d5}' | '\u{6dd}' | '\u{6e5}' | '\u{6e6}' | '\u{6fa}'..='\u{710}' | '\u{712}'..='\u{72c}'
        | '\u{780}'..='\u{7a5}' | '\u{7b1}' | '\u{fb1d}' | '\u{fb1f}'..='\u{fdfc}' | '\u{fe70}'..='\u{fefc}');
    in_block && c != '\u{fb29}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_and_more() {
        let table: [(&str, Option<&str>); 16] = [
            // RFC 4013 §3.
            ("I\u{ad}X", Some("IX")),
            ("user", Some("user")),
            ("USER", Some("USER")),
            ("\u{aa}", Some("a")),
            ("\u{2168}", Some("IX")),
            ("\u{7}", None),
            ("\u{627}1", None),
            // Others.
            ("", Some("")),
            ("a\u{a0}b", Some("a b")),
            ("a\u{200b}b", Some("ab")),
            ("\u{627}1\u{628}", Some("\u{627}1\u{628}")),
            ("\u{627}a\u{628}", None),
            ("\u{e000}", None),
            ("\u{fffd}", None),
            ("e\u{301}", Some("\u{e9}")),
            ("\u{1f980}", Some("\u{1f980}")),
        ];
        for (text, want) in table {
            assert_eq!(saslprep(text).as_deref(), want, "{text:?}");
        }
    }
}
