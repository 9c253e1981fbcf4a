//! Texts of others on a line of ours: what a server says in errors, and in what is printed.
//!
//! Not for logs of a form of their own, which quote, and not for what a program reads.

use std::fmt::{self, Write as _};

/// Characters of a text that are shown.
const MOST: usize = 1_000;

/// Prints a text so that it steers no terminal, begins no line of its own, turns the direction of none, and fills no
/// screen: what would is escaped, and all beyond 1,000 characters is counted. Ends of lines and NUL that end it are left out.
///
/// ```
/// use flext_ldap_proto::line::OneLine;
///
/// assert_eq!(OneLine("no\nsuch \u{1b}[2Juser").to_string(), r"no\nsuch \u{1b}[2Juser");
/// let long = OneLine(&"x".repeat(1_500)).to_string();
/// assert!(long.ends_with("x… (500 octets more)"));
/// ```
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a text and nothing else")]
pub struct OneLine<'a>(pub &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.trim_end_matches(|end: char| end.is_whitespace() || end == '\0');
        let end = text.char_indices().nth(MOST).map_or(text.len(), |(end, _)| end);
        let (shown, more) = text.split_at_checked(end).unwrap_or((text, ""));
        for character in shown.chars() {
            match is_unseen(character) {
                true => write!(f, "{}", character.escape_default())?,
                false => f.write_char(character)?,
            }
        }
        if more.is_empty() { Ok(()) } else { write!(f, "… ({} octets more)", more.len()) }
    }
}

/// Whether a character shows only in what it does to others: controls, ends of lines, and Unicode's marks of direction.
#[must_use]
pub fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_steer_nothing_on_a_line() {
        let said = "a\u{1b}[2J\r\n\u{9b}b\u{202e}c\u{2028}d\u{2066}e\u{200f}f\u{61c}";
        let shown = OneLine(said).to_string();
        assert_eq!(shown, r"a\u{1b}[2J\r\n\u{9b}b\u{202e}c\u{2028}d\u{2066}e\u{200f}f\u{61c}");
        // 389-ds ends what it says with an end of line, Active Directory with NUL.
        for text in ["no\n", "no\0", "no\r\n\0"] {
            assert_eq!(OneLine(text).to_string(), "no");
        }
        for (text, end) in [("Åsa 🦭 سلام".to_owned(), "سلام"), ("🦭".repeat(1_001), "🦭… (4 octets more)")]
        {
            assert!(OneLine(&text).to_string().ends_with(end), "{text}");
        }
    }
}
